"""Tensors as the wire has them: int64 or float32, dense or sparse rows, in numpy.

Torch is never imported unless a tensor is asked for; sparse conversions are done by numpy alone.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from tinker_hl.types.arrays import Array, TensorDtype, array_like, as_values, is_torch_tensor
from tinker_hl.types.dataclass_view import DataclassView
from tinker_hl.types.listed_once import ListedOnce
from tinker_hl.types.record import Record

__all__ = ["TensorData", "TensorDtype"]

_SHOWN: Final = 6
_DTYPES: Final = ("int64", "float32")
_torch_from_numpy: Callable[[Any], Any] | None = None


@attrs.frozen(init=False, eq=False, repr=False)
class TensorData(ListedOnce, DataclassView, Record):
    """A tensor, dense or compressed by rows (CSR).

    Invariant: the values are in `dtype`, C-contiguous and our own; what a caller gave is copied and then read-only, so
    that changing it later changes no request in flight. Two are equal if their shapes and all their values are.

    Args:
        data: the values: a list of any rectangular nesting, a tuple, a numpy array or a torch tensor; with CSR indices
            the stored values only.
        dtype: `"int64"` or `"float32"`; may be left out for arrays and tensors, which know their kind.
        shape: the dense shape; None is that of the data, and for one dimension leaves it open. Required with CSR
            indices.
        sparse_crow_indices: row pointers [rows + 1], from 0 to the number of stored values.
        sparse_col_indices: the column of each stored value.

    Raises:
        TypeError: `dtype` is missing, or `data` holds no numbers.
        ValueError: an unknown `dtype`, a value that it cannot hold, or a shape that does not fit.
    """

    values: Array
    """Dense: shaped like `shape`, or [n] without one. Sparse: [stored]."""
    dtype: TensorDtype
    shape: list[int] | None
    crow_indices: NDArray[np.int64] | None
    col_indices: NDArray[np.int64] | None

    def __init__(
        self,
        data: Any = None,
        dtype: TensorDtype | None = None,
        shape: Sequence[int] | None = None,
        sparse_crow_indices: Any = None,
        sparse_col_indices: Any = None,
    ) -> None:
        values = as_values([] if data is None else data, _wire_dtype(data, dtype))
        dimensions = None if shape is None else [int(size) for size in shape]
        crow = None if sparse_crow_indices is None else as_values(sparse_crow_indices, "int64")
        col = None if sparse_col_indices is None else as_values(sparse_col_indices, "int64")
        if (crow is None) != (col is None):
            raise ValueError("sparse_crow_indices and sparse_col_indices come together")
        if crow is not None and col is not None:
            _check_csr(values, dimensions, crow, col)
        elif dimensions is not None:
            values = _shaped(values, dimensions)
        elif values.ndim > 1:
            dimensions = list(values.shape)  # rows of rows, and arrays of several axes, have a shape of their own
        else:
            values = values.reshape(-1)
        self._set(values, dimensions, crow, col, frozen=True)

    def _set(self, values: Array, shape: list[int] | None, crow: Any = None, col: Any = None, *, frozen: bool) -> None:
        if frozen:
            for array in (values, crow, col):
                if array is not None:
                    array.flags.writeable = False
        dtype: TensorDtype = "float32" if values.dtype.kind == "f" else "int64"
        self.__attrs_init__(values, dtype, shape, crow, col)

    @classmethod
    def adopt(cls, values: Array) -> "TensorData":
        """A dense tensor around an array that nobody else uses: no copy, no checks; writeable if the array is.

        Args:
            values: C-contiguous, of dtype int64 or float32, in its final shape.
        """
        tensor = cls.__new__(cls)
        tensor._set(values, list(values.shape), frozen=False)
        return tensor

    @classmethod
    def from_numpy(cls, array: NDArray[Any]) -> "TensorData":
        """A copy of an array: floats become float32; ints, unsigned and bool become int64. The shape is kept."""
        if not isinstance(array, (np.ndarray, np.generic)):
            raise TypeError(f"from_numpy takes a numpy array, got {type(array).__name__}")
        tensor = cls.__new__(cls)
        tensor._set(as_values(array, _wire_dtype(array, None)), list(array.shape), frozen=True)
        return tensor

    @classmethod
    def from_torch(cls, tensor: Any) -> "TensorData":
        """A copy of a tensor on any device: floating types become float32, all others int64. The shape is kept."""
        if not is_torch_tensor(tensor):
            raise TypeError(f"from_torch takes a torch tensor, got {type(tensor).__name__}")
        return cls(tensor, shape=tuple(tensor.shape))

    @classmethod
    def from_torch_sparse(cls, tensor: Any, pad_value: int = 0) -> "TensorData":
        """A copy of a tensor, compressed by rows where that is smaller: (rows + 1) + 2 * stored < rows * columns.

        Args:
            tensor: any shape; other than two dimensions stay dense.
            pad_value: the value that is not stored.
        """
        return cls.from_torch(tensor).compressed(pad_value)

    def compressed(self, pad_value: int = 0) -> "TensorData":
        """The same as CSR where that is smaller, else unchanged. Formula: `from_torch_sparse`."""
        pad = _pad(pad_value)
        if self.is_sparse or self.values.ndim != 2:
            return self
        stored = self.values != pad
        rows, columns = self.values.shape
        if rows + 1 + 2 * int(np.count_nonzero(stored)) >= rows * columns:
            return self
        crow = np.concatenate([[0], np.cumsum(stored.sum(axis=1))]).astype(np.int64)
        sparse = type(self).__new__(type(self))
        sparse._set(self.values[stored], self.shape, crow, np.nonzero(stored)[1].astype(np.int64), frozen=True)
        return sparse

    @property
    def is_sparse(self) -> bool:
        """Whether only some values are stored."""
        return self.crow_indices is not None

    @property
    def sparse_crow_indices(self) -> list[int] | None:
        """Row pointers [rows + 1], or None."""
        return None if self.crow_indices is None else self.crow_indices.tolist()

    @property
    def sparse_col_indices(self) -> list[int] | None:
        """Column of each stored value, or None."""
        return None if self.col_indices is None else self.col_indices.tolist()

    @property
    def data(self) -> list[Any]:
        """The (stored) values as one flat list; made once, on first use."""
        return self._listed(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes of the values and indices."""
        if self.crow_indices is None or self.col_indices is None:
            return self.values.nbytes
        return self.values.nbytes + self.crow_indices.nbytes + self.col_indices.nbytes

    def to_numpy(self, pad_value: int = 0) -> Array:
        """The dense array, without a copy if it is dense; read-only if the values came from a caller.

        Args:
            pad_value: what stands where nothing is stored.
        """
        if self.crow_indices is None:
            return self.values  # at once: a result is read this way, tensor by tensor
        dense: Any = np.full(self.shape or (), _pad(pad_value), dtype=self.values.dtype)
        rows = np.repeat(np.arange(dense.shape[0]), np.diff(self.crow_indices))
        dense[rows, self.col_indices] = self.values
        filled: Array = dense
        return filled

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """For `numpy.asarray`: the dense values."""
        return np.array(self.to_numpy(), dtype=dtype, copy=True) if copy else np.asarray(self.to_numpy(), dtype=dtype)

    def to_torch(self, pad_value: int = 0) -> Any:
        """The dense tensor; shares memory with results, copies what came from a caller. Raises `ImportError`."""
        array = self.to_numpy(pad_value)
        from_numpy = _torch_from_numpy or _import_torch()
        return from_numpy(array if array.flags.writeable else array.copy())

    def tolist(self, pad_value: int = 0) -> Any:
        """The dense values as nested lists."""
        return self.to_numpy(pad_value).tolist()

    def frozen(self) -> "TensorData":
        """This tensor if nobody can change it, else a read-only copy."""
        if not self.values.flags.writeable:
            return self
        copied = type(self).__new__(type(self))
        copied._set(self.values.copy(), self.shape, self.crow_indices, self.col_indices, frozen=True)
        return copied

    def _fields(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "dtype": self.dtype,
            "shape": self.shape,
            "sparse_crow_indices": self.sparse_crow_indices,
            "sparse_col_indices": self.sparse_col_indices,
        }

    def _wire_fields(self) -> dict[str, Any]:
        return {
            "data": self.values.reshape(-1),
            "dtype": self.dtype,
            "shape": self.shape,
            "sparse_crow_indices": self.crow_indices,
            "sparse_col_indices": self.col_indices,
        }

    def model_copy(self, *, update: Any = None, deep: bool = False) -> "TensorData":
        """A copy with some of the constructor's arguments replaced."""
        return type(self)(**(self._wire_fields() | dict(update or {})))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorData):
            return NotImplemented
        mine, theirs = self.to_numpy(), other.to_numpy()
        return self.dtype == other.dtype and np.array_equal(mine, theirs, equal_nan=self.dtype == "float32")

    __hash__ = None  # type: ignore[assignment]  # equal by value, and results can be changed

    def __repr__(self) -> str:
        flat = self.values.reshape(-1)
        more = f", ... {flat.size} in all" if flat.size > _SHOWN else ""
        shown = ", ".join(f"{value:.6g}" for value in flat[:_SHOWN].tolist())
        layout = ", sparse" if self.is_sparse else ""
        return f"TensorData([{shown}{more}], {self.dtype}, shape={self.shape}{layout})"


def _import_torch() -> Callable[[Any], Any]:
    """Looked up once: reading a result asks for each of its tensors."""
    global _torch_from_numpy
    import torch

    _torch_from_numpy = torch.from_numpy
    return torch.from_numpy


def _wire_dtype(data: Any, dtype: str | None) -> TensorDtype:
    if dtype is None:
        array = array_like(data)
        if array is None:
            raise TypeError("TensorData needs dtype='int64' or dtype='float32' for a list")
        if array.dtype.kind not in "biuf":
            raise ValueError(f"an array of {array.dtype} has no place on the wire: int64 and float32 only")
        return "float32" if array.dtype.kind == "f" else "int64"
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be 'int64' or 'float32', got {dtype!r}")
    return "int64" if dtype == "int64" else "float32"


def _shaped(values: Array, shape: list[int]) -> Array:
    if any(size < 0 for size in shape) or math.prod(shape) != values.size:
        raise ValueError(f"{values.size} values do not fill shape {shape}")
    return values.reshape(shape)


def _check_csr(values: Array, shape: list[int] | None, crow: Array, col: Array) -> None:
    if shape is None or len(shape) != 2:
        raise ValueError(f"a sparse tensor needs a shape of two dimensions, got {shape}")
    if values.ndim != 1 or crow.ndim != 1 or col.ndim != 1:
        raise ValueError("data and indices of a sparse tensor have one dimension")
    rows, columns = shape
    if crow.size != rows + 1 or crow[0] != 0 or crow[-1] != values.size or bool((np.diff(crow) < 0).any()):
        raise ValueError(f"sparse_crow_indices must rise from 0 to {values.size} in {rows + 1} steps")
    if col.size != values.size or (col.size and not (int(col.min()) >= 0 and int(col.max()) < columns)):
        raise ValueError(f"sparse_col_indices needs {values.size} columns from 0 to {columns - 1}")


def _pad(pad_value: Any) -> int:
    if isinstance(pad_value, (bool, np.bool_)) or not isinstance(pad_value, (int, np.integer)):
        raise TypeError(f"pad_value must be an int, got {pad_value!r}")
    return int(pad_value)
