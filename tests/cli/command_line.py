"""The command line for tests: in this process, and on a terminal of its own."""

import fcntl
import json
import os
import pty
import struct
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tinker_hl.cli import entry

MODEL = "tinker-hl/tiny"
PROGRAM = Path(sys.executable).parent / "tinker-hl"


class Line:
    """The command line in this process, as a user at no terminal has it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run a command that ends with `code`; returns what it printed on stdout."""
        return self.both(*words, code=code)[0]

    def both(self, *words: str, code: int = 0) -> tuple[str, str]:
        """The same; stdout and stderr."""
        self._capsys.readouterr()
        ended = entry.run(list(words))
        out, err = self._capsys.readouterr()
        assert ended == code, f"exit code {ended}\n{out}\n{err}"
        return out, err

    def json(self, *words: str, code: int = 0) -> Any:
        """The JSON document that a command prints."""
        return json.loads(self(*words, "--format", "json", code=code))

    def checkpoint(self, name: str, *more: str) -> str:
        """The path of a new checkpoint, of a run of its own."""
        saved = self.json("checkpoint", "save", "--base-model", MODEL, "--rank", "2", "--name", name, *more)
        return str(saved["tinker_path"])


def on_terminal(
    words: Sequence[str],
    columns: int,
    *,
    typed: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run the program on a pseudo terminal.

    Args:
        words: Of the line.
        columns: Of the terminal.
        typed: What to type when a text is shown, once each, in this order.
        environment: More variables.

    Returns:
        The exit code, and all that was shown.
    """
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover  # another program from here on
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        # Not `execv`: readline has put a width into the environment below Python's.
        os.execve(PROGRAM, [str(PROGRAM), *words], {**inherited, "TERM": "xterm", **(environment or {})})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    shown, left = "", list((typed or {}).items())
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # what Linux says when the program has left
            break
        if not piece:
            break
        shown += piece.decode()
        while left and left[0][0] in shown:
            os.write(terminal, left.pop(0)[1].encode())
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, shown.replace("\r\n", "\n")
