"""The engine's process: calls cross, order is kept, death is told, a new life begins."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinker_local.engine import channel
from tinker_local.engine.process import ProcessEngine
from tinker_local.engine.protocol import (
    AdamSettings,
    Engine,
    EngineDiedError,
    EngineError,
    Hold,
    LoraSpec,
    SampleJob,
    TrainingDatum,
    UserFaultError,
)
from tinker_local.settings import ModelSource

MakeData = Callable[..., list[TrainingDatum]]
STEP = AdamSettings(learning_rate=1e-2)


def job(job_id: str, **fields: Any) -> SampleJob:
    prompt = np.array([5, 6, 7], dtype=np.int32)
    return SampleJob(**{"job_id": job_id, "sampler_id": "s", "prompt": prompt, "stop_at_eos": False, **fields})


@asynccontextmanager
async def running(models: list[ModelSource]) -> AsyncIterator[ProcessEngine]:
    engine = ProcessEngine(models, threads=1)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def test_it_is_an_engine(models: list[ModelSource]) -> None:
    assert isinstance(ProcessEngine(models), Engine)


def test_trains_saves_and_loads(models: list[ModelSource], make_data: MakeData, tmp_path: Path) -> None:
    async def scenario() -> None:
        engine = ProcessEngine(models, threads=1)
        infos = await engine.start()
        assert [info.name for info in infos] == ["qwen", "llama"]
        assert infos[0].vocabulary_size == 96
        assert infos[0].max_context_length == 64
        assert infos[0].eos_token_ids == (1,)
        assert infos[0].directory == models[0].path
        data = make_data(9, 5)
        await engine.create_adapter("m", "qwen", LoraSpec(rank=4, seed=3))
        losses = []
        for _ in range(3):
            output = await engine.forward_backward("m", data, "cross_entropy", {}, backward=True)
            assert [part.shape for part in output.logprobs] == [(9,), (5,)]
            losses.append(output.metrics["loss:sum"])
            metrics = await engine.optim_step("m", STEP)
            assert metrics["grad_norm"] > 0
        assert losses[2] < losses[1] < losses[0]
        await engine.save_adapter("m", tmp_path, optimizer=True)
        spec = await engine.load_adapter("n", None, tmp_path, optimizer=True)
        assert spec.rank == 4
        ours = await engine.forward_backward("m", data, "cross_entropy", {}, backward=False)
        theirs = await engine.forward_backward("n", data, "cross_entropy", {}, backward=False)
        for left, right in zip(ours.logprobs, theirs.logprobs, strict=True):
            np.testing.assert_array_equal(left, right)
        await engine.unload_adapter("m")
        await engine.unload_adapter("m")
        with pytest.raises(UserFaultError, match="'m' is not loaded"):
            await engine.optim_step("m", STEP)
        await engine.close()

    asyncio.run(scenario())


def test_order_is_that_of_the_calls_not_of_the_awaits(models: list[ModelSource], make_data: MakeData) -> None:
    async def scenario() -> None:
        async with running(models) as engine:
            data = make_data(6)
            calls = [engine.create_adapter("m", "qwen", LoraSpec(rank=2, seed=1))]
            first = engine.forward_backward("m", data, "cross_entropy", {}, backward=True)
            step = engine.optim_step("m", STEP)
            second = engine.forward_backward("m", data, "cross_entropy", {}, backward=False)
            after = (await second).metrics["loss:sum"]
            assert (await step)["grad_norm"] > 0
            assert after < (await first).metrics["loss:sum"]
            await asyncio.gather(*calls)

    asyncio.run(scenario())


def test_samples_and_training_take_turns(models: list[ModelSource], make_data: MakeData) -> None:
    """Fault 8 of other servers: a long sample does not hold up training, nor long training a sample."""

    async def scenario() -> None:
        async with running(models) as engine:
            await engine.create_adapter("m", "qwen", LoraSpec(rank=2, seed=1))
            made = asyncio.ensure_future(engine.create_sampler("t", None, model_id="m"))
            early = await engine.sample(job("early", sampler_id="t", max_tokens=3))  # behind the sampler's making
            assert early.sequences[0].tokens.size == 3
            await made
            await engine.create_sampler("s", "llama")
            loss = asyncio.ensure_future(
                engine.forward_backward("m", make_data(60) * 3000, "cross_entropy", {}, backward=True)
            )
            short = await engine.sample(job("short", max_tokens=4))
            assert short.sequences[0].tokens.size == 4
            assert not loss.done()
            long = asyncio.ensure_future(engine.sample(job("long", num_samples=250, max_tokens=55)))
            step = asyncio.ensure_future(engine.optim_step("m", STEP))
            await engine.create_adapter("n", "qwen", LoraSpec(rank=2, seed=1))
            await engine.forward_backward("n", make_data(9), "cross_entropy", {}, backward=True)
            assert not loss.done()
            await loss
            await step
            assert len((await long).sequences) == 250

            abandoned = asyncio.ensure_future(engine.sample(job("abandoned", num_samples=250, max_tokens=50)))
            refused = asyncio.ensure_future(engine.sample(job("refused", num_samples=250, max_tokens=50)))
            await asyncio.sleep(0)
            abandoned.cancel()
            await engine.cancel_sample("refused")
            await engine.cancel_sample("unknown")
            with pytest.raises(UserFaultError, match="cancelled"):
                await refused
            with pytest.raises(asyncio.CancelledError):
                await abandoned
            again = await engine.sample(job("abandoned", max_tokens=2))  # the slot and the id are free
            assert again.sequences[0].tokens.size == 2
            await engine.unload_sampler("s")
            await engine.unload_sampler("s")
            with pytest.raises(UserFaultError, match="'s' is not loaded"):
                await engine.sample(job("late"))

    asyncio.run(scenario())


def test_a_sample_that_waits_says_why_until_it_begins(models: list[ModelSource]) -> None:
    async def scenario() -> None:
        engine = ProcessEngine(models, threads=1, kv_cache_tokens=40)
        try:
            infos = await engine.start()
            assert [info.kv_cache_tokens for info in infos] == [40, 40]
            await engine.create_sampler("s", "qwen")
            told: list[Hold | None] = []
            first = asyncio.ensure_future(engine.sample(job("first", max_tokens=37)))
            second = asyncio.ensure_future(engine.sample(job("second", max_tokens=4), told.append))
            with pytest.raises(UserFaultError, match="ask for at most 37"):
                await engine.sample(job("never", prompt=np.full(3, 5, np.int32), max_tokens=38))
            assert (await first).sequences[0].tokens.size == 37
            assert (await second).sequences[0].tokens.size == 4
            assert told[-1] is None
            assert [hold.cause for hold in told if hold is not None] in (["capacity"], ["share"])
        finally:
            await engine.close()

    asyncio.run(scenario())


def test_death_ends_every_call_and_a_new_life_begins(
    models: list[ModelSource], make_data: MakeData, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with running(models) as engine:
            told = asyncio.Event()
            engine.on_death(told.set)
            await engine.create_adapter("m", "qwen", LoraSpec(rank=2))
            pending = [
                asyncio.ensure_future(
                    engine.forward_backward("m", make_data(60) * 64, "cross_entropy", {}, backward=True)
                )
                for _ in range(20)
            ]
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGKILL)
            results = await asyncio.gather(*pending, return_exceptions=True)
            assert isinstance(results[-1], EngineDiedError)
            assert all(not isinstance(r, BaseException) or isinstance(r, EngineDiedError) for r in results)
            await asyncio.wait_for(told.wait(), 10)
            with pytest.raises(EngineDiedError):
                await engine.optim_step("m", STEP)
            await engine.start()
            # The kernel kills in the same way what takes too much memory, so that is what a person is told.
            assert "was killed: if nobody did so, the system did for lack of memory" in caplog.text
            await engine.create_adapter("m", "qwen", LoraSpec(rank=2))
            assert (await engine.optim_step("m", STEP))["grad_norm"] == 0

    asyncio.run(scenario())


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        engine = ProcessEngine([ModelSource(name="bad", path=str(tmp_path))])
        with pytest.raises(EngineError, match="'bad' could not be loaded"):
            await engine.start()
        assert engine.pid is None

    asyncio.run(scenario())


def test_the_process_ends_with_its_owner(models: list[ModelSource]) -> None:
    """The owner's end of the pipe closes without a word, as when it is killed."""

    async def scenario() -> None:
        async with running(models) as engine:
            child = engine._child
            assert child is not None
            child._writer.transport.abort()
            await asyncio.to_thread(child.process.wait, 20)

    asyncio.run(scenario())


READER = (
    "import socket, sys, threading\n"
    "from tinker_local.engine.worker import Pipe\n"
    "pipe = Pipe(socket.socket(fileno=int(sys.argv[1])))\n"
    "print('begun', flush=True)\n"
    "threading.Event().wait()\n"
)
FRAME = b"".join(channel.encode({"id": 1, "method": "optim_step", "arguments": {}}))


@pytest.mark.parametrize(
    ("last", "unread"),
    [
        (b"", False),
        (FRAME, False),
        (FRAME[:3], False),
        (FRAME[: channel.PREFIX.size + 2], False),
        (channel.PREFIX.pack(4, 0) + b"junk", False),
        (FRAME[:3], True),
    ],
    ids=["nothing", "a frame", "half a prefix", "half a frame", "junk", "a reset"],
)
def test_it_ends_whatever_its_owner_was_sending_when_it_died(last: bytes, unread: bool) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", READER, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            ours.sendall(last)
            if unread:  # closing over unread bytes is a reset at the other end
                theirs.send(b"an answer")
            ours.close()
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.communicate()
