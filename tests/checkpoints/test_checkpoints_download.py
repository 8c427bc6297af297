"""Downloads from the real service, through a proxy that cuts; S4-06, S4-13, T-064, T-174, GAP-LIB-038 to 040."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import tracemalloc
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoint_bench import WEIGHTS, Saved
from client_bench import KEY, SocketService
from cutting_proxy import CuttingProxy, cutting

from tinker_hl import NotFoundError, RestClient, RetryPolicy, ServiceClient, loop
from tinker_hl.checkpoints import (
    ArchiveError,
    CheckpointError,
    ChecksumError,
    DiskSpaceError,
    download,
    download_async,
    verify,
)
from tinker_hl.errors import APIConnectionError, APIError, APITimeoutError, InternalServerError
from tinker_hl.retry import InstantClock

CUT = 64 * 1024
ENOUGH = 2 + len(WEIGHTS) // CUT


@pytest.fixture
def proxy(large_service: SocketService) -> Iterator[CuttingProxy]:
    with cutting(large_service.base_url, None) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: CuttingProxy) -> Iterator[ServiceClient]:
    with ServiceClient(base_url=proxy.base_url, api_key=KEY, clock=InstantClock()) as service:
        yield service


def impatient(proxy: CuttingProxy) -> ServiceClient:
    return ServiceClient(base_url=proxy.base_url, api_key=KEY, retry_policy=RetryPolicy(enabled=False))


@pytest.mark.parametrize("kind", ["training", "sampler", "external"])
def test_each_kind_arrives_as_a_folder_and_nothing_else_is_left(
    client: ServiceClient, saved: Saved, tmp_path: Path, kind: str
) -> None:
    """S4-06, GAP-LIB-039: an archive, or external weights file by file, by what the checkpoint is."""
    done = download(client, getattr(saved, kind), tmp_path / "deep" / "adapter")
    names = {"adapter_config.json", "adapter_model.safetensors", "SHA256SUMS"}
    assert {path.name for path in done.folder.iterdir()} - {"optimizer.safetensors", "run.json"} == names
    assert (done.folder / "adapter_model.safetensors").read_bytes() == WEIGHTS
    assert done.way == ("files" if kind == "external" else "archive")
    assert done.files["adapter_model.safetensors"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert verify(done.folder) == done.files
    assert done.server_hash
    assert [path.name for path in done.folder.parent.iterdir()] == ["adapter"]


@pytest.mark.parametrize("kind", ["training", "external"])
def test_a_connection_that_is_cut_at_every_64_kib_loses_nothing(
    proxy: CuttingProxy, client: ServiceClient, saved: Saved, tmp_path: Path, kind: str
) -> None:
    """S4-13: each request goes on where the one before was cut."""
    proxy.cut_after = CUT
    told: list[tuple[int, int | None]] = []
    done = download(client, getattr(saved, kind), tmp_path / "a", progress=lambda have, size: told.append((have, size)))
    assert (done.folder / "adapter_model.safetensors").read_bytes() == WEIGHTS
    assert ENOUGH - 1 <= len(proxy.requests) <= ENOUGH + 3
    assert all(b"range: bytes=" in request.lower() for request in proxy.requests[-3:])
    assert [have for have, _ in told] == sorted(have for have, _ in told)
    assert told[-1] == (done.size_bytes, done.size_bytes)


def test_a_later_process_goes_on_where_one_died(
    proxy: CuttingProxy, client: ServiceClient, saved: Saved, tmp_path: Path
) -> None:
    """S4-13: the part and its validator are on disk."""
    proxy.cut_after = 5 * CUT
    code = """
import os, sys
from tinker_hl import RetryPolicy, ServiceClient
from tinker_hl.checkpoints import download
service = ServiceClient(base_url=sys.argv[1], api_key=sys.argv[2])
def progress(have, size):
    if have > 100_000:
        os._exit(9)
download(service, sys.argv[3], sys.argv[4], progress=progress)
"""
    arguments = [proxy.base_url, KEY, saved.sampler, str(tmp_path / "a")]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], timeout=60, check=False)
    assert ended.returncode == 9
    assert not (tmp_path / "a").exists()
    proxy.cut_after = None
    done = download(client, saved.sampler, tmp_path / "a")
    assert 50_000 < done.resumed_from < len(WEIGHTS)
    assert (done.folder / "adapter_model.safetensors").read_bytes() == WEIGHTS


def test_a_failure_keeps_the_part_for_the_next_call(proxy: CuttingProxy, saved: Saved, tmp_path: Path) -> None:
    proxy.cut_after = CUT
    with impatient(proxy) as service:
        with pytest.raises(APIConnectionError, match=r"bytes|reset"):
            download(service, saved.training, tmp_path / "a")
        assert not (tmp_path / "a").exists()
        proxy.cut_after = None
        assert download(service, saved.training, tmp_path / "a").resumed_from > 0


def test_the_part_of_another_checkpoint_is_not_gone_on_with(proxy: CuttingProxy, saved: Saved, tmp_path: Path) -> None:
    proxy.cut_after = CUT
    with impatient(proxy) as service:
        with pytest.raises(APIConnectionError):
            download(service, saved.training, tmp_path / "a")
        proxy.cut_after = None
        assert download(service, saved.sampler, tmp_path / "a").resumed_from == 0


def test_a_file_that_changed_meanwhile_is_fetched_anew(
    proxy: CuttingProxy, saved: Saved, tmp_path: Path, large_service: SocketService
) -> None:
    """The validator differs, so the server sends the whole new file: no mixture of two."""
    with impatient(proxy) as service:
        training = service.create_lora_training_client("tinker-hl/tiny", rank=4)
        path = training.save_state("twice").result(30).path
        proxy.cut_after = CUT
        with pytest.raises(APIConnectionError):
            download(service, path, tmp_path / "a")
        training.save_state("twice", overwrite=True).result(30)
        proxy.cut_after = None
        done = download(service, path, tmp_path / "a")
        assert b"if-range" in proxy.requests[-1].lower()
        assert (done.folder / "adapter_model.safetensors").read_bytes() == WEIGHTS


def test_constant_memory(client: ServiceClient, saved: Saved, tmp_path: Path) -> None:
    """S4-13: what is held is a piece and not the file."""
    download(client, saved.sampler, tmp_path / "warm")
    tracemalloc.start()
    try:
        download(client, saved.sampler, tmp_path / "a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000  # a piece of 1 MiB, twice, and the service that runs in this process too


def test_an_existing_folder_is_left_alone_unless_told(client: ServiceClient, saved: Saved, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("x")
    with pytest.raises(CheckpointError, match="exists"):
        download(client, saved.sampler, tmp_path / "a")
    assert (tmp_path / "a" / "mine").read_text() == "x"
    done = download(client, saved.sampler, tmp_path / "a", overwrite=True)
    assert not (done.folder / "mine").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_two_downloads_into_one_folder_do_not_meet(client: ServiceClient, saved: Saved, tmp_path: Path) -> None:
    refused: list[str] = []

    def second(have: int, size: int | None) -> None:
        if not refused:
            with pytest.raises(CheckpointError, match="another download") as caught:
                download(client, saved.sampler, tmp_path / "a")
            refused.append(str(caught.value))

    download(client, saved.sampler, tmp_path / "a", progress=second)
    assert refused


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    client: ServiceClient, saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, len(WEIGHTS)))
    with pytest.raises(DiskSpaceError, match="are needed"):
        download(client, saved.sampler, tmp_path / "a")
    parts = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 1000]
    assert parts == []


def test_limits_and_deadlines(client: ServiceClient, saved: Saved, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="larger than the limit of 1000 bytes"):
        download(client, saved.sampler, tmp_path / "a", max_bytes=1000)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises((APITimeoutError, TimeoutError)):
        download(client, saved.sampler, tmp_path / "a", timeout=0.0)
    with pytest.raises(ValueError, match="tinker"):
        download(client, "http://elsewhere/weights/x", tmp_path / "a")


def test_a_checkpoint_that_is_not_there(client: ServiceClient, saved: Saved, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        download(client, saved.training + "x", tmp_path / "a")
    with pytest.raises(NotFoundError):
        download(client, saved.external + "x", tmp_path / "a")


def test_the_async_twin(client: ServiceClient, saved: Saved, tmp_path: Path) -> None:
    """GAP-LIB-038, GAP-LIB-040."""
    done = asyncio.run(download_async(client.create_rest_client(), saved.sampler, tmp_path / "a"))
    assert (done.folder / "adapter_model.safetensors").read_bytes() == WEIGHTS


def test_many_downloads_leave_room_for_what_they_wait_for(
    client: ServiceClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that gives a key, and callbacks, run in threads of the client's: downloads must not hold them all."""
    go_on = threading.Event()
    monkeypatch.setattr("tinker_hl.checkpoints.downloading.download", lambda *arguments, **more: go_on.wait(60))

    async def blocked() -> str:
        waiting = [asyncio.create_task(download_async(client, "x", tmp_path)) for _ in range(loop.USER_THREADS)]
        await asyncio.sleep(0)  # each has asked for its thread
        try:
            return await asyncio.wait_for(loop.in_user_thread(lambda: "there"), 5)
        finally:
            go_on.set()
            await asyncio.gather(*waiting)

    assert asyncio.run(blocked()) == "there"


def test_a_server_without_archives_exports_the_checkpoint_and_the_copy_is_deleted(
    client: ServiceClient, saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-064, T-174: as the hosted service since 0.38, found by what it offers and not by its version."""
    monkeypatch.setattr(RestClient, "get_checkpoint_archive_url_from_tinker_path", _no_such_operation)
    rest = client.create_rest_client()
    before = rest.list_user_checkpoints().result(30).checkpoints
    done = download(client, saved.training, tmp_path / "a")
    assert done.way == "files"
    assert (done.folder / "adapter_model.safetensors").read_bytes() == WEIGHTS
    after = rest.list_user_checkpoints().result(30).checkpoints
    assert {item.tinker_path for item in after} == {item.tinker_path for item in before}
    assert client.metrics.snapshot().calls["TrainingClient.unload_model"].done == 1, "nor does its model stay"
    with pytest.raises(CheckpointError, match="ServiceClient"):
        download(rest, saved.training, tmp_path / "b")
    with pytest.raises(NotFoundError):
        download(client, saved.training + "x", tmp_path / "b")


def test_a_copy_that_cannot_be_deleted_spoils_no_download(
    client: ServiceClient, saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is there: an error would tell of none, and the next call that it exists."""
    monkeypatch.setattr(RestClient, "get_checkpoint_archive_url_from_tinker_path", _no_such_operation)

    def broken(self: RestClient, tinker_path: str) -> Any:
        return self.get_training_run_by_tinker_path(tinker_path).map(lambda _: _raise(InternalServerError("no")))

    monkeypatch.setattr(RestClient, "delete_checkpoint_from_tinker_path", broken)
    done = download(client, saved.training, tmp_path / "a")
    assert (done.folder / "adapter_model.safetensors").read_bytes() == WEIGHTS


def _raise(error: Exception) -> None:
    raise error


def test_a_disk_without_links_has_copies(
    client: ServiceClient, saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*paths: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    done = download(client, saved.external, tmp_path / "a")
    assert (done.folder / "adapter_model.safetensors").read_bytes() == WEIGHTS


def test_an_export_that_was_begun_is_used_again(
    proxy: CuttingProxy, saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RestClient, "get_checkpoint_archive_url_from_tinker_path", _no_such_operation)
    proxy.cut_after = CUT
    with impatient(proxy) as service:
        rest = service.create_rest_client()
        runs = rest.list_training_runs().result(30).cursor.total_count
        with pytest.raises(APIConnectionError):
            download(service, saved.training, tmp_path / "a")
        proxy.cut_after = None
        assert download(service, saved.training, tmp_path / "a").resumed_from > 0
        assert rest.list_training_runs().result(30).cursor.total_count == runs + 1


def _no_such_operation(self: RestClient, tinker_path: str) -> Any:
    return self.get_training_run("no-such-run")  # a 404, as a server answers that has no such path


def test_a_folder_is_verified_afterwards(client: ServiceClient, saved: Saved, tmp_path: Path) -> None:
    folder = download(client, saved.sampler, tmp_path / "a").folder
    weights = folder / "adapter_model.safetensors"
    ended = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=False)
    assert ended.returncode == 0
    os.truncate(weights, 100)
    with pytest.raises(ChecksumError, match="changed"):
        verify(folder)
    weights.unlink()
    with pytest.raises(ChecksumError, match="missing"):
        verify(folder)
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(ChecksumError, match="no readable"):
        verify(folder)


def test_no_key_and_no_signature_goes_where_it_should_not(proxy: CuttingProxy, saved: Saved, tmp_path: Path) -> None:
    proxy.cut_after = CUT
    with impatient(proxy) as service, pytest.raises(APIError) as caught:
        download(service, saved.sampler, tmp_path / "a")
    assert "signature" not in str(caught.value)
    assert all(KEY.encode() not in request for request in proxy.requests)
