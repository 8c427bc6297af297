"""The folder where a service keeps what lasts: one service at a time, told by a lock that ends with its process.

It does not know what lies in the folder. The lock is `flock`, not the existence of a file: a service that was killed
leaves nothing behind that would have to be removed by hand.
"""

import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["DataDirBusyError", "candidates", "held", "is_ending", "is_free"]

_LOCK = "lock"


class DataDirBusyError(Exception):
    """Another service has the folder."""

    def __init__(self, directory: Path, pid: str) -> None:
        super().__init__(directory, pid)
        self.directory = directory
        self.pid = pid

    def __str__(self) -> str:
        whose = f" (process {self.pid})" if self.pid else ""
        return f"another service{whose} keeps its data in {self.directory}; stop it, or choose another --data-dir"


@contextlib.contextmanager
def held(directory: Path, *, owner: int | None = None) -> Iterator[Path]:
    """Make the folder if need be, readable by its owner only, and have it for oneself.

    Args:
        directory: the folder.
        owner: the process that this one ends with; None for no other.

    Raises:
        DataDirBusyError: another process has it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / _LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise DataDirBusyError(directory, file.read().partition(" ")[0].strip()) from None
        file.truncate(0)
        file.write(str(os.getpid()) if owner is None else f"{os.getpid()} {owner}")
        file.flush()
        yield directory


def is_free(directory: Path) -> bool:
    """Whether nobody had the folder a moment ago; only `held` makes sure."""
    try:
        with (directory / _LOCK).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def is_ending(directory: Path) -> bool:
    """Whether somebody has the folder who is about to leave it: the process that it ends with is gone."""
    if is_free(directory):
        return False
    owner = (directory / _LOCK).read_text(errors="replace").partition(" ")[2]
    if not owner.isdecimal():
        return False
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def candidates(first: Path) -> Iterator[Path]:
    """`local`, `local-2`, `local-3`, ...: where a service may look for a free folder, in this order."""
    yield first
    for number in itertools.count(2):
        yield first.with_name(f"{first.name}-{number}")
