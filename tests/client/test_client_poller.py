"""Waiting for results: every answer that a poll can get, and what it leads to."""

import asyncio
import threading
import time
from collections import Counter
from typing import Any

import pytest
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, ModelInput, RetryPolicy, SamplingParams, ServiceClient
from tinker_hl.events import Event
from tinker_hl.retry import InstantClock


def step(service: ServiceClient) -> Any:
    return service.create_lora_training_client("base").result(10).optim_step(AdamParams())


TRY_AGAIN = Reply(body={"type": "try_again", "request_id": "r1", "queue_state": "active"})


@pytest.mark.parametrize(
    "before",
    [
        [TRY_AGAIN] * 5,
        [Reply(408, {"type": "try_again", "queue_state": "paused_capacity", "queue_state_reason": "full"})] * 3,
        [Reply(500), Reply(503), Reply(502, raw=b"<html>", content_type="text/html")],
        [Reply(429, headers={"retry-after": "2"}), Reply(429)],
        [Reply(400, {"detail": "noise"})] * 3,
        [None, None],
        [Reply(402, {"detail": "unpaid"})] * 2,
        [Reply(520)],
    ],
)
def test_what_is_not_final_is_waited_out(before: list[Reply | None]) -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = list(before)
        assert training.optim_step(AdamParams()).result(20).metrics == {"grad_norm": 1.0}
    polls = [request for request in server.paths("retrieve_future") if "OptimStep" in str(request.headers)]
    assert len(polls) == len(before) + 1
    assert [poll.headers["x-tinker-request-iteration"] for poll in polls] == [str(n) for n in range(len(polls))]
    assert "x-tinker-create-promise-roundtrip-time" in polls[0].headers


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(401, {"detail": "no key"}), tinker_hl.AuthenticationError),
        (Reply(403), tinker_hl.PermissionDeniedError),
        (Reply(404), tinker_hl.NotFoundError),
        (Reply(409), tinker_hl.ConflictError),
        (Reply(410), tinker_hl.ResultExpiredError),
        (Reply(422), tinker_hl.UnprocessableEntityError),
        (Reply(body={"error": "broken", "category": "server"}), tinker_hl.RequestFailedError),
        (Reply(body={"error": None}), tinker_hl.RequestFailedError),
        (Reply(raw=b'["not an object"]'), tinker_hl.APIResponseValidationError),
    ],
)
def test_what_is_final_is_typed_and_told_at_once(answer: Reply, error: type[Exception]) -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [answer]
        with pytest.raises(error) as caught:
            training.optim_step(AdamParams()).result(10)
        assert isinstance(caught.value, tinker_hl.TinkerError)
        assert training.optim_step(AdamParams()).result(10).metrics


def test_a_bad_request_that_stays_is_an_error() -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [Reply(400, {"detail": "no"})] * 4
        with pytest.raises(tinker_hl.BadRequestError):
            training.optim_step(AdamParams()).result(10)


@pytest.mark.parametrize("fault", [None, Reply(500)])
def test_an_outage_ends_in_a_typed_error_at_the_deadline(fault: Reply | None) -> None:
    server, clock = ScriptedServer(), InstantClock()
    with server.client(clock=clock, retry_policy=RetryPolicy(deadline=120.0)) as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [fault] * 10_000
        before = clock.now()
        with pytest.raises((tinker_hl.APIConnectionError, tinker_hl.InternalServerError)):
            training.optim_step(AdamParams()).result(20)
        assert clock.now() - before <= 121


def test_a_server_that_does_not_hold_polls_is_not_asked_without_pause() -> None:
    server, clock = ScriptedServer(), InstantClock()
    with server.client(clock=clock) as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [TRY_AGAIN] * 20
        before = clock.now()
        training.optim_step(AdamParams()).result(20)
        assert clock.now() - before > 10


def test_a_large_result_is_announced_first() -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [Reply(body={"status": "complete_metadata", "response_payload_size": 10**9})]
        training.optim_step(AdamParams()).result(10)
    assert [poll.json["allow_metadata_only"] for poll in server.paths("retrieve_future")[-2:]] == [True, False]


def test_a_long_poll_is_one_request() -> None:
    """Promise R2: a result that comes while the poll is held costs one round trip."""
    server = ScriptedServer()

    async def hold(request: Seen) -> Reply:
        await asyncio.sleep(0.2)
        return Reply(body={"metrics": {"grad_norm": 2.0}})

    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [hold]
        started = time.monotonic()
        assert training.optim_step(AdamParams()).result(10).metrics == {"grad_norm": 2.0}
        assert time.monotonic() - started < 5
    assert len(server.paths("retrieve_future")) == 2


def test_announced_samples_are_fetched_once_and_acknowledged() -> None:
    server = ScriptedServer(config={"sample_use_retrieve_futures": True})
    told: list[str] = []
    all_submitted = asyncio.Event()

    async def submit(request: Seen) -> Reply:
        if len(server.paths("asample")) == 3:
            all_submitted.set()
        return Reply(body=server.on_asample(request))

    server.faults["asample"] = [submit] * 3

    async def announce(request: Seen) -> Reply:
        if request.json.get("timeout") == 0:
            return Reply(body={"completions": [], "cursor": len(told)})
        await all_submitted.wait()
        ids = [f"r{number}" for number in range(3)]
        new = [request_id for request_id in ids if request_id not in told]
        told.extend(new)
        completions = [{"state": "finished", "request_id": request_id} for request_id in new]
        return Reply(body={"completions": completions, "cursor": len(told)})

    server.faults["retrieve_futures"] = [announce] * 50
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        futures = [sampling.sample(ModelInput.from_ints([1]), 1, SamplingParams()) for _ in range(3)]
        assert [future.result(10).sequences[0].tokens for future in futures] == [[1, 2]] * 3
    assert sorted(poll.json["request_id"] for poll in server.paths("retrieve_future")) == ["r0", "r1", "r2"]
    assert server.paths("retrieve_futures")[0].json["target"] == {
        "type": "sampling_session", "sampling_session_id": "S:sample:0", "cloned_sampler_id": 0,
    }  # fmt: skip


def test_a_sample_that_begins_while_others_are_acknowledged_is_not_forgotten() -> None:
    server = ScriptedServer(config={"sample_use_retrieve_futures": True})
    acknowledging = threading.Event()
    both_wait, first_fetched, last_waits = asyncio.Event(), asyncio.Event(), asyncio.Event()
    submitted: list[str] = []
    counts: Counter[str] = Counter()

    def listen(event: Event) -> None:
        # A step of the client's task ends soon after it tells: by then a sent sample waits, a done one is noted.
        counts[event.kind] += 1
        reached = {("sent", 2): both_wait, ("done", 1): first_fetched, ("sent", 3): last_waits}
        if happened := reached.get((event.kind, counts[event.kind])):
            asyncio.get_running_loop().call_soon(happened.set)

    async def submit(request: Seen) -> Reply:
        body = server.on_asample(request)
        submitted.append(body["request_id"])
        return Reply(body=body)

    async def announce(request: Seen) -> Reply:
        if request.json.get("timeout") == 0 and not last_waits.is_set():
            acknowledging.set()
            await asyncio.wait_for(last_waits.wait(), 5)
        known = len(submitted)
        if request.json["prev_cursor"] == 0:
            await asyncio.wait_for(both_wait.wait(), 5)
            known = 1
        elif request.json["prev_cursor"] == 1:
            # The second is announced when the first was fetched, so that there is something to acknowledge.
            await asyncio.wait_for(first_fetched.wait(), 5)
        completions = [{"state": "finished", "request_id": request_id} for request_id in submitted[:known]]
        return Reply(body={"completions": completions, "cursor": known})

    server.faults["asample"] = [submit] * 3
    server.faults["retrieve_futures"] = [announce] * 50
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base").result(10)
        service.subscribe(listen)
        both = [sampling.sample(ModelInput.from_ints([1]), 1, SamplingParams()) for _ in range(2)]
        assert all(future.result(10) for future in both)
        assert acknowledging.wait(5)
        assert sampling.sample(ModelInput.from_ints([1]), 1, SamplingParams()).result(10)


def test_closing_while_announcements_are_awaited_is_no_failure_to_tell_of() -> None:
    server = ScriptedServer(config={"sample_use_retrieve_futures": True})
    asked = threading.Event()
    told: list[Event] = []

    async def keep(request: Seen) -> Reply:
        asked.set()
        return Reply(body=await asyncio.Event().wait())

    server.faults["retrieve_futures"] = [keep]
    service = server.client()
    sampling = service.create_sampling_client(base_model="base").result(10)
    service.subscribe(told.append)
    future = sampling.sample(ModelInput.from_ints([1]), 1, SamplingParams())
    assert asked.wait(10)
    service.close().result(10)
    with pytest.raises(tinker_hl.SessionClosedError):
        future.result(10)
    assert [event for event in told if event.fields.get("level", 0) >= 30] == []


@pytest.mark.parametrize("answer", [Reply(404), Reply(raw=b"[]"), Reply(raw=b"{"), Reply(body={"completions": 3})])
def test_unreadable_announcements_strand_nobody(answer: Reply) -> None:
    server = ScriptedServer(config={"sample_use_retrieve_futures": True})
    server.faults["retrieve_futures"] = [answer] * 50
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        assert sampling.sample(ModelInput.from_ints([1]), 1, SamplingParams()).result(10)


def test_without_announcements_everybody_asks_for_their_own() -> None:
    server = ScriptedServer(config={"sample_use_retrieve_futures": True})
    with server.client() as service:
        sampling = service.create_sampling_client(base_model="base")
        response = sampling.sample(ModelInput.from_ints([1]), 1, SamplingParams()).result(10)
    assert response.sequences[0].tokens == [1, 2]
