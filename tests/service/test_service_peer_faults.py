"""Faults met in other servers of this API, by their number in the list of them; 1, 2, 3 and 5 need the real engine.

Some are held by more than one test; this is where each is looked for by name.
"""

import time
from typing import Any

import pytest
from service_bench import OPERATIONS, SOURCES, Api, Bench, GatedEngine, sample_body

from tinker_local.engine.null import NullEngine
from tinker_local.handlers import HANDLERS


def where(path: str) -> dict[str, str]:
    run_id, kind, name = path.removeprefix("tinker://").split("/")
    return {"training_run_id": run_id, "checkpoint_kind": kind, "checkpoint_name": name}


class CountingEngine(NullEngine):
    """Counts what changes something."""

    def __init__(self) -> None:
        super().__init__(SOURCES)
        self.made = self.saved = self.loaded = 0

    async def create_adapter(self, *given: Any) -> None:
        self.made += 1
        await super().create_adapter(*given)

    async def save_adapter(self, *given: Any, optimizer: bool) -> None:
        self.saved += 1
        await super().save_adapter(*given, optimizer=optimizer)

    async def load_adapter(self, *given: Any, **options: Any) -> Any:
        self.loaded += 1
        return await super().load_adapter(*given, **options)


def test_peer_fault_04_ready_means_ready_and_the_engine_comes_back(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    session_id = api.session()

    def die_and_look() -> bool:
        engine.die()
        return api.service.supervision.ready

    assert api.do(die_and_look) is False
    api.run(api.service.supervision.wait_ready())
    assert api.ok("get_health") == {"status": "ok"}
    api.ok("heartbeat_session", body={"session_id": session_id})
    assert api.model(session_id)


def test_peer_fault_06_a_repeated_call_is_applied_once(bench: Bench) -> None:
    engine = CountingEngine()
    api = bench.start(engine)
    session_id = api.session()
    create = {"session_id": session_id, "model_seq_id": 0, "base_model": "null/base"}
    model_id = [api.result(api.ok("create_model", body=create))["model_id"] for _ in range(3)][-1]
    save = {"model_id": model_id, "seq_id": 1, "path": "a"}
    path = [api.result(api.ok("save_weights", body=save))["path"] for _ in range(3)][-1]
    into = {"model_id": model_id, "seq_id": 2, "path": path, "optimizer": True}
    new = {"session_id": session_id, "model_seq_id": 1, "path": path, "optimizer": True}
    for body in (into, new) * 3:
        api.result(api.ok("load_weights", body=body))
    assert (engine.made, engine.saved, engine.loaded) == (1, 1, 2)


def test_peer_fault_07_the_service_is_never_told_of_shapes(api: Api) -> None:
    """Every length takes the same way: nothing is padded, grouped or prepared before the engine has it."""
    sampler_id = api.sampler(api.session())
    for number, length in enumerate((1, 2, 3, 17, 500, 4001)):
        body = sample_body(sampler_id, number, prompt={"chunks": [{"tokens": [1] * length}]}, prompt_logprobs=True)
        assert len(api.result(api.ok("sample", body=body))["prompt_logprobs"]) == length


def test_peer_fault_08_a_long_sample_blocks_nobodys_training(bench: Bench) -> None:
    class LongSamples(GatedEngine):
        async def forward_backward(self, *given: Any, **named: Any) -> Any:
            return await NullEngine.forward_backward(self, *given, **named)

    engine = LongSamples()
    api = bench.start(engine)
    session_id = api.session()
    model_id, sampler_id = api.model(session_id), api.sampler(session_id)
    api.do(engine.gate.clear)
    long_one = api.sample(sampler_id)
    assert "metrics" in api.result(api.forward_backward(model_id, 1))
    api.do(engine.gate.set)
    assert "sequences" in api.result(long_one)


def test_peer_fault_09_waiters_are_woken_in_memory(api: Api) -> None:
    """No polling of a database: even on a busy machine the median round trip is far below a polling interval."""
    model_id = api.model()
    took = []
    for seq_id in range(1, 42, 2):
        began = time.perf_counter()
        passed = api.forward_backward(model_id, seq_id)
        step = api.ok("optim_step", body={"model_id": model_id, "seq_id": seq_id + 1, "adam_params": {}})
        api.result(passed)
        api.result(step)
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 2] < 0.1


def test_peer_fault_10_a_model_knows_nothing_of_the_others(api: Api) -> None:
    """What the engine is told of one model's step names that model alone, however many there are."""
    session_id = api.session()
    models = [api.model(session_id, number) for number in range(8)]
    for model_id in models:
        api.forward_backward(model_id, 1)
    step = api.ok("optim_step", body={"model_id": models[3], "seq_id": 2, "adam_params": {}})
    assert api.result(step)["metrics"]["passes:sum"] == 1.0


def test_peer_fault_11_keys_are_checked_results_deleted_sessions_ended(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-key",), session_timeout_seconds=60)
    api.refused(401, "create_session", body={"tags": [], "sdk_version": "1"})
    api.headers = {"x-api-key": "tml-key"}
    session_id = api.session()
    api.result(api.forward_backward(api.model(session_id), 1))
    bench.clock.ahead += 61  # it never sent a heartbeat
    api.run(api.service.sweep())
    api.refused(410, "heartbeat_session", body={"session_id": session_id})
    bench.clock.ahead += 10_000
    api.run(api.service.sweep())
    assert len(api.service.futures) == 0


def test_peer_fault_12_what_stays_wrong_is_no_409(api: Api) -> None:
    model_id = api.model()
    path = api.save(model_id, 1, "a")
    api.refused(400, "save_weights", body={"model_id": model_id, "seq_id": 2, "path": "a"})
    api.refused(400, "unpublish_checkpoint", path=where(path))


def test_peer_fault_13_as_many_prompt_logprobs_as_tokens(api: Api) -> None:
    body = sample_body(api.sampler(api.session()), 0, prompt_logprobs=True)
    values = api.result(api.ok("sample", body=body))["prompt_logprobs"]
    assert len(values) == 3
    assert values[0] is None


def test_peer_fault_14_what_the_newest_client_needs(api: Api) -> None:
    session_id = api.session()
    model_id = api.model(session_id)
    assert "loss:sum" in api.result(api.forward_backward(model_id, 1))["metrics"]
    path = api.save(model_id, 2, "a")
    assert len(api.sample(api.sampler(session_id), num_samples=3)["sample_sequence_ids"]) == 3
    load = {"session_id": session_id, "model_seq_id": 1, "path": path, "optimizer": False}
    assert api.result(api.ok("load_weights", body=load))["model_id"] == f"{session_id}:train:1"
    api.ok("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}, "detail": None})


@pytest.mark.parametrize(
    "operation_id",
    ["set_checkpoint_ttl", "publish_checkpoint", "list_sessions", "list_checkpoints", "get_checkpoint_storage_usage"],
)
def test_peer_fault_15_the_whole_api_is_there(operation_id: str) -> None:
    assert operation_id in OPERATIONS
    assert operation_id in HANDLERS


def test_peer_fault_15_nothing_is_left_out() -> None:
    assert set(HANDLERS) == set(OPERATIONS)
    assert len(OPERATIONS) == 50
