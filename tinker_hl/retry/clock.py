"""Time, as everything that waits sees it, so that tests need not wait. It knows nothing of what is waited for."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

__all__ = ["Clock", "InstantClock", "LoopClock", "clock_by_default", "default_clock"]

T = TypeVar("T")


class Clock(Protocol):
    """Time, so that tests need not wait for it."""

    def now(self) -> float:
        """Seconds since any fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let that much time pass."""
        ...

    async def wait_for(self, future: "asyncio.Future[T]", seconds: float) -> T:
        """The future's result; `TimeoutError` when it takes longer. The future is not cancelled."""
        ...


class LoopClock:
    """The real time."""

    def now(self) -> float:
        """Seconds of the monotonic clock, by which loops go, too; a sample asks for it two dozen times."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)

    async def wait_for(self, future: "asyncio.Future[T]", seconds: float) -> T:
        """Wait; see `Clock.wait_for`."""
        return await asyncio.wait_for(asyncio.shield(future), seconds)


class InstantClock:
    """A clock for tests: waiting moves it forward and takes no time. `slept` lists the waits, in seconds.

    Args:
        timeline: Clients on another timeline share no limits with those on this one: a moment means nothing there.
    """

    def __init__(self, timeline: str = "") -> None:
        self.timeline = timeline
        self._now = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        """Seconds that were slept so far."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Move the clock; other tasks get their chance to run."""
        await asyncio.sleep(0)
        self.slept.append(seconds)
        self._now += seconds

    async def wait_for(self, future: "asyncio.Future[T]", seconds: float) -> T:
        """Give other tasks a few rounds to finish the future; then the time is over."""
        for _ in range(10):
            if future.done():
                return future.result()
            await asyncio.sleep(0)
        self._now += seconds
        raise TimeoutError


_default_clock: Clock = LoopClock()


def default_clock() -> Clock:
    """The clock of a client that is given none: real time, but in `clock_by_default`."""
    return _default_clock


@contextmanager
def clock_by_default(clock: Clock) -> Iterator[None]:
    """Give a clock to every client of the process that is made in the block and is given none."""
    global _default_clock
    before, _default_clock = _default_clock, clock
    try:
        yield
    finally:
        _default_clock = before
