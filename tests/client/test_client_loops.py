"""The client in loops that are not asyncio's own: uvloop's, anyio's tasks over asyncio, and trio's."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest
import trio
from client_bench import KEY, MODEL, SocketService

from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient, loop
from tinker_hl.futures import APIFuture


def in_asyncio(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def in_uvloop(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    import uvloop

    uvloop.run(story())


def in_anyio(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    anyio.run(story)


def in_trio(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    trio.run(story)


LOOPS = [in_asyncio, in_anyio, in_trio]
if sys.platform != "win32":
    LOOPS.append(in_uvloop)
Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=LOOPS, ids=lambda run: run.__name__)
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


def test_a_whole_loop_of_training_and_sampling(run: Run, socket_service: SocketService) -> None:
    async def story() -> None:
        async with ServiceClient(base_url=socket_service.base_url, api_key=KEY) as service:
            training = await service.create_lora_training_client_async(MODEL, rank=4)
            data = [Datum(ModelInput.from_ints([1, 2, 3]), {"target_tokens": [2, 3, 4], "weights": [1.0] * 3})]
            passed = await training.forward_backward_async(data, "cross_entropy")
            stepped = await training.optim_step_async(AdamParams())
            assert len((await passed).loss_fn_outputs) == 1
            assert "passes:sum" in (await stepped.result_async(20)).metrics
            sampler = await training.save_weights_and_get_sampling_client_async()
            answer = await sampler.sample_async(ModelInput.from_ints([1, 2]), 2, SamplingParams(max_tokens=3))
            assert len(answer.sequences) == 2

    run(story)


def test_tasks_side_by_side_wait_for_their_own(run: Run, socket_service: SocketService) -> None:
    async def story() -> None:
        async with ServiceClient(base_url=socket_service.base_url, api_key=KEY) as service:
            sampler = await service.create_sampling_client_async(base_model=MODEL)
            found: dict[int, int] = {}

            async def one(number: int) -> None:
                answer = await sampler.sample(ModelInput.from_ints([1]), number, SamplingParams(max_tokens=2))
                found[number] = len(answer.sequences)

            await side_by_side(one, range(1, 9))
            assert found == {number: number for number in range(1, 9)}

    run(story)


async def side_by_side(work: Callable[[int], Awaitable[None]], numbers: range) -> None:
    async with anyio.create_task_group() as tasks:
        for number in numbers:
            tasks.start_soon(work, number)


def test_a_timeout_leaves_the_operation_running(run: Run) -> None:
    async def story() -> None:
        go_on = asyncio.Event()

        async def operation() -> str:
            await go_on.wait()
            return "done"

        future = APIFuture(operation())
        with pytest.raises(TimeoutError):
            await future.result_async(0.01)
        assert not future.done()
        loop.event_loop().call_soon_threadsafe(go_on.set)
        assert await future == "done"

    run(story)


def test_a_cancelled_wait_leaves_the_operation_running(run: Run) -> None:
    async def story() -> None:
        go_on = asyncio.Event()

        async def operation() -> str:
            await go_on.wait()
            return "done"

        future = APIFuture(operation())
        with anyio.move_on_after(0.01) as scope:
            await future
        assert scope.cancelled_caught
        assert not future.done()
        loop.event_loop().call_soon_threadsafe(go_on.set)
        assert await future == "done"

    run(story)
