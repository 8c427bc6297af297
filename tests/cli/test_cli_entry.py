import subprocess
import sys
from pathlib import Path

import click
import pytest

from tinker_hl.cli import entry
from tinker_hl.errors import ConfigurationError, TinkerError

HEAVY = (
    "torch",
    "transformers",
    "peft",
    "numpy",
    "aiohttp",
    "httpx",
    "rich",
    "matplotlib",
    "tokenizers",
    "google.protobuf",
)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> "list[BaseException]":
    """Put a command `fail` beside the real ones; it raises what is in the list."""
    errors: list[BaseException] = []

    @click.command()
    def fail() -> None:
        raise errors[0]

    class Point:
        name, value = "fail", "test:fail"

        def load(self) -> click.Command:
            return fail

    monkeypatch.setattr(entry, "_entry_points", lambda: {"fail": Point()})
    return errors


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom tinker_hl.cli.entry import run\nassert run(['--help']) == 0\n"
        f"assert not (loaded := set(sys.modules) & set({HEAVY!r})), loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in entry._entry_points():
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("command", sorted(entry._entry_points()))
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run([command, "--help"]) == 0
    assert f"Usage: tinker-hl {command}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(["version"]) == 0
    assert capsys.readouterr().out.startswith("tinker-hl 0.")


@pytest.mark.parametrize("arguments", [["nonsense"], ["train"], ["train", "--nonsense"], ["version", "extra"]])
def test_asking_wrongly_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(arguments) == entry.USAGE
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (TinkerError("it broke", hint="mend it"), entry.FAILED, ["Error: it broke", "Hint: mend it"]),
        (ConfigurationError("no key", hint="set one"), entry.USAGE, ["Error: no key", "Hint: set one"]),
        (click.ClickException("busy"), entry.FAILED, ["Error: busy"]),
        (KeyboardInterrupt(), entry.INTERRUPTED, ["Interrupted."]),
    ],
)
def test_fault_45_what_went_wrong_is_a_line_and_a_code(
    failing: list[BaseException],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    lines: list[str],
) -> None:
    failing.append(error)
    assert entry.run(["fail"]) == code
    assert [line for line in capsys.readouterr().err.splitlines() if line] == lines


def test_what_nobody_foresaw_is_told_with_its_type_and_shown_whole_on_demand(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ZeroDivisionError("by zero"))
    assert entry.run(["fail"]) == entry.FAILED
    assert "ZeroDivisionError: by zero" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        entry.run(["--debug", "fail"])


def test_a_command_that_cannot_be_imported_says_so_when_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Point:
        name, value = "serve", "absent:serve"

        def load(self) -> click.Command:
            raise ModuleNotFoundError("No module named 'absent'")

    monkeypatch.setattr(entry, "_entry_points", lambda: {"serve": Point()})
    assert entry.run(["--help"]) == 0
    assert "Not available" in capsys.readouterr().out
    assert entry.run(["serve", "--port", "1"]) == entry.FAILED
    assert "No module named 'absent'" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path) -> None:
    script = f'{sys.executable} -c \'from tinker_hl.cli.entry import main; main(["train", "--help"])\' | true'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
