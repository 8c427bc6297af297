"""Converters for single numbers in public types: numpy scalars become Python's, lossy ones are refused."""

import math
import operator
from typing import Any, SupportsFloat, cast

import numpy as np

from tinker_hl.types.arrays import is_torch_tensor

__all__ = ["finite", "finite_or_none", "flag", "whole", "whole_or_none"]


def whole(value: Any) -> int:
    """An int; 3.0 is one, 3.5, "3" and None are not. Raises `TypeError` or `ValueError`."""
    if isinstance(value, str) or value is None:
        raise TypeError(f"a whole number is needed, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        number = finite(value)
    if not number.is_integer():
        raise ValueError(f"a whole number is needed, got {number}")
    return int(number)


def finite(value: Any) -> float:
    """A float that JSON can carry. Raises `TypeError` or `ValueError`."""
    if isinstance(value, str) or value is None or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"a number is needed, got {value!r}")
    number = float(value.item() if is_torch_tensor(value) else cast(SupportsFloat, value))
    if not math.isfinite(number):
        raise ValueError(f"a finite number is needed, got {number}")
    return number


def whole_or_none(value: Any) -> int | None:
    """An int, or None."""
    return None if value is None else whole(value)


def finite_or_none(value: Any) -> float | None:
    """A finite float, or None."""
    return None if value is None else finite(value)


def flag(value: Any) -> bool:
    """A bool; 0 and 1 count, other things do not. Raises `TypeError`."""
    if isinstance(value, (int, np.bool_)) and value in (0, 1):
        return bool(value)
    raise TypeError(f"True or False is needed, got {value!r}")
