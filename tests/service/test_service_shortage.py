"""Not enough memory, not enough disk: the call that asked for it fails and says what to do, and all else goes on."""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from service_bench import TINY, Api, Bench, pass_body

from tinker_local.engine.process import ProcessEngine


def model(api: Api) -> str:
    lora = {"rank": 8, "seed": 1}
    body = {"session_id": api.session(), "model_seq_id": 0, "base_model": TINY.name, "lora_config": lora}
    return str(api.result(api.ok("create_model", body=body))["model_id"])


def passed(api: Api, model_id: str, seq_id: int, rows: int = 1, length: int = 8) -> Any:
    row = [index % 250 for index in range(length)]
    datum = {
        "model_input": {"chunks": [{"tokens": row}]},
        "loss_fn_inputs": {"target_tokens": {"data": row, "dtype": "int64"}},
    }
    inputs = {"data": [datum] * rows, "loss_fn": "cross_entropy"}
    body = {"model_id": model_id, "seq_id": seq_id, "forward_backward_input": inputs}
    return api.result(api.ok("forward_backward", body=body))


def stepped(api: Api, model_id: str, seq_id: int) -> Any:
    body = {"model_id": model_id, "seq_id": seq_id, "adam_params": {"learning_rate": 1e-3}}
    return api.result(api.ok("optim_step", body=body))


@contextmanager
def limited(pid: int, what: int, most: int) -> Iterator[None]:
    """The process may have no more than this of something."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


def address_space(pid: int) -> int:
    """Bytes that a process has mapped."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[0]
    return int(pages) * resource.getpagesize()


def test_a_pass_without_memory_fails_alone(real: Api, engine: ProcessEngine) -> None:
    starved, other, alone = model(real), model(real), model(real)
    for model_id in (starved, other, alone):
        passed(real, model_id, 1)
    assert engine.pid is not None
    pid, life = engine.pid, real.service.supervision.life
    with limited(pid, resource.RLIMIT_AS, address_space(pid) + 2**20):
        failure = passed(real, starved, 2, rows=64, length=500)
    assert failure["category"] == "server"
    assert "ran out of memory" in failure["error"]
    assert "fewer or shorter sequences" in failure["error"]
    assert real.service.supervision.life == life, "the engine lives"
    losses = []
    for model_id, seq_id in ((starved, 3), (other, 2), (alone, 2)):
        norm = stepped(real, model_id, seq_id)["metrics"]["grad_norm"]
        losses.append((norm, passed(real, model_id, seq_id + 1)["metrics"]["loss:sum"]))
    assert losses[0] == losses[1] == losses[2], "nothing of the pass that failed was gathered"


def test_a_save_without_space_fails_and_leaves_nothing(real: Api, engine: ProcessEngine) -> None:
    model_id = model(real)
    stepped(real, model_id, 1)
    assert engine.pid is not None
    with limited(engine.pid, resource.RLIMIT_FSIZE, 4096):
        failure = real.result(real.ok("save_weights", body={"model_id": model_id, "seq_id": 2, "path": "kept"}))
    assert failure["category"] == "server"
    assert "free space" in failure["error"]
    assert real.ok("list_training_run_checkpoints", path={"training_run_id": model_id})["checkpoints"] == []
    staging = real.service.settings.data_dir / "checkpoints" / ".staging"
    assert list(staging.iterdir()) == []
    assert real.save(model_id, 3, "kept").endswith("/weights/kept"), "there is space again"


def full_database(api: Api) -> None:
    """From now on SQLite may not grow the file, as on a full disk."""
    (pages,) = api.service.records.database.read("PRAGMA page_count")
    api.run(api.service.records.write((f"PRAGMA max_page_count = {pages[0]}", ())))


def test_a_database_without_space_is_told_and_waited_out(bench: Bench) -> None:
    api = bench.start()
    model_id = api.model()
    full_database(api)
    refusals = 0
    for number in range(5000):
        answer = api.answer("create_session", body={"tags": [f"{number}" + "x" * 2000], "sdk_version": "1"})
        if answer.status_code != 200:
            refusals += 1
            assert answer.status_code == 503, answer.text
            assert "disk of the service is full" in answer.json()["detail"]
            assert int(answer.headers["retry-after"]) > 0
            break
    assert refusals == 1
    api.ok("get_training_run", path={"training_run_id": model_id})
    assert "loss:sum" in api.result(api.ok("forward_backward", body=pass_body(model_id, 1)))["metrics"]
    api.run(api.service.records.write(("PRAGMA max_page_count = 1073741823", ())))
    assert api.session()


def test_a_save_whose_record_has_no_space_replaces_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    api = bench.start()
    model_id = api.model()
    path = api.save(model_id, 1, "kept")
    before = api.ok("list_training_run_checkpoints", path={"training_run_id": model_id})["checkpoints"]
    folder = api.service.settings.data_dir / "checkpoints" / model_id / "weights" / "kept"
    about = (folder / "run.json").read_bytes()
    real = api.service.records.write

    async def full(*statements: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(api.service.records, "write", full)
        body = {"model_id": model_id, "seq_id": 2, "path": "kept", "overwrite": True}
        failure = api.result(api.ok("save_weights", body=body))
    assert api.service.records.write == real
    assert "disk of the service is full" in failure["error"]
    assert (folder / "run.json").read_bytes() == about
    assert api.ok("list_training_run_checkpoints", path={"training_run_id": model_id})["checkpoints"] == before
    assert api.save(model_id, 3, "kept", overwrite=True) == path


def test_other_faults_of_the_database_are_faults(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("no such table")

    monkeypatch.setattr(api.service.sessions, "record", broken)
    assert api.request("GET", "/api/v1/sessions/x").status_code == 500
