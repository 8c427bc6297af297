"""Whether a sampling client gets anywhere: it is stuck when none of its samples has ended for very long.

It does not know what a sample is, and no clock: whoever waits tells the time after each answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tinker_hl.errors import NoProgressError
from tinker_hl.retry import Clock

__all__ = ["SamplingProgress"]


class SamplingProgress:
    """Of one sampling client. Invariant: time counts only while a sample is under way."""

    def __init__(self) -> None:
        self._under_way = 0
        self._last = 0.0

    @contextmanager
    def one(self, clock: Clock) -> Iterator[None]:
        """One sample, from its submission to its end, whatever that is."""
        if not self._under_way:
            self._last = clock.now()
        self._under_way += 1
        ended = True
        try:
            yield
        except NoProgressError:
            # That one was given up is no progress for the others.
            ended = False
            raise
        finally:
            self._under_way -= 1
            if ended:
                self._last = clock.now()

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
