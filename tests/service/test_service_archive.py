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

from tinker_local.archive import Archive


async def collected(directory: Path) -> bytes:
    archive = Archive.of(directory)
    raw = b"".join([piece async for piece in archive.stream()])
    assert len(raw) == archive.size
    return raw


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(first=st.integers(0, 70_000), count=st.integers(1, 70_000))
def test_any_part_is_the_same_part_of_the_whole(tmp_path: Path, first: int, count: int) -> None:
    (tmp_path / "weights").write_bytes(bytes(range(256)) * 300)
    (tmp_path / "config").write_text("{}")

    async def part() -> bytes:
        return b"".join([piece async for piece in Archive.of(tmp_path).stream(first, first + count)])

    assert asyncio.run(part()) == archived(tmp_path)[first : first + count]


@pytest.mark.parametrize("length", [10, 1000])
def test_a_file_that_changes_meanwhile_is_an_error(tmp_path: Path, length: int) -> None:
    """The length was told already: the download must break off, and not go on with other bytes."""
    (tmp_path / "weights").write_bytes(bytes(100))
    archive = Archive.of(tmp_path)
    (tmp_path / "weights").write_bytes(bytes(length))

    async def read() -> None:
        async for _ in archive.stream():
            pass

    with pytest.raises(OSError, match="weights changed its length"):
        asyncio.run(read())


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
        return sum([len(piece) async for piece in Archive.of(tmp_path).stream()])

    tracemalloc.start()
    try:
        assert size < asyncio.run(length()) < size * 1.01
        assert tracemalloc.get_traced_memory()[1] < size / 8
    finally:
        tracemalloc.stop()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="'nowhere'"):
        archived(tmp_path / "nowhere")
