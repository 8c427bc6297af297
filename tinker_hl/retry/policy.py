"""The times of the retry policy, as values. It waits for nothing itself."""

import attrs

__all__ = ["DEFAULT_POLICY", "NEVER", "RetryPolicy"]


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How one kind of call is retried; all times in seconds. The docstring of `tinker_hl.retry` has the formula.

    Attributes:
        deadline: No retry is later than this after the first attempt.
        connect_deadline: The same where nobody has ever answered at the address.
        delay_base: The longest wait before the first retry; it doubles with each one.
        delay_max: The longest wait before any retry.
        jitter_factor: None for waits drawn between nothing and the longest ("full jitter"); else a share from 0 to 1
            by which the longest wait varies.
        max_retries: Attempts after the first one; None for as many as fit before the deadline. Results are asked for
            by time alone.
        enabled: False reports the first failure.
        pause_for_billing: Whether a 402 is waited out for as long as the server allows.
    """

    deadline: float = 300.0
    connect_deadline: float = 5.0
    delay_base: float = 0.5
    delay_max: float = 10.0
    jitter_factor: float | None = None
    max_retries: int | None = None
    enabled: bool = True
    pause_for_billing: bool = True

    def delay(self, retry: int, uniform: float) -> float:
        """The wait before retry number `retry` (from 1), for a draw `uniform` from [0, 1)."""
        ceiling = min(self.delay_max, self.delay_base * 2.0 ** min(retry - 1, 60))
        if self.jitter_factor is None:
            return uniform * ceiling
        return min(self.delay_max, max(0.0, ceiling * (1.0 + self.jitter_factor * (2.0 * uniform - 1.0))))


DEFAULT_POLICY = RetryPolicy()
NEVER = RetryPolicy(enabled=False)
