"""Where a line can be shown, and how it is taken away again. It does not know what the line says.

On a terminal the cursor goes back to where the line begins, so that whatever is written next is written over it; a log
record takes it away first. tqdm's bars and ours would draw over each other, so that none is shown beside them.
"""

import importlib.util
import logging
import os
import sys
import threading
from typing import Any, Protocol, TextIO

from tinker_hl.notebook import in_notebook

__all__ = ["NotebookLine", "Screen", "TerminalLine", "find_screen"]

ERASE = "\r\x1b[K"


class Screen(Protocol):
    """One line that can change."""

    def show(self, text: str) -> None:
        """Show it in place of the last."""
        ...

    def erase(self) -> None:
        """Take it away; nothing happens where none is shown."""
        ...


class TerminalLine:
    """A line on the error stream of a terminal.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._shown = False
        self._minded: list[logging.Handler] = []
        self._before = _Before(self)

    def show(self, text: str) -> None:
        """See `Screen`; a long one is cut to the terminal's width."""
        if _other_bars():
            self.erase()
            return
        from rich.cells import cell_len, set_cell_size

        width = max(1, _width(self._stream) - 1)
        if cell_len(text) > width:
            text = set_cell_size(text, width)
        with self._lock:
            if not self._shown:
                self._shown = True
                self._mind_logs()
            self._write(f"{ERASE}{text}\r")

    def erase(self) -> None:
        """See `Screen`."""
        with self._lock:
            if not self._shown:
                return
            self._shown = False
            for handler in self._minded:
                # Lists are replaced, not changed: another thread may be going through one.
                handler.filters = [other for other in handler.filters if other is not self._before]
            self._minded = []
            self._write(ERASE)

    def _mind_logs(self) -> None:
        """Have the line taken away before a record is written to a terminal."""
        self._minded = _terminal_handlers()
        for handler in self._minded:
            handler.filters = [self._before, *handler.filters]

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            pass  # The terminal is gone; nobody misses the line.


class _Before(logging.Filter):
    """Lets every record through, and takes the line away before."""

    def __init__(self, line: TerminalLine) -> None:
        super().__init__()
        self._line = line

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true."""
        self._line.erase()
        return True


class NotebookLine:
    """A line below a notebook's cell, by tqdm."""

    def __init__(self) -> None:
        self._bar: Any = None

    def show(self, text: str) -> None:
        """See `Screen`."""
        if self._bar is None:
            self._bar = _tqdm()(desc=text, bar_format="{desc}", leave=False)
        else:
            self._bar.set_description_str(text)

    def erase(self) -> None:
        """See `Screen`."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def find_screen() -> Screen | None:
    """Where the process can show a line now; None where it cannot: the error stream is no terminal."""
    if in_notebook():
        return NotebookLine() if importlib.util.find_spec("tqdm") else None
    stream = sys.stderr
    if stream is None or os.environ.get("TERM") == "dumb":  # None where a process was started without a console
        return None
    try:
        return TerminalLine(stream) if stream.isatty() else None
    except ValueError:  # closed
        return None


def _tqdm() -> Any:
    if importlib.util.find_spec("ipywidgets"):
        from tqdm.auto import tqdm as automatic

        return automatic
    # The automatic choice would warn that there are no widgets.
    from tqdm.std import tqdm as plain

    return plain


def _other_bars() -> bool:
    tqdm = getattr(sys.modules.get("tqdm.std"), "tqdm", None)
    return bool(getattr(tqdm, "_instances", ()))


def _terminal_handlers() -> list[logging.Handler]:
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [handler for logger in loggers if isinstance(logger, logging.Logger) for handler in logger.handlers]
    return [handler for handler in dict.fromkeys(handlers) if not isinstance(handler, logging.FileHandler)]


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
