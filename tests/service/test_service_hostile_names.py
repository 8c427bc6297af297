"""Names that try to leave: no path, link or folder of somebody's making leads out of the checkpoint folder."""

import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from service_bench import OPERATIONS, Api, Bench, sample_body

NAMES = (
    "..",
    ".",
    "",
    "../a",
    "a/../../b",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a\x00b",
    "a\n",
    "\u2025",  # two dot leader
    "\uff0e\uff0e",  # full-width full stops
    "a\u202eb",  # turns the text round
    "ａ",
    ".hidden",
    "-rf",
    "a" * 256,
    "a" * 100_000,
    "%2e%2e",
    "~",
    "CON ",
    "a:b",
)
PATHS = (
    *(f"tinker://{name}/weights/a" for name in ("..", ".staging", "a/..", "\x00", "a" * 256)),
    *(f"tinker://a/{kind}/a" for kind in ("..", "", "weights/..", ".staging", "training")),
    *(f"tinker://a/weights/{name}" for name in NAMES),
    "tinker://a/weights",
    "tinker://a/weights/b/c",
    "tinker:/a/weights/b",
    "TINKER://a/weights/b",
    "file:///etc/passwd",
    "/etc/passwd",
    "",
)


@pytest.fixture
def place(api: Api, bench: Bench) -> Iterator[Api]:
    """A service whose data folder holds nothing new afterwards, and nothing that leads out of it."""
    yield api
    assert {path.name for path in bench.data_dir.iterdir()} <= {
        "autosaves", "checkpoints", "spool", "journal", "results", "traces", "secret",
        "service.sqlite", "service.sqlite-wal", "service.sqlite-shm",
    }  # fmt: skip
    for folder in bench.data_dir.rglob("*"):
        assert folder.resolve().is_relative_to(bench.data_dir.resolve())


@pytest.mark.parametrize("operation_id", ["save_weights", "save_weights_for_sampler", "save_weights_external"])
def test_no_name_leaves_the_folder(place: Api, operation_id: str) -> None:
    model_id = place.model()
    for name in NAMES:
        refusal = place.answer(operation_id, body={"model_id": model_id, "seq_id": 1, "path": name})
        assert refusal.status_code in (400, 422), (name, refusal.text)
        assert len(refusal.text) < 2000, "a refusal repeats no long name"
    place.result(place.ok(operation_id, body={"model_id": model_id, "seq_id": 1, "path": "a"}))


def bodies_with(path: str, session_id: str, model_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each request that takes a path."""
    yield "load_weights", {"model_id": model_id, "seq_id": 1, "path": path, "optimizer": False}
    yield "load_weights", {"session_id": session_id, "model_seq_id": 7, "path": path, "optimizer": False}
    yield "copy_weights", {"source_path": path, "destination_project_id": "p"}
    yield "get_weights_info", {"tinker_path": path}
    yield "create_sampling_session", {"session_id": session_id, "sampling_session_seq_id": 3, "model_path": path}
    sample = sample_body("", 0, model_path=path)
    yield "sample", {name: value for name, value in sample.items() if name not in ("sampling_session_id", "seq_id")}


def test_no_path_leads_out_wherever_one_is_taken(place: Api) -> None:
    session_id = place.session()
    model_id = place.model(session_id)
    for path in PATHS:
        for operation_id, body in bodies_with(path, session_id, model_id):
            answer = place.answer(operation_id, body=body)
            assert answer.status_code in (400, 404, 422), (operation_id, path[:80], answer.text)
            assert len(answer.text) < 2000


def test_no_part_of_an_address_leads_out(place: Api) -> None:
    where = {"training_run_id": place.model(), "checkpoint_kind": "weights", "checkpoint_name": "a"}
    takers = [name for name, operation in OPERATIONS.items() if "{checkpoint_name}" in operation.path]
    assert len(takers) == 6
    for part in where:
        for name in (name for name in NAMES if len(name) < 1000):  # longer ones are refused as heads
            values = {**where, part: name}
            for operation_id in takers:
                answer = sent(place, operation_id, values)
                assert answer in (400, 404, 405, 422), (operation_id, part, name[:40], answer)


def sent(api: Api, operation_id: str, values: Mapping[str, str]) -> int:
    """The status for a path whose parts are encoded as a whole, slashes and all."""
    operation = OPERATIONS[operation_id]
    path = operation.path
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    body = {"json": {"ttl_seconds": 3600}} if operation.body else {}
    return api.request(operation.method, path, **body).status_code


@pytest.mark.parametrize("root", ["/downloads", "/files", "/traces"])
def test_links_are_not_believed_without_their_signature(place: Api, root: str) -> None:
    for rest in (
        "/../../secret",
        "/%2e%2e/secret",
        "/a/weights/..%2f..%2fsecret",
        "//etc/passwd",
        "/a/weights/a/run.json",
    ):
        assert place.request("GET", f"{root}{rest}?expires=99999999999&signature=00").status_code in (403, 404, 422)


def linked(bench: Bench, api: Api) -> tuple[dict[str, str], Path]:
    """A checkpoint into whose folder somebody has put links to a file and a folder elsewhere."""
    model_id = api.model()
    saved = api.result(api.ok("save_weights_external", body={"model_id": model_id, "seq_id": 1, "path": "a"}))["path"]
    folder = bench.data_dir / "checkpoints" / model_id / "external_weights" / "a"
    secret = bench.data_dir / "secret"
    (folder / "link").symlink_to(secret)
    (folder / "linked").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    run_id, kind, name = saved.removeprefix("tinker://").split("/")
    return {"training_run_id": run_id, "checkpoint_kind": kind, "checkpoint_name": name}, folder


def test_links_in_a_folder_are_neither_archived_nor_offered(api: Api, bench: Bench) -> None:
    where, folder = linked(bench, api)
    urls = api.ok("get_external_weights_urls", path=where)["urls"]
    assert set(urls) == {"adapter_config.json", "adapter_model.safetensors"}
    archive = api.get(api.answer("get_checkpoint_archive", path=where).headers["location"]).content
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        members = tar.getmembers()
    assert all(member.isreg() and not member.name.startswith(("/", "..")) for member in members)
    assert {"link", "linked", "pipe"}.isdisjoint(member.name for member in members)
    assert (folder / "link").is_symlink()


def test_links_in_a_folder_are_not_copied(api: Api, bench: Bench) -> None:
    model_id = api.model()
    path = api.save(model_id, 1, "a")
    folder = bench.data_dir / "checkpoints" / model_id / "weights" / "a"
    (folder / "link").symlink_to(bench.data_dir / "secret")
    copied = api.ok("copy_weights", body={"source_path": path, "destination_project_id": "p"})["tinker_path"]
    run_id, kind, name = copied.removeprefix("tinker://").split("/")
    there = bench.data_dir / "checkpoints" / run_id / kind / name
    assert sorted(file.name for file in there.iterdir()) == sorted(
        file.name for file in folder.iterdir() if file.name != "link"
    )
