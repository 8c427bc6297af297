"""The command line on terminals of 60 and of 160 columns, in pipes, and with nobody to ask."""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from command_line import MODEL, PROGRAM, Line, on_terminal

pytestmark = pytest.mark.usefixtures("reached")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PATH_LINE = "  Path: "


@pytest.fixture
def path(line: Line) -> str:
    return line.checkpoint("tty")


@pytest.mark.parametrize("columns", [60, 160])
def test_a_table_fits_and_loses_nothing(path: str, columns: int) -> None:
    """T-190."""
    code, shown = on_terminal(["checkpoint", "list"], columns)
    assert code == 0
    assert COLOUR.search(shown)
    lines = [text for text in COLOUR.sub("", shown).splitlines() if "not shown" not in text]
    # A path is longer than the narrow terminal: it has a line of its own, which the terminal folds.
    assert [text for text in lines if len(text) > columns and not text.startswith(PATH_LINE)] == []
    assert any(path in text for text in lines)
    assert lines[0].startswith("Checkpoint ID") is (columns == 160)


def test_no_colour_where_none_is_wanted(path: str) -> None:
    """https://no-color.org"""
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        _, shown = on_terminal(["checkpoint", "info", path], 160, environment=environment)
        assert "\x1b" not in shown


def test_a_pipe_gets_whole_lines_without_colour(path: str) -> None:
    """T-190: whatever the terminal's width."""
    ended = subprocess.run(
        [PROGRAM, "checkpoint", "list"], env={**os.environ, "COLUMNS": "40"}, capture_output=True, text=True, check=True
    )
    assert "\x1b" not in ended.stdout
    assert any(text.endswith(path) for text in ended.stdout.splitlines())
    assert ended.stdout.startswith("Checkpoint ID")


@pytest.mark.parametrize(
    ("answer", "code", "said"), [("n", 1, "Nothing was deleted."), ("y", 0, "Deleted 1 checkpoint")]
)
def test_a_deletion_is_confirmed(line: Line, path: str, answer: str, code: int, said: str) -> None:
    """T-184."""
    ended, shown = on_terminal(["checkpoint", "delete", path], 100, typed={"[y/N]": f"{answer}\n"})
    assert ended == code
    assert path in shown
    assert said in shown
    assert "Delete 1 checkpoint (" in shown


def test_ctrl_c_is_130_and_no_traceback(path: str) -> None:
    # The line break ends a wait that begins after the signal came; what it answers counts no more.
    code, shown = on_terminal(["checkpoint", "delete", path], 100, typed={"[y/N]": "\x03\n"})
    assert code == 130
    assert "Interrupted." in shown
    assert "Traceback" not in shown


def test_a_reader_that_leaves_is_quiet(path: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{PROGRAM} checkpoint list --format jsonl | true"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_a_login_is_typed_unseen(tmp_path: Path, reached: str) -> None:
    key = os.environ["TINKER_API_KEY"]
    environment = {"HOME": str(tmp_path), "TINKER_API_KEY": ""}
    code, shown = on_terminal(["auth", "login"], 100, typed={"API key": f"{key}\n"}, environment=environment)
    assert code == 0, shown
    assert key not in shown
    code, shown = on_terminal(["auth", "token"], 100, environment=environment)
    assert code == 2
    assert key not in shown
    code, shown = on_terminal(["auth", "token", "--show"], 100, environment=environment)
    assert (code, shown) == (0, f"{key}\n")


def test_ctrl_c_while_waiting_is_130(tmp_path: Path) -> None:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        waiting = subprocess.Popen([PROGRAM, "run", "list", "--base-url", url], stderr=subprocess.PIPE, text=True)
        connection, _ = silent.accept()
        with connection:
            waiting.send_signal(signal.SIGINT)
            _, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert err.strip() == "Interrupted."


def test_an_answer_that_does_not_come_is_told_in_time(tmp_path: Path, line: Line) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "--timeout" in line.both("model", "list", "--base-url", url, "--timeout", "0.2", code=1)[1]


def test_the_models_name_is_shown_on_a_terminal_too(reached: str) -> None:
    code, shown = on_terminal(["model", "list"], 60)
    assert code == 0
    assert MODEL in shown
