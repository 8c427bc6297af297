"""When accepted work goes to the engine: each model's in order, a few at a time; samples of all callers at once.

The engine makes batches of what it holds, and keeps the order of one model's calls, so a model's next call is handed
over before the last one is done. It does not know what the work is: a coroutine function whose first step is the
engine's call.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import attrs

from tinker_local.engine.protocol import EngineDiedError, EngineError, UserFaultError
from tinker_local.errors import ApiError, too_many
from tinker_local.futures import Answer, Promise

__all__ = ["DEPTH", "Lane", "Run", "Samples", "Work", "carried_out"]

logger = logging.getLogger(__name__)

DEPTH = 4
"""Calls of one model that the engine holds: enough that it never idles, few enough that their bodies do not pile up."""

Run = Callable[[], Awaitable[Answer]]


@attrs.frozen(eq=False)
class Work:
    """Something to do, and the promise that it was for."""

    promise: Promise
    run: Run
    lost: Callable[[], str] = lambda: "the engine died before this was done"
    """What to tell if the engine dies."""


async def carried_out(work: Work) -> None:
    """Do the work and resolve its promise, with a result or a failure, always."""
    promise = work.promise
    promise.begin()
    try:
        promise.resolve(await work.run())
    except UserFaultError as error:
        promise.fail(str(error), "user")
    except EngineDiedError:
        promise.fail(work.lost(), "server")
    except EngineError as error:
        promise.fail(str(error), "server")
    except ApiError as error:
        promise.fail(error.text, "user" if error.status < 500 else "server")
    except asyncio.CancelledError:
        promise.fail("the service was stopped before this was done", "server")
        raise
    except Exception as error:
        logger.error("%s failed", promise.request_id, exc_info=error)
        promise.fail("the service met an error of its own; its log says which", "server")


class Lane:
    """The work of one model: started in the order in which it was added."""

    def __init__(self) -> None:
        self._queue: deque[Work] = deque()
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, work: Work) -> None:
        """Do this after everything that was added before."""
        self._queue.append(work)
        self._start_more()

    def drop(self, error: str) -> None:
        """Fail what has not begun."""
        dropped, self._queue = self._queue, deque()
        for work in dropped:
            work.promise.fail(error, "user")

    async def close(self) -> None:
        """Cancel what is under way, fail the rest."""
        self.drop("the service was stopped before this was done")
        await _cancelled(self._running)

    def _start_more(self) -> None:
        while self._queue and len(self._running) < DEPTH:
            work = self._queue.popleft()
            if not work.promise.done:
                # Tasks begin in the order in which they are made, and each calls the engine before it first waits.
                task = asyncio.create_task(carried_out(work))
                self._running.add(task)
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start_more()


class Samples:
    """All samples under way."""

    def __init__(self, most: int) -> None:
        """`most` of them are admitted at once."""
        self._most = most
        self._tasks: dict[Promise, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def admit(self) -> None:
        """Raises `ApiError` 429 if there is no room for another one."""
        if len(self._tasks) >= self._most:
            raise too_many(f"{self._most} samples are under way already; wait a moment, then send this one again")

    def start(self, work: Work) -> None:
        """Do this now, beside the others."""
        task = asyncio.create_task(carried_out(work))
        self._tasks[work.promise] = task
        task.add_done_callback(lambda _: self._tasks.pop(work.promise, None))

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
        """Give all up."""
        await _cancelled(self._tasks.values())


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    pending = list(tasks)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)
