"""Tokens for retries: what keeps many callers of one failing server from making its failure worse.

It knows nothing of what is retried, or why.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from tinker_hl import loop
from tinker_hl.retry.clock import Clock

__all__ = [
    "FOLLOWING",
    "RESERVE",
    "SUCCESS_BONUS",
    "TRICKLE_SECONDS",
    "RetryBudget",
    "SharedBudgets",
    "unlimited_budgets",
]

RESERVE = 5.0
TRICKLE_SECONDS = 15.0
SUCCESS_BONUS = 0.1
FOLLOWING = 0.5
"""Share of those who wait that a success lets go at once."""


class RetryBudget:
    """Tokens for retries, shared by all callers of one server. Used on the loop thread only.

    Invariant: at most `reserve` tokens; nobody waits while there is a whole one.
    """

    def __init__(self, reserve: float = RESERVE, trickle_seconds: float = TRICKLE_SECONDS) -> None:
        self._reserve = reserve
        self._trickle = trickle_seconds
        self._tokens = reserve
        self._updated: float | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        loop.reset_after_fork(self)

    @property
    def tokens(self) -> float:
        """Tokens left."""
        return self._tokens

    async def take(self, clock: Clock, until: float) -> bool:
        """Take a token, waiting for one until the clock shows `until`; False if none came."""
        self._refill(clock.now())
        if self._spend():
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await self._wait(turn, clock, until)
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def give_back(self, taken: float) -> None:
        """A call succeeded after `taken` retries: their tokens, and a little more, go to whoever waits.

        Part of those who wait follow without a token, for the server is there. A poll that it holds says nothing for
        half a minute, so that a thousand of them would else come back by fives.
        """
        self._tokens = min(self._reserve, self._tokens + taken + SUCCESS_BONUS)
        follow = math.ceil(len(self._waiting) * FOLLOWING)
        while self._waiting and (follow > 0 or self._spend()):
            follow -= 1
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)

    def after_fork(self) -> None:
        """Whoever waits, waits in the parent."""
        self._waiting.clear()

    async def _wait(self, turn: "asyncio.Future[None]", clock: Clock, until: float) -> bool:
        while True:
            patience = min((1.0 - self._tokens) * self._trickle, until - clock.now())
            try:
                await clock.wait_for(turn, max(patience, 0.0))
            except TimeoutError:
                if turn.done():
                    return True
            else:
                return True
            self._refill(clock.now())
            if self._spend():
                return True
            if clock.now() >= until:
                return False

    def _spend(self) -> bool:
        """Take a token if there is a whole one, but for what rounding has lost."""
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens = max(0.0, self._tokens - 1.0)
        return True

    def _refill(self, now: float) -> None:
        # Only up to one token: a quiet hour must not save up a burst.
        if self._updated is not None and self._tokens < 1.0:
            self._tokens = min(1.0, self._tokens + (now - self._updated) / self._trickle)
        self._updated = now


class SharedBudgets:
    """The process's budgets, one for each (address, key digest)."""

    def __init__(self) -> None:
        self._budgets: dict[tuple[str, str], RetryBudget] = {}

    def of(self, server: tuple[str, str]) -> RetryBudget:
        """The budget of one server and key; safe from any thread."""
        found = self._budgets.get(server)
        return found if found is not None else self._budgets.setdefault(server, RetryBudget(_reserve))


_reserve = RESERVE


@contextmanager
def unlimited_budgets() -> Iterator[None]:
    """Let the budgets of servers that are first called in the block never run out: for tests."""
    global _reserve
    before, _reserve = _reserve, math.inf
    try:
        yield
    finally:
        _reserve = before
