"""The SHA-256 of what is sent, so that clients can verify it: counted once, then remembered. It knows no checkpoint.

Remembered under a name that changes with the content. Counting reads everything once, in constant memory and in a
worker thread; requests for the same thing meanwhile wait for that one reading.
"""

import asyncio
import base64
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

__all__ = ["LARGEST", "Digests"]

_KEPT: Final = 4096
LARGEST: Final = 2 << 30
"""Bytes above which no hash is named: reading all before the first byte is sent would look like a dead service."""


class Digests:
    """Hashes by name, the ones that were asked for last."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, asyncio.Task[str]] = OrderedDict()

    async def close(self) -> None:
        """Give up what is being read."""
        reading = [task for task in self._known.values() if not task.done()]
        for task in reading:
            task.cancel()
        if reading:
            await asyncio.wait(reading)

    async def header(self, name: str, size: int, read: Callable[[], AsyncGenerator[bytes, None]]) -> dict[str, str]:
        """`Repr-Digest` (RFC 9530) of the whole, also where a part is sent; nothing for what is larger than `LARGEST`.

        Args:
            name: Of the content; another content has another name.
            size: In bytes.
            read: Its bytes in pieces.

        Raises:
            OSError: It could not be read.
        """
        if size > LARGEST:
            return {}
        task = self._known.get(name)
        if task is None:
            task = self._known[name] = asyncio.create_task(_digest(read()))
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(name)
        try:
            value = await asyncio.shield(task)
        except OSError:
            self._known.pop(name, None)
            raise
        return {"Repr-Digest": f"sha-256=:{value}:"}


async def _digest(pieces: AsyncGenerator[bytes, None]) -> str:
    digest = hashlib.sha256()
    async with aclosing(pieces):
        async for piece in pieces:
            digest.update(piece)  # a piece takes less than a millisecond
    return base64.b64encode(digest.digest()).decode()
