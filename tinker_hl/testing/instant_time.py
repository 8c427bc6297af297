"""Test mode: no client waits. What would be waited for is written down instead."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from tinker_hl.retry import InstantClock, clock_by_default

__all__ = ["no_waiting"]

_numbers = itertools.count(1)


@contextmanager
def no_waiting() -> Iterator[InstantClock]:
    """Clients that are made in this block wait for nothing: pauses between attempts and polls take no time.

    Deadlines count the time that would have been waited, so that giving up after five minutes takes no time either.
    What a server itself takes is real, and so is the heartbeat, as a server's patience is. These clients share no
    limits with others: what an earlier test did to a retry budget says nothing here.

    Yields:
        The clock that they share. `slept` lists the waits, in seconds.
    """
    clock = InstantClock(timeline=f"/no_waiting-{next(_numbers)}")
    with clock_by_default(clock):
        yield clock
