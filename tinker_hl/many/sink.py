"""A JSONL file that results are appended to as they come, and from which a job that died goes on.

One line a result: {"index": ..., "key": ..., "response": {...}}; one that failed has "error" instead and is asked for
again next time. A last line that was cut by a crash is taken off. What was written is found by index and key, so that a
changed prompt is asked for anew; of a long file only places are kept in memory.
"""

import os
from io import BufferedRandom
from pathlib import Path
from typing import Any

import orjson

from tinker_hl.errors import TinkerError
from tinker_hl.types import SampleResponse

__all__ = ["JsonlSink", "SinkError"]


class SinkError(TinkerError):
    """A file is no sink of samples, or another job is writing it."""


class JsonlSink:
    """The file; used by one thread of one process, which a lock sees to where the system has locks.

    Args:
        path: Made if need be.

    Raises:
        SinkError: It holds something else, or another process is writing it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        self._file: BufferedRandom = os.fdopen(descriptor, "r+b")
        try:
            self._alone()
            self._places = self._read()
        except BaseException:
            self._file.close()
            raise

    def find(self, index: int, key: str) -> SampleResponse | None:
        """What an earlier run wrote for a task, if it succeeded."""
        place = self._places.get((index, key))
        if place is None:
            return None
        self._file.seek(place)
        return SampleResponse.model_validate(orjson.loads(self._file.readline())["response"])

    def write(self, index: int, key: str, result: SampleResponse | TinkerError) -> None:
        """Append a line, and hand it to the system, so that it outlives this process."""
        line: dict[str, Any] = {"index": index, "key": key}
        if isinstance(result, TinkerError):
            line["error"] = {"type": type(result).__name__, "message": result.message}
        else:
            line["response"] = result.model_dump(mode="json")
        place = self._file.seek(0, os.SEEK_END)
        self._file.write(orjson.dumps(line) + b"\n")
        self._file.flush()
        if not isinstance(result, TinkerError):
            self._places[index, key] = place

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _alone(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SinkError(f"another job is writing {self.path}", hint="wait for it, or choose another file") from None

    def _read(self) -> dict[tuple[int, str], int]:
        places: dict[tuple[int, str], int] = {}
        at = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                self._file.truncate(at)  # cut by a crash
                break
            try:
                entry: Any = orjson.loads(line)
                where = int(entry["index"]), str(entry["key"])
                succeeded = "response" in entry
            except (ValueError, LookupError, TypeError):
                raise SinkError(f"line {number} of {self.path} is no result of sample_many") from None
            if succeeded:
                places[where] = at
            at += len(line)
        return places
