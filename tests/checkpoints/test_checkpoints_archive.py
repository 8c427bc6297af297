"""Archives that nobody should trust; S4-06, and the row "tar safety" of 4.7: properties with hostile archives."""

import bz2
import contextlib
import gzip
import io
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinker_hl.checkpoints import ArchiveError, DiskSpaceError, unpack_archive


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


@pytest.mark.parametrize("second", ["A", "a", "./a", "x/../a", "x\\a"])
def test_two_spellings_of_one_name_are_refused(tmp_path: Path, second: str) -> None:
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(archive(("a", b"x"), (second, b"y")))
    with pytest.raises(ArchiveError):
        unpack_archive(packed, tmp_path / "files")


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(archive(("a", b"x"), ("a/b", b"y")))
    with pytest.raises(ArchiveError):
        unpack_archive(packed, tmp_path / "files")


def test_permissions_and_owners_are_not_taken_over(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("a")
    entry.mode, entry.uid, entry.size = 0o6777, 0, 0
    packed = tmp_path / "a.tar"
    packed.write_bytes(archive(entry))
    unpack_archive(packed, tmp_path / "files")
    mode = (tmp_path / "files" / "a").stat().st_mode
    assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH | stat.S_IXUSR)


def test_a_disk_that_fills_up_is_told_before_the_next_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(archive(("a", bytes(1000))))
    monkeypatch.setattr("tinker_hl.checkpoints.disk.RESERVE", 1 << 60)
    with pytest.raises(DiskSpaceError):
        unpack_archive(packed, tmp_path / "files")


KINDS = [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
PARTS = st.sampled_from(["a", "b", "..", ".", "", "A", "/", "\\", "c:", "é", "e\u0301", "x" * 200, "\n"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(draw(NAMES))
    entry.type = draw(st.sampled_from([*KINDS, tarfile.DIRTYPE]))
    entry.linkname = draw(NAMES)
    content = draw(st.binary(max_size=40)) if entry.type == tarfile.REGTYPE else b""
    entry.size = len(content)
    entry.mode = draw(st.integers(0, 0o7777))
    return entry, content


@settings(max_examples=150, deadline=None)
@given(st.lists(members(), max_size=5))
def test_whatever_an_archive_holds_nothing_is_outside_and_all_that_is_inside_was_in_it(
    entries: list[tuple[tarfile.TarInfo, bytes]],
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for entry, content in entries:
            tar.addfile(entry, io.BytesIO(content))
    with tempfile.TemporaryDirectory() as work:
        outside = Path(work, "outside")
        (outside / "deep" / "er").mkdir(parents=True)
        Path(work, "a.tar").write_bytes(packed.getvalue())
        folder = outside / "deep" / "er" / "files"
        try:
            unpack_archive(Path(work, "a.tar"), folder)
            whole = True
        except ArchiveError:
            whole = False
        written = [path for path in outside.rglob("*") if not path.is_dir() or path.is_symlink()]
        contents = {entry.name: content for entry, content in entries if entry.type == tarfile.REGTYPE}
        for path in written:
            assert path.is_relative_to(folder)
            assert path.is_file()
            assert not path.is_symlink()
            assert path.stat().st_nlink == 1
        if whole:
            assert all(entry.type in (tarfile.REGTYPE, tarfile.DIRTYPE) for entry, _ in entries)
            assert sorted(path.read_bytes() for path in written) == sorted(contents.values())


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2000), st.sampled_from([bytes, gzip.compress, bz2.compress]))
def test_any_bytes_end_in_files_or_in_an_archive_error(content: bytes, pack: type[bytes]) -> None:
    with tempfile.TemporaryDirectory() as work:
        Path(work, "a").write_bytes(pack(content))
        with contextlib.suppress(ArchiveError):
            unpack_archive(Path(work, "a"), Path(work, "files"))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_spoilt_byte_is_found_or_harmless(place: int, value: int) -> None:
    content = bytearray(archive(("a", b"weights" * 30), ("b", b"{}")))
    content[place % len(content)] = value
    with tempfile.TemporaryDirectory() as work:
        Path(work, "a").write_bytes(content)
        folder = Path(work, "files")
        try:
            unpack_archive(Path(work, "a"), folder)
        except ArchiveError:
            return
        assert (folder / "a").read_bytes() == b"weights" * 30
