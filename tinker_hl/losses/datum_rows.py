"""Rows of numbers that belong to the datums of a call (weights, reference logprobs, advantages) as constant tensors.

A row comes from the datum's `loss_fn_inputs`, from arrays given with the loss, or from a function of the datums. It
knows nothing of what the rows are for.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from tinker_hl.errors import InvalidDatumError
from tinker_hl.types import Datum, TensorData

__all__ = ["RowSource", "Rows", "optional_rows", "rows_of"]

Rows: TypeAlias = Sequence[Tensor]
"""One tensor a datum: [T], or [T, K] where there are K candidates at each position; T may differ from datum to
datum."""

RowSource: TypeAlias = str | Sequence[Any] | Callable[[list[Datum]], Sequence[Any]]
"""A key of `loss_fn_inputs`; or one array, tensor, list or number a datum; or a function of the datums that gives
these."""


def rows_of(source: RowSource, data: Sequence[Datum], like: Rows, field: str) -> list[Tensor]:
    """Constant tensors of the shape, dtype and device of the logprobs.

    Args:
        source: Where they come from; a single number stands for a row of it.
        data: The datums of the call.
        like: Their logprobs.
        field: What the rows are called in an error where they have no key.

    Raises:
        InvalidDatumError: A row is missing, has another shape than the logprobs, or is not finite; names the datum.
    """
    if isinstance(source, str):
        return [_from_key(source, datum, row, index) for index, (datum, row) in enumerate(zip(data, like, strict=True))]
    found = source(list(data)) if callable(source) else source
    if len(found) != len(data):
        raise InvalidDatumError(f"{field} has {len(found)} rows for {len(data)} datums; it must have one for each")
    return [row_like(each, row, index, field) for index, (each, row) in enumerate(zip(found, like, strict=True))]


def optional_rows(source: RowSource | None, data: Sequence[Datum], like: Rows, field: str) -> list[Tensor] | None:
    """The same; None without a source, and ones for a datum that lacks its key."""
    if source is None:
        return None
    if not isinstance(source, str):
        return rows_of(source, data, like, field)
    return [
        _from_key(source, datum, row, index) if source in datum.loss_fn_inputs else torch.ones_like(row)
        for index, (datum, row) in enumerate(zip(data, like, strict=True))
    ]


def row_like(value: Any, like: Tensor, index: int, field: str) -> Tensor:
    """One row as a constant tensor; a single number is repeated.

    Raises:
        InvalidDatumError: Its shape is another, or a number is not finite.
    """
    tensor = _tensor(value).detach().to(dtype=like.dtype, device=like.device)
    if tensor.ndim and tensor.shape != like.shape:
        raise InvalidDatumError(
            f"shape {list(tensor.shape)} does not fit the logprobs, which have {list(like.shape)}",
            datum_index=index,
            field=field,
        )
    if not bool(torch.isfinite(tensor).all()):
        place = int(torch.nonzero(~torch.isfinite(tensor.reshape(-1)))[0, 0])
        raise InvalidDatumError(
            f"{tensor.reshape(-1)[place].item()} at element {place} is not finite", datum_index=index, field=field
        )
    return tensor.expand(like.shape) if tensor.ndim == 0 else tensor


def _from_key(key: str, datum: Datum, like: Tensor, index: int) -> Tensor:
    field = f"loss_fn_inputs[{key!r}]"
    if key not in datum.loss_fn_inputs:
        raise InvalidDatumError("the loss reads it, and the datum has none", datum_index=index, field=field)
    return row_like(datum.loss_fn_inputs[key], like, index, field)


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, TensorData):
        return torch.from_numpy(value.to_numpy().copy())
    return torch.from_numpy(np.array(value, dtype=np.float64))
