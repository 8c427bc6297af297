"""The one retry policy: when a failed attempt is made again, how long to wait, and when to give up.

For retry n = 1, 2, ... of one logical call the wait is

    U(0, min(delay_max, delay_base * 2**(n - 1)))        ("full jitter")

or, where the server named a time (`retry-after-ms`, `retry-after`) of at most 60 s, that time plus U(0, 10%). There is
no retry later than `deadline` seconds after the first attempt, or after `connect_deadline` where nobody has ever
answered at the address: a wrong address is told at once, a server that restarts is waited for. A policy with a
`jitter_factor` j, as a `RetryConfig` makes it, varies the longest wait by j instead: min(...) * (1 + U(-j, j)).

Retries also draw on a budget that all callers of one (address, key) share: `RESERVE` tokens, one per retry. A call that
succeeds gives back what its retries took and a tenth more; while the budget is empty one token arrives every
`TRICKLE_SECONDS`. So 100 callers of a dead server make at most RESERVE + 60 / TRICKLE_SECONDS = 9 extra requests in a
minute, and each success after an outage lets half of those who wait follow. A wait that the server itself asked for
costs nothing.

The package knows nothing of HTTP libraries, sessions or what is being retried.
"""

from tinker_hl.retry.attempts import AttemptLog
from tinker_hl.retry.budget import (
    RESERVE,
    SUCCESS_BONUS,
    TRICKLE_SECONDS,
    RetryBudget,
    SharedBudgets,
    unlimited_budgets,
)
from tinker_hl.retry.clock import Clock, InstantClock, LoopClock, clock_by_default, default_clock
from tinker_hl.retry.config import DEFAULT_PROGRESS_TIMEOUT, RetryConfig
from tinker_hl.retry.jitter import JITTER
from tinker_hl.retry.policy import DEFAULT_POLICY, NEVER, RetryPolicy
from tinker_hl.retry.statuses import (
    MAX_NAMED_WAIT,
    RETRYABLE_STATUSES,
    named_wait,
    status_is_retryable,
    status_refuses,
)

__all__ = [
    "DEFAULT_POLICY",
    "DEFAULT_PROGRESS_TIMEOUT",
    "JITTER",
    "MAX_NAMED_WAIT",
    "NEVER",
    "RESERVE",
    "RETRYABLE_STATUSES",
    "SUCCESS_BONUS",
    "TRICKLE_SECONDS",
    "AttemptLog",
    "Clock",
    "InstantClock",
    "LoopClock",
    "RetryBudget",
    "RetryConfig",
    "RetryPolicy",
    "SharedBudgets",
    "clock_by_default",
    "default_clock",
    "named_wait",
    "status_is_retryable",
    "status_refuses",
    "unlimited_budgets",
]
