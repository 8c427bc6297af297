"""Who waits for a result in this process, and since when. It does not know for what, nor who is interested.

Waiting is entered and left thousands of times a second, so that both cost no more than a lock and a dict.
"""

import itertools
import threading
import time
from typing import Protocol

from tinker_hl import loop

__all__ = ["WAITS", "Waits", "Watcher"]


class Watcher(Protocol):
    """Somebody who wants to know; told in the thread that waits, and so must be quick."""

    def wait_began(self) -> None:
        """Somebody waits."""
        ...

    def wait_ended(self) -> None:
        """Somebody has what it waited for, or waits no more."""
        ...


class Waits:
    """Invariant: a wait is known from `begin` to `end`, in the order in which they began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._since: dict[int, float] = {}
        self.watcher: Watcher | None = None
        loop.reset_after_fork(self)

    def begin(self) -> int:
        """Somebody begins to wait; the number is for `end`."""
        number, now = next(self._numbers), time.monotonic()
        with self._lock:
            self._since[number] = now
        if self.watcher is not None:
            self.watcher.wait_began()
        return number

    def end(self, number: int) -> None:
        """A wait is over, however it ended."""
        with self._lock:
            self._since.pop(number, None)
        if self.watcher is not None:
            self.watcher.wait_ended()

    def oldest(self) -> float | None:
        """When the longest wait began, on the clock of `time.monotonic`; None when nobody waits."""
        with self._lock:
            return next(iter(self._since.values()), None)

    def after_fork(self) -> None:
        """Who waits, waits in the parent."""
        self._lock = threading.Lock()
        self._since = {}


WAITS = Waits()
"""Those of this process."""
