"""Whether a disk has room, and one process at a time in a folder. It does not know what is written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tinker_hl.checkpoints.errors import CheckpointError, DiskSpaceError

__all__ = ["alone_in", "check_room"]

RESERVE: Final = 16 << 20
"""Bytes of a disk that are left alone: a full one troubles everybody."""
_LOCK: Final = "lock"


def check_room(folder: Path, size: int) -> None:
    """Make sure that `size` more bytes fit on the disk of an existing folder.

    Raises:
        DiskSpaceError: They do not.
    """
    free = shutil.disk_usage(folder).free
    if size + RESERVE > free:
        raise DiskSpaceError(
            f"{size} bytes are needed, and the disk of {folder} has {free}",
            hint=f"make room for {size + RESERVE - free} bytes more (16 MiB are left alone), or choose another disk",
        )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes and threads out of a folder; a process that dies lets go of it.

    Raises:
        CheckpointError: Somebody else is in it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: two downloads into one folder meet at the rename, where one of them fails
        yield
        return
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(
                f"another download is using {folder}", hint="wait for it, or choose another folder"
            ) from None
        yield
    finally:
        os.close(descriptor)
