"""Memory that stays with the process from one large pass to the next, where the C library would give it back.

A training loop makes and drops the same megabytes at each step. glibc returns what is free at the end of its heap to
the kernel above a threshold, and the next step gets it back one page fault after the other: of the 25 ms that it takes
to build 256 datums of 4,096 tokens, 9 are that. The threshold rises by itself, to twice the size of the largest block
of up to 32 MiB that was ever freed, so freeing one such block is enough. A program that handles large arrays has done
so long before; other C libraries do not care. It knows nothing of what the memory is for.
"""

from functools import cache
from typing import Final

__all__ = ["LARGE_PASS", "keep_freed_memory"]

LARGE_PASS: Final = 4 * 2**20
"""Bytes of a pass from which keeping its memory pays."""
_BLOCK: Final = 31 * 2**20


@cache
def keep_freed_memory() -> None:
    """Have up to 62 MiB of freed memory kept; the second call does nothing."""
    bytes(_BLOCK)  # never touched, so that it costs no page either
