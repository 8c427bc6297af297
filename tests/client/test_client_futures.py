"""`APIFuture`: waiting, cancelling, and the places where it is used."""

import asyncio
import concurrent.futures
import contextvars
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import pytest

from tinker_hl import loop
from tinker_hl.futures import APIFuture


async def answer(value: int = 42) -> int:
    await asyncio.sleep(0)
    return value


class Gate:
    """An operation that ends when the test says so."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.cancelled = threading.Event()

    async def run(self) -> str:
        try:
            await self.event.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "open"

    def open(self) -> None:
        loop.event_loop().call_soon_threadsafe(self.event.set)


def test_result_in_a_plain_thread() -> None:
    future = APIFuture(answer())
    assert future.result(10) == 42
    assert future.done()
    assert future.exception() is None
    assert future.future() is future


def test_errors_reach_every_waiter() -> None:
    async def fail() -> None:
        raise ValueError("no")

    future = APIFuture(fail())
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            future.result(10)
    assert isinstance(future.exception(), ValueError)


def test_await_gather_and_tasks_in_a_loop_of_the_callers() -> None:
    async def use() -> list[int]:
        task = asyncio.create_task(APIFuture(answer(3)).coroutine())
        done = [await future for future in asyncio.as_completed([APIFuture(answer(4))])]
        gathered = await asyncio.gather(APIFuture(answer(1)), APIFuture(answer(2)))
        return [*gathered, await task, *done, await asyncio.wrap_future(APIFuture(answer(5)))]

    assert asyncio.run(use()) == [1, 2, 3, 4, 5]


def test_concurrent_futures_takes_it() -> None:
    futures = [APIFuture(answer(value)) for value in range(5)]
    assert {future.result() for future in concurrent.futures.as_completed(futures, 10)} == set(range(5))


def test_a_timeout_leaves_the_operation_running() -> None:
    gate = Gate()
    future = APIFuture(gate.run())
    with pytest.raises(TimeoutError):
        future.result(0.01)

    async def wait_a_little() -> None:
        with pytest.raises(TimeoutError):
            await future.result_async(0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future.coroutine(), 0.01)
        task = asyncio.ensure_future(future)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(wait_a_little())
    assert not gate.cancelled.is_set()
    gate.open()
    assert future.result(10) == "open"


def test_cancel_cancels() -> None:
    gate, ended = Gate(), threading.Event()
    future = APIFuture(gate.run(), on_end=ended.set)
    loop.run(answer()).result(10)
    assert future.cancel()
    assert ended.wait(10)
    assert gate.cancelled.is_set()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(10)
    done = APIFuture(answer())
    done.result(10)
    assert not done.cancel()


def test_whoever_awaits_a_cancelled_future_is_cancelled_and_one_that_is_done_is_not_waited_for() -> None:
    async def scene() -> int:
        gate = Gate()
        future = APIFuture(gate.run())
        waiter = asyncio.ensure_future(future.result_async())
        await asyncio.sleep(0)
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiter, 10)
        with pytest.raises(asyncio.CancelledError):
            await future
        return await APIFuture.completed(42)

    assert asyncio.run(scene()) == 42


def test_a_loop_that_was_closed_meanwhile_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    future = APIFuture(gate.run())

    async def wait_a_little() -> None:
        with pytest.raises(TimeoutError):
            await future.result_async(timeout=0.01)

    asyncio.run(wait_a_little())
    gate.open()
    assert future.result(10) == "open"
    assert caplog.text == ""


def test_cancelling_before_the_first_step_still_ends_the_operation() -> None:
    ended = threading.Event()
    hold, release = threading.Event(), threading.Event()
    loop.event_loop().call_soon_threadsafe(lambda: (hold.set(), release.wait(10)))
    assert hold.wait(10)
    future = APIFuture(answer(), on_end=ended.set)
    future.cancel()
    release.set()
    assert ended.wait(10)


def test_callbacks_and_map() -> None:
    seen: list[int] = []
    called = threading.Event()
    future = APIFuture(answer())
    future.add_done_callback(lambda done: (seen.append(done.result()), called.set()))
    assert called.wait(10)
    assert seen == [42]
    assert future.map(lambda value: value + 1).result(10) == 43


def test_the_callers_context_goes_along() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")

    async def read() -> str:
        return variable.get()

    variable.set("the caller's")
    assert APIFuture(read()).result(10) == "the caller's"


def test_blocking_on_the_loop_thread_is_refused_instead_of_deadlocking() -> None:
    async def block() -> int:
        return APIFuture(answer()).result()

    with pytest.raises(RuntimeError, match="loop thread"):
        APIFuture(block()).result(10)


def test_a_future_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="result"):
        pickle.dumps(APIFuture.completed(1))
    assert APIFuture.completed(1).result() == 1


def test_the_loop_has_a_name_and_is_a_daemon() -> None:
    loop.run(answer()).result(10)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == loop.THREAD_NAME]
    assert thread.daemon


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_a_loop_of_its_own() -> None:
    # A process of its own: pytest's has threads that no test should fork.
    program = textwrap.dedent("""
        import asyncio, os
        from tinker_hl import loop
        from tinker_hl.futures import APIFuture
        async def answer(): return 42
        async def never(): await asyncio.Event().wait()
        async def work(): return await loop.in_worker(lambda: 7)
        pending = APIFuture(never())
        assert APIFuture(answer()).result(10) == 42 and APIFuture(work()).result(10) == 7
        child = os.fork()
        if not child:
            try:
                pending.result(1)
            except RuntimeError as error:
                assert "fork" in str(error)
            ok = APIFuture(answer()).result(10) == 42 and APIFuture(work()).result(10) == 7
            os._exit(0 if ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert APIFuture(answer()).result(10) == 42
    """)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
