"""Records in a file, one JSON object a line, that outlive the process that wrote them. It does not know what they say.

A record is written in one piece, and is the system's to keep once `append_record` returns: a killed process loses none.
A machine that loses its power may leave half a line; the next record begins on a line of its own, and a reader goes
over what is no record and says how many there were.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import orjson

__all__ = ["METRICS_FILE", "Records", "append_record", "read_records"]

METRICS_FILE = "metrics.jsonl"
"""The name of a run's file of metrics."""


_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


@attrs.frozen
class Records:
    """What a file holds."""

    records: Sequence[Mapping[str, Any]]
    """In the order in which they were written."""
    torn: int = 0
    """Lines that are no record: what a lost machine left."""


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write one record at the end of a file, which is made if it is not there.

    Args:
        path: The file; its folder exists.
        record: JSON values, numpy's and torch's numbers; one that is not finite is written as null.

    Raises:
        TypeError: A value of another type, by its name.
        OSError: The file cannot be written.
    """
    line = _encoded(record)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                line = b"\n" + line
        left = memoryview(line)
        while left:
            # A disk that becomes full takes a part without a word; the next write says why.
            left = left[file.write(left) :]


def read_records(path: Path) -> Records:
    """All records of a file, also while it is written to.

    Raises:
        OSError: There is no such file.
    """
    records: list[Mapping[str, Any]] = []
    torn = 0
    for line in path.read_bytes().split(b"\n"):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except ValueError:
            value = None
        if isinstance(value, dict):
            records.append(value)
        else:
            torn += 1
    return Records(records, torn)


def _encoded(record: Mapping[str, Any]) -> bytes:
    try:
        # NaN and the infinities become null.
        return orjson.dumps(dict(record), default=_number, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        for name, value in record.items():
            try:
                orjson.dumps(value, default=_number, option=_OPTIONS)
            except TypeError as error:
                kind = type(value).__name__
                raise TypeError(f"{name}: a {kind} is no JSON value; give a number or a text") from error
        raise


def _number(value: Any) -> Any:
    """A tensor of one element as its number."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"no JSON value: {type(value).__name__}")
