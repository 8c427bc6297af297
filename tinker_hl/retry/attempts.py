"""The attempts of one call: it waits between them and says when there may not be another.

It knows nothing of HTTP libraries, sessions or what is being attempted.
"""

import random

from tinker_hl.retry.budget import RetryBudget
from tinker_hl.retry.clock import Clock
from tinker_hl.retry.jitter import JITTER
from tinker_hl.retry.policy import RetryPolicy

__all__ = ["AttemptLog"]


class AttemptLog:
    """The attempts of one logical call. Invariant: `wait` is called once after each failed attempt.

    Args:
        policy: The times.
        budget: What retries are paid from.
        clock: The time.
        uniform: Draws from [0, 1).
    """

    def __init__(self, policy: RetryPolicy, budget: RetryBudget, clock: Clock, uniform: random.Random = JITTER) -> None:
        self._policy = policy
        self._budget = budget
        self._clock = clock
        self._random = uniform
        self._taken = 0
        self.retries = 0
        self.waited = 0.0
        self.started = clock.now()

    @property
    def elapsed(self) -> float:
        """Seconds since the first attempt, or since `succeeded`."""
        return self._clock.now() - self.started

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._policy.deadline - self.elapsed)

    @property
    def _tried_enough(self) -> bool:
        return self._policy.max_retries is not None and self.retries >= self._policy.max_retries

    def limit(self, unreachable: bool) -> float:
        """Seconds after the first attempt beyond which there is no retry."""
        return min(self._policy.connect_deadline, self._policy.deadline) if unreachable else self._policy.deadline

    async def wait(self, *, named: float | None = None, unreachable: bool = False) -> bool:
        """Wait before the next attempt.

        Args:
            named: Seconds that the server asked for.
            unreachable: Nobody answered, and nobody ever has at this address.

        Returns:
            False if there must not be another attempt.
        """
        if not self._policy.enabled or self._tried_enough:
            return False
        until = self.started + self.limit(unreachable)
        self.retries += 1
        if named is not None:
            delay = named * (1.0 + 0.1 * self._random.random())
        else:
            delay = self._policy.delay(self.retries, self._random.random())
        if self._clock.now() + delay > until:
            return False
        before = self._clock.now()
        await self._clock.sleep(delay)
        if named is None:
            if not await self._budget.take(self._clock, until):
                return False
            self._taken += 1
        self.waited = self._clock.now() - before
        return True

    def pardon(self, seconds: float) -> None:
        """So much of the time since the first attempt was no failure: the deadline moves."""
        self.started += seconds

    def succeeded(self) -> None:
        """An attempt was answered: give the tokens back, and start to count anew."""
        self._budget.give_back(self._taken)
        self._taken = 0
        self.retries = 0
        self.started = self._clock.now()
