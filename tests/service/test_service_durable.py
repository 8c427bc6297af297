import os
from pathlib import Path

import pytest

from tinker_local import durable


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The inode and size of whatever was flushed, as it was at that moment."""
    seen: list[tuple[int, int]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        seen.append((found.st_ino, found.st_size))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def test_all_of_a_file_is_flushed(tmp_path: Path, flushed: list[tuple[int, int]]) -> None:
    durable.write(tmp_path / "weights", b"12345")
    assert (tmp_path / "weights").read_bytes() == b"12345"
    assert flushed == [((tmp_path / "weights").stat().st_ino, 5)]


def test_the_names_in_a_folder_are_flushed(tmp_path: Path, flushed: list[tuple[int, int]]) -> None:
    durable.flush_folder(tmp_path)
    assert [inode for inode, _ in flushed] == [tmp_path.stat().st_ino]
