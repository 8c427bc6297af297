"""Bodies of rows: small ones lie in the row, large ones in files that are complete whenever they have their name.

It does not know what they say. A file that no row names any more is deleted at the second look that finds it so: at
the first one its row may only not be committed yet.
"""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tinker_local import durable

__all__ = ["Bodies"]

_SMALL: Final = 64 * 1024
"""Bytes up to which a body lies in its row."""
_UNFINISHED: Final = ".part"


class Bodies:
    """The large bodies of one table, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob(f"*{_UNFINISHED}"):
            left.unlink(missing_ok=True)
        self._unused: set[str] = set()

    def put(self, content: bytes) -> tuple[bytes | None, str | None]:
        """Keep a body, durable when this returns; it may take a while.

        Returns:
            What goes into the row: the body, or the name of its file; the other one is None.

        Raises:
            OSError: it could not be written.
        """
        if len(content) <= _SMALL:
            return content, None
        name = uuid.uuid4().hex
        unfinished = self._folder / f"{name}{_UNFINISHED}"
        try:
            durable.write(unfinished, content)
            unfinished.rename(self._folder / name)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        durable.flush_folder(self._folder)
        return None, name

    def get(self, content: bytes | None, name: str | None) -> bytes:
        """A body by what its row has. Raises `OSError` if its file cannot be read, or there never was one."""
        if name is None:
            if content is None:
                raise FileNotFoundError("the row has no body")
            return content
        return (self._folder / name).read_bytes()

    def size(self, name: str) -> int:
        """Bytes of a file; none if it is gone."""
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return 0

    def delete_unused(self, used: Callable[[], set[str]]) -> None:
        """Delete the files that are not among the names in use, now and at the look before."""
        present = {file.name for file in self._folder.iterdir() if not file.name.endswith(_UNFINISHED)}
        unused = present - used() if present else set()
        for name in unused & self._unused:
            (self._folder / name).unlink(missing_ok=True)
        self._unused = unused
