"""The one retry policy: when a failed attempt is made again, how long to wait, and when to give up.

For retry n = 1, 2, ... of one logical call the wait is

    U(0, min(delay_max, delay_base * 2**(n - 1)))        ("full jitter")

or, where the server named a time (`retry-after-ms`, `retry-after`) of at most 60 s, that time plus U(0, 10%). There is
no retry later than `deadline` seconds after the first attempt, or after `connect_deadline` where nobody has ever
answered at the address: a wrong address is told at once, a server that restarts is waited for.

Retries also draw on a budget that all callers of one (address, key) share: `RESERVE` tokens, one per retry. A call that
succeeds gives back what its retries took and a tenth more; while the budget is empty one token arrives every
`TRICKLE_SECONDS`. So 100 callers of a dead server make at most RESERVE + 60 / TRICKLE_SECONDS = 9 extra requests in a
minute, and the first success after an outage lets the others follow. A wait that the server itself asked for costs
nothing.

The module knows nothing of HTTP libraries, sessions or what is being retried.
"""

import asyncio
import dataclasses
import random
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

import attrs

__all__ = [
    "DEFAULT_POLICY",
    "NEVER",
    "AttemptLog",
    "Clock",
    "InstantClock",
    "LoopClock",
    "RetryBudget",
    "RetryConfig",
    "RetryPolicy",
    "clock_by_default",
    "default_clock",
    "named_wait",
    "status_is_retryable",
    "status_refuses",
]

RESERVE = 5.0
TRICKLE_SECONDS = 15.0
SUCCESS_BONUS = 0.1
MAX_NAMED_WAIT = 60.0
RETRYABLE_STATUSES = frozenset({408, 425, 429})
UNCERTAIN_STATUSES = RETRYABLE_STATUSES | {409}

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
    """The real time of the running loop."""

    def now(self) -> float:
        """Seconds of the loop's clock."""
        return asyncio.get_running_loop().time()

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


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How one kind of call is retried; all times in seconds. The module's docstring has the formula."""

    deadline: float = 300.0
    connect_deadline: float = 5.0
    delay_base: float = 0.5
    delay_max: float = 10.0
    enabled: bool = True

    def delay(self, retry: int, uniform: float) -> float:
        """The wait before retry number `retry` (from 1), for a draw `uniform` from [0, 1)."""
        ceiling = min(self.delay_max, self.delay_base * 2.0 ** min(retry - 1, 60))
        return uniform * ceiling


DEFAULT_POLICY = RetryPolicy()
NEVER = RetryPolicy(enabled=False)


@dataclasses.dataclass(frozen=True)
class RetryConfig:
    """How a sampling client retries, in the official SDK's words.

    Attributes:
        max_connections: Samples of this client under way at once; None for no limit.
        progress_timeout: Seconds after which a sample that keeps failing is given up.
        retry_delay_base: Seconds; see the module's formula.
        retry_delay_max: Seconds; see the module's formula.
        jitter_factor: Accepted for compatibility: the jitter is always full.
        enable_retry_logic: False reports the first failure.
        enable_stuck_detection: Accepted for compatibility: every wait has a deadline.
    """

    max_connections: int | None = 1000
    progress_timeout: float = 7200.0
    retry_delay_base: float = 0.5
    retry_delay_max: float = 10.0
    jitter_factor: float = 0.25
    enable_retry_logic: bool = True
    enable_stuck_detection: bool = True

    def __post_init__(self) -> None:
        if self.max_connections is not None and self.max_connections <= 0:
            raise ValueError(f"max_connections must be greater than 0 or None, got {self.max_connections}")

    def policy(self) -> RetryPolicy:
        """The same as a policy."""
        return RetryPolicy(
            deadline=self.progress_timeout,
            delay_base=self.retry_delay_base,
            delay_max=self.retry_delay_max,
            enabled=self.enable_retry_logic,
        )


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
        """A call succeeded after `taken` retries: their tokens, and a little more, go to whoever waits."""
        self._tokens = min(self._reserve, self._tokens + taken + SUCCESS_BONUS)
        while self._waiting and self._spend():
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)

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
        self._lock = threading.Lock()
        self._budgets: dict[tuple[str, str], RetryBudget] = {}

    def of(self, server: tuple[str, str]) -> RetryBudget:
        """The budget of one server and key."""
        with self._lock:
            return self._budgets.setdefault(server, RetryBudget())


class AttemptLog:
    """The attempts of one logical call. Invariant: `wait` is called once after each failed attempt.

    Args:
        policy: The times.
        budget: What retries are paid from.
        clock: The time.
        uniform: Draws from [0, 1).
    """

    def __init__(
        self, policy: RetryPolicy, budget: RetryBudget, clock: Clock, uniform: "random.Random | None" = None
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._clock = clock
        self._random = uniform or random
        self._taken = 0
        self.retries = 0
        self.waited = 0.0
        self.started = clock.now()

    @property
    def elapsed(self) -> float:
        """Seconds since the first attempt, or since `succeeded`."""
        return self._clock.now() - self.started

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
        if not self._policy.enabled:
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

    def succeeded(self) -> None:
        """An attempt was answered: give the tokens back, and start to count anew."""
        self._budget.give_back(self._taken)
        self._taken = 0
        self.retries = 0
        self.started = self._clock.now()


def named_wait(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that an answer asks to wait, if it does and they are at most 60. Header names in lower case."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000.0)
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is None and text:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return _bounded(seconds)


def status_is_retryable(status: int, headers: Mapping[str, str]) -> bool:
    """Whether another attempt may fare better. `x-should-retry` decides where the server sends it.

    A 409 is final: it says that the request contradicts an earlier one, and that does not change by asking again.
    """
    said = headers.get("x-should-retry", "").lower()
    if said in ("true", "false"):
        return said == "true"
    return status in RETRYABLE_STATUSES or (status >= 500 and status != 501)


def status_refuses(status: int) -> bool:
    """Whether an answer means that the server certainly did not take the request."""
    return 400 <= status < 500 and status not in UNCERTAIN_STATUSES


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _bounded(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0.0 < seconds <= MAX_NAMED_WAIT else None
