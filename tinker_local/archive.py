"""A checkpoint folder as one gzip tar, made while it is sent. It does not know what a checkpoint is.

The same files give the same bytes: names in order, no owners, no times. Only regular files go in, under their names
relative to the folder; links are left out, so that nothing outside the folder is ever sent.

The gzip stores and does not compress (RFC 1951, 3.2.4): weights hardly shrink, and so its length is known before it is
made. A download that was cut can therefore go on where it stopped: what comes before is made again, and not sent.
"""

import asyncio
import os
import stat
import struct
import tarfile
import zlib
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from pathlib import Path

import attrs

__all__ = ["Archive"]

_PIECE = 256 * 1024
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflated, no name, no time, no system (RFC 1952)."""
_BLOCK = struct.Struct("<BHH")
"""Before each stored block: whether it is the last, its length, and that with all bits turned."""
_MOST_IN_A_BLOCK = 65535
_TAIL = struct.Struct("<II")
"""CRC and length of what was stored."""


@attrs.frozen
class _Member:
    path: Path
    header: bytes
    size: int


@attrs.frozen
class Archive:
    """The archive of one folder as it is now; its length and its bytes are settled."""

    _members: Sequence[_Member]

    @classmethod
    def of(cls, directory: Path) -> "Archive":
        """Look at the folder's files.

        Raises:
            NotADirectoryError: there is no such folder.
        """
        if not directory.is_dir():
            raise NotADirectoryError(f"no folder {directory.name!r} to archive")
        return cls([_member(path, directory) for path in sorted(_regular_files(directory))])

    @property
    def size(self) -> int:
        """Its length in bytes."""
        tar = sum(len(member.header) + member.size + _padding(member.size) for member in self._members)
        tar += len(_END_OF_TAR)
        blocks = -(-tar // _MOST_IN_A_BLOCK)
        return len(_HEAD) + blocks * _BLOCK.size + tar + _TAIL.size

    async def stream(self, first: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """Its bytes from `first` to `end` (exclusive) in pieces, in constant memory, read in a worker thread.

        Raises:
            OSError: a file could not be read, or has another length than before.
        """
        pieces = _between(self._gzip(), first, self.size if end is None else end)

        def close(last: "asyncio.Future[bytes | None]") -> None:
            if not last.cancelled():
                last.exception()  # the reader has been told, or has gone
            pieces.close()

        reading = asyncio.ensure_future(asyncio.to_thread(next, pieces, None))
        try:
            while (piece := await asyncio.shield(reading)) is not None:
                yield piece
                reading = asyncio.ensure_future(asyncio.to_thread(next, pieces, None))
        finally:
            # Whoever leaves early, even in the middle of a read, leaves no file open.
            reading.add_done_callback(close)

    def _gzip(self) -> Iterator[bytes]:
        yield _HEAD
        checksum, length = 0, 0
        for block, last in _blocks(self._tar()):
            checksum, length = zlib.crc32(block, checksum), length + len(block)
            yield _BLOCK.pack(last, len(block), len(block) ^ 0xFFFF) + block
        yield _TAIL.pack(checksum, length & 0xFFFFFFFF)

    def _tar(self) -> Iterator[bytes]:
        for member in self._members:
            yield member.header
            yield from _content(member)
            yield bytes(_padding(member.size))
        yield _END_OF_TAR


def _member(path: Path, directory: Path) -> _Member:
    header = tarfile.TarInfo(path.relative_to(directory).as_posix())
    header.size = path.lstat().st_size
    return _Member(path, header.tobuf(tarfile.PAX_FORMAT), header.size)


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE


def _content(member: _Member) -> Iterator[bytes]:
    # O_NOFOLLOW: a file that was swapped for a link since it was listed is refused, not followed.
    with open(os.open(member.path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        left = member.size
        while left and (piece := file.read(min(_PIECE, left))):
            left -= len(piece)
            yield piece
        if left or file.read(1):
            raise OSError(f"{member.path.name} changed its length while it was archived")


def _blocks(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The same bytes in blocks that are full, but for the last one."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) > _MOST_IN_A_BLOCK:
            yield bytes(waiting[:_MOST_IN_A_BLOCK]), False
            del waiting[:_MOST_IN_A_BLOCK]
    yield bytes(waiting), True


def _between(pieces: Iterator[bytes], first: int, end: int) -> Generator[bytes, None, None]:
    at = 0
    for piece in pieces:
        wanted = piece[max(first - at, 0) : max(end - at, 0)]
        at += len(piece)
        if wanted:
            yield wanted
        if at >= end:
            return


def _regular_files(directory: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(directory, followlinks=False):
        folders.sort()
        for name in names:
            path = Path(root, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path
