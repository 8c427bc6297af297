"""`APIFuture`: the answer to a call that is under way on the loop thread.

It is a `concurrent.futures.Future`, so `wait`, `as_completed` and `asyncio.wrap_future` take it; it can be awaited in
any loop, so `asyncio.gather` takes it too. Waiting never owns the work: a timeout, or the cancellation of a task that
awaits, leaves the operation running. Only `cancel()` cancels.

It does not know what the operation is.
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import logging
import os
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from tinker_hl import loop
from tinker_hl.notebook import in_notebook
from tinker_hl.waits import WAITS

__all__ = ["APIFuture"]

logger = logging.getLogger("tinker_hl")

T = TypeVar("T")
R = TypeVar("R")


class APIFuture(concurrent.futures.Future[T], Generic[T]):
    """The result of an operation that was started when this object was made.

    Invariant: once done it stays done, and every waiter in every thread and loop gets the same result or error.

    Args:
        coroutine: The operation; it runs on the loop thread in a copy of the caller's context.
        on_end: Called on the loop thread when the operation has really ended, also when it was cancelled before its
            first step.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], on_end: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._task: asyncio.Task[T] | None = None
        self._on_end = on_end
        self._process = os.getpid()
        context = contextvars.copy_context()
        loop.event_loop().call_soon_threadsafe(self._start, coroutine, context)

    @classmethod
    def completed(cls, value: T) -> "APIFuture[T]":
        """A future that is done already."""
        future = cls.__new__(cls)
        concurrent.futures.Future.__init__(future)
        future._task = None
        future._on_end = None
        future._process = os.getpid()
        future.set_result(value)
        return future

    def result(self, timeout: float | None = None) -> T:
        """Block until the result is there.

        Args:
            timeout: Seconds to wait; None waits for as long as the operation takes. The operation goes on.

        Raises:
            TimeoutError: The operation is not done yet.
            CancelledError: `cancel()` was called.
            RuntimeError: Called on the loop thread before the result is there, where it would wait for itself.
        """
        self._refuse_to_block()
        if self.done():
            return super().result(timeout)
        wait = WAITS.begin()
        try:
            return super().result(timeout)
        finally:
            WAITS.end(wait)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Block until the operation ended, and return its error, or None. See `result` for what it raises."""
        self._refuse_to_block()
        if self.done():
            return super().exception(timeout)
        wait = WAITS.begin()
        try:
            return super().exception(timeout)
        finally:
            WAITS.end(wait)

    async def result_async(self, timeout: float | None = None) -> T:
        """Wait in the running loop; a timeout in seconds raises `TimeoutError` and leaves the operation running.

        In a loop that is not asyncio's, as trio's, a thread waits for it.
        """
        self._refuse_in_child()
        if not _in_asyncio():
            return await self._waited_for_in_a_thread(timeout)
        if not self.done():
            end = self._end()
            wait = WAITS.begin()
            try:
                await (end if timeout is None else asyncio.wait_for(end, timeout))
            finally:
                WAITS.end(wait)
        if self.cancelled():
            raise asyncio.CancelledError
        return super().result()

    def _end(self) -> "asyncio.Future[None]":
        """A future of the running loop that says when this one is done, and can be cancelled without this one.

        `asyncio.shield(asyncio.wrap_future(self))` would be two futures, and the result copied twice.
        """
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.add_done_callback(functools.partial(_tell, end))
        return end

    async def _waited_for_in_a_thread(self, timeout: float | None) -> T:
        import anyio.to_thread  # late: asyncio's own loops need none of it

        return await anyio.to_thread.run_sync(self.result, timeout, abandon_on_cancel=True)

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in the running loop."""
        return self.result_async().__await__()

    async def coroutine(self) -> T:
        """A real coroutine, for `asyncio.create_task`."""
        return await self.result_async()

    def future(self) -> "concurrent.futures.Future[T]":
        """The standard-library future of the same operation: this object."""
        return self

    def cancel(self) -> bool:
        """Cancel the operation; False if it is done already."""
        if not super().cancel():
            return False
        loop.event_loop().call_soon_threadsafe(self._cancel_task)
        return True

    def map(self, transform: Callable[[T], R]) -> "APIFuture[R]":
        """A future of `transform(result)`; cancelling it does not cancel this one."""

        async def follow() -> R:
            return transform(await self)

        return APIFuture(follow())

    def __reduce__(self) -> Any:
        """A future belongs to the process that made it."""
        raise TypeError("an APIFuture cannot be pickled: send its result() instead")

    def _refuse_to_block(self) -> None:
        self._refuse_in_child()
        if not self.done() and loop.on_loop_thread():
            raise RuntimeError(
                "a result that is not there yet was asked for on the client's own loop thread, which would wait for "
                "itself; await the future, or ask in another thread"
            )

    def _warn_if_a_loop_waits(self) -> None:
        """Tell of a use that will hold up a running loop; a notebook's cell, which always has one, may wait."""
        if self.done() or in_notebook():
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        logger.warning(
            "a client that is still being made was asked for what only a finished one has: this blocks the "
            "running event loop until it is made; await the client first"
        )

    def _refuse_in_child(self) -> None:
        if not self.done() and os.getpid() != self._process:
            raise RuntimeError("this call was made before the process forked: its result reaches only the parent")

    def _start(self, coroutine: Coroutine[Any, Any, T], context: contextvars.Context) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, context=context)
        self._task = task
        task.add_done_callback(self._finish, context=context)
        if self.cancelled():
            task.cancel()

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: "asyncio.Task[T]") -> None:
        self._task = None
        on_end, self._on_end = self._on_end, None
        try:
            self._settle(task)
        finally:
            if on_end is not None:
                on_end()

    def _settle(self, task: "asyncio.Task[T]") -> None:
        if task.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
            return
        error = task.exception()
        if not self.set_running_or_notify_cancel():
            return
        if error is None:
            self.set_result(task.result())
        else:
            self.set_exception(error)


def _tell(end: "asyncio.Future[None]", ended: "concurrent.futures.Future[Any]") -> None:
    # The loop may have been closed by now: then nobody waits any more.
    with contextlib.suppress(RuntimeError):
        end.get_loop().call_soon_threadsafe(_end_wait, end)


def _end_wait(end: "asyncio.Future[None]") -> None:
    if not end.done():
        end.set_result(None)


def _in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
