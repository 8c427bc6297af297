"""`--format` and JSON errors, on every command that there is."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from command_line import MODEL, PROGRAM, Line

from tinker_hl.cli import entry
from tinker_hl.cli.failures import Failure, asked_form, failure_of
from tinker_hl.errors import ConfigurationError

FOR_SHELLS = {"tinker-hl completion"}
"""What they print is read by a shell, and has no other form."""


def every_command(context: click.Context) -> Iterator[click.Context]:
    command = context.command
    if not isinstance(command, click.Group):
        yield context
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from every_command(click.Context(found, info_name=name, parent=context))


COMMANDS = {
    context.command_path: context for context in every_command(click.Context(entry.commands, info_name="tinker-hl"))
}


def test_every_command_takes_a_form_behind_its_name_and_before_it() -> None:
    """T-190, and section 4.10: JSON output everywhere."""
    assert len(COMMANDS) > 40
    for path, context in COMMANDS.items():
        while context is not None and path not in FOR_SHELLS:
            options = {name for parameter in context.command.params for name in parameter.opts}
            assert {"-f", "--format"} <= options, f"{context.command_path} has no --format"
            context = context.parent


def test_every_option_and_command_says_what_it_is_for() -> None:
    for path, context in COMMANDS.items():
        assert context.command.help, path
        for parameter in context.command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, f"{path} {parameter.opts}"


def test_no_summary_in_a_list_of_commands_is_cut() -> None:
    """A help page of 80 columns shows the whole first sentence of each command."""
    groups = {context.parent.command_path: context.parent for context in COMMANDS.values() if context.parent}
    for path, context in groups.items():
        shown = context.command.get_help(click.Context(context.command, info_name=path, terminal_width=80))
        assert [text for text in shown.partition("Commands:")[2].splitlines() if text.endswith("...")] == [], path


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        (["run", "list"], "table"),
        (["run", "--format", "json", "list"], "json"),
        (["run", "list", "--format=jsonl"], "jsonl"),
        (["-f", "json", "run", "list"], "json"),
        (["-fjsonl", "run", "list"], "jsonl"),
        (["--format", "json", "run", "list", "--format", "table"], "table"),
        (["run", "list", "--", "--format", "json"], "table"),
        (["--format", "xml"], "table"),
        (["json"], "table"),
        ([], "table"),
    ],
)
def test_the_form_of_a_line_is_known_even_where_the_line_is_wrong(arguments: list[str], form: str) -> None:
    assert asked_form(arguments) == form


def test_errors_are_json_for_programs(line: Line, reached: str) -> None:
    """Section 4.10: stable exit codes, JSON errors."""

    def failed(*words: str, code: int) -> dict[str, object]:
        out, err = line.both(*words, code=code)
        assert out == ""
        found: dict[str, object] = json.loads(err)["error"]
        assert list(found) == ["type", "message", "hint", "status", "exit_code"]
        assert found["exit_code"] == code
        return found

    missing = failed("run", "info", "nope", "--format", "json", code=1)
    assert (missing["type"], missing["status"]) == ("NotFoundError", 404)
    assert "no training run nope" in str(missing["message"])
    misspelt = failed("--format", "jsonl", "run", "list", "--limt", "3", code=2)
    assert misspelt["type"] == "NoSuchOption"
    assert "--limit" in str(misspelt["message"])
    assert "tinker-hl run list --help" in str(misspelt["hint"])
    assert failed("run", "info", "-f", "json", code=2)["type"] == "MissingParameter"
    nowhere = failed("run", "list", "--base-url", "nonsense", "--format", "json", code=2)
    assert "base_url" not in str(nowhere["hint"]), "a hint is in the words of the command line"


def test_what_the_machine_refuses_is_told_as_it_says_it() -> None:
    failure = failure_of(FileNotFoundError(2, "No such file or directory", "/no/where"))
    assert (failure.message, failure.hint) == ("/no/where: no such file or directory", None)
    assert failure_of(OSError(28, "No space left on device")).message == "no space left on device"


def test_a_closed_stdout_breaks_nothing() -> None:
    ended = subprocess.run(["sh", "-c", f"{PROGRAM} config show >&-"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_interrupted_is_a_failure_of_its_own() -> None:
    assert failure_of(KeyboardInterrupt()) == Failure(type="Interrupted", message="Interrupted.", exit_code=130)


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("give base_model=", "give --base-model"),
        ('pass api_key=, or base_url="local" to train', "pass --api-key, or --base-url local to train"),
        ("Check base_url and the network.", "Check --base-url and the network."),
        ("save_pretrained(safe_serialization=True)", "save_pretrained(safe_serialization=True)"),
    ],
)
def test_hints_name_options_and_no_arguments(hint: str, said: str) -> None:
    assert failure_of(ConfigurationError("x", hint=hint)).hint == said


@pytest.mark.parametrize(("typed", "meant"), [("chekpoint", "'checkpoint'"), ("runn", "'run'"), ("modle", "'model'")])
def test_a_misspelt_command_is_guessed(typed: str, meant: str, line: Line) -> None:
    assert f"Did you mean {meant}" in line.both(typed, "list", code=2)[1]
    assert "Did you mean" not in line.both("xyzzy", code=2)[1]


def test_keys_in_every_form(line: Line, tmp_path: Path) -> None:
    where = ("--data-dir", str(tmp_path))
    assert line.both("keys", "list", *where)[0] == ""
    made = line.json("keys", "create", "--name", "ann", "--note", "of\x1b[2J Ann", *where)
    assert made["key"].startswith("tml-")
    assert made["name"] == "ann"
    assert line("keys", "create", "--name", "bob", *where).startswith("tml-")
    shown = line("keys", "list", *where).splitlines()
    assert shown[0].split() == ["Key", "Id", "Name", "Scope", "Created", "Revoked", "Note"]
    assert "\\x1b" in shown[1]
    assert [record["name"] for record in line.json("keys", "list", *where)["keys"]] == ["ann", "bob"]
    one = [json.loads(text) for text in line("--format", "jsonl", "keys", "list", *where).splitlines()]
    assert [record["revoked"] for record in one] == [None, None]
    out, err = line.both("keys", "revoke", "2", *where)
    assert (out, err) == ("", "Key 2 of bob lets nobody in any more.\n")
    assert line.json("keys", "revoke", "2", *where) == {"key_id": 2, "name": "bob", "revoked": True}
    assert line.json("keys", "list", *where)["keys"][1]["revoked"].endswith("Z")
    assert json.loads(line.both("keys", "revoke", "7", *where, "-f", "json", code=1)[1])["error"]["exit_code"] == 1


def test_a_model_is_listed_in_the_form_that_stands_before_the_group(line: Line, reached: str) -> None:
    assert json.loads(line("--format", "json", "model", "list"))["models"][0]["model_name"] == MODEL
