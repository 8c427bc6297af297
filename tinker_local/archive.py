"""A checkpoint folder as one gzip tar, made while it is sent. It does not know what a checkpoint is.

The same files give the same bytes: names in order, no owners, no times. Only regular files go in, under their names
relative to the folder; links are left out, so that nothing outside the folder is ever sent.
"""

import asyncio
import os
import stat
import tarfile
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

__all__ = ["stream"]

_PIECE = 256 * 1024
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
_GZIP = 16 + zlib.MAX_WBITS
_FAST = 1
"""Weights hardly compress: the fastest level loses a percent or two and saves most of the time."""


async def stream(directory: Path) -> AsyncIterator[bytes]:
    """The archive in pieces, in constant memory; reading and compressing happen in a worker thread.

    Raises:
        NotADirectoryError: there is no such folder.
        OSError: a file could not be read, or became shorter while it was read.
    """
    if not await asyncio.to_thread(directory.is_dir):
        raise NotADirectoryError(f"no folder {directory.name!r} to archive")
    pieces = _compressed(directory)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


def _compressed(directory: Path) -> Iterator[bytes]:
    packer = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP)
    for raw in _tar(directory):
        if packed := packer.compress(raw):
            yield packed
    yield packer.flush()


def _tar(directory: Path) -> Iterator[bytes]:
    for path in sorted(_regular_files(directory)):
        # O_NOFOLLOW: a file that was swapped for a link since it was listed is refused, not followed.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = tarfile.TarInfo(path.relative_to(directory).as_posix())
            header.size = size
            yield header.tobuf(tarfile.PAX_FORMAT)
            left = size
            while left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise OSError(f"{header.name} became shorter while it was archived")
                left -= len(piece)
                yield piece
            yield bytes(-size % tarfile.BLOCKSIZE)
    yield _END_OF_TAR


def _regular_files(directory: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(directory, followlinks=False):
        folders.sort()
        for name in names:
            path = Path(root, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path
