"""Lists that a server gives in pages, as one iterable: the next page is asked for when the last item was taken.

It knows offsets and counts, nothing of what the items are.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from tinker_hl.futures import APIFuture
from tinker_hl.types import Cursor

__all__ = ["Page", "Pages"]

T = TypeVar("T")
Page = tuple[Sequence[T], Cursor | None]
"""Items, and where in the whole list they stand, if the server says so."""


class Pages(Generic[T]):
    """All items of a list, for `for` in a thread and `async for` in a loop; each loop over it begins anew.

    What is added or deleted meanwhile moves the items behind it: one may then come twice, or not at all.

    Args:
        fetch: The page of at most so many items (first argument) behind so many others (second).
        size: Items to ask for at once; a server may give fewer.

    Raises:
        ValueError: `size` is less than 1.
    """

    def __init__(self, fetch: Callable[[int, int], APIFuture[Page[T]]], size: int) -> None:
        if size < 1:
            raise ValueError(f"page_size must be at least 1, got {size}")
        self._fetch = fetch
        self._size = size

    def __iter__(self) -> Iterator[T]:
        """Each item; blocks while a page is on its way."""
        offset = 0
        while True:
            items, cursor = self._fetch(self._size, offset).result()
            yield from items
            offset += len(items)
            if _is_last(items, cursor, offset):
                return

    async def __aiter__(self) -> AsyncIterator[T]:
        """Each item, in the running loop."""
        offset = 0
        while True:
            items, cursor = await self._fetch(self._size, offset)
            for item in items:
                yield item
            offset += len(items)
            if _is_last(items, cursor, offset):
                return


def _is_last(items: Sequence[object], cursor: Cursor | None, taken: int) -> bool:
    """A list without a cursor is whole."""
    return not items or cursor is None or taken >= cursor.total_count
