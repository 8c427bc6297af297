import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinker_hl.checkpoint_archive import ArchiveError, download_checkpoint, unpack_archive
from tinker_hl.errors import APIConnectionError, APITimeoutError

PATH = "tinker://run/sampler_weights/final"


def archive(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                entry = tarfile.TarInfo(member[0])
                entry.size = len(member[1])
                tar.addfile(entry, io.BytesIO(member[1]))
    return packed.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


ADAPTER = archive(("adapter_config.json", b"{}"), ("adapter_model.safetensors", b"weights" * 1000))


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    seen: list[dict[str, str]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/a?signature=secret"
        assert all("authorization" not in {name.lower() for name in headers} for headers in seen)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sends(body: bytes, *, promised: int | None = None) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) if promised is None else promised))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class Rest:
    """Names the archive's address, as the client's RestClient does."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get_checkpoint_archive_url_from_tinker_path(self, tinker_path: str) -> Any:
        assert tinker_path == PATH
        return SimpleNamespace(result=lambda timeout: SimpleNamespace(url=self.url))


def fetch(url: str, folder: Path, **more: Any) -> Path:
    return download_checkpoint(Rest(url), PATH, folder, **more)  # type: ignore[arg-type]  # only one method is called


def test_the_files_arrive_and_nothing_else_is_left(tmp_path: Path) -> None:
    with serving(sends(ADAPTER)) as url:
        folder = fetch(url, tmp_path / "deep" / "adapter")
    assert (folder / "adapter_model.safetensors").read_bytes() == b"weights" * 1000
    assert [path.name for path in folder.parent.iterdir()] == ["adapter"]


def test_one_folder_around_the_files_is_taken_off(tmp_path: Path) -> None:
    with serving(sends(archive(("final/adapter_config.json", b"{}")))) as url:
        assert (fetch(url, tmp_path / "adapter") / "adapter_config.json").read_bytes() == b"{}"


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="exists"):
        fetch("http://nowhere.invalid", tmp_path)


@pytest.mark.parametrize(
    ("body", "promised", "error"),
    [
        (ADAPTER[:50], len(ADAPTER), APIConnectionError),
        (ADAPTER[:50], 50, ArchiveError),
        (b"<html>busy</html>", 17, ArchiveError),
        (b"", 0, ArchiveError),
    ],
)
def test_a_damaged_archive_leaves_nothing(tmp_path: Path, body: bytes, promised: int, error: type[Exception]) -> None:
    with serving(sends(body, promised=promised)) as url, pytest.raises(error) as caught:
        fetch(url, tmp_path / "adapter")
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_typed(tmp_path: Path) -> None:
    with serving(lambda handler: handler.send_error(403)) as url, pytest.raises(APIConnectionError, match="403"):
        fetch(url, tmp_path / "adapter")


def test_an_archive_beyond_the_limit_is_not_kept(tmp_path: Path) -> None:
    with serving(sends(ADAPTER)) as url, pytest.raises(ArchiveError, match="larger than the limit of 10 bytes"):
        fetch(url, tmp_path / "adapter", max_bytes=10)
    assert list(tmp_path.iterdir()) == []


def test_a_download_ends_by_its_deadline(tmp_path: Path) -> None:
    with serving(sends(ADAPTER)) as url, pytest.raises(APITimeoutError, match="time was up"):
        fetch(url, tmp_path / "adapter", timeout=0.0)


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="file address"):
        fetch("file:///etc/passwd", tmp_path / "adapter")


@pytest.mark.parametrize(
    "member",
    [
        ("../evil", b"x"),
        ("/evil", b"x"),
        ("a/../../evil", b"x"),
        link("evil", "/etc/passwd"),
        link("evil", "adapter_config.json", tarfile.LNKTYPE),
        link("evil", "", tarfile.FIFOTYPE),
    ],
)
def test_nothing_is_written_outside_or_linked(tmp_path: Path, member: tuple[str, bytes] | tarfile.TarInfo) -> None:
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(archive(("adapter_config.json", b"{}"), member))
    folder = tmp_path / "work" / "files"
    with pytest.raises(ArchiveError):
        unpack_archive(packed, folder)
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if not path.is_dir()]
    assert sorted(map(str, written)) == ["a.tar.gz", "work/files/adapter_config.json"]


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(archive(("a", b"x"), ("a", b"y")))
    with pytest.raises(ArchiveError):
        unpack_archive(packed, tmp_path / "files")


def test_a_small_archive_of_much_is_stopped_before_it_is_written(tmp_path: Path) -> None:
    packed = tmp_path / "bomb.tar.gz"
    packed.write_bytes(archive(("zeros", bytes(5_000_000))))
    assert packed.stat().st_size < 10_000
    with pytest.raises(ArchiveError, match="1000000 bytes"):
        unpack_archive(packed, tmp_path / "files", max_bytes=1_000_000)
    assert list((tmp_path / "files").iterdir()) == []


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    packed = tmp_path / "many.tar.gz"
    packed.write_bytes(archive(*((str(index), b"") for index in range(11))))
    with pytest.raises(ArchiveError, match="10 files"):
        unpack_archive(packed, tmp_path / "files", max_files=10)
