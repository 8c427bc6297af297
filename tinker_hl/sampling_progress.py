"""Whether a sampling client gets anywhere: it is stuck when none of its samples has ended for very long.

It does not know what a sample is, and no clock: whoever waits tells the time after each answer.
"""

from types import TracebackType

from tinker_hl.errors import NoProgressError
from tinker_hl.retry import Clock

__all__ = ["SamplingProgress"]


class SamplingProgress:
    """Of one sampling client. Invariant: time counts only while a sample is under way."""

    def __init__(self) -> None:
        self._under_way = 0
        self._last = 0.0

    def one(self, clock: Clock) -> "_OneSample":
        """One sample, from its submission to its end, whatever that is."""
        return _OneSample(self, clock)

    def begin(self, now: float) -> None:
        """One sample begins."""
        if not self._under_way:
            self._last = now
        self._under_way += 1

    def end(self, now: float, given_up: bool) -> None:
        """One sample is over; that one was given up is no progress for the others."""
        self._under_way -= 1
        if not given_up:
            self._last = now

    def check(self, now: float, limit: float) -> None:
        """Raise if no sample has ended for `limit` seconds.

        Raises:
            NoProgressError: None has.
        """
        if self._under_way and now - self._last > limit:
            raise NoProgressError(
                None,
                f"no progress made in {limit:g} s: none of {self._under_way} samples ended; they appear to be stuck",
            )


class _OneSample:
    """The block of one sample."""

    __slots__ = ("_clock", "_progress")

    def __init__(self, progress: SamplingProgress, clock: Clock) -> None:
        self._progress, self._clock = progress, clock

    def __enter__(self) -> None:
        self._progress.begin(self._clock.now())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.end(self._clock.now(), given_up=isinstance(error, NoProgressError))
