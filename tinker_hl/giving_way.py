"""Long work in a worker thread that lets the loop's thread run in between.

Python hands the interpreter over only every 5 ms, and never inside a call into C, so that a worker that computes holds
up all input and output. It does not know what the work is.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["PIECE", "giving_way"]

PIECE = 0.001
"""Seconds of work after which the others have their turn."""
PAUSE = 0.00005
"""Seconds to be away: with 0, the worker would have the interpreter back before the other thread has woken up."""

T = TypeVar("T")


def giving_way(items: Iterable[T]) -> Iterator[T]:
    """The same items; now and then, between two of them, the thread pauses for a moment."""
    began = time.perf_counter()
    for item in items:
        yield item
        if time.perf_counter() - began > PIECE:
            time.sleep(PAUSE)
            began = time.perf_counter()
