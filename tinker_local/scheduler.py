"""When accepted work goes to the engine: each model's in order, a few at a time; samples of all callers at once.

The engine makes batches of what it holds, and keeps the order of one model's calls, so a model's next call is handed
over before the last one is done. It does not know what the work is: a coroutine function whose first step is the
engine's call, or which tells its lane when it calls.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Literal

import attrs

from tinker_local.engine.protocol import EngineDiedError, EngineError, UserFaultError
from tinker_local.errors import DISK_FULL, ApiError, is_disk_full, too_many
from tinker_local.futures import Answer, Category, Promise

__all__ = ["DEPTH", "Handover", "Lane", "Mark", "Run", "Samples", "Work", "carried_out", "nothing"]

logger = logging.getLogger(__name__)

DEPTH = 4
"""Calls of one model that the engine holds: enough that it never idles, few enough that their bodies do not pile up."""

_STOPPED = "the service was stopped before this was done"
_ATTEMPTS = 3
"""How often a sample is begun that the engine dies of."""

Run = Callable[[], Awaitable[Answer]]
Mark = Literal["", "gather", "step", "load"]
"""What a call does to its model: nothing that lasts, gradients, an optimizer step, other weights."""


def nothing() -> None:
    """Do nothing, where somebody may be told."""


@attrs.define(eq=False)
class Handover:
    """Told by a work in the same step in which it calls the engine, where that is not its first."""

    called: Callable[[], None] = nothing


@attrs.frozen(eq=False)
class Work:
    """Something to do, and the promise that it was for."""

    promise: Promise
    run: Run
    lost: Callable[[], str | None] = lambda: "the engine died before this was done"
    """What to tell if the engine dies; None tells nothing, because the work will be done again."""
    mark: Mark = ""
    seq_id: int | None = None
    again: bool = False
    """Whether it is done for its effect on the model, even if the promise has its answer."""
    on_turn: Callable[[], None] = nothing
    """Called when it no longer waits for another request to come."""
    on_end: list[Callable[[], None]] = attrs.field(factory=list)
    """Called when it was carried out in a lane, or dropped there."""
    handover: "Handover | None" = None
    """For work that has to wait before it calls the engine; the lane waits with it."""

    def end(self) -> None:
        """It was carried out, or will not be."""
        for callback in self.on_end:
            callback()


async def carried_out(work: Work) -> None:
    """Do the work and resolve its promise, with a result or a failure, always."""
    promise = work.promise
    promise.begin()
    try:
        promise.resolve(await work.run())
    except UserFaultError as error:
        promise.fail(str(error), "user")
    except EngineDiedError:
        told = work.lost()
        if told is not None:
            promise.fail(told, "server")
    except EngineError as error:
        promise.fail(str(error), "server")
    except ApiError as error:
        promise.fail(error.text, "user" if error.status < 500 else "server")
    except asyncio.CancelledError:
        if work.lost() is not None:
            promise.fail(_STOPPED, "server")
        raise
    except Exception as error:
        if is_disk_full(error):
            logger.error("%s: %s", promise.request_id, DISK_FULL)
            promise.fail(DISK_FULL, "server")
            return
        logger.error("%s failed", promise.request_id, exc_info=error)
        promise.fail("the service met an error of its own; its log says which", "server")


class Lane:
    """The work of one model: started in the order in which it was added. Invariant: nothing is under way once `close`
    has returned.
    """

    def __init__(self) -> None:
        self._closed = False
        self._queue: deque[Work] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._following: set[asyncio.Task[None]] = set()
        self._ahead: asyncio.Task[None] | None = None
        """A work that was begun and has not called the engine; no other may call it before."""
        self._behind: Work | None = None
        """What goes to the engine right behind that one."""
        self.follow: Callable[[Work], Work | None] = lambda _: None
        """Told of each work as it begins; what it returns goes to the engine right behind that one."""

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def running(self) -> Iterable[asyncio.Task[None]]:
        """What is with the engine; what waits behind it follows."""
        return self._running

    def add(self, work: Work) -> None:
        """Do this after everything that was added before; fail it where that is over."""
        if self._closed:
            work.promise.fail(_STOPPED, "server")
            work.end()
            return
        self._queue.append(work)
        self._start_more()

    def drop(self, error: str, category: Category = "user") -> None:
        """Fail what has not begun."""
        dropped, self._queue = self._queue, deque()
        for work in dropped:
            work.promise.fail(error, category)
            work.end()

    def clear(self) -> None:
        """Forget what has not begun; somebody else remembers it."""
        dropped, self._queue = self._queue, deque()
        for work in dropped:
            work.end()

    async def halt(self) -> None:
        """Return when nothing is under way; what followed others by itself is given up."""
        self.clear()
        await _cancelled(self._following)
        await self.idle()

    async def idle(self) -> None:
        """Return when nothing is under way."""
        while self._running:
            await asyncio.wait(self._running)

    async def close(self) -> None:
        """Cancel what is under way, fail the rest, and all that a request which is still under way adds."""
        self._closed = True
        if self._behind is not None:  # what has not called the engine yet would begin it on its way out
            self._queue.appendleft(self._behind)
            self._behind = None
        self.drop(_STOPPED, "server")
        await _cancelled(self._running)

    def _start_more(self) -> None:
        while self._queue and len(self._running) < DEPTH and self._ahead is None:
            work = self._queue.popleft()
            following = self.follow(work)
            if work.again or not work.promise.done:
                task = self._begin(work)
                if work.handover is not None:
                    self._ahead, self._behind = task, following
                    work.handover.called = partial(self._soon_passed, task)
                    return
            self._begin_behind(following)

    def _soon_passed(self, task: asyncio.Task[None]) -> None:
        asyncio.get_running_loop().call_soon(self._passed, task)

    def _passed(self, task: asyncio.Task[None]) -> None:
        """A work has called the engine, or ended without."""
        if self._ahead is task:
            following, self._ahead, self._behind = self._behind, None, None
            self._begin_behind(following)
            self._start_more()

    def _begin_behind(self, following: Work | None) -> None:
        if following is not None:
            task = self._begin(following)
            self._following.add(task)
            task.add_done_callback(self._following.discard)

    def _begin(self, work: Work) -> "asyncio.Task[None]":
        # Tasks begin in the order in which they are made, and each calls the engine before it first waits.
        task = asyncio.create_task(carried_out(work))
        self._running.add(task)
        task.add_done_callback(partial(self._ended, work))
        return task

    def _ended(self, work: Work, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        work.end()
        self._passed(task)
        self._start_more()


class Samples:
    """All samples under way."""

    def __init__(self, most: int, revived: Callable[[Promise], Awaitable[bool]] | None = None) -> None:
        """`most` of them are admitted at once.

        `revived` returns when the engine lives again, and whether a sample that its death cut short is drawn again;
        without it such a sample fails.
        """
        self._most = most
        self._revived = revived
        self._tasks: dict[Promise, asyncio.Task[None]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def running(self) -> Iterable[asyncio.Task[None]]:
        """All that were begun and are not done."""
        return self._tasks.values()

    def admit(self) -> None:
        """Raises `ApiError` 429 if there is no room for another one."""
        if len(self._tasks) >= self._most:
            raise too_many(f"{self._most} samples are under way already; wait a moment, then send this one again")

    def start(self, work: Work) -> None:
        """Do this now, beside the others; fail it once all were given up."""
        if self._closed:
            work.promise.fail(_STOPPED, "server")
            return
        task = asyncio.create_task(
            carried_out(work) if self._revived is None else self._persistent(work, self._revived)
        )
        self._tasks[work.promise] = task
        task.add_done_callback(lambda _: self._tasks.pop(work.promise, None))

    async def _persistent(self, work: Work, revived: Callable[[Promise], Awaitable[bool]]) -> None:
        for _ in range(_ATTEMPTS):
            await carried_out(attrs.evolve(work, lost=lambda: None))
            if work.promise.done or not await revived(work.promise):
                break
        else:
            work.promise.fail(f"the engine died {_ATTEMPTS} times before this was done", "server")
            return
        work.promise.fail("the engine died before this was done, and could not be started again", "server")

    def cancel(self, promise: Promise, error: str) -> None:
        """Give one up; nothing happens if it is done, or is no sample."""
        task = self._tasks.get(promise)
        if task is not None:
            promise.fail(error, "user")
            task.cancel()

    def cancel_session(self, session_id: str, error: str) -> None:
        """Give all of a session up."""
        for promise in [promise for promise in self._tasks if promise.session_id == session_id]:
            self.cancel(promise, error)

    async def close(self) -> None:
        """Give all up, and what a request that is still under way starts."""
        self._closed = True
        await _cancelled(self._tasks.values())


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    pending = list(tasks)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)
