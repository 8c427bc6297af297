"""Work on large bodies and results beside the event loop, one at a time and in turns with it.

Such work holds the interpreter for tens of milliseconds at a stretch, and the event loop has to get it back for each
piece that comes over a connection. While two threads were at it, one after the other had it: with two hundred bodies
coming in, each of their pieces waited for some of that work, and a heartbeat behind all pieces waited for seconds. Now
the next work begins only when the loop has gone round since the last one ended, so that whatever came meanwhile is
dealt with in between. More threads would do no more work anyway, as one interpreter does one thing at a time. It does
not know what the work is.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["beside"]

T = TypeVar("T")

_pool: Final = ThreadPoolExecutor(1, thread_name_prefix="beside")
_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()
"""Of each event loop; the one who has it goes to the pool."""


async def beside(work: Callable[[], T]) -> T:
    """What `work` returns or raises; it runs when the work that came before it is done."""
    loop = asyncio.get_running_loop()
    turn = _turns.get(loop)
    if turn is None:
        turn = _turns[loop] = asyncio.Lock()
    async with turn:
        return await loop.run_in_executor(_pool, work)
