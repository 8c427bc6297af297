"""Write `docs/cli.md`: every command of `tinker-hl`, from the commands themselves.

    python scripts/cli_reference.py           write the page
    python scripts/cli_reference.py --check   fail if the page is not what the commands say

What a command is for and what its options mean is said once, where the command is made; this script walks the tree. The
beginning of the page, about what all commands have in common, stands here.
"""

import argparse
import difflib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tinker_hl.cli.entry import FAILED, INTERRUPTED, USAGE, commands
from tinker_local.cli import DATA_DIR_BUSY

__all__ = ["page"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cli.md"
PROGRAM = "tinker-hl"
HEADER = f"""# The command line

`tinker-hl` comes with the client; what needs the local service (`serve`, `keys`, `telemetry`) says so where that is not
installed. Commands that talk to a server go where any client would: to `--base-url`, else to `TINKER_BASE_URL`, else to
the hosted service, with the key of `TINKER_API_KEY` or of `tinker-hl auth login`.

```bash
tinker-hl model list
tinker-hl run list --columns id,model,owner,updated
tinker-hl checkpoint list --limit 0 --format jsonl | jq -r .tinker_path
tinker-hl checkpoint delete --type sampler --before 2026-08-01 --dry-run
tinker-hl checkpoint prune --keep-last 3 --keep-every 100 --dry-run
tinker-hl checkpoint push-hf tinker://RUN/sampler_weights/NAME --dry-run
tinker-hl probe --base-url http://127.0.0.1:8000
tinker-hl chat --model-path tinker://RUN/sampler_weights/NAME --compare
tinker-hl lint DATA.jsonl --model NAME
tinker-hl sample --base-model NAME --prompt "lemon is" --num-samples 4
```

**Output.** Data goes to stdout, everything else (progress, questions, warnings, errors) to stderr. `--format` may stand
anywhere on the line: `table` is for people, with ages such as *3 hours ago*; `json` is one document and `jsonl` a line
for each record, with ISO 8601 times and all fields. A table that is wider than the terminal is shown as a short block a
record, and in a pipe it is as wide as it has to be: nothing is cut off. `NO_COLOR` takes the colours away.

**Questions** are asked on a terminal only. Elsewhere what deletes needs `--yes`, else it is refused.

| Exit code | Meaning |
|---|---|
| 0 | done |
| {FAILED} | it failed, wholly or in part, or a question was answered with no; stderr has a line on each failure |
| {USAGE} | asked for wrongly: an unknown option, a value that cannot be meant, a faulty data file, a missing key |
| {DATA_DIR_BUSY} | `serve` alone: another service has the data folder |
| {INTERRUPTED} | interrupted by Ctrl-C |

**Errors.** With `--format json` or `jsonl` an error is one JSON object, the last line of stderr:

```json
{{"error": {{"type": "NotFoundError", "message": "no run x", "hint": null, "status": 404, "exit_code": 1}}}}
```

`type` is the error's class, `hint` what to do about it, `status` the HTTP status where it is the server that refused;
both may be null. `Interrupted` is the type after Ctrl-C.

`tinker-hl --debug ...` shows the whole traceback of an error. Completion of commands and options in bash, zsh and fish:
`tinker-hl completion --help`. Without the script on the path, `python -m tinker_hl.cli` is the same.

## Options of many commands

The rest of this page is written by `scripts/cli_reference.py` from the commands themselves.
"""
COMMON = ("--format", "--base-url", "--api-key", "--timeout")
"""Told once, at the head of the page; those of the first command that has all of them."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/cli.md from the commands.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args(arguments)
    wanted = page()
    if not options.check:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    found = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    if found == wanted:
        return 0
    sys.stderr.writelines(difflib.unified_diff(found.splitlines(True), wanted.splitlines(True), str(PAGE), "commands"))
    print("cli_reference: docs/cli.md is not what the commands say; run `make cli-reference`", file=sys.stderr)
    return 1


def page() -> str:
    """The whole page, in Markdown."""
    root = click.Context(commands, info_name=PROGRAM)
    sections = [section for context in _children(root) for section in _sections(context)]
    names = [f"[`{context.info_name}`](#{_anchor(context)})" for context in _children(root)]
    common = _options([record for record in _records(_first_remote(root)) if _is_common(record)])
    return "\n".join([HEADER, common, "Commands: " + " · ".join(names) + "\n", *sections]).rstrip() + "\n"


def _sections(context: click.Context) -> Iterator[str]:
    depth = context.command_path.count(" ") + 1
    yield f"{'#' * min(depth, 4)} `{context.command_path}`\n" if depth > 1 else ""
    yield _text(context.command.help) + "\n"
    children = _children(context)
    if not children:
        yield f"```text\n{' '.join([context.command_path, *context.command.collect_usage_pieces(context)])}\n```\n"
    records = _records(context)
    own = [record for record in records if not _is_common(record)]
    if own:
        yield _options(own)
    common = [name for name in COMMON if any(name in record[0].split() for record in records)]
    if common and not children:
        yield f"Also {', '.join(f'`{name}`' for name in common)}: see [above](#options-of-many-commands).\n"
    if context.command.epilog:
        yield f"```text\n{_text(context.command.epilog)}\n```\n"
    for child in children:
        yield from _sections(child)


def _records(context: click.Context) -> list[tuple[str, str]]:
    """An option's names and what it does, for each that is shown."""
    records = [record for parameter in context.command.params if (record := parameter.get_help_record(context))]
    return [record for record in records if record[1]]  # an argument has its name in the usage, and no more


def _is_common(record: tuple[str, str]) -> bool:
    return any(name in record[0].split() for name in COMMON)


def _first_remote(context: click.Context) -> click.Context:
    """A command that has all the common options."""
    waiting = _children(context)
    while waiting:
        found = waiting.pop(0)
        if sum(map(_is_common, _records(found))) == len(COMMON):
            return found
        waiting += _children(found)
    raise LookupError("no command has all the common options")


def _options(records: Sequence[tuple[str, str]]) -> str:
    rows = [f"| `{_cell(name)}` | {_cell(told)} |" for name, told in records]
    return "\n".join(["| Option | |", "|---|---|", *rows]) + "\n"


def _children(context: click.Context) -> list[click.Context]:
    """Contexts of the commands in a group, in order; none of a command."""
    if not isinstance(context.command, click.Group):
        return []
    found = []
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        if command is not None and not command.hidden:
            found.append(click.Context(command, info_name=name, parent=context))
    return found


def _text(told: str | None) -> str:
    return inspect.cleandoc(told or "").replace("\b\n", "").strip()


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _anchor(context: click.Context) -> str:
    """GitHub's name for a heading: small letters, spaces to hyphens, other signs left out."""
    return re.sub(r"[^a-z0-9 -]", "", context.command_path.lower()).replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main())
