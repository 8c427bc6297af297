"""Results outlive the service's process: each finished one is there after a restart, and bounded on the disk."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from service_bench import Api, Bench, GatedEngine, pass_body, sample_body

from tinker_local.runs.samplers import CLONE
from tinker_local.store.bodies import Bodies
from tinker_local.store.database import Database
from tinker_local.store.results import Results

LONG = 40_000
"""Tokens of a datum whose result is kept in a file."""
KEPT = 600.0


def long_pass(model_id: str, seq_id: int) -> dict[str, Any]:
    body: dict[str, Any] = pass_body(model_id, seq_id)
    datum: dict[str, Any] = body["forward_backward_input"]["data"][0]
    datum["model_input"]["chunks"][0]["tokens"] = [1] * LONG
    datum["loss_fn_inputs"] = {
        "target_tokens": {"data": [1] * LONG, "dtype": "int64", "shape": [LONG]},
    }
    return body


def restarted(bench: Bench, api: Api) -> Api:
    bench.stop(api)
    return bench.start()


def test_results_of_every_kind_and_failures_are_there_after_a_restart(bench: Bench) -> None:
    api = bench.start()
    session_id = api.session()
    model_id = api.model(session_id)
    sampler_id = api.sampler(session_id, 0)
    made = [
        {"request_id": f"{model_id}:0"},
        {"request_id": api.save(model_id, 1, "a") and f"{model_id}:1"},
        api.forward_backward(model_id, 2),
        api.ok("optim_step", body={"model_id": model_id, "seq_id": 3, "adam_params": {"learning_rate": 0.1}}),
        api.ok("load_weights", body={"model_id": model_id, "seq_id": 4, "path": api_path(model_id), "optimizer": True}),
        api.ok("forward_backward", body=long_pass(model_id, 5)),
        api.ok("sample", body=sample_body(sampler_id, 0)),
    ]
    indices = {"sparse_crow_indices": [0, 1, 2], "sparse_col_indices": [0, 1]}
    targets = {"data": [4, 9], "dtype": "int64", "shape": [2, 2], **indices}
    sampler = api.ok("sample", body=sample_body(sampler_id, 1, num_samples=2, target_prompt_logprobs=targets))
    before = [api.result(promise) for promise in [*made, sampler]]
    assert before[-1]["target_prompt_logprobs"].items() >= indices.items(), "what is asked in CSR is answered in CSR"
    again = restarted(bench, api)
    assert [again.result(promise) for promise in [*made, sampler]] == before
    assert any((bench.data_dir / "results").iterdir()), "the long one is in a file"


def api_path(model_id: str) -> str:
    return f"tinker://{model_id}/weights/a"


def test_r05_a_repeat_is_known_after_a_restart_for_every_verb(bench: Bench) -> None:
    api = bench.start()
    api.headers["X-Idempotency-Key"] = "opened"
    session_id = api.ok("create_session", body={"tags": [], "user_metadata": None, "sdk_version": "1"})["session_id"]
    model_id = api.model(session_id)
    sampler_id = api.sampler(session_id, 0)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("create_model", {"session_id": session_id, "model_seq_id": 1, "base_model": "null/base"}),
        ("forward_backward", pass_body(model_id, 1)),
        ("optim_step", {"model_id": model_id, "seq_id": 2, "adam_params": {"learning_rate": 0.1}}),
        ("save_weights", {"model_id": model_id, "seq_id": 3, "path": "a"}),
        ("load_weights", {"model_id": model_id, "seq_id": 4, "path": api_path(model_id), "optimizer": True}),
        ("sample", sample_body(sampler_id, 0)),
        ("unload_model", {"model_id": model_id}),
    ]
    submitted = []
    for number, (operation_id, body) in enumerate(calls):
        api.headers["X-Idempotency-Key"] = f"call {number}"
        submitted.append(api.ok(operation_id, body=body))
        api.result(submitted[-1])
    again = restarted(bench, api)
    for number, (operation_id, body) in enumerate(calls):
        again.headers["X-Idempotency-Key"] = f"call {number}"
        assert again.ok(operation_id, body=body)["request_id"] == submitted[number]["request_id"], operation_id
    again.refused(409, "forward_backward", body=pass_body(model_id, 1, token=7))
    again.headers["X-Idempotency-Key"] = "opened"
    opened = again.ok("create_session", body={"tags": [], "user_metadata": None, "sdk_version": "1"})
    assert opened["session_id"] == session_id


def test_what_was_not_finished_names_the_newest_checkpoint_after_a_restart(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    model_id = api.model()
    saved = api.save(model_id, 1, "a")
    api.do(engine.gate.clear)
    promise = api.forward_backward(model_id, 2)
    again = restarted(bench, api)
    failure = again.result(promise)
    assert (failure["category"], saved in failure["error"]) == ("server", True)


def test_a_client_that_waits_for_announcements_hears_of_everything_after_a_kill(bench: Bench, tmp_path: Path) -> None:
    """The folder is copied while the service runs, which is what a kill leaves."""
    engine = GatedEngine()
    api = bench.start(engine)
    session_id = api.session()
    sampler_id = api.sampler(session_id)
    target = {"type": "sampling_session", "sampling_session_id": sampler_id}
    fetched, unfetched = api.sample(sampler_id, 0), api.sample(sampler_id, 1)
    first = api.result(fetched)
    announced: set[str] = set()
    cursor = 0
    while unfetched["request_id"] not in announced:
        news = api.ok("retrieve_futures", body={"target": target, "prev_cursor": cursor})
        cursor = news["cursor"]
        announced |= {item["request_id"] for item in news["completions"]}
    api.run(api.service.sweep())  # notes what was delivered
    api.do(engine.gate.clear)
    lost = api.sample(sampler_id, 2)
    other = api.sample(sampler_id, CLONE)
    api.run(api.service.records.write())  # everything before it is written
    shutil.copytree(bench.data_dir, tmp_path / "after")
    api.do(engine.gate.set)
    again = bench.start(data_dir=tmp_path / "after")
    body = {"target": target, "prev_cursor": cursor}
    news = again.ok("retrieve_futures", body=body)
    seen = {item["request_id"]: item["state"] for item in news["completions"]}
    assert seen == {unfetched["request_id"]: "finished", lost["request_id"]: "failed"}
    assert news["cursor"] > cursor
    assert again.result(unfetched)["sequences"]
    again.refused(410, "retrieve_future", body={"request_id": lost["request_id"]})
    assert again.result(fetched) == first
    theirs = again.ok("retrieve_futures", body={"target": {**target, "cloned_sampler_id": 1}, "prev_cursor": cursor})
    assert [item["request_id"] for item in theirs["completions"]] == [other["request_id"]]
    new = again.sample(sampler_id, 3)
    later = again.ok("retrieve_futures", body={"target": target, "prev_cursor": news["cursor"]})
    assert [item["request_id"] for item in later["completions"]] == [new["request_id"]]


def test_r04_results_go_when_their_time_is_over_and_leave_no_file(bench: Bench) -> None:
    api = bench.start()
    model_id = api.model()
    fetched = api.ok("forward_backward", body=long_pass(model_id, 1))
    api.result(fetched)
    unfetched = api.ok("forward_backward", body=pass_body(model_id, 2))
    api.run(api.service.sweep())
    again = restarted(bench, api)
    bench.clock.ahead += KEPT - 1
    again.service.sessions.heard(again.service.sessions.get(model_id.partition(":")[0], None))
    again.run(again.service.sweep())
    bench.clock.ahead += 2
    again.service.sessions.heard(again.service.sessions.get(model_id.partition(":")[0], None))
    for _ in range(3):
        again.run(again.service.sweep())
        again.run(again.service.records.write())
    again.refused(410, "retrieve_future", body={"request_id": fetched["request_id"]})
    assert "metrics" in again.result(unfetched), "what nobody fetched stays as long as its session"
    assert not list((bench.data_dir / "results").iterdir())
    last = restarted(bench, again)
    last.refused(410, "retrieve_future", body={"request_id": fetched["request_id"]})
    assert last.ok("forward_backward", body=long_pass(model_id, 1))["request_id"] == fetched["request_id"]


def test_a_result_whose_file_is_damaged_is_a_typed_failure(bench: Bench) -> None:
    api = bench.start()
    promise = api.ok("forward_backward", body=long_pass(api.model(), 1))
    api.result(promise)
    bench.stop(api)
    (file,) = (bench.data_dir / "results").iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    failure = bench.start().result(promise)
    assert failure["category"] == "server"


def test_the_ids_that_are_remembered_are_bounded(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", "")
    results = Results(database, tmp_path / "results")
    for number in range(10):
        database.post(
            (
                "INSERT INTO results (request_id, owner, sequence_ids, fingerprint, kind, body) "
                "VALUES (?, '', '[]', '', 'json', '{}')",
                (f"r{number}",),
            )
        )
    results.forget([f"r{number}" for number in range(9)], most_ids=4)
    database.close()
    reopened = Database(tmp_path / "db", "")
    heads = Results(reopened, tmp_path / "results").heads()
    reopened.close()
    assert [(head.request_id, head.gone) for head in heads] == [("r6", True), ("r7", True), ("r8", True), ("r9", False)]


def test_half_written_bodies_are_deleted_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "bodies"
    content, name = Bodies(folder).put(bytes(100_000))
    assert content is None
    (folder / "0.part").write_bytes(b"half")
    bodies = Bodies(folder)
    assert bodies.get(content, name) == bytes(100_000)
    assert [file.name for file in folder.iterdir()] == [name]
    with pytest.raises(FileNotFoundError):
        bodies.get(None, None)
