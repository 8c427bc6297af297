"""What automatic saves have on the disk has a bound: what is not needed goes, what would be too much is refused."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_bench import Api, Bench
from test_service_autosave import CountingEngine, revived, saved_by_itself, step
from test_service_under_way import LARGE, large_pass

from tinker_local.autosave_room import AutosaveRoom
from tinker_local.store.folders import Folders

SAVE = 100_000


class BulkyEngine(CountingEngine):
    """Its adapters take room on the disk."""

    async def save_adapter(self, model_id: str, directory: Path, *, optimizer: bool) -> None:
        await super().save_adapter(model_id, directory, optimizer=optimizer)
        (directory / "bulk").write_bytes(bytes(SAVE))


def snapshot(api: Api, model_id: str, number: int) -> str:
    body = {"model_id": model_id, "seq_id": number, "sampling_session_seq_id": number}
    return str(api.result(api.ok("save_weights_for_sampler", body=body))["sampling_session_id"])


def saved(bench: Bench) -> set[str]:
    return {path.name for path in (bench.data_dir / "autosaves").iterdir()} - {".staging"}


def on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_weights_of_sampling_sessions_go_that_were_used_least_lately(bench: Bench) -> None:
    engine = BulkyEngine()
    api = bench.start(engine, autosave_every=1, max_autosave_bytes=4 * SAVE)
    model_id = api.model()
    samplers = [snapshot(api, model_id, number) for number in (1, 2, 3)]
    assert saved(bench) == set(samplers)
    assert "sequences" in api.result(api.sample(samplers[0], 0))
    samplers.append(snapshot(api, model_id, 4))
    kept, gone = {samplers[0], samplers[2], samplers[3]}, samplers[1]
    assert saved(bench) == kept
    assert "sequences" in api.result(api.sample(gone, 0)), "the engine still has it"
    api.result(step(api, model_id, 5))
    saved_by_itself(api, model_id)
    assert on_disk(bench.data_dir / "autosaves") <= 4 * SAVE
    revived(api, engine)
    api.run(api.service.restoration.settled())
    failure = api.result(api.sample(gone, 1))
    assert (failure["category"], "only in its memory" in failure["error"]) == ("server", True)
    assert "sequences" in api.result(api.sample(samplers[3], 1))
    bench.stop(api)
    again = bench.start(BulkyEngine(), autosave_every=1, max_autosave_bytes=2 * SAVE)
    assert saved(bench) == {model_id}, "a lower bound holds for what is there, and a run's state is needed"
    assert again.service.autosaves.room.size < 2 * SAVE


def test_passes_are_refused_until_a_step_has_made_room(bench: Bench) -> None:
    api = bench.start(CountingEngine(), autosave_every=100, max_autosave_bytes=5 * LARGE)
    model_id, other_id = api.model(), api.model()
    number = 1
    while (answer := api.answer("forward_backward", body=large_pass(model_id, number))).status_code == 200:
        number += 1
    assert (answer.status_code, answer.headers["retry-after"], number) == (429, "5", 5)
    assert "max_autosave_bytes" in answer.json()["detail"]
    assert api.ok("forward_backward", body=large_pass(model_id, 4))["request_id"].endswith(":4"), "a repeat is no more"
    api.refused(429, "forward_backward", body=large_pass(other_id, 1))
    assert "metrics" in api.result(step(api, model_id, 5))
    saved_by_itself(api, model_id)  # sooner than after a hundred steps
    assert api.service.autosaves.journal.size < LARGE
    api.ok("forward_backward", body=large_pass(other_id, 1))


def test_runs_are_refused_while_the_states_of_others_take_all(bench: Bench) -> None:
    api = bench.start(BulkyEngine(), autosave_every=1, max_autosave_bytes=SAVE * 3 // 2)
    models = [api.model() for _ in range(2)]
    for model_id in models:
        api.result(step(api, model_id, 1))
        saved_by_itself(api, model_id)
    body = {"session_id": api.session(), "model_seq_id": 0, "base_model": "null/base", "lora_config": {"rank": 4}}
    assert "max_autosave_bytes" in api.refused(429, "create_model", body=body)["detail"]
    api.result(api.ok("unload_model", body={"model_id": models[0]}))
    api.run(asyncio.wait_for(smaller(api, SAVE * 3 // 2), 30))
    assert "model_id" in api.result(api.ok("create_model", body=body))


async def smaller(api: Api, size: int) -> None:
    """Wait for what goes in the background."""
    while api.service.autosaves.room.size > size:  # noqa: ASYNC110 - no bell rings
        await asyncio.sleep(0.001)


def test_a_pass_that_others_wait_for_is_let_in(bench: Bench) -> None:
    api = bench.start(CountingEngine(), autosave_every=1, max_autosave_bytes=3 * LARGE)
    model_id = api.model()
    early = [api.ok("forward_backward", body=large_pass(model_id, number)) for number in (3, 2)]
    api.refused(429, "forward_backward", body=large_pass(model_id, 4))
    early.append(api.ok("forward_backward", body=large_pass(model_id, 1)))
    assert all("metrics" in api.result(one) for one in early)


def test_the_journals_bytes_are_counted_again_after_a_restart(bench: Bench) -> None:
    engine = CountingEngine()
    api = bench.start(engine, autosave_every=100)
    model_id = api.model()
    api.ok("forward_backward", body=large_pass(model_id, 1))
    api.forward_backward(model_id, 2)
    before = api.service.autosaves.journal.size
    assert before > LARGE
    bench.stop(api)
    again = bench.start(CountingEngine(), autosave_every=100)
    assert again.service.autosaves.journal.size == before
    again.ok("finish_session", path={"session_id": model_id.partition(":")[0]}, body={"reason": {"type": "success"}})
    assert again.service.autosaves.room.size == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["state", "snapshot", "gone", "used"]), st.sampled_from("abcdef"), st.integers(0, 60))
    )
)
def test_the_sum_is_that_of_what_is_there_and_no_state_ever_goes(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, int]]
) -> None:
    room = AutosaveRoom(Folders(tmp_path_factory.getbasetemp() / "none"), lambda: 10, 100)
    there: dict[str, tuple[str, int]] = {}
    for what, name, size in events:
        run_id = f"{what} {name}"
        if what in ("state", "snapshot"):
            getattr(room, what)(run_id, size)
            there[run_id] = (what, size)
        elif what == "used":
            room.used(f"snapshot {name}")
        else:
            room.gone(f"state {name}")
            there.pop(f"state {name}", None)
        for over in room.excess():
            assert there.pop(over)[0] == "snapshot"
        assert room.size == 10 + sum(size for _, size in there.values())
        assert room.size <= 100 or all(kind == "state" for kind, _ in there.values())
