"""A clock for many callers at once: time passes only when everybody waits, and then goes to the next one's moment.

`InstantClock` moves for each wait by itself, which is right for one caller and too fast for a hundred.
"""

import asyncio
import heapq
import itertools
from typing import TypeVar

T = TypeVar("T")

ROUNDS = 30
"""Rounds of the loop in which nothing may happen before everybody is taken to wait."""


class SimulatedClock:
    """See the module. `timeline` keeps its clients apart from those on other clocks."""

    def __init__(self, timeline: str) -> None:
        self.timeline = timeline
        self._now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._driver: asyncio.Task[None] | None = None

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        moment: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + max(0.0, seconds), next(self._numbers), moment))
        if self._driver is None or self._driver.done():
            self._driver = asyncio.get_running_loop().create_task(self._drive())
        await moment

    async def wait_for(self, future: "asyncio.Future[T]", seconds: float) -> T:
        alarm, watch = asyncio.ensure_future(self.sleep(seconds)), asyncio.ensure_future(_shielded(future))
        try:
            await asyncio.wait([alarm, watch], return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
            watch.cancel()
        if not future.done():
            raise TimeoutError
        return future.result()

    async def _drive(self) -> None:
        while self._sleepers:
            for _ in range(ROUNDS):
                await asyncio.sleep(0)
            moment, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                self._now = max(self._now, moment)
                sleeper.set_result(None)


async def _shielded(future: "asyncio.Future[T]") -> None:
    await asyncio.wait([future])
