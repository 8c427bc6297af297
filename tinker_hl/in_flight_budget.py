"""How much may be under way at once: bytes of bodies and of results, or requests. It does not know what it counts."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

import attrs

from tinker_hl import loop

__all__ = ["InFlightBudget"]


Limit: TypeAlias = int | Callable[[], int]
"""How much may be taken by all together; it may differ from call to call. A function is asked again whenever there may
be room."""


@attrs.frozen(eq=False)
class _Waiter:
    size: int
    limit: Limit
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

    def held(self, size: int, limit: Limit) -> "_Held":
        """Hold `size` of at most `limit` for as long as the block runs, once there is room."""
        return _Held(self, size, limit)

    async def take(self, size: int, limit: Limit) -> int:
        """Wait until there is room, and take it; give it back with `give_back`. A wait that is cancelled takes nothing.

        Args:
            size: How much.
            limit: How much may be taken by all together.

        Returns:
            `size`.
        """
        nobody_waits = not self._waiting or all(waiter.admitted.done() for waiter in self._waiting)
        if nobody_waits and self._has_room(size, limit):
            self.used += size
            return size
        waiter = _Waiter(size, limit, asyncio.get_running_loop().create_future())
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

    def _has_room(self, size: int, limit: Limit) -> bool:
        return self.used == 0 or self.used + size <= (limit if isinstance(limit, int) else limit())

    def _admit(self) -> None:
        while self._waiting:
            first = self._waiting[0]
            if not first.admitted.done():
                if not self._has_room(first.size, first.limit):
                    return
                self.used += first.size
                first.admitted.set_result(None)
            self._waiting.popleft()


class _Held:
    """A part of a budget, for as long as a block runs. A class and no generator: a sample takes five of them."""

    __slots__ = ("_budget", "_limit", "_size")

    def __init__(self, budget: InFlightBudget, size: int, limit: Limit) -> None:
        self._budget, self._size, self._limit = budget, size, limit

    async def __aenter__(self) -> None:
        await self._budget.take(self._size, self._limit)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._budget.give_back(self._size)
