"""Sampling sessions: opened on a base model, a checkpoint or weights in memory; samples admitted, repeated, refused."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from service_bench import SOURCES, TINY, Api, Bench, GatedEngine, sample_body

from tinker_local.engine.null import NullEngine
from tinker_local.engine.process import ProcessEngine
from tinker_local.engine.protocol import Hold, OnHold, SampleJob, SampleOutput


def saved_for_sampler(api: Api, model_id: str, seq_id: int, name: str = "ck") -> str:
    body = {"model_id": model_id, "seq_id": seq_id, "path": name}
    return str(api.result(api.ok("save_weights_for_sampler", body=body))["path"])


def test_a_base_model(api: Api) -> None:
    sampler_id = api.sampler(api.session(), base_model="null/alias")
    shown = api.ok("get_sampler", path={"sampler_id": sampler_id})
    assert shown == {"sampler_id": sampler_id, "base_model": "null/alias", "model_path": None}
    assert api.result(api.sample(sampler_id))["sequences"][0]["tokens"] == [0, 1]


@pytest.mark.parametrize("kind", ["sampler_weights", "weights"])
def test_a_checkpoint(api: Api, kind: str) -> None:
    session_id = api.session()
    model_id = api.model(session_id)
    path = saved_for_sampler(api, model_id, 1) if kind == "sampler_weights" else api.save(model_id, 1, "ck")
    assert path == f"tinker://{model_id}/{kind}/ck"
    sampler_id = api.sampler(session_id, 3, model_path=path)
    assert api.ok("get_sampler", path={"sampler_id": sampler_id})["model_path"] == path
    assert "sequences" in api.result(api.sample(sampler_id))


def test_weights_in_memory(api: Api) -> None:
    session_id = api.session()
    model_id = api.model(session_id)
    body = {"model_id": model_id, "seq_id": 1, "sampling_session_seq_id": 0, "kind": "inflight"}
    saved = api.result(api.ok("save_weights_for_sampler", body=body))
    assert (saved["sampling_session_id"], saved["path"]) == (f"{session_id}:sample:0", None)
    assert "sequences" in api.result(api.sample(saved["sampling_session_id"]))
    again = api.ok("save_weights_for_sampler", body={**body, "sampling_session_seq_id": 1})
    assert api.result(again) == saved, "a client that tries again counts its sampling sessions on"
    api.refused(409, "save_weights_for_sampler", body={**body, "seq_id": 2})
    api.refused(422, "save_weights_for_sampler", body={"model_id": model_id, "seq_id": 2})


@pytest.mark.parametrize(
    ("on", "status"),
    [
        ({}, 400),
        ({"base_model": "unknown"}, 400),
        ({"model_path": "tinker://R/sampler_weights/none"}, 404),
        ({"model_path": "/etc/passwd"}, 400),
        ({"model_path": "tinker://../sampler_weights/x"}, 400),
        ({"model_path": "tinker://R/sampler_weights/../x"}, 400),
        ({"session_id": "unknown", "base_model": "null/base"}, 404),
        ({"base_model": "null/base", "sampling_session_seq_id": -1}, 422),
    ],
)
def test_what_cannot_be_sampled_from_is_refused(api: Api, on: dict[str, Any], status: int) -> None:
    api.refused(
        status,
        "create_sampling_session",
        body={"session_id": api.session(), "sampling_session_seq_id": 0, **on},
    )


def test_opening_again_is_the_same_and_on_something_else_refused(api: Api) -> None:
    session_id = api.session()
    assert api.sampler(session_id) == api.sampler(session_id)
    body = {"session_id": session_id, "sampling_session_seq_id": 0, "base_model": "null/alias"}
    api.refused(409, "create_sampling_session", body=body)


def test_the_same_number_is_the_same_request(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    sampler_id = api.sampler(api.session())
    first = api.sample(sampler_id, 7)
    assert api.sample(sampler_id, 7) == first
    api.refused(409, "sample", body=sample_body(sampler_id, 7, num_samples=2))
    api.result(first)
    assert [what for what, _ in engine.told] == ["sample"]
    bench.clock.ahead += 10_000
    api.ok("heartbeat_session", body={"session_id": sampler_id.partition(":")[0]})
    for _ in range(2):
        api.run(api.service.sweep())
    assert api.sample(sampler_id, 7) == first, "even when its result is no longer kept"
    api.refused(410, "retrieve_future", body={"request_id": first["request_id"]})


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"num_samples": 0}, ["body", "num_samples"]),
        ({"num_samples": 100_000}, ["body", "num_samples"]),
        ({"seq_id": None}, ["body", "seq_id"]),
        ({"prompt": {"chunks": []}}, ["body", "prompt", "chunks"]),
        ({"prompt": {"chunks": [{"tokens": [1] * 40_000}]}}, ["body", "prompt"]),
        ({"prompt": {"chunks": [{"tokens": [10**6]}]}}, ["body", "prompt"]),
        ({"sampling_params": {"temperature": -1}}, ["body", "sampling_params", "temperature"]),
        ({"sampling_params": {"max_tokens": 0}}, ["body", "sampling_params", "max_tokens"]),
        ({"sampling_params": {"top_p": 1.5}}, ["body", "sampling_params", "top_p"]),
        ({"prompt_logprobs_last_n": 1}, ["body", "prompt_logprobs_last_n"]),
    ],
)
def test_a_sample_that_makes_no_sense_is_refused_by_field(api: Api, change: dict[str, Any], loc: list[str]) -> None:
    body = {**sample_body(api.sampler(api.session()), 0), **change}
    assert api.refused(422, "sample", body=body)["detail"][0]["loc"][: len(loc)] == loc


def test_more_than_the_most_are_sent_away_and_welcome_later(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine, max_pending_samples=2)
    sampler_id = api.sampler(api.session())
    api.do(engine.gate.clear)
    admitted = [api.sample(sampler_id, number) for number in range(2)]
    response = api.answer("sample", body=sample_body(sampler_id, 2))
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert api.sample(sampler_id, 1) == admitted[1], "a repeat needs no room"
    api.do(engine.gate.set)
    for promise in admitted:
        api.result(promise)
    assert "sequences" in api.result(api.sample(sampler_id, 2))


class HoldingEngine(GatedEngine):
    """Says that a sample waits, for as long as the gate is closed."""

    hold = Hold("capacity", "the cache is full")

    async def sample(self, job: SampleJob, on_hold: OnHold | None = None) -> SampleOutput:
        assert on_hold is not None
        on_hold(self.hold)
        await self.gate.wait()
        on_hold(None)
        return await super().sample(job, on_hold)


@pytest.mark.parametrize(("cause", "state"), [("capacity", "paused_capacity"), ("share", "paused_rate_limit")])
def test_a_sample_that_waits_says_why_at_each_poll(bench: Bench, cause: Any, state: str) -> None:
    engine = HoldingEngine()
    engine.hold = Hold(cause, "for a reason")
    api = bench.start(engine, long_poll_seconds=0.0)
    api.do(engine.gate.clear)
    promise = api.sample(api.sampler(api.session()), 0)
    asked = {"request_id": promise["request_id"]}
    waiting = {"type": "try_again", **asked, "queue_state": state, "queue_state_reason": "for a reason"}
    assert api.ok("retrieve_future", body=asked) == waiting
    api.do(engine.gate.set)
    assert "sequences" in api.result(promise)


def test_a_sample_that_can_never_fit_the_cache_is_refused_by_field(bench: Bench) -> None:
    api = bench.start(ProcessEngine([TINY], threads=1, kv_cache_tokens=100), models=(TINY,), long_poll_seconds=20.0)
    (model,) = api.ok("get_server_capabilities")["supported_models"]
    assert model["kv_cache_tokens"] == 100
    sampler_id = api.sampler(api.session(), base_model=TINY.name)
    body = sample_body(sampler_id, 0, prompt={"chunks": [{"tokens": [5] * 60}]})
    error = api.refused(422, "sample", body={**body, "sampling_params": {"max_tokens": 41}})["detail"][0]
    assert error["loc"] == ["body", "sampling_params", "max_tokens"]
    assert "ask for at most 40" in error["msg"]
    error = api.refused(422, "sample", body={**body, "prompt": {"chunks": [{"tokens": [5] * 100}]}})["detail"][0]
    assert error["loc"] == ["body", "prompt"]
    fitting = {**body, "sampling_params": {"max_tokens": 40, "stop": []}}
    assert len(api.result(api.ok("sample", body=fitting))["sequences"][0]["tokens"]) == 40


def test_sampling_without_a_session(api: Api) -> None:
    body = sample_body("", 0)
    del body["sampling_session_id"], body["seq_id"]
    promise = api.ok("sample", body={**body, "base_model": "null/base"})
    assert len(promise["sample_sequence_ids"]) == 1
    assert "sequences" in api.result(promise)
    api.refused(400, "sample", body=body)
    path = saved_for_sampler(api, api.model(), 1)
    assert "sequences" in api.result(api.ok("sample", body={**body, "model_path": path}))
    api.run(api.service.sweep())
    assert len(api.service.engine_samplers) == 0


def test_samplers_of_the_same_weights_share_the_engines(api: Api) -> None:
    session_id = api.session()
    for number in range(4):
        api.result(api.sample(api.sampler(session_id, number)))
    assert len(api.service.engine_samplers) == 1


class SlowSamplers(NullEngine):
    """An engine that has made a sampler when it is let."""

    def __init__(self) -> None:
        super().__init__(SOURCES)
        self.asked, self.may = asyncio.Event(), asyncio.Event()
        self.has: set[str] = set()

    async def create_sampler(
        self, sampler_id: str, base_model: str | None, *, model_id: str | None = None, directory: Path | None = None
    ) -> None:
        await super().create_sampler(sampler_id, base_model, model_id=model_id, directory=directory)
        self.has.add(sampler_id)
        self.asked.set()
        await self.may.wait()

    async def unload_sampler(self, sampler_id: str) -> None:
        await super().unload_sampler(sampler_id)
        self.has.discard(sampler_id)


def test_a_session_that_ends_while_its_sampler_is_made_leaves_none_behind(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    engine = SlowSamplers()
    api = bench.start(engine)
    session_id = api.session()
    body = {"model_id": api.model(session_id), "seq_id": 1, "sampling_session_seq_id": 0}
    submitted = api.ok("save_weights_for_sampler", body=body)
    api.run(engine.asked.wait())
    api.ok("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    api.do(engine.may.set)
    failure = api.result(submitted)
    assert (failure["category"], session_id in failure["error"]) == ("user", True)
    assert not engine.has
    assert not len(api.service.engine_samplers)
    assert "Traceback" not in caplog.text


def test_who_comes_while_the_last_user_of_a_sampler_leaves_has_one(bench: Bench) -> None:
    """The first session ends while the engine makes what both sample from."""
    engine = SlowSamplers()
    api = bench.start(engine)
    first, second = api.session(), api.session()
    api.sampler(first)
    api.run(engine.asked.wait())
    ended = api.later("finish_session", path={"session_id": first}, body={"reason": {"type": "success"}})
    while len(api.service.engine_samplers):
        api.do(lambda: None)
    submitted = api.sample(api.sampler(second))
    api.do(engine.may.set)
    assert ended.result(10).is_success
    assert "sequences" in api.result(submitted)
    assert "sequences" in api.result(api.sample(f"{second}:sample:0", 1))


def test_a_session_keeps_the_weights_that_it_was_opened_on(api: Api) -> None:
    session_id = api.session()
    model_id = api.model(session_id)
    path = api.save(model_id, 1, "ck")
    before = api.sampler(session_id, 0, model_path=path)
    api.result(api.sample(before, 0))
    api.save(model_id, 2, "ck", overwrite=True)
    after = api.sampler(session_id, 1, model_path=path)
    assert "sequences" in api.result(api.sample(before, 1))
    assert "sequences" in api.result(api.sample(after, 0))
    assert len(api.service.engine_samplers) == 2


def test_a_sampling_session_survives_a_restart_unless_its_weights_were_in_memory(bench: Bench) -> None:
    first = bench.start()
    session_id = first.session()
    model_id = first.model(session_id)
    on_disk = first.sampler(session_id, 0, model_path=saved_for_sampler(first, model_id, 1))
    body = {"model_id": model_id, "seq_id": 2, "sampling_session_seq_id": 1}
    in_memory = first.result(first.ok("save_weights_for_sampler", body=body))["sampling_session_id"]
    bench.stop(first)
    second = bench.start()
    assert "sequences" in second.result(second.sample(on_disk, 0))
    failure = second.result(second.sample(in_memory, 0))
    assert (failure["category"], "only in its memory" in failure["error"]) == ("server", True)
