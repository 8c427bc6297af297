"""An archive holds a folder's regular files, the same bytes each time, in little memory."""

import asyncio
import io
import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinker_local.archive import stream


async def collected(directory: Path) -> bytes:
    return b"".join([piece async for piece in stream(directory)])


def archived(directory: Path) -> bytes:
    return asyncio.run(collected(directory))


def unpacked(raw: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as tar:
        members = tar.getmembers()
        assert all(member.isreg() for member in members)
        contents = {}
        for member in members:
            file = tar.extractfile(member)
            assert file is not None
            contents[member.name] = file.read()
        return contents


NAMES = st.text("abcXYZ._-é", min_size=1, max_size=200).filter(lambda name: name.strip("."))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(files=st.dictionaries(NAMES, st.binary(max_size=2000), max_size=4))
def test_what_went_in_comes_out(tmp_path: Path, files: dict[str, bytes]) -> None:
    folder = tmp_path / str(len(os.listdir(tmp_path)))
    folder.mkdir()
    kept = {name: content for name, content in files.items() if len(name.encode()) <= 255}
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    assert unpacked(archived(folder)) == kept


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    for name, order in (("one", ["a", "b", "sub/c"]), ("two", ["sub/c", "b", "a"])):
        for file in order:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file)
            os.utime(path, (1000 * len(name), 1000 * len(order)))
    raw = archived(tmp_path / "one")
    assert raw == archived(tmp_path / "two")
    assert list(unpacked(raw)) == ["a", "b", "sub/c"]


def test_links_and_pipes_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "file").write_text("outside")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "weights").write_text("inside")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "linked_folder").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    assert unpacked(archived(folder)) == {"weights": b"inside"}


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    size = 64 * 2**20
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(size)

    async def length() -> int:
        return sum([len(piece) async for piece in stream(tmp_path)])

    tracemalloc.start()
    try:
        assert 0 < asyncio.run(length()) < size
        assert tracemalloc.get_traced_memory()[1] < size / 8
    finally:
        tracemalloc.stop()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="'nowhere'"):
        archived(tmp_path / "nowhere")
