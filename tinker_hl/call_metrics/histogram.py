"""Durations: how many fell below which bound, and percentiles of the latest ones. It does not know what was timed."""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

import attrs

__all__ = ["BOUNDS", "KEPT", "Histogram", "Latency"]

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper ends of the buckets, in seconds; one more has all that is longer."""
KEPT = 1000
"""Durations that percentiles are taken from: the latest ones."""


@attrs.frozen(kw_only=True)
class Latency:
    """Durations as they stood at one moment, in seconds; all numbers are 0 where nothing was timed."""

    count: int
    sum: float
    min: float
    max: float
    p50: float
    """The median of the latest 1,000 durations."""
    p95: float
    """Nearest rank, of the same."""
    p99: float
    buckets: tuple[int, ...]
    """How many were in each bucket of `BOUNDS`, and in the one above the last bound; not cumulative."""

    @property
    def mean(self) -> float:
        """Of all durations."""
        return self.sum / self.count if self.count else 0.0


class Histogram:
    """Durations of one kind, as they come. Not thread-safe: its owner has a lock."""

    def __init__(self) -> None:
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._latest: deque[float] = deque(maxlen=KEPT)
        self._count = 0
        self._sum = 0.0
        self._min = math.inf
        self._max = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self._buckets[bisect_left(BOUNDS, seconds)] += 1
        self._latest.append(seconds)
        self._count += 1
        self._sum += seconds
        self._min = min(self._min, seconds)
        self._max = max(self._max, seconds)

    def snapshot(self) -> Latency:
        """How it stands."""
        latest = sorted(self._latest)
        return Latency(
            count=self._count,
            sum=self._sum,
            min=self._min if self._count else 0.0,
            max=self._max,
            p50=_median(latest),
            p95=_nearest_rank(latest, 0.95),
            p99=_nearest_rank(latest, 0.99),
            buckets=tuple(self._buckets),
        )


def _median(ordered: Sequence[float]) -> float:
    if not ordered:
        return 0.0
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _nearest_rank(ordered: Sequence[float], fraction: float) -> float:
    return ordered[math.ceil(fraction * len(ordered)) - 1] if ordered else 0.0
