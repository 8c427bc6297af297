"""Numbers from anywhere (lists, tuples, numpy, torch) to arrays of ours: checked, copied, never lossy in silence.

Lists go through `struct`, which was measured to be twice as fast as `numpy.array` and `array.array` on lists of 4,096
numbers (30 against 70 microseconds); a packer is kept for each length, as `struct.pack(form, *numbers)` copies the list
twice. Torch is never imported: a tensor can only be given where it is loaded already.
"""

import struct
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "TensorDtype",
    "array_like",
    "as_token_ids",
    "as_values",
    "is_torch_tensor",
    "packer",
    "torch_to_numpy",
]

TensorDtype: TypeAlias = Literal["int64", "float32"]
Array: TypeAlias = NDArray[np.int64] | NDArray[np.float32]

_STRUCT_CODES: Final = {"int64": "q", "float32": "f", "uint32": "I"}
_DTYPES: Final = {"int64": np.dtype(np.int64), "float32": np.dtype(np.float32)}
_MAX_TOKEN: Final = 2**31 - 1


def is_torch_tensor(value: object) -> bool:
    """Whether `value` is a torch tensor; False without importing torch when nobody else has."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def torch_to_numpy(tensor: Any) -> NDArray[Any]:
    """A tensor's values as float32, int64 or bool; on any device, with or without gradient, strided or sparse."""
    torch = sys.modules["torch"]
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    wanted = torch.float32 if tensor.is_floating_point() else tensor.dtype
    values: NDArray[Any] = tensor.to(device="cpu", dtype=wanted).resolve_conj().resolve_neg().contiguous().numpy()
    return values


def array_like(value: object) -> NDArray[Any] | None:
    """The array behind a numpy array, numpy scalar or torch tensor; None for anything else. May share memory."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.generic):
        return np.asarray(value)
    return torch_to_numpy(value) if is_torch_tensor(value) else None


def as_token_ids(tokens: object) -> NDArray[np.int32]:
    """Token ids [N] as a read-only int32 array of our own.

    Raises:
        TypeError: not a one-dimensional sequence of numbers.
        ValueError: a fraction, a negative id, or one above 2^31 - 1 (the wire has 32 bits); the message has its place.
    """
    tokens = _items_as_arrays(tokens)
    if _packable(tokens):
        try:
            packed = packer("uint32", len(tokens))(*tokens)
        except (struct.error, TypeError):
            pass  # something is amiss: the slow way below finds out what
        else:
            return _checked_ids(np.frombuffer(packed, np.uint32))
    array = array_like(tokens)
    if array is None:
        array = _array_from_sequence(tokens, "tokens")
    if array.ndim != 1:
        raise ValueError(f"tokens must have one dimension, got shape {list(array.shape)}")
    return _checked_ids(as_values(array, "int64"))


@lru_cache(1024)
def packer(dtype: Literal["int64", "float32", "uint32"], count: int) -> Callable[..., bytes]:
    """What packs `count` numbers, given as arguments, as `dtype`.

    It raises `struct.error`, `OverflowError` or `TypeError` for a number that does not fit.
    """
    return struct.Struct(f"{count}{_STRUCT_CODES[dtype]}").pack


def _checked_ids(ids: NDArray[Any]) -> NDArray[np.int32]:
    """The same, if each is a token id."""
    lowest = () if ids.dtype == np.uint32 else (ids.argmin,)
    if ids.size:
        for find in (*lowest, ids.argmax):
            token = ids.item(place := find())
            if not 0 <= token <= _MAX_TOKEN:
                raise ValueError(f"token {token} at position {place} is outside 0..{_MAX_TOKEN}")
    result = ids.view(np.int32) if ids.dtype == np.uint32 else ids.astype(np.int32)
    result.flags.writeable = False
    return result


def as_values(value: object, dtype: TensorDtype) -> Array:
    """Numbers of any rectangular nesting as a C-contiguous array of our own, in the dtype of the wire.

    Raises:
        TypeError: not numbers.
        ValueError: ragged, or a value that `dtype` cannot hold (a fraction in int64, above 2^63 - 1); floats are
            rounded to float32 as numpy rounds them.
    """
    value = _items_as_arrays(value)
    if _packable(value):
        try:
            packed = packer(dtype, len(value))(*value)
        except (struct.error, OverflowError, TypeError):
            pass  # nested, or numbers that need the checks below
        else:
            return np.frombuffer(packed, dtype)
    array = array_like(value)
    return _cast(_array_from_sequence(value, "data") if array is None else array, dtype)


def _items_as_arrays(value: Any) -> Any:
    """A list of arrays or tensors as numpy arrays, wherever those are; anything else as it is. Looks at the first."""
    if isinstance(value, (list, tuple)) and value and (isinstance(value[0], np.ndarray) or is_torch_tensor(value[0])):
        return [item if (array := array_like(item)) is None else array for item in value]
    return value


def _packable(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether `struct` may try: it would ask rows of a matrix for their one number, with a warning or an odd error."""
    return isinstance(value, (list, tuple)) and not (value and isinstance(value[0], np.ndarray) and value[0].ndim)


def _array_from_sequence(value: object, name: str) -> NDArray[Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, int, float)):
        raise TypeError(f"{name} must be a list, a tuple, a numpy array or a torch tensor, got {type(value).__name__}")
    try:
        array = np.array(value)
    except ValueError as error:
        raise ValueError(f"{name} must be rectangular: {error}") from None
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got an array of {array.dtype}")
    return array


def _cast(array: NDArray[Any], dtype: TensorDtype) -> Array:
    kind = array.dtype.kind
    if kind not in "biuf":
        raise TypeError(f"numbers expected, got an array of {array.dtype}")
    if array.dtype == _DTYPES[dtype]:
        return np.array(array, order="C")
    if dtype == "float32":
        with np.errstate(over="ignore"):  # infinities are found where data is sent
            return np.array(array, dtype=np.float32, order="C")
    if kind == "f":
        if array.itemsize < 4:
            array = array.astype(np.float32)  # 2^31 and 2^63 are beyond float16
        fractions = np.flatnonzero(~(np.isfinite(array) & (array == np.trunc(array)) & (np.abs(array) < 2.0**63)))
        if fractions.size:
            place = int(fractions[0])
            raise ValueError(f"{array.ravel()[place]} at element {place} is no int64; round it yourself if you mean to")
    elif kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{int(array.max())} at element {int(array.argmax())} does not fit int64")
    return np.array(array, dtype=np.int64, order="C")
