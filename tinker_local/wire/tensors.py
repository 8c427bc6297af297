"""A tensor of a request, dense or compressed sparse row (CSR), to a dense array. It does not know what it is for.

Nothing is made dense before its size is known to be allowed: a few bytes of CSR can name a tensor of any size.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.wire.faults import Loc, WireFault

__all__ = ["Room", "RowLayout", "tensor_from_json", "tensor_from_proto"]

MAX_ELEMENTS = 2**27
"""Elements of all dense tensors of one request (1 GiB as int64)."""
_MOST_DIMENSIONS = 8

_NUMPY_DTYPES: dict[str, type[np.generic]] = {"int64": np.int64, "float32": np.float32}

_PROTO_DTYPES: dict[int, np.dtype[Any]] = {
    pb.DTYPE_FLOAT32: np.dtype("<f4"),
    pb.DTYPE_INT64: np.dtype("<i8"),
    pb.DTYPE_INT32: np.dtype("<i4"),
    pb.DTYPE_BFLOAT16: np.dtype("<u2"),
}


@attrs.define
class Room:
    """What is left of the elements that one request may hold; shared by all of its tensors."""

    elements: int = MAX_ELEMENTS

    def take(self, shape: Sequence[int], loc: Loc) -> None:
        """Count a tensor in. Raises `WireFault` when the request as a whole grows too large, or the shape is none that
        an array can have: one of no elements may name lengths without an end.
        """
        if len(shape) > _MOST_DIMENSIONS or max(shape, default=0) > MAX_ELEMENTS:
            raise WireFault(
                (*loc, "shape"), f"a shape has at most {_MOST_DIMENSIONS} lengths, each at most {MAX_ELEMENTS}"
            )
        self.elements -= math.prod(shape)
        if self.elements < 0:
            raise WireFault(loc, f"the tensors of one request hold at most {MAX_ELEMENTS} elements; send fewer data")


@attrs.frozen(eq=False)
class RowLayout:
    """Which entries of a matrix a CSR tensor lists; an answer to it lists the same."""

    crow: NDArray[np.int64]
    """[rows + 1]: where each row begins among the listed entries, and the end of the last."""
    col: NDArray[np.int64]
    """[listed]: the column of each."""

    @classmethod
    def of(cls, tensor: Mapping[str, Any]) -> "RowLayout | None":
        """That of a `TensorData` object which `tensor_from_json` has read; None for a dense one."""
        crow, col = tensor.get("sparse_crow_indices"), tensor.get("sparse_col_indices")
        return None if crow is None else cls(np.array(crow, np.int64), np.array(col, np.int64))

    def listed(self, dense: NDArray[Any]) -> NDArray[Any]:
        """The listed entries of a matrix [rows, columns]."""
        values: NDArray[Any] = dense[np.repeat(np.arange(self.crow.size - 1), np.diff(self.crow)), self.col]
        return values


def tensor_from_json(tensor: Mapping[str, Any], loc: Loc, room: Room, *, fill: int = 0) -> NDArray[Any]:
    """A `TensorData` object as a dense int64 or float32 array of its shape.

    Args:
        fill: what a CSR tensor's unlisted entries are.
    """
    dtype = np.dtype(_NUMPY_DTYPES[tensor["dtype"]])
    values = _numbers(tensor["data"], dtype, (*loc, "data"))
    crow, col = tensor.get("sparse_crow_indices"), tensor.get("sparse_col_indices")
    shape = tensor.get("shape")
    if (crow is None) != (col is None):
        raise WireFault(loc, "sparse_crow_indices and sparse_col_indices come together or not at all")
    if crow is None or col is None:
        return _dense(values, [values.size] if shape is None else shape, loc, room)
    int64 = np.dtype(np.int64)
    rows = _numbers(crow, int64, (*loc, "sparse_crow_indices"))
    return _expanded(values, rows, _numbers(col, int64, (*loc, "sparse_col_indices")), shape, loc, room, fill)


def tensor_from_proto(tensor: pb.Tensor, loc: Loc, room: Room, *, fill: int = 0) -> NDArray[Any]:
    """A `Tensor` message as a dense array: int32 becomes int64, bfloat16 becomes float32."""
    dtype = _PROTO_DTYPES.get(tensor.dtype)
    if dtype is None:
        raise WireFault(
            (*loc, "dtype"), f"{tensor.dtype} is no tensor type: float32, int64, int32 or bfloat16 is needed"
        )
    kind = tensor.WhichOneof("encoding")
    if kind == "sparse_csr":
        csr = tensor.sparse_csr
        return _expanded(
            _widened(csr.values, dtype, (*loc, "values")),
            _widened(csr.crow_indices, np.dtype("<i8"), (*loc, "crow_indices")),
            _widened(csr.col_indices, np.dtype("<i8"), (*loc, "col_indices")),
            list(tensor.shape),
            loc,
            room,
            fill,
        )
    if kind is None:
        raise WireFault(loc, "the tensor holds neither dense nor sparse data")
    values = _widened(tensor.dense, dtype, loc)
    return _dense(values, list(tensor.shape) or [values.size], loc, room)


def _numbers(data: Sequence[Any], dtype: np.dtype[Any], loc: Loc) -> NDArray[Any]:
    """A JSON array as [len(data)] of the dtype, without losing a fraction or wrapping an integer."""
    try:
        given = np.array(data) if len(data) else np.empty(0, dtype)
    except (OverflowError, ValueError):
        raise WireFault(loc, "the data are not a flat list of numbers") from None
    if given.ndim != 1 or given.dtype.kind not in "if":
        raise WireFault(loc, f"the data are not a flat list of {dtype} numbers")
    if dtype.kind == "i" and given.dtype.kind == "f":
        wrong = np.flatnonzero((given != np.trunc(given)) | (np.abs(given) >= 2**63))
        if wrong.size:
            raise WireFault((*loc, int(wrong[0])), f"{given[wrong[0]]} is no int64, which the dtype says it is")
    if given.dtype == dtype:
        return given
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and the engine names infinite values
        return given.astype(dtype, copy=False)


def _widened(raw: bytes, dtype: np.dtype[Any], loc: Loc) -> NDArray[Any]:
    if len(raw) % dtype.itemsize:
        raise WireFault(loc, f"{len(raw)} bytes are not whole values of {dtype.itemsize} bytes")
    values = np.frombuffer(raw, dtype=dtype)
    if dtype.kind == "u":  # bfloat16: the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.int64) if dtype.itemsize == 4 and dtype.kind == "i" else values


def _dense(values: NDArray[Any], shape: Sequence[int], loc: Loc, room: Room) -> NDArray[Any]:
    if any(length < 0 for length in shape) or math.prod(shape) != values.size:
        raise WireFault((*loc, "shape"), f"shape {list(shape)} does not hold the {values.size} values that are given")
    room.take(shape, loc)
    return values.reshape(shape)


def _expanded(
    values: NDArray[Any],
    crow: NDArray[Any],
    col: NDArray[Any],
    shape: Sequence[int] | None,
    loc: Loc,
    room: Room,
    fill: int,
) -> NDArray[Any]:
    """CSR to dense: row r holds values[crow[r]:crow[r + 1]], at the columns that `col` names at the same places."""
    if shape is None or len(shape) != 2 or min(shape) < 0:
        raise WireFault((*loc, "shape"), "a sparse tensor needs its shape, of two dimensions")
    rows, columns = shape
    if crow.size != rows + 1 or crow[0] != 0 or crow[-1] != values.size or bool(np.any(np.diff(crow) < 0)):
        raise WireFault(
            loc, f"the row pointers must be {rows + 1} rising numbers from 0 to {values.size}, the number of values"
        )
    if col.size != values.size:
        raise WireFault(loc, f"{col.size} column indices do not match {values.size} values")
    if col.size and (col.min() < 0 or col.max() >= columns):
        raise WireFault(loc, f"a column index lies outside 0 to {columns - 1}")
    room.take(shape, loc)
    dense = np.full((rows, columns), fill, dtype=values.dtype)
    dense[np.repeat(np.arange(rows), np.diff(crow)), col] = values
    return dense
