"""Bytes that are on the disk when the call returns, and not only in the operating system's memory.

It does not know what is written, nor who makes it visible.
"""

import os
from pathlib import Path
from typing import IO

__all__ = ["flush_file", "flush_folder", "write"]


def write(path: Path, content: bytes) -> None:
    """Write a file and flush it to the disk."""
    with path.open("wb") as file:
        file.write(content)
        flush_file(file)


def flush_file(file: IO[bytes]) -> None:
    """Flush what was written to an open file."""
    file.flush()
    os.fsync(file.fileno())


def flush_folder(directory: Path) -> None:
    """Make the names in a folder durable: a file's own flush leaves them out."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
