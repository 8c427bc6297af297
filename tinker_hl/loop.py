"""The one event loop thread of the process, and the worker threads beside it.

All input and output of every client runs on one daemon thread; encoding and decoding that could hold it up run in a
small pool of workers. The loop stands still while the process forks, so that the child finds nothing half done: no
module half imported, no lock of the loop's thread held. A fork leaves the thread behind in the parent: the child starts
a fresh one at its first call, and objects that hold state of the old loop ask to be told (`reset_after_fork`).

It does not know what a client, a request or a server is.
"""

import asyncio
import contextvars
import functools
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, Protocol, TypeVar

__all__ = [
    "ForkAware",
    "event_loop",
    "in_user_thread",
    "in_worker",
    "is_running",
    "on_loop_thread",
    "reset_after_fork",
    "run",
    "spawn",
]

THREAD_NAME = "tinker-hl-loop"
WORKERS = 4
USER_THREADS = 8
# How long a fork waits for the callback that the loop runs just now, and the loop at most for the fork.
FORK_WAIT_SECONDS = 5.0
STANDSTILL_SECONDS = 30.0

T = TypeVar("T")
P = ParamSpec("P")


class ForkAware(Protocol):
    """Something that has state of the parent's loop to forget in a forked child."""

    def after_fork(self) -> None:
        """Forget what belongs to the parent; called in the child, before any other thread exists."""


class _LoopThread:
    """A daemon thread that runs one loop for ever. Invariant: `loop` is running once the constructor returns."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.loop.call_soon(started.set)
        self.thread = threading.Thread(target=self.loop.run_forever, name=THREAD_NAME, daemon=True)
        self.thread.start()
        started.wait()


_lock = threading.Lock()
_current: _LoopThread | None = None
_pools: dict[str, ThreadPoolExecutor] = {}
_fork_aware: "weakref.WeakSet[ForkAware]" = weakref.WeakSet()
# The parent's loop and pool are kept, not freed: freeing them would close sockets and warn about things that still
# live in the parent.
_left_behind: list[object] = []
# asyncio keeps only weak references to tasks.
_tasks: set["asyncio.Task[Any]"] = set()


def event_loop() -> asyncio.AbstractEventLoop:
    """The process's loop; its thread is started by the first call."""
    global _current
    current = _current
    if current is None:
        with _lock:
            current = _current
            if current is None:
                current = _current = _LoopThread()
    return current.loop


def is_running() -> bool:
    """Whether anything has needed the loop yet in this process."""
    return _current is not None


def on_loop_thread() -> bool:
    """Whether the caller runs on the loop's own thread, where blocking would wait for itself."""
    current = _current
    return current is not None and threading.current_thread() is current.thread


def run(coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
    """Run a coroutine on the loop, from any thread."""
    return asyncio.run_coroutine_threadsafe(coroutine, event_loop())


def spawn(
    coroutine: Coroutine[Any, Any, T], *, name: str | None = None, shared: bool = False, own_context: bool = False
) -> "asyncio.Task[T]":
    """Start a task that nobody needs to hold; only on the loop's thread.

    Args:
        coroutine: What to run.
        name: Of the task.
        shared: Its error reaches whoever awaits it; if all of them were cancelled, nobody misses it.
        own_context: It outlives the call that starts it, and so takes none of its context variables along.
    """
    context = contextvars.Context() if own_context else None
    task = asyncio.get_running_loop().create_task(coroutine, name=name, context=context)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    if shared:
        task.add_done_callback(_mark_seen)
    return task


def _mark_seen(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()


async def in_worker(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that computes in a worker thread, with the caller's context variables."""
    return await _in_pool("worker", WORKERS, functools.partial(function, *args, **kwargs))


async def in_user_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for code of the user's, which may block: it has threads of its own."""
    return await _in_pool("user", USER_THREADS, functools.partial(function, *args, **kwargs))


async def _in_pool(name: str, size: int, work: Callable[[], T]) -> T:
    pool = _pools.get(name)
    if pool is None:
        pool = _pools[name] = ThreadPoolExecutor(size, thread_name_prefix=f"tinker-hl-{name}")
    context = contextvars.copy_context()
    return await asyncio.wrap_future(pool.submit(context.run, work))


def reset_after_fork(thing: ForkAware) -> None:
    """Have `thing.after_fork()` called in every forked child for as long as it lives."""
    _fork_aware.add(thing)


class _Standstill(threading.local):
    """What ends the loop's standstill that this thread's fork asked for."""

    over: threading.Event | None = None


_standstill = _Standstill()


def _before_fork() -> None:
    """Bring the loop to a stop between two callbacks; a callback that takes long is not waited for."""
    current = _current
    if current is None or on_loop_thread():
        return
    arrived, over = threading.Event(), threading.Event()

    def stand_still() -> None:
        arrived.set()
        over.wait(STANDSTILL_SECONDS)

    current.loop.call_soon_threadsafe(stand_still)
    _standstill.over = over
    arrived.wait(FORK_WAIT_SECONDS)


def _after_fork_in_parent() -> None:
    over, _standstill.over = _standstill.over, None
    if over is not None:
        over.set()


def _after_fork_in_child() -> None:
    global _current, _lock
    _lock = threading.Lock()
    _left_behind.extend((_current, dict(_pools), set(_tasks)))
    _tasks.clear()
    _pools.clear()
    _current = None
    _standstill.over = None
    for thing in list(_fork_aware):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
