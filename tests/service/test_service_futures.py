"""Promises: waiters are woken, results outlive their delivery, news comes in order, nothing waits for ever."""

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_bench import PROTOBUF, Api, Bench, GatedEngine, MovedClock
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.errors import ApiError
from tinker_local.futures import Feed, Futures, JsonAnswer, Promise
from tinker_local.settings import Settings
from tinker_local.unfetched import Unfetched


def made(request_id: str, **more: Any) -> Promise:
    return Promise(request_id=request_id, owner="me", **more)


def futures(clock: MovedClock | None = None, known: str = "") -> Futures:
    clock = clock or MovedClock()
    return Futures(
        clock,
        300.0,
        unfetched=Unfetched(clock.monotonic, 300.0, 1000, 2**30),
        recall=lambda _: None,
        existed=lambda request_id, _: request_id == known,
    )


def test_every_waiter_is_woken_at_once() -> None:
    async def story() -> list[Any]:
        promise = made("r")
        waiters = [asyncio.create_task(promise.wait(60)) for _ in range(20)]
        await asyncio.sleep(0)
        promise.resolve(JsonAnswer({"n": 1}))
        return await asyncio.gather(*waiters)

    assert asyncio.run(story()) == [JsonAnswer({"n": 1})] * 20


def test_a_wait_ends_with_its_time_and_leaves_nothing_behind() -> None:
    promise = made("r")
    assert asyncio.run(promise.wait(0.01)) is None
    assert promise.on_done == []


def test_the_first_answer_stays() -> None:
    promise = made("r")
    promise.fail("first", "user")
    promise.resolve(JsonAnswer({}))
    assert promise.answer is not None
    assert promise.answer.json() == b'{"error":"first","category":"user"}'


@pytest.mark.parametrize("deliveries", [1, 3])
def test_r04_a_result_is_kept_for_300_seconds_after_each_delivery(deliveries: int) -> None:
    clock = MovedClock()
    held = futures(clock)
    promise = held.add(made("r", session_id="s"))
    promise.resolve(JsonAnswer({}))
    for _ in range(deliveries):
        held.delivered(held.get("r", "me"))
        clock.ahead += 299
        held.sweep(lambda _: True)
    clock.ahead += 2
    held.sweep(lambda _: True)
    with pytest.raises(ApiError) as refusal:
        held.get("r", "me")
    assert refusal.value.status == 410


def test_what_nobody_fetched_stays_while_its_session_is_open() -> None:
    clock = MovedClock()
    held = futures(clock)
    held.add(made("r", session_id="s")).resolve(JsonAnswer({}))
    clock.ahead += 10_000
    held.sweep(lambda _: True)
    assert held.get("r", "me").done
    held.sweep(lambda _: False)
    clock.ahead += 301
    held.sweep(lambda _: False)
    assert len(held) == 0


def test_what_is_open_is_never_forgotten() -> None:
    clock = MovedClock()
    held = futures(clock)
    held.add(made("r", session_id="s"))
    for _ in range(3):
        clock.ahead += 10_000
        held.sweep(lambda _: False)
    assert not held.get("r", "me").done


def test_unknown_others_and_of_an_earlier_life() -> None:
    held = futures(known="earlier")
    held.add(made("r"))
    for request_id, owner, status in (("r", "other", 404), ("never", "me", 404), ("earlier", "me", 410)):
        with pytest.raises(ApiError) as refusal:
            held.get(request_id, owner)
        assert refusal.value.status == status


@given(st.lists(st.one_of(st.just("announce"), st.integers(0, 30)), max_size=40))
def test_a_feed_tells_each_completion_until_it_is_acknowledged(steps: list[Any]) -> None:
    async def story() -> None:
        feed, announced, acknowledged = Feed(), 0, 0
        for step in steps:
            if step == "announce":
                announced += 1
                feed.announce(made(str(announced)))
                continue
            cursor = min(step, announced)
            if cursor < acknowledged:
                continue
            acknowledged = cursor
            news, after = await feed.after(cursor, 0)
            assert [promise.request_id for promise in news] == [str(n) for n in range(cursor + 1, announced + 1)]
            assert after == announced

    asyncio.run(story())


def test_news_that_nobody_asks_for_go_with_their_results() -> None:
    """Clients before 0.23 ask for each result by itself: their feeds would grow as long as their session."""
    clock = MovedClock()
    held = futures(clock)
    feed = held.feed("s:sample:0", 0)
    for number in range(20):
        promise = held.add(made(str(number), feed=feed))
        promise.resolve(JsonAnswer({}))
        if number % 2:
            held.delivered(promise)
    for left in ([str(number) for number in range(0, 20, 2)], []):  # those that nobody fetched are kept from now on
        clock.ahead += 301.0
        held.sweep(lambda _: True)
        news, cursor = asyncio.run(feed.after(0, 0))
        assert ([promise.request_id for promise in news], cursor) == (left, 20)


def test_a_poll_is_held_and_ends_with_the_result(bench: Bench) -> None:
    """R2: a poll that finds no result costs nothing; it is answered as soon as the work is done."""
    engine = GatedEngine()
    api = bench.start(engine, long_poll_seconds=20.0)
    model_id = api.model()
    api.do(engine.gate.clear)
    submitted = api.forward_backward(model_id, 1)
    polls = [api.later("retrieve_future", body={"request_id": submitted["request_id"]}) for _ in range(5)]
    api.do(lambda: None)
    assert not any(poll.done() for poll in polls)
    opened = time.monotonic()
    api.do(engine.gate.set)
    answers = [poll.result(10).json() for poll in polls]
    assert time.monotonic() - opened < 5.0, "it is not held to its end"
    assert all(answer == answers[0] and "metrics" in answer for answer in answers)


def test_a_poll_is_answered_within_its_time(bench: Bench) -> None:
    """R3: held no longer than the setting says, whatever the work does."""
    engine = GatedEngine()
    api = bench.start(engine, long_poll_seconds=0.05)
    model_id = api.model()
    api.do(engine.gate.clear)
    submitted = api.forward_backward(model_id, 1)
    answer = api.ok("retrieve_future", body={"request_id": submitted["request_id"]})
    assert answer == {"type": "try_again", "request_id": submitted["request_id"], "queue_state": "active"}
    api.do(engine.gate.set)


def test_the_settings_keep_the_promises(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, models=())
    assert settings.long_poll_seconds <= 30
    assert settings.result_retention_seconds >= 300


def test_r04_a_thousand_dropped_polls_lose_no_result(bench: Bench) -> None:
    """R4: whoever hangs up while a result is delivered finds it again."""
    engine = GatedEngine()
    api = bench.start(engine, long_poll_seconds=20.0)
    sampler_id = api.sampler(api.session())
    api.do(engine.gate.clear)
    submitted = [api.sample(sampler_id, seq_id) for seq_id in range(100)]
    polls = [
        api.later("retrieve_future", body={"request_id": promise["request_id"]})
        for promise in submitted
        for _ in range(10)
    ]
    api.do(lambda: None)
    for poll in polls[::2]:
        poll.cancel()
    api.do(engine.gate.set)
    for promise in submitted:
        assert len(api.result(promise)["sequences"]) == 1


def test_clients_get_the_form_that_they_ask_for(api: Api) -> None:
    submitted = api.sample(api.sampler(api.session()), num_samples=2, prompt_logprobs=True)
    assert len(submitted["sample_sequence_ids"]) == len(set(submitted["sample_sequence_ids"])) == 2
    as_json = api.result(submitted)
    assert [sequence["tokens"] for sequence in as_json["sequences"]] == [[0, 1], [0, 1]]
    assert as_json["prompt_logprobs"] == [None, 0.0, 0.0]
    headers = {"accept": PROTOBUF}
    response = api.answer("retrieve_future", body={"request_id": submitted["request_id"]}, headers=headers)
    as_protobuf = pb.SampleResponse.FromString(response.content)
    assert [np.frombuffer(sequence.tokens, "<i4").tolist() for sequence in as_protobuf.sequences] == [[0, 1], [0, 1]]


def test_failures_and_small_results_are_json_for_everybody(api: Api) -> None:
    model_id = api.model()
    api.forward_backward(model_id, 1)
    step = api.ok("optim_step", body={"model_id": model_id, "seq_id": 2, "adam_params": {}})
    response = api.answer("retrieve_future", body={"request_id": step["request_id"]}, headers={"accept": PROTOBUF})
    assert response.headers["content-type"] == "application/json"


def test_completions_of_one_client_of_a_sampling_session(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine, long_poll_seconds=20.0)
    sampler_id = api.sampler(api.session())
    copy = api.ok("join_sampling_session", body={"sampling_session_id": sampler_id})["client_counter"]
    target = {"type": "sampling_session", "sampling_session_id": sampler_id}
    theirs = {**target, "cloned_sampler_id": copy}
    assert api.ok("retrieve_futures", body={"target": target, "timeout": 0}) == {"completions": [], "cursor": 0}
    api.do(engine.gate.clear)
    waiting = api.later("retrieve_futures", body={"target": target})
    mine = api.sample(sampler_id, 0)
    other = api.sample(sampler_id, copy * 1_000_000_000)
    api.do(engine.gate.set)
    news = waiting.result(10).json()
    assert [completion["request_id"] for completion in news["completions"]] == [mine["request_id"]]
    assert news["completions"][0]["response_payload_uncompressed_size"] > 0
    seen = api.ok("retrieve_futures", body={"target": theirs})
    assert [completion["request_id"] for completion in seen["completions"]] == [other["request_id"]]
    body = {
        "target": target,
        "prev_cursor": news["cursor"],
        "retrieved_request_ids": [mine["request_id"]],
        "timeout": 0,
    }
    assert api.ok("retrieve_futures", body=body)["completions"] == []
    api.run(api.service.sweep())
    api.refused(410, "retrieve_future", body={"request_id": mine["request_id"]})


def test_a_cancelled_sample_fails_and_others_go_on(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    sampler_id = api.sampler(api.session())
    api.do(engine.gate.clear)
    given_up, kept = api.sample(sampler_id, 0), api.sample(sampler_id, 1)
    for request_id in (given_up["request_id"], given_up["request_id"], "unknown"):
        assert api.ok("cancel_future", body={"request_id": request_id}) is None
    assert api.result(given_up) == {"error": "the request was cancelled", "category": "user"}
    api.do(engine.gate.set)
    assert "sequences" in api.result(kept)
    api.ok("cancel_future", body={"request_id": kept["request_id"]})
    assert "sequences" in api.result(kept)
