"""Every command that a page shows, in a block or in a sentence, exists with the options that it is shown with."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click

from tinker_hl.cli.entry import commands

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [page.read_text(encoding="utf-8") for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md")]
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(?:\.venv/bin/)?(tinker-hl \w.*?|python -m [\w.]+.*?)(?:\s+#.*|\s*\\|\s+\|.*)?$", re.MULTILINE)
INLINE = re.compile(r"`(tinker-hl \w[^`]*|python -m [\w.]+[^`]*)`")
SHOWN = {*LINE.findall("\n".join(block for text in TEXTS for block in BLOCK.findall(text)))}
SHOWN |= {line for text in TEXTS for line in INLINE.findall(text)}


def options(words: list[str]) -> set[str]:
    return {word for word in words if word.startswith("--")}


def test_commands_of_tinker_hl() -> None:
    used = [shlex.split(line)[1:] for line in SHOWN if line.startswith("tinker-hl")]
    assert {"serve", "train", "checkpoint", "config", "keys"} <= {words[0] for words in used}
    for words in used:
        command: click.Command | None = commands
        context, names = click.Context(commands, info_name="tinker-hl"), iter(words)
        while isinstance(command, click.Group) and (name := next(names, "-")).replace("-", "").isalpha():
            command = command.get_command(context, name)
        assert command is not None, words
        offered = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert options(words) <= {*offered, "--help"}, words


def test_modules_that_are_programs() -> None:
    used = [shlex.split(line)[2:] for line in SHOWN if line.startswith("python -m")]
    assert {"tinker_hl.testing.proxy", "tinker_hl.compat"} <= {words[0] for words in used}
    for module in {words[0] for words in used}:
        assert importlib.util.find_spec(module) is not None, module
    helped = subprocess.run(
        [sys.executable, "-m", "tinker_hl.testing.proxy", "--help"], capture_output=True, text=True, check=True
    )
    named = {option for words in used if words[0] == "tinker_hl.testing.proxy" for option in options(words)}
    assert {"--upstream", "--seed", "--kinds"} <= named
    assert {option for option in named if option not in helped.stdout} == set()
