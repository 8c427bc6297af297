"""Frames between the service and the engine's process: a JSON header, then the arrays as they lie in memory.

No pickle: a frame can name only the classes listed here, so that reading one never runs code. The module knows nothing
of sockets, of processes, or of what the messages mean.

A frame is two little-endian unsigned 64-bit lengths, the header (JSON) and the body. In the header, `{"$array": [dtype,
shape, offset]}` stands for an array in the body and `{"$class": name, ...}` for one of the protocol's values.
"""

import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import orjson
from numpy.typing import NDArray

from tinker_local.engine.protocol import (
    AdamSettings,
    BaseModelInfo,
    DimuonSettings,
    Hold,
    ImageInput,
    LoraSpec,
    SampledTokens,
    SampleJob,
    SampleOutput,
    TopK,
    TrainingDatum,
    TrainingOutput,
)
from tinker_local.settings import ModelSource

__all__ = ["PREFIX", "decode", "encode", "lengths"]

PREFIX: Final = struct.Struct("<QQ")
_ALIGNMENT: Final = 16
_CLASSES: Final[Mapping[str, Callable[..., Any]]] = {
    cls.__name__: cls
    for cls in (
        AdamSettings,
        DimuonSettings,
        BaseModelInfo,
        Hold,
        ImageInput,
        LoraSpec,
        ModelSource,
        SampleJob,
        SampleOutput,
        SampledTokens,
        TopK,
        TrainingDatum,
        TrainingOutput,
    )
}
_DTYPES: Final = frozenset({"int32", "int64", "float32", "float64", "bool", "uint8"})


class _Writer:
    """Collects the arrays of one message; `offset` is the length of the body so far."""

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []
        self.offset = 0

    def array(self, value: NDArray[Any]) -> dict[str, Any]:
        if value.dtype.name not in _DTYPES:
            raise TypeError(f"arrays of dtype {value.dtype} do not cross to the engine")
        data = np.ascontiguousarray(value)
        start = self.offset
        if data.nbytes:
            self.parts.append(data.reshape(-1).view(np.uint8).data)
        padding = -data.nbytes % _ALIGNMENT
        if padding:
            self.parts.append(bytes(padding))
        self.offset += data.nbytes + padding
        return {"$array": [data.dtype.name, value.shape, start]}

    def default(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self.array(value)
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, Path):
            return str(value)
        if type(value).__name__ in _CLASSES:
            fields = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
            return {"$class": type(value).__name__, **fields}
        if isinstance(value, Mapping):
            return dict(value)
        raise TypeError(f"{type(value).__name__} does not cross to the engine")


def encode(message: Any) -> list[bytes | memoryview]:
    """The parts of one frame, to be written one after the other.

    Args:
        message: JSON values, numpy arrays, paths and the protocol's value classes, nested as they like.

    Raises:
        TypeError: the message holds something else.
    """
    writer = _Writer()
    header = orjson.dumps(message, default=writer.default)
    return [PREFIX.pack(len(header), writer.offset) + header, *writer.parts]


def lengths(prefix: bytes) -> tuple[int, int]:
    """Bytes of the header and of the body that follow a prefix."""
    header, body = PREFIX.unpack(prefix)
    return header, body


def decode(header: bytes, body: bytes | memoryview) -> Any:
    """The message of one frame. Its arrays are read-only views of `body`."""
    return _restore(orjson.loads(header), body)


def _restore(value: Any, body: bytes | memoryview) -> Any:
    if isinstance(value, list):
        return [_restore(item, body) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        dtype, shape, start = value["$array"]
        return np.frombuffer(body, dtype=dtype, count=math.prod(shape), offset=start).reshape(shape)
    restored = {key: _restore(item, body) for key, item in value.items() if key != "$class"}
    if "$class" not in value:
        return restored
    # The protocol's values are immutable: sequences come back as tuples.
    fields: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in restored.items()}
    return _CLASSES[value["$class"]](**fields)
