"""How much may be under way at once: bytes of bodies and of results, or requests. It does not know what it counts."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs

from tinker_hl import loop

__all__ = ["InFlightBudget"]


@attrs.frozen(eq=False)
class _Waiter:
    size: int
    limit: Callable[[], int]
    admitted: "asyncio.Future[None]"


class InFlightBudget:
    """A limit with a queue; used on the loop thread only.

    Invariant: `used` is the sum of what is held, and is more than a holder's limit only where that holder went alone,
    because it is larger than the limit by itself. Whoever came first is admitted first.
    """

    def __init__(self) -> None:
        self.used = 0
        self._waiting: deque[_Waiter] = deque()
        loop.reset_after_fork(self)

    @asynccontextmanager
    async def held(self, size: int, limit: int | Callable[[], int]) -> AsyncIterator[None]:
        """Hold `size` of at most `limit` for as long as the block runs, once there is room."""
        await self.take(size, limit)
        try:
            yield
        finally:
            self.give_back(size)

    async def take(self, size: int, limit: int | Callable[[], int]) -> int:
        """Wait until there is room, and take it; give it back with `give_back`. A wait that is cancelled takes nothing.

        Args:
            size: How much.
            limit: How much may be taken by all together; it may differ from call to call. A function is asked again
                whenever there may be room.

        Returns:
            `size`.
        """
        limit_now = limit if callable(limit) else lambda: limit
        if not any(not waiter.admitted.done() for waiter in self._waiting) and self._has_room(size, limit_now()):
            self.used += size
            return size
        waiter = _Waiter(size, limit_now, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            if waiter.admitted.done() and not waiter.admitted.cancelled():
                self.give_back(size)
            else:
                # Those behind it may be smaller.
                self._admit()
            raise
        return size

    def give_back(self, size: int) -> None:
        """There is room again."""
        if size:
            self.used -= size
            self._admit()

    def after_fork(self) -> None:
        """What is under way is the parent's."""
        self.used = 0
        self._waiting.clear()

    def _has_room(self, size: int, limit: int) -> bool:
        return self.used == 0 or self.used + size <= limit

    def _admit(self) -> None:
        while self._waiting:
            first = self._waiting[0]
            if not first.admitted.done():
                if not self._has_room(first.size, first.limit()):
                    return
                self.used += first.size
                first.admitted.set_result(None)
            self._waiting.popleft()
