"""Work on large bodies and results beside the event loop, a little at a time.

Such work holds the interpreter for tens of milliseconds at a stretch. With many threads at it the event loop, which has
to get the interpreter back for each piece that comes over a connection, waits behind all of them, for seconds in the
end; more than a few threads do no more work anyway, as one interpreter does one thing at a time. It does not know what
the work is.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

__all__ = ["THREADS", "beside"]

T = TypeVar("T")

THREADS: Final = 2
"""One works with the interpreter while the other unpacks or copies without it."""
_pool: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="beside")


async def beside(work: Callable[[], T]) -> T:
    """What `work` returns or raises; it runs when the work that came before it is done."""
    return await asyncio.get_running_loop().run_in_executor(_pool, work)
