"""Faults of the official SDK that have to do with order, cancellation, waiting: each is absent here."""

import asyncio
import concurrent.futures
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from client_bench import MODEL, MakeClient
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, TrainingClient, loop

TRAINING_PATHS = {"forward", "forward_backward", "optim_step", "save_weights", "save_weights_for_sampler",
                  "save_weights_external", "load_weights"}  # fmt: skip


def datum(token: int = 5) -> Datum:
    return Datum(ModelInput.from_ints([token, 6]), {"target_tokens": [6, 7], "weights": [1.0, 1.0]})


def custom(data: Any, logprobs: Any) -> Any:
    return -sum(row.sum() for row in logprobs), {}


VERBS: dict[str, tuple[Callable[[TrainingClient], Any], list[str]]] = {
    "forward": (lambda client: client.forward([datum()], "cross_entropy"), ["forward"]),
    "forward_backward": (lambda client: client.forward_backward([datum()], "cross_entropy"), ["forward_backward"]),
    "custom": (lambda client: client.forward_backward_custom([datum()], custom), ["forward", "forward_backward"]),
    "optim_step": (lambda client: client.optim_step(AdamParams()), ["optim_step"]),
    "save_state": (lambda client: client.save_state("s"), ["save_weights"]),
    "save_weights_for_sampler": (
        lambda client: client.save_weights_for_sampler("w"),
        ["save_weights_for_sampler"],
    ),
    "save_weights_external": (lambda client: client.save_weights_external("e"), ["save_weights_external"]),
    "sampling_client": (
        lambda client: client.save_weights_and_get_sampling_client(),
        ["save_weights_for_sampler"],
    ),
    "load_state": (lambda client: client.load_state("tinker://M/weights/x"), ["load_weights"]),
    "load_state_with_optimizer": (
        lambda client: client.load_state_with_optimizer("tinker://M/weights/x"),
        ["load_weights"],
    ),
}


class Trainer(ScriptedServer):
    """Knows every training verb."""

    def on_save_weights_external(self, request: Seen) -> Any:
        return self.promise({"path": f"tinker://M/external_weights/{request.json['path']}"})

    @property
    def order(self) -> list[tuple[str, int]]:
        """The training requests that came, in the order in which they came."""
        named = [(request.path.rsplit("/", 1)[-1], request) for request in self.seen]
        return [(name, request.json["seq_id"]) for name, request in named if name in TRAINING_PATHS]


@pytest.mark.parametrize("verb", VERBS)
def test_fault_01_every_verb_reserves_its_place_in_the_calling_thread(verb: str) -> None:
    """With the loop held up, a verb is followed at once by an `optim_step`, again and again."""
    call, paths = VERBS[verb]
    server = Trainer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        rounds = 25
        futures = []
        hold = threading.Event()
        loop.event_loop().call_soon_threadsafe(hold.wait, 10)
        for _ in range(rounds):
            futures += [call(training), training.optim_step(AdamParams())]
        hold.set()
        for future in futures:
            future.result(30)
    assert server.order == [(path, 1 + number) for number, path in enumerate((*paths, "optim_step") * rounds)]


def test_fault_01_threads_and_loops_share_one_order() -> None:
    server = Trainer()
    lock, made = threading.Lock(), []

    def from_thread(training: TrainingClient, seed: int) -> None:
        chooser = random.Random(seed)
        for _ in range(20):
            name = chooser.choice(list(VERBS))
            with lock:
                future = VERBS[name][0](training)
                made.extend(VERBS[name][1])
            if chooser.random() < 0.3:
                future.result(30)

    async def from_loop(training: TrainingClient, seed: int) -> None:
        chooser = random.Random(seed)
        for _ in range(20):
            name = chooser.choice(list(VERBS))
            with lock:
                future = VERBS[name][0](training)
                made.extend(VERBS[name][1])
            if chooser.random() < 0.3:
                await future

    with server.client() as service:
        training = service.create_lora_training_client("base")
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            running = [pool.submit(from_thread, training, seed) for seed in range(3)]
            running += [pool.submit(lambda s=seed: asyncio.run(from_loop(training, s))) for seed in range(3, 6)]
            for one in running:
                one.result(60)
        training.optim_step(AdamParams()).result(30)
    assert server.order == [(path, 1 + number) for number, path in enumerate([*made, "optim_step"])]


@pytest.mark.parametrize("verb", VERBS)
def test_fault_02_a_cancelled_queued_call_hangs_nobody_and_leaves_no_gap(verb: str) -> None:
    call, _ = VERBS[verb]
    server = Trainer()
    held, release = threading.Event(), asyncio.Event()

    async def hold(request: Seen) -> Reply:
        held.set()
        await release.wait()
        return Reply(body=server.on_optim_step(request))

    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["optim_step"] = [hold]
        first = training.optim_step(AdamParams())
        assert held.wait(10)
        queued, last = call(training), training.save_state("after")
        assert queued.cancel()
        assert queued.done()
        with pytest.raises(concurrent.futures.CancelledError):
            queued.result(0)
        loop.event_loop().call_soon_threadsafe(release.set)
        first.result(10)
        assert last.result(10).path.endswith("after")
    assert server.order == [("optim_step", 1), ("save_weights", 2)]


def test_fault_02_a_call_cancelled_while_it_is_sent_is_sent_to_the_end() -> None:
    server = Trainer()
    held, release = threading.Event(), asyncio.Event()

    async def hold(request: Seen) -> Reply:
        held.set()
        await release.wait()
        return Reply(body=server.on_optim_step(request))

    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["optim_step"] = [hold]
        first, second = training.optim_step(AdamParams()), training.save_state("after")
        assert held.wait(10)
        assert first.cancel()
        with pytest.raises(TimeoutError):
            second.result(0.05)
        loop.event_loop().call_soon_threadsafe(release.set)
        second.result(10)
    assert server.order == [("optim_step", 1), ("save_weights", 2)]


@pytest.mark.parametrize("verb", VERBS)
def test_fault_03_a_refused_call_leaves_no_gap(verb: str) -> None:
    call, paths = VERBS[verb]
    server = Trainer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults[paths[0]] = [Reply(400, {"detail": "refused"})]
        refused, taken = call(training), training.optim_step(AdamParams())
        with pytest.raises(tinker_hl.BadRequestError, match="refused"):
            refused.result(10)
        taken.result(10)
    assert server.order == [(paths[0], 1), ("optim_step", 1)]


@pytest.mark.parametrize("verb", VERBS)
def test_fault_03_a_lost_call_breaks_the_order_and_says_so(verb: str) -> None:
    call, paths = VERBS[verb]
    server = Trainer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults[paths[-1]] = [None] * 1000
        lost, later = call(training), training.optim_step(AdamParams())
        with pytest.raises(tinker_hl.APIConnectionError):
            lost.result(10)
        with pytest.raises(tinker_hl.SubmissionFailedError, match="recover") as caught:
            later.result(10)
        assert caught.value.first_failure is lost.exception()
    assert ("optim_step", 2) not in server.order


def test_fault_04_a_timeout_of_any_kind_leaves_a_training_call_running() -> None:
    server = Trainer()
    release = asyncio.Event()

    async def wait(request: Seen) -> Reply:
        await release.wait()
        return Reply(body={"metrics": {"grad_norm": 2.0}})

    async def impatient(future: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.02)
        with pytest.raises(TimeoutError):
            await future.result_async(0.02)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await future
        waiter = asyncio.create_task(future.coroutine())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [wait]
        step = training.optim_step(AdamParams())
        asyncio.run(impatient(step))
        with pytest.raises(TimeoutError):
            step.result(0.02)
        assert not step.done()
        loop.event_loop().call_soon_threadsafe(release.set)
        assert step.result(10).metrics == {"grad_norm": 2.0}


def test_fault_23_nothing_of_making_clients_and_calling_them_blocks_a_running_loop() -> None:
    server = Trainer(config={})
    release = asyncio.Event()

    async def slow(request: Seen) -> Reply:
        await release.wait()
        return Reply(body=getattr(server, f"on_{request.path.rsplit('/', 1)[-1]}")(request))

    for name in ("config", "create_session", "create_model", "save_weights_for_sampler", "asample"):
        server.faults[name] = [slow]

    async def use() -> float:
        service = server.client()
        started = time.perf_counter()
        training = service.create_lora_training_client("base")
        steps = [training.forward([datum()], "cross_entropy"), training.optim_step(AdamParams())]
        sampling = training.save_weights_and_get_sampling_client()
        sample = sampling.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=2))
        scored = sampling.compute_logprobs(ModelInput.from_ints([1, 2]))
        other = training.create_sampling_client("tinker://M/sampler_weights/x")
        blocked = time.perf_counter() - started
        assert not any(future.done() for future in (training, *steps, sampling, sample, scored, other))
        loop.event_loop().call_soon_threadsafe(release.set)
        for future in (*steps, sample, scored, other):
            await asyncio.wait_for(future, 10)
        assert (await training).model_id == "S:train:0"
        await service.close()
        return blocked

    assert asyncio.run(use()) < 1.0
    came = [request.path.rsplit("/", 1)[-1] for request in server.seen]
    assert [name for name in came if name in TRAINING_PATHS] == [
        "forward_backward",
        "optim_step",
        "save_weights_for_sampler",
    ]


def test_fault_23_a_use_that_must_block_a_loop_says_so() -> None:
    server = Trainer()
    told = asyncio.Event()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "await the client first" in record.getMessage():
                loop.event_loop().call_soon_threadsafe(told.set)

    async def until_told(request: Seen) -> Reply:
        await told.wait()
        return Reply(body=server.on_create_model(request))

    async def use(service: tinker_hl.ServiceClient) -> str:
        return service.create_lora_training_client("base").model_id

    handler = Told()
    logging.getLogger("tinker_hl").addHandler(handler)
    server.faults["create_model"] = [until_told]
    try:
        with server.client() as service:
            assert asyncio.run(use(service)) == "S:train:0"
            assert told.is_set()
            told.clear()
            assert service.create_lora_training_client("base").model_id == "S:train:1"
            assert not told.is_set()
    finally:
        logging.getLogger("tinker_hl").removeHandler(handler)


def test_fault_23_calls_behind_a_failed_creation_fail_with_its_error() -> None:
    server = Trainer()
    server.faults["create_model"] = [Reply(400, {"detail": "no such base model"})]
    with server.client() as service:
        training = service.create_lora_training_client("nonsense")
        step, sampling = training.optim_step(AdamParams()), training.save_weights_and_get_sampling_client()
        sample = sampling.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=2))
        for future in (training, step, sampling, sample, training.recover()):
            with pytest.raises(tinker_hl.BadRequestError, match="no such base model"):
                future.result(10)
    assert server.order == []


def test_fault_23_a_cancelled_creation_ends_the_calls_behind_it() -> None:
    server = Trainer()
    held = threading.Event()

    async def hold(request: Seen) -> Reply:
        held.set()
        await asyncio.Event().wait()
        raise AssertionError

    server.faults["create_model"] = [hold]
    with server.client() as service:
        training = service.create_lora_training_client("base")
        step = training.optim_step(AdamParams())
        assert held.wait(10)
        training.cancel()
        with pytest.raises(tinker_hl.SubmissionFailedError, match="made no model"):
            step.result(10)


def test_calls_on_a_pending_client_of_the_real_service(make_client: MakeClient) -> None:
    with make_client() as service:
        training = service.create_lora_training_client(MODEL, rank=4)
        passes = [training.forward_backward([datum()], "cross_entropy") for _ in range(3)]
        step = training.optim_step(AdamParams())
        assert step.result(30).metrics["passes:sum"] == 3.0
        assert all(one.done() or one.result(30) for one in passes)
        resumed = service.create_training_client_from_state_with_optimizer(training.save_state("s").result(30).path)
        assert resumed.optim_step(AdamParams()).result(30).metrics["passes:sum"] == 0.0


def test_many_cancelled_samples_are_told_to_the_server_a_few_at_a_time() -> None:
    server = ScriptedServer(config={})
    server.faults["dynamic_config"] = [Reply(body={"sample_cancel_enabled": True})]
    under_way, most, told = 0, 0, threading.Event()
    count = 200
    polls = threading.Semaphore(0)

    async def hold(request: Seen) -> Reply:
        polls.release()
        await asyncio.Event().wait()
        raise AssertionError

    async def hear(request: Seen) -> Reply:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(20):
            await asyncio.sleep(0)
        under_way -= 1
        if len(server.paths("cancel_future")) == count:
            told.set()
        return Reply()

    server.faults["retrieve_future"] = [hold] * count
    server.faults["cancel_future"] = [hear] * count
    with server.client() as service:
        sampler = service.create_sampling_client(base_model="base").result(10)
        futures = [sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=2)) for _ in range(count)]
        for _ in range(count):
            assert polls.acquire(timeout=10)
        for future in futures:
            future.cancel()
        assert told.wait(10)
    assert 1 < most <= 64
    assert len({request.json["request_id"] for request in server.paths("cancel_future")}) == count
