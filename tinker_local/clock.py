"""The time, as the service sees it. Tests move it; nothing else in the service asks the operating system."""

import time
from datetime import UTC, datetime

__all__ = ["Clock", "rfc3339"]


class Clock:
    """Wall time for what people read and what outlives a restart, monotonic time for how long something took."""

    def wall(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()


def rfc3339(seconds: float) -> str:
    """Unix time as the protocol writes it: UTC, with a `Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
