"""The time, as the service sees it. Tests move it; nothing else in the service asks the operating system."""

import logging
import time
from datetime import UTC, datetime

__all__ = ["Clock", "Steadiness", "rfc3339"]

logger = logging.getLogger(__name__)

JUMP_SECONDS = 60.0
"""More than any correction of a clock that is only imprecise."""
GRACE_SECONDS = 3600.0


class Clock:
    """Wall time for what people read and what outlives a restart, monotonic time for how long something took."""

    def wall(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()


class Steadiness:
    """Whether the wall clock goes as fast as time does: it is set now and then, and a machine that sleeps skips hours.

    What cannot be undone waits for an hour after a jump ahead, so that a clock that was set wrongly can be set right.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = clock.wall(), clock.monotonic()
        self._unsteady_until = float("-inf")

    def look(self) -> bool:
        """Whether the clock is steady, as far as was seen since the last look; asked again and again."""
        wall, now = self._clock.wall(), self._clock.monotonic()
        ahead = (wall - self._seen[0]) - (now - self._seen[1])
        self._seen = wall, now
        if ahead > JUMP_SECONDS:
            logger.warning("the clock went ahead by %.0f s; nothing that expires is deleted for an hour", ahead)
            self._unsteady_until = now + GRACE_SECONDS
        return now >= self._unsteady_until


def rfc3339(seconds: float) -> str:
    """Unix time as the protocol writes it: UTC, with a `Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
