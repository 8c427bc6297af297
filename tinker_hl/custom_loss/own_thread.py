"""Runs a function of the user's in a thread of its own, so that it may block, and changes to thread-wide state such as
torch's grad mode end with it. Any number run side by side: they may wait for each other, as a pool's could not.

It does not know what the function computes.
"""

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from tinker_hl.custom_loss.rules import Rule
from tinker_hl.errors import CustomLossError

__all__ = ["THREAD_NAME", "in_own_thread"]

THREAD_NAME = "tinker-hl-custom-loss"

T = TypeVar("T")
P = ParamSpec("P")


async def in_own_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it with the caller's context variables; its result, or its exception unchanged.

    A caller that is cancelled leaves it running: a thread cannot be stopped.

    Raises:
        CustomLossError: It raised something that would end the client's own thread instead of reaching the caller
            (`SystemExit`, `KeyboardInterrupt`, asyncio's `CancelledError`), or that no future can hold
            (`StopIteration`); that is the cause.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()
    context = contextvars.copy_context()
    work = functools.partial(context.run, functools.partial(function, *args, **kwargs))
    threading.Thread(target=_run, args=(future, work), name=THREAD_NAME, daemon=True).start()
    return await asyncio.wrap_future(future)


def _run(future: "Future[T]", work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(_carried(error))


def _carried(error: BaseException) -> BaseException:
    """The error in a form that reaches whoever awaits it."""
    if isinstance(error, Exception) and not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    refusal = CustomLossError(f"the custom loss ended with {type(error).__name__}: {error}", rule=Rule.ENDS)
    refusal.__cause__ = error
    return refusal
