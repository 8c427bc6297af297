"""What all sampling clients of one server owe it: to submit no faster than it takes.

A 429 pauses every client of the same (address, key) in this process; afterwards only a few submissions at once feel
their way back. The module knows nothing of samples.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tinker_hl import loop
from tinker_hl.retry import Clock

__all__ = ["Backpressure", "backpressure_of"]

SUBMISSIONS = 400
"""Submissions at once."""
CAUTIOUS_SUBMISSIONS = 10
"""The same while the server has lately said 429."""
CAUTION_SECONDS = 10.0
LARGE_PROMPT_BYTES = 131_072
PAUSE, LARGE_PAUSE = 1.0, 5.0
"""Seconds to pause after a 429 that names no time, by the size of the prompt."""


class Backpressure:
    """One server's pauses. Invariant: nothing is submitted before `until`."""

    def __init__(self) -> None:
        self._until = float("-inf")
        self._reset()
        loop.reset_after_fork(self)

    @asynccontextmanager
    async def submission(self, clock: Clock) -> AsyncIterator[None]:
        """Wait for permission to submit once."""
        async with self._slots:
            if clock.now() < self._until + CAUTION_SECONDS:
                async with self._cautious_slots:
                    await self._pause(clock)
                    yield
            else:
                yield

    def pushed_back(self, clock: Clock, prompt_bytes: int, named: float | None) -> float:
        """The server said 429; the seconds that everybody pauses now."""
        pause = named or (LARGE_PAUSE if prompt_bytes > LARGE_PROMPT_BYTES else PAUSE)
        self._until = max(self._until, clock.now() + pause)
        return pause

    def after_fork(self) -> None:
        """Whoever waits, waits in the parent."""
        self._reset()

    async def _pause(self, clock: Clock) -> None:
        while clock.now() < self._until:
            await clock.sleep(self._until - clock.now())

    def _reset(self) -> None:
        self._slots = asyncio.Semaphore(SUBMISSIONS)
        self._cautious_slots = asyncio.Semaphore(CAUTIOUS_SUBMISSIONS)


_lock = threading.Lock()
_by_server: dict[tuple[str, str], Backpressure] = {}


def backpressure_of(server: tuple[str, str]) -> Backpressure:
    """The process's state for one (address, key digest)."""
    with _lock:
        return _by_server.setdefault(server, Backpressure())
