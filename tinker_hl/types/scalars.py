"""Converters for single numbers and times in public types: numpy scalars become Python's, lossy ones are refused."""

import math
import operator
from datetime import datetime
from typing import Any, SupportsFloat, cast

import numpy as np

from tinker_hl.types.arrays import is_torch_tensor

__all__ = ["finite", "finite_or_none", "flag", "moment", "moment_or_none", "whole", "whole_or_none", "zoned"]


def whole(value: Any) -> int:
    """An int; 3.0 and "3" are ones, 3.5 and None are not. Raises `TypeError` or `ValueError`."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise TypeError(f"a whole number is needed, got {value!r}") from None
    if value is None:
        raise TypeError(f"a whole number is needed, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        number = finite(value)
    if not number.is_integer():
        raise ValueError(f"a whole number is needed, got {number}")
    return int(number)


def finite(value: Any) -> float:
    """A float that JSON can carry. Raises `TypeError` or `ValueError`.

    A text that spells one will do: YAML's readers give one for 1e-4.
    """
    plain = value.item() if is_torch_tensor(value) else value
    if not isinstance(plain, str) and not (hasattr(plain, "__float__") or hasattr(plain, "__index__")):
        raise TypeError(f"a number is needed, got {value!r}")
    try:
        number = float(cast(SupportsFloat, plain))
    except ValueError:
        raise TypeError(f"a number is needed, got {value!r}") from None
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


def moment(value: Any) -> datetime:
    """A time as it is, or from ISO 8601 text. Raises `TypeError` or `ValueError`."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise TypeError(f"a datetime or ISO 8601 text is needed, got {type(value).__name__}")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"ISO 8601 text such as 2026-08-01T12:00:00Z is needed, got {value!r}") from None


def moment_or_none(value: Any) -> datetime | None:
    """A time, or None."""
    return None if value is None else moment(value)


def zoned(value: Any) -> datetime:
    """A time with its offset from UTC. Raises `TypeError` or `ValueError`."""
    time = moment(value)
    if time.utcoffset() is None:
        raise ValueError(f"a time with an offset from UTC is needed, got {time.isoformat()}")
    return time
