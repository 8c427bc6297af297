"""What all clients of one server share: pauses after 429, and limits on what is under way."""

import asyncio
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from scripted_server import Reply, ScriptedServer, Seen

from tinker_hl import (
    AdamParams,
    Datum,
    ModelInput,
    RetryConfig,
    SamplingClient,
    SamplingParams,
    ServiceClient,
    TensorData,
    loop,
)
from tinker_hl.backpressure import Backpressure, backpressure_of
from tinker_hl.events import Event
from tinker_hl.retry import InstantClock, LoopClock, RetryBudget

PROMPT = ModelInput.from_ints([1, 2, 3])


class Gate:
    """Holds requests until it is opened; counts how many were inside at once."""

    def __init__(self, wanted: int) -> None:
        self.inside = self.most = 0
        self.arrived = threading.Event()
        self.opened = asyncio.Event()
        self._wanted = wanted

    def holds(self, answer: Any) -> Any:
        async def hold(request: Seen) -> Reply:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside >= self._wanted:
                self.arrived.set()
            await self.opened.wait()
            self.inside -= 1
            value = answer(request)
            return value if isinstance(value, Reply) else Reply(body=value)

        return hold


def sampled(services: list[ServiceClient], count: int) -> list[Any]:
    clients = [service.create_sampling_client(base_model="base").result(10) for service in services]
    return [client.sample(PROMPT, 1, SamplingParams()) for client in clients for _ in range(count)]


def open_in_the_loop(gate: Gate) -> None:
    loop.event_loop().call_soon_threadsafe(gate.opened.set)


def test_the_servers_limit_of_samples_holds_for_all_clients_of_one_key_together() -> None:
    server = ScriptedServer(config={"sample_max_concurrent_requests": 3})
    gate = Gate(wanted=3)
    services = [server.client(api_key="tml-limit-of-samples") for _ in range(2)]
    server.faults["retrieve_future"] = [gate.holds(server.on_retrieve_future)] * 8
    futures = sampled(services, 4)
    assert gate.arrived.wait(10)
    assert len(server.paths("asample")) == 3
    open_in_the_loop(gate)
    for future in futures:
        assert future.result(10).sequences
    assert gate.most == 3
    for service in services:
        service.close().result(10)


def test_fault_13_what_the_user_allows_a_client_holds_where_it_is_less_and_the_servers_limit_where_that_is() -> None:
    for allowed, limit, most in ((2, 5, 2), (5, 2, 2), (None, 2, 2)):
        server = ScriptedServer(config={"sample_max_concurrent_requests": limit})
        gate = Gate(wanted=most)
        with server.client(api_key=f"tml-{allowed}-{limit}") as service:
            config = RetryConfig(max_connections=allowed)
            client = service.create_sampling_client(base_model="base", retry_config=config).result(10)
            server.faults["retrieve_future"] = [gate.holds(server.on_retrieve_future)] * 6
            futures = [client.sample(PROMPT, 1, SamplingParams()) for _ in range(6)]
            assert gate.arrived.wait(10)
            open_in_the_loop(gate)
            for future in futures:
                future.result(10)
        assert gate.most == most, (allowed, limit)


def test_bytes_of_samples_being_submitted_are_limited() -> None:
    server = ScriptedServer(config={"sample_dispatch_bytes_semaphore_size": 700})
    gate = Gate(wanted=2)
    with server.client(api_key="tml-bytes-of-samples") as service:
        client = service.create_sampling_client(base_model="base").result(10)
        client.sample(PROMPT, 1, SamplingParams()).result(10)
        size = len(server.paths("asample")[0].body)
        assert 2 * size <= 700 < 3 * size
        server.faults["asample"] = [gate.holds(server.on_asample)] * 6
        futures = [client.sample(PROMPT, 1, SamplingParams()) for _ in range(6)]
        assert gate.arrived.wait(10)
        open_in_the_loop(gate)
        for future in futures:
            future.result(10)
    assert gate.most == 2


def test_fault_36_bytes_of_training_bodies_are_limited_and_one_that_is_too_large_goes_alone() -> None:
    server = ScriptedServer(config={"fwdbwd_max_chunk_len": 1, "fwdbwd_dispatch_bytes_semaphore_size": 1})
    gate = Gate(wanted=1)
    values = {"weights": TensorData(data=[1.0, 1.0], dtype="float32", shape=[2])}
    values["target_tokens"] = TensorData(data=[1, 2], dtype="int64", shape=[2])
    datum = Datum(model_input=ModelInput.from_ints([1, 2]), loss_fn_inputs=values)
    with server.client(api_key="tml-bytes-of-training") as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["forward_backward"] = [gate.holds(server.on_forward_backward)] * 4
        future = training.forward_backward([datum] * 4, "cross_entropy")
        assert gate.arrived.wait(10)
        open_in_the_loop(gate)
        assert future.result(10).metrics
        training.optim_step(AdamParams()).result(10)
    assert len(server.paths("forward_backward")) == 4
    assert gate.most == 1


def test_bytes_of_large_results_being_read_are_limited_for_all_clients_together() -> None:
    server = ScriptedServer(config={"inflight_response_bytes_semaphore_size": 1000})
    gate = Gate(wanted=2)

    async def announce_then_hold(request: Seen) -> Reply:
        if request.json["allow_metadata_only"]:
            return Reply(body={"status": "complete_metadata", "response_payload_size": 400})
        held: Reply = await gate.holds(server.on_retrieve_future)(request)
        return held

    services = [server.client(api_key="tml-bytes-of-results") for _ in range(2)]
    clients = [service.create_sampling_client(base_model="base").result(10) for service in services]
    server.faults["retrieve_future"] = [announce_then_hold] * 12
    futures = [client.sample(PROMPT, 1, SamplingParams()) for client in clients for _ in range(3)]
    assert gate.arrived.wait(10)
    open_in_the_loop(gate)
    for future in futures:
        assert future.result(10).sequences
    assert gate.most == 2
    for service in services:
        service.close().result(10)


@pytest.mark.parametrize("answer", [Reply(429), Reply(503), None])
def test_each_retry_of_a_sample_is_an_event_and_a_line_in_the_log(
    answer: Reply | None, caplog: pytest.LogCaptureFixture
) -> None:
    server, events = ScriptedServer(), list[Event]()
    with server.client(api_key="tml-told") as service:
        service.subscribe(events.append)
        client = service.create_sampling_client(base_model="base").result(10)
        server.faults["asample"] = [answer, answer]
        server.faults["retrieve_future"] = [Reply(410)]
        assert client.sample(PROMPT, 1, SamplingParams()).result(10).sequences
    retried = [event for event in events if event.kind == "retried"]
    assert [event.call for event in retried] == ["SamplingClient.sample"] * 3
    assert all(event.fields["wait_s"] >= 0 for event in retried)
    assert len([record for record in caplog.records if "SamplingClient.sample retried" in record.message]) == 3


def test_after_a_429_everybody_pauses_as_long_as_the_server_says_and_then_goes_carefully() -> None:
    clock = InstantClock()

    async def scene() -> None:
        pressure = Backpressure()
        assert pressure.pushed_back(clock, 10, named=7.0) == 7.0
        assert pressure.pushed_back(clock, 128 * 1024, named=None) == 1.0
        assert pressure.pushed_back(clock, 128 * 1024 + 1, named=None) == 5.0
        inside = most = 0

        async def submit() -> None:
            nonlocal inside, most
            assert clock.now() >= 7.0
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

        await asyncio.gather(*(pressure.submission(clock, 1, 10**9, submit) for _ in range(50)))
        assert most == 10
        pressure.pushed_back(clock, 10, named=7.0)
        ends = clock.now() + 7.0
        for after, expected in ((9.9, 10), (10.1, 50)):  # ten seconds long
            clock._now, most = ends + after, 0
            await asyncio.gather(*(pressure.submission(clock, 1, 10**9, submit) for _ in range(50)))
            assert most == expected

    asyncio.run(scene())


def test_bytes_weigh_more_while_the_server_has_lately_pushed_back() -> None:
    clock = InstantClock()

    async def most_at_once() -> int:
        inside = most = 0

        async def submit() -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

        await asyncio.gather(*(pressure.submission(clock, 10, 400, submit) for _ in range(60)))
        return most

    async def scene() -> tuple[int, int]:
        free = await most_at_once()
        pressure.pushed_back(clock, 10, 1.0)
        return free, await most_at_once()

    pressure = Backpressure()
    assert asyncio.run(scene()) == (40, 400 // (10 * 20))


def test_samples_are_side_by_side_and_the_wait_for_them_has_its_own_limit() -> None:
    """S3-21, S4-20: the server gives out nothing before it has all ten; a wait that is too short ends, they go on."""
    server = ScriptedServer()
    gate = Gate(wanted=10)
    with server.client(api_key="tml-side-by-side") as service:
        client = service.create_sampling_client(base_model="base").result(10)
        server.faults["retrieve_future"] = [gate.holds(server.on_retrieve_future)] * 10
        futures = [client.sample(PROMPT, 1, SamplingParams()) for _ in range(10)]
        assert gate.arrived.wait(10)
        with pytest.raises(TimeoutError):
            futures[0].result(timeout=0.01)
        open_in_the_loop(gate)
        assert [len(future.result(timeout=30.0).sequences) for future in futures] == [1] * 10
    assert gate.most == 10


def test_a_pause_that_one_key_was_told_to_make_does_not_hold_up_another() -> None:
    """S0-15, S0-29, S4-11, T-078: two clients of one key wait together, one of another key does not."""
    server, clock = ScriptedServer(), InstantClock()
    keys = ["tml-pushed-back", "tml-pushed-back", "tml-at-ease"]
    services = [server.client(api_key=key, clock=clock) for key in keys]
    clients = [service.create_sampling_client(base_model="base").result(10) for service in services]

    def waits(client: SamplingClient) -> bool:
        """Whether it pauses when the first key has just been pushed back."""
        backpressure_of(services[0]._session.connection.server).pushed_back(clock, 10, 30.0)
        before = len(clock.slept)
        client.sample(PROMPT, 1, SamplingParams()).result(10)
        return any(seconds > 1 for seconds in clock.slept[before:])

    assert [waits(client) for client in clients] == [True, True, False]
    for service in services:
        service.close().result(10)


@pytest.mark.parametrize("other", [("http://a", "key-2"), ("http://b", "key-1")])
def test_one_server_and_key_share_one_state_and_others_do_not(other: tuple[str, str]) -> None:
    assert backpressure_of(("http://a", "key-1")) is backpressure_of(("http://a", "key-1"))
    assert backpressure_of(("http://a", "key-1")) is not backpressure_of(other)


def in_a_child(check: Callable[[], bool]) -> bool:
    """What a check says in a forked child."""
    with warnings.catch_warnings():
        # The loop's thread runs: that is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if check() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_child_has_the_whole_of_every_limit() -> None:
    """What is under way, and whoever waits, is the parent's."""
    pressure, budget, clock = Backpressure(), RetryBudget(reserve=1.0, trickle_seconds=1e9), LoopClock()
    limit, held = 2, list[AbstractAsyncContextManager[None]]()

    async def one() -> None:
        held.append(pressure.sample(clock, limit))
        await held[-1].__aenter__()

    async def exhaust() -> list[asyncio.Task[Any]]:
        for _ in range(limit):
            await one()
        await budget.take(clock, 0.0)
        waiting: list[asyncio.Task[Any]] = [asyncio.ensure_future(one())]
        waiting.append(asyncio.ensure_future(budget.take(clock, clock.now() + 1e6)))
        await asyncio.sleep(0)
        return waiting

    async def all_at_once() -> bool:
        budget.give_back(1)
        for _ in range(limit):
            await asyncio.wait_for(one(), 5)
        return await asyncio.wait_for(budget.take(clock, 0.0), 5)

    waiting = loop.run(exhaust()).result(10)
    assert in_a_child(lambda: loop.run(all_at_once()).result(10))
    assert not any(task.done() for task in waiting)
    for task in waiting:
        loop.event_loop().call_soon_threadsafe(task.cancel)
