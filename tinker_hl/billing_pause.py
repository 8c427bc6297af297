"""What a 402 does: calls pause and go on when the account can pay again, for as long as the server allows.

All clients of one (address, key) in this process share one pause. It knows nothing of requests or errors.
"""

from collections.abc import Callable

from tinker_hl.retry import Clock, RetryPolicy

__all__ = ["INCIDENT_ENDS", "PAUSE", "TOLD_EVERY", "BillingPause", "billing_pause_of"]

PAUSE = 5.0
"""Seconds between attempts."""
TOLD_EVERY = 60.0
"""Seconds between notices."""
INCIDENT_ENDS = 300.0
"""Seconds without a 402 after which the next one begins a new incident."""


class BillingPause:
    """One server's unpaid time. Invariant: an incident begins with the first 402 after `INCIDENT_ENDS` without one."""

    def __init__(self) -> None:
        self._began = self._last = float("-inf")
        self._told: dict[int, float] = {}
        """When each level of notice was last told."""

    async def waited(
        self, policy: RetryPolicy, clock: Clock, window: float, told: Callable[[str, int], None], detail: str
    ) -> bool:
        """Pause once after a 402.

        Args:
            policy: May say not to.
            clock: The time.
            window: Seconds that an incident may last.
            told: Takes a notice and its logging level.
            detail: What the server said.

        Returns:
            Whether to try again.
        """
        if not (policy.enabled and policy.pause_for_billing):
            return False
        now = clock.now()
        self._seen(now)
        if now - self._began >= window:
            self._tell(now, told, 40, f"not paid for {window:.0f} s, given up: {detail}")
            return False
        self._tell(now, told, 30, f"paused until the account can pay, at most {window:.0f} s: {detail}")
        await clock.sleep(PAUSE)
        return True

    def _seen(self, now: float) -> None:
        if now - self._last > INCIDENT_ENDS:
            self._began, self._told = now, {}
        self._last = now

    def _tell(self, now: float, told: Callable[[str, int], None], level: int, notice: str) -> None:
        if now - self._told.get(level, float("-inf")) >= TOLD_EVERY:
            self._told[level] = now
            told(notice, level)


_by_server: dict[tuple[str, str], BillingPause] = {}


def billing_pause_of(server: tuple[str, str]) -> BillingPause:
    """The process's state for one (address, key digest); safe from any thread."""
    return _by_server.setdefault(server, BillingPause())
