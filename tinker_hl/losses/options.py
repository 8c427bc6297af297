"""Validators of the options of losses, regularizers and schedules: each refusal names the class and the field.

It knows nothing of what the options mean. Neither torch nor numpy is imported here.
"""

import math
from collections.abc import Callable
from typing import Any

import attrs

from tinker_hl.errors import LossOptionError

__all__ = ["at_least", "between", "number", "one_of", "positive", "refused", "whole"]

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], Any]
"""As attrs calls it: the object, the attribute, the value."""


def refused(instance: object, field: str, why: str, *, hint: str | None = None) -> LossOptionError:
    """The error for an option.

    Args:
        instance: Whose option it is.
        field: The option.
        why: What it must be and what it is.
        hint: What to do instead.
    """
    return LossOptionError(f"{type(instance).__name__}.{field} {why}", field=field, hint=hint)


def one_of(*allowed: str) -> Validator:
    """The value is one of these texts."""

    def check(instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value not in allowed:
            raise refused(instance, attribute.name, f"must be one of {', '.join(allowed)}, got {value!r}")

    return check


def number(instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """The value is a finite real number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise refused(instance, attribute.name, f"must be a finite number, got {value!r}")


def between(low: float, high: float) -> Validator:
    """The value is a number from `low` to `high`, both included."""

    def check(instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        number(instance, attribute, value)
        if not low <= value <= high:
            raise refused(instance, attribute.name, f"must be between {low:g} and {high:g}, got {value!r}")

    return check


def at_least(low: float) -> Validator:
    """The value is a finite number of this size or more."""

    def check(instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        number(instance, attribute, value)
        if value < low:
            raise refused(instance, attribute.name, f"must be {low:g} or more, got {value!r}")

    return check


def positive(instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """The value is a finite number above 0."""
    number(instance, attribute, value)
    if value <= 0:
        raise refused(instance, attribute.name, f"must be above 0, got {value!r}")


def whole(low: int) -> Validator:
    """The value is a whole number of this size or more."""

    def check(instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise refused(instance, attribute.name, f"must be a whole number of {low} or more, got {value!r}")

    return check
