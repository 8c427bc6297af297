"""What all clients of one server owe it together: no more under way than it can take, and to slow down when told.

Clients of the same (address, key) in this process share one `Backpressure`. A 429 to a sample pauses the samples of all
of them; afterwards only a few submissions at once feel their way back, each weighs more, and fewer samples than before
may be under way, until those that succeed have earned them back. Clients of another key are not held up by that. The
module knows nothing of samples, training or results.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TypeVar

from tinker_hl import loop
from tinker_hl.adaptive_limit import AdaptiveLimit
from tinker_hl.in_flight_budget import InFlightBudget
from tinker_hl.retry import Clock

__all__ = ["Backpressure", "backpressure_of"]

SUBMISSIONS = 400
"""Submissions of samples at once."""
CAUTIOUS_SUBMISSIONS = 10
"""The same while the server has lately said 429."""
CAUTION_SECONDS = 10.0
CAUTIOUS_WEIGHT = 20
"""How much more the bytes of a sample count while the server has lately said 429."""
LARGE_PROMPT_BYTES = 131_072
PAUSE, LARGE_PAUSE = 1.0, 5.0
"""Seconds to pause after a 429 that names no time, by the size of the prompt."""


T = TypeVar("T")


class Backpressure:
    """One server's limits and pauses. Invariant: no sample is submitted before `until`."""

    def __init__(self) -> None:
        self._until = float("-inf")
        self._samples = InFlightBudget()
        self._sample_bytes = InFlightBudget()
        self._training_bytes = InFlightBudget()
        self.response_bytes = InFlightBudget()
        """Bytes of large results that are being read."""
        self._reset()
        loop.reset_after_fork(self)

    def sample(self, clock: Clock, limit: int) -> AbstractAsyncContextManager[None]:
        """One sample under way, from before its submission until its result is there.

        Args:
            clock: The time.
            limit: The server's own; after a 429 fewer are under way at once.
        """
        return _SampleUnderWay(self._samples, self.adaptive, clock, limit)

    def training_body(self, size: int, limit: int) -> AbstractAsyncContextManager[None]:
        """A training request of `size` bytes being built and submitted; at most `limit` bytes at once."""
        return self._training_bytes.held(size, limit)

    async def submission(self, clock: Clock, size: int, limit: int, submit: Callable[[], Awaitable[T]]) -> T:
        """Submit a sample once, as soon as that is permitted.

        Args:
            clock: The time.
            size: Bytes of the body.
            limit: Bytes of bodies that may be submitted at once.
            submit: Does it.
        """
        weight = await self._sample_bytes.take(size * CAUTIOUS_WEIGHT if self._is_cautious(clock) else size, limit)
        try:
            async with self._slots.held(1, SUBMISSIONS):
                if not self._is_cautious(clock):
                    return await submit()
                async with self._cautious_slots:
                    await self._pause(clock)
                    return await submit()
        finally:
            self._sample_bytes.give_back(weight)

    def pushed_back(self, clock: Clock, prompt_bytes: int, named: float | None) -> float:
        """The server said 429; the seconds that everybody pauses now."""
        pause = named or (LARGE_PAUSE if prompt_bytes > LARGE_PROMPT_BYTES else PAUSE)
        self._until = max(self._until, clock.now() + pause)
        self.adaptive.pushed_back(self._samples.used, clock.now())
        return pause

    def after_fork(self) -> None:
        """Whoever waits, waits in the parent."""
        self._reset()

    def _is_cautious(self, clock: Clock) -> bool:
        return clock.now() < self._until + CAUTION_SECONDS

    async def _pause(self, clock: Clock) -> None:
        while clock.now() < self._until:
            await clock.sleep(self._until - clock.now())

    def _reset(self) -> None:
        self._slots = InFlightBudget()
        self._cautious_slots = asyncio.Semaphore(CAUTIOUS_SUBMISSIONS)
        self.adaptive = AdaptiveLimit()
        """How many samples may be under way."""


class _SampleUnderWay:
    """The block of one sample. A class and no generator, as thousands may be under way."""

    __slots__ = ("_adaptive", "_clock", "_limit", "_samples")

    def __init__(self, samples: InFlightBudget, adaptive: AdaptiveLimit, clock: Clock, limit: int) -> None:
        self._samples, self._adaptive, self._clock, self._limit = samples, adaptive, clock, limit

    async def __aenter__(self) -> None:
        await self._samples.take(1, self._allowed)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._adaptive.succeeded(self._limit, self._clock.now())
        self._samples.give_back(1)

    def _allowed(self) -> int:
        return self._adaptive.under(self._limit)


_by_server: dict[tuple[str, str], Backpressure] = {}


def backpressure_of(server: tuple[str, str]) -> Backpressure:
    """The process's state for one (address, key digest); safe from any thread."""
    found = _by_server.get(server)
    return found if found is not None else _by_server.setdefault(server, Backpressure())
