"""`docs/cli.md` is what the commands say."""

from pathlib import Path

import click
import pytest

from scripts import cli_reference
from tinker_hl.cli.entry import commands


def test_the_page_is_what_the_commands_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_reference.main(["--check"]) == 0, capsys.readouterr().err


def test_another_page_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "cli.md"
    other.write_text(cli_reference.page().replace("--run-id", "--run"))
    monkeypatch.setattr(cli_reference, "PAGE", other)
    assert cli_reference.main(["--check"]) == 1
    assert "-| `--run ID`" in capsys.readouterr().err
    assert cli_reference.main([]) == 0
    assert cli_reference.main(["--check"]) == 0


def test_every_command_and_option_is_on_the_page() -> None:
    page = cli_reference.PAGE.read_text(encoding="utf-8")

    def walk(command: click.Command, path: str) -> None:
        assert f"`{path}`" in page or path == "tinker-hl"
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert max(parameter.opts, key=len) in page
        for name, child in getattr(command, "commands", {}).items():
            walk(child, f"{path} {name}")

    context = click.Context(commands, info_name="tinker-hl")
    for name in commands.list_commands(context):
        found = commands.get_command(context, name)
        assert found is not None
        walk(found, f"tinker-hl {name}")
