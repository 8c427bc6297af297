"""The spool: data of passes that wait on the disk for their turn, because there is no room for them in memory.

Nothing in it outlives the service: what has to is in the journal. So nothing is flushed, and the folder is emptied at
the start. It does not know who waits, nor for what.
"""

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tinker_local.beside import beside
from tinker_local.engine import channel
from tinker_local.engine.protocol import EngineError, TrainingDatum
from tinker_local.errors import too_many

__all__ = ["Spool", "Spooled"]

_BACK_AT_ONCE: Final = 4


class Spool:
    """The spool of one data folder."""

    def __init__(self, folder: Path, most: int) -> None:
        """`most` bytes may lie in it."""
        self._folder = folder
        self._most = most
        self.size = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.iterdir():
            left.unlink()
        self.room_in_memory: Final = asyncio.Semaphore(_BACK_AT_ONCE)
        """Held by each that was brought back, for as long as the engine works on it."""

    async def put(self, data: Sequence[TrainingDatum], *, bounded: bool = True) -> "Spooled":
        """Write a pass's data down.

        Args:
            data: what is needed when the turn has come.
            bounded: whether it may be refused; False for what was accepted before.

        Raises:
            ApiError: 429: there is no room on the disk either.
            OSError: it could not be written.
        """
        parts = channel.encode(list(data))
        size = sum(map(len, parts))
        if bounded and self.size + size > self._most:
            raise too_many(
                f"requests that wait for a missing sequence id have {self.size} bytes on the disk, of at most "
                f"{self._most} (max_spooled_bytes); send that one first",
                5,
            )
        spooled = Spooled(self, self._folder / uuid.uuid4().hex, size)
        self.size += size
        try:
            await beside(lambda: spooled.write(parts))
        except BaseException:
            spooled.delete()
            raise
        return spooled


class Spooled:
    """One pass's data on the disk, until it is deleted."""

    def __init__(self, spool: Spool, path: Path, size: int) -> None:
        self._spool = spool
        self._path = path
        self.size = size
        self._deleted = False

    def write(self, parts: Sequence[bytes | memoryview]) -> None:
        """Fill the file. Raises `OSError`."""
        with self._path.open("wb") as file:
            file.writelines(parts)
        if self._deleted:  # nobody waits any more
            self._path.unlink(missing_ok=True)

    async def read(self) -> Sequence[TrainingDatum]:
        """The data. Raises `EngineError` if they cannot be read any more."""
        try:
            return await beside(self._read)
        except (OSError, ValueError) as problem:
            raise EngineError(f"the data could not be read back from the disk: {problem}") from problem

    def delete(self) -> None:
        """It is not needed any more."""
        if not self._deleted:
            self._deleted = True
            self._spool.size -= self.size
            self._path.unlink(missing_ok=True)

    def _read(self) -> Sequence[TrainingDatum]:
        frame = self._path.read_bytes()
        if len(frame) != self.size:
            raise ValueError(f"{len(frame)} bytes instead of {self.size}")
        head = channel.PREFIX.size
        header_length, _ = channel.lengths(frame[:head])
        data: list[TrainingDatum] = channel.decode(
            frame[head : head + header_length], memoryview(frame)[head + header_length :]
        )
        return data
