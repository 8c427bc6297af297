"""Test mode: no client waits. What would be waited for is written down instead.

A clock that all calls share would run away while one of them is on a real network: a hundred retries of other calls
would use up its deadline in a millisecond. So each call has a time of its own, in which only its own waits count.
"""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tinker_hl.retry import clock_by_default, unlimited_budgets

__all__ = ["TimelessClock", "no_waiting"]

GRACE = 0.05
"""Real seconds in which something may still happen before a wait for it is over."""

T = TypeVar("T")

_numbers = itertools.count(1)


class TimelessClock:
    """A clock on which waiting takes no time, and each call has a time of its own.

    Invariant: a call begins at the latest moment that any has reached, and only its own waits move it on.
    """

    def __init__(self) -> None:
        self.timeline = f"/timeless-{next(_numbers)}"
        """Clients on this clock share limits with each other and with no others."""
        self.slept: list[float] = []
        """Every wait so far, in seconds."""
        self._latest = 0.0

    def now(self) -> float:
        """Seconds on the clock of the running call."""
        moment = _moment.get()
        if moment is None or moment[0] is not self:
            moment = (self, self._latest)
            _moment.set(moment)
        return moment[1]

    async def sleep(self, seconds: float) -> None:
        """Move the call's clock; other tasks get their chance to run."""
        await asyncio.sleep(0)
        self.slept.append(seconds)
        self._pass(seconds)

    async def wait_for(self, future: "asyncio.Future[T]", seconds: float) -> T:
        """Give what is really under way a moment to finish the future; then the time is over."""
        try:
            return await asyncio.wait_for(asyncio.shield(future), min(seconds, GRACE))
        except TimeoutError:
            self._pass(seconds)
            raise

    def _pass(self, seconds: float) -> None:
        now = self.now() + seconds
        _moment.set((self, now))
        self._latest = max(self._latest, now)


_moment: ContextVar[tuple[TimelessClock, float] | None] = ContextVar("moment", default=None)


@contextmanager
def no_waiting() -> Iterator[TimelessClock]:
    """Clients that are made in this block wait for nothing: pauses between attempts and polls take no time.

    Deadlines count the time that would have been waited, so that giving up after five minutes takes no time either.
    What a server itself takes is real, and so is the heartbeat, as a server's patience is. These clients share no
    limits with others, and their retry budgets do not run out: a budget spares a server in trouble, and here there is
    none.

    Yields:
        The clock that they share. `slept` lists the waits, in seconds.
    """
    clock = TimelessClock()
    with clock_by_default(clock), unlimited_budgets():
        yield clock
