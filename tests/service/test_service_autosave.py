"""Runs that come back by themselves: from their newest automatic save, and the calls that were accepted after it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from service_bench import Api, Bench, GatedEngine, pass_body

from tinker_local import weights_tokens
from tinker_local.engine.protocol import AdamSettings, EngineDiedError
from tinker_local.signing import SECRET_FILE, WEIGHTS_TOKENS, derived, kept_secret
from tinker_local.store.paths import CheckpointPath


class CountingEngine(GatedEngine):
    """An engine whose adapters are the number of steps that they have seen."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[str, int] = {}

    async def create_adapter(self, model_id: str, base_model: str, lora: Any) -> None:
        for _ in range(5):  # as in a process of its own, the answer does not come in the same moment
            await asyncio.sleep(0)
        await super().create_adapter(model_id, base_model, lora)
        self.steps[model_id] = 0

    async def optim_step(self, model_id: str, settings: AdamSettings) -> Mapping[str, float]:
        metrics = await super().optim_step(model_id, settings)
        self.steps[model_id] += 1
        return {**metrics, "steps:sum": float(self.steps[model_id])}

    async def save_adapter(self, model_id: str, directory: Path, *, optimizer: bool) -> None:
        await super().save_adapter(model_id, directory, optimizer=optimizer)
        (directory / "steps").write_text(str(self.steps[model_id]))

    async def load_adapter(
        self, model_id: str, base_model: str | None, directory: Path, *, optimizer: bool, family: Any = None
    ) -> Any:
        lora = await super().load_adapter(model_id, base_model, directory, optimizer=optimizer, family=family)
        self.steps[model_id] = int((directory / "steps").read_text())
        return lora


class FatalEngine(CountingEngine):
    """An engine that dies of every pass."""

    async def forward_backward(self, *_: Any, **__: Any) -> Any:
        await asyncio.sleep(0)
        self.die()
        raise EngineDiedError("it died of this")


class SlowEngine(CountingEngine):
    """An engine that takes its time to start."""

    def __init__(self) -> None:
        super().__init__()
        self.start_allowed = asyncio.Event()

    async def start(self) -> Any:
        await self.start_allowed.wait()
        return await super().start()


def step(api: Api, model_id: str, seq_id: int) -> Any:
    body = {"model_id": model_id, "seq_id": seq_id, "adam_params": {"learning_rate": 0.1}}
    return api.ok("optim_step", body=body)


def saved_by_itself(api: Api, model_id: str) -> None:
    """Wait for the automatic save behind the last step."""
    model = api.service.models.in_memory(model_id)
    assert model is not None
    api.run(model.lane.idle())
    assert api.service.autosaves.journal.autosave(model_id) is not None


def revived(api: Api, engine: GatedEngine) -> None:
    api.do(engine.die)
    api.run(api.service.supervision.wait_ready())


@pytest.mark.parametrize("every", [1, 2, 100])
@pytest.mark.parametrize("whole", [False, True], ids=["the engine", "the service"])
def test_r07_a_run_goes_on_after_the_death_of(bench: Bench, whole: bool, every: int) -> None:
    engine = CountingEngine()
    api = bench.start(engine, autosave_every=every)
    model_id = api.model()
    for number in range(3):
        api.forward_backward(model_id, 2 * number + 1)
        assert api.result(step(api, model_id, 2 * number + 2))["metrics"]["steps:sum"] == number + 1
    api.do(engine.gate.clear)
    open_ones = [api.forward_backward(model_id, 7), step(api, model_id, 8), api.forward_backward(model_id, 9)]
    if whole:
        bench.stop(api)
        api = bench.start(CountingEngine(), autosave_every=every)
    else:
        revived(api, engine)
    results = [api.result(promise) for promise in open_ones]
    assert results[1]["metrics"] == {"grad_norm:mean": 0.0, "passes:sum": 1.0, "steps:sum": 4.0}
    assert step(api, model_id, 8) == open_ones[1], "a repeat is known"
    last = api.result(step(api, model_id, 10))
    assert last["metrics"] == {"grad_norm:mean": 0.0, "passes:sum": 1.0, "steps:sum": 5.0}


def test_a_waiting_client_is_told_that_its_run_is_being_restored(bench: Bench) -> None:
    api = bench.start(CountingEngine(), autosave_every=1, long_poll_seconds=0.01)
    model_id = api.model()
    api.result(step(api, model_id, 1))
    slow = SlowEngine()
    engine: GatedEngine = api.service.supervision.engine  # type: ignore[assignment]
    api.do(engine.gate.clear)
    promise = api.forward_backward(model_id, 2)
    bench.stop(api)
    again = bench.start(slow, wait=False, autosave_every=1, long_poll_seconds=0.01)
    body = {"request_id": promise["request_id"]}
    told = again.ok("retrieve_future", body=body)
    assert (told["type"], "being restored" in told["queue_state_reason"]) == ("try_again", True)
    again.refused(503, "forward_backward", body=pass_body(model_id, 3))
    again.do(slow.start_allowed.set)
    assert "metrics" in again.result(promise)


def test_saves_are_hidden_bounded_and_gone_with_their_session(bench: Bench) -> None:
    api = bench.start(CountingEngine(), autosave_every=1)
    session_id = api.session()
    model_id = api.model(session_id)
    for number in range(5):
        api.forward_backward(model_id, 2 * number + 1)
        api.result(step(api, model_id, 2 * number + 2))
    saved_by_itself(api, model_id)
    body = {"model_id": model_id, "seq_id": 11, "sampling_session_seq_id": 1}
    sampler_id = api.result(api.ok("save_weights_for_sampler", body=body))["sampling_session_id"]
    assert api.ok("list_checkpoints", path={"run_id": model_id})["checkpoints"] == []
    bench.stop(api)
    folders = bench.data_dir / "autosaves"
    again = bench.start(CountingEngine(), autosave_every=1)
    assert len(list((folders / model_id / "weights").iterdir())) == 1
    assert "sequences" in again.result(again.sample(sampler_id, 0))
    again.ok("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    assert [path.name for path in folders.iterdir()] == [".staging"]
    assert again.service.autosaves.journal.models() == {}


def test_a_run_that_cannot_be_restored_ends_in_typed_errors(bench: Bench) -> None:
    api = bench.start(CountingEngine(), autosave_every=1)
    model_id = api.model()
    saved = api.save(model_id, 1, "mine")
    api.result(step(api, model_id, 2))
    saved_by_itself(api, model_id)
    engine: GatedEngine = api.service.supervision.engine  # type: ignore[assignment]
    api.do(engine.gate.clear)
    promise = api.forward_backward(model_id, 3)
    bench.stop(api)
    for file in (bench.data_dir / "autosaves" / model_id / "weights").glob("*/*"):
        file.write_bytes(b"not what it was")
    again = bench.start(CountingEngine(), autosave_every=1)
    failure = again.result(promise)
    assert (failure["category"], saved in failure["error"]) == ("server", True), failure
    later = again.result(again.forward_backward(model_id, 4))
    assert (later["category"], saved in later["error"]) == ("server", True)


def test_a_damaged_journal_is_no_crash_at_the_start(bench: Bench) -> None:
    engine = CountingEngine()
    api = bench.start(engine, autosave_every=1)
    model_id, other_id = api.model(), api.model()
    api.do(engine.gate.clear)
    promise, whole = api.forward_backward(model_id, 1), api.forward_backward(other_id, 1)
    api.run(api.service.records.write(("UPDATE journal SET body = '{' WHERE request_id = ?", (promise["request_id"],))))
    bench.stop(api)
    again = bench.start(CountingEngine(), autosave_every=1)
    failure = again.result(promise)
    assert (failure["category"], "no checkpoint" in failure["error"]) == ("server", True), failure
    assert "metrics" in again.result(whole)


def test_an_engine_that_dies_of_a_call_is_not_revived_for_ever(bench: Bench) -> None:
    api = bench.start(FatalEngine(), autosave_every=1)
    failure = api.result(api.forward_backward(api.model(), 1))
    assert (failure["category"], "died 3 times" in failure["error"]) == ("server", True), failure


def test_numbers_that_were_passed_over_stay_so(bench: Bench) -> None:
    engine = CountingEngine()
    api = bench.start(engine, autosave_every=100)
    model_id = api.model()
    api.result(api.forward_backward(model_id, 1))
    broken = pass_body(model_id, 2)
    broken["forward_backward_input"]["loss_fn"] = "no such loss"
    api.refused(422, "forward_backward", body=broken)
    api.result(api.forward_backward(model_id, 3))
    bench.stop(api)
    again = bench.start(CountingEngine(), autosave_every=100)
    again.run(again.service.restoration.settled())
    assert again.result(step(again, model_id, 4))["metrics"]["passes:sum"] == 2.0


@pytest.mark.parametrize("fresh", [False, True], ids=["into a model", "as a new one"])
def test_a_weights_access_token_is_never_on_the_disk(bench: Bench, fresh: bool) -> None:
    """R14: the call is carried out again without it, even when it has ended, and its repeat is still known."""
    keys = {"api_keys": ("tml-a", "tml-b"), "autosave_every": 1}
    engine = CountingEngine()
    api = bench.start(engine, **keys)
    api.headers = {"x-api-key": "tml-a"}
    path = api.save(api.model(), 1, "theirs")
    secret = derived(kept_secret(bench.data_dir / SECRET_FILE), WEIGHTS_TOKENS)
    token = weights_tokens.new_token(CheckpointPath.parse(path), bench.clock.wall() + 60, secret)
    api.headers = {"x-api-key": "tml-b"}
    session_id = api.session()
    load = {"path": path, "optimizer": False, "weights_access_token": token}
    if fresh:
        load |= {"session_id": session_id, "model_seq_id": 0}
    else:
        model_id = api.model(session_id)
        load |= {"model_id": model_id, "seq_id": 2}
        api.do(engine.gate.clear)
        api.forward_backward(model_id, 1)
    submitted = api.ok("load_weights", body=load)
    written = b"".join(file.read_bytes() for file in bench.data_dir.rglob("*") if file.is_file())
    assert (path.encode() in written, token.encode() in written) == (True, False)
    bench.stop(api)
    bench.clock.ahead += 61
    again = bench.start(CountingEngine(), **keys)
    again.headers = {"x-api-key": "tml-b"}
    again.run(again.service.restoration.settled())
    assert again.result(submitted)["path"] == path
    assert again.ok("load_weights", body=load) == submitted
    again.refused(404, "load_weights", body={**load, **({"model_seq_id": 1} if fresh else {"seq_id": 3})})
