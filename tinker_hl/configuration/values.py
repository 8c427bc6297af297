"""What the text of an environment variable means. It knows neither variables nor settings."""

import json
from collections.abc import Mapping
from typing import Final

__all__ = [
    "count",
    "headers",
    "milliseconds",
    "names",
    "not_no",
    "poll_delays",
    "poll_delays_in_milliseconds",
    "positive_count",
    "seconds",
    "text",
    "truth",
    "yes",
]

YES: Final = ("1", "true", "yes", "on")
NO: Final = ("0", "false", "no", "off")

# Each raises a `ValueError` that completes the sentence "NAME must be ...".


def text(given: str) -> str:
    """As it is, without spaces at its ends."""
    return given.strip()


def truth(given: str) -> bool:
    """Whether it says yes."""
    word = given.strip().lower()
    if word not in YES + NO:
        raise ValueError(f"one of {', '.join(YES)}, or of {', '.join(NO)}")
    return word in YES


def yes(given: str) -> bool:
    """Whether it is a word for yes; whatever else it is, it means no."""
    return given.strip().lower() in YES


def not_no(given: str) -> bool:
    """Whether it is no word for no; whatever else it is, it means yes."""
    return given.strip().lower() not in NO


def seconds(given: str) -> float:
    """A time above 0."""
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("a number of seconds above 0")
    return value


def milliseconds(given: str) -> float:
    """A time in milliseconds; returns seconds."""
    try:
        return seconds(given) / 1000.0
    except ValueError:
        raise ValueError("a number of milliseconds above 0") from None


def count(given: str) -> int:
    """A whole number, 0 or above."""
    try:
        value = int(given)
    except ValueError:
        value = -1
    if value < 0:
        raise ValueError("a whole number, 0 or above")
    return value


def positive_count(given: str) -> int:
    """A whole number, 1 or above."""
    try:
        value = count(given)
    except ValueError:
        value = 0
    if value < 1:
        raise ValueError("a whole number, 1 or above")
    return value


def names(given: str) -> tuple[str, ...]:
    """A comma list, each name once, in order."""
    found = (name.strip() for name in given.split(","))
    return tuple(dict.fromkeys(name for name in found if name))


def headers(given: str) -> Mapping[str, str]:
    """A JSON object, or a JSON list of pairs, of names and texts."""
    try:
        value = json.loads(given)
        pairs = dict(value.items() if isinstance(value, dict) else value)
    except (ValueError, TypeError):
        raise ValueError('a JSON object, as {"name": "value"}, or a list of pairs, as [["name", "value"]]') from None
    if not all(isinstance(name, str) and isinstance(one, str | int | float) for name, one in pairs.items()):
        raise ValueError("JSON whose names are texts and whose values are texts or numbers")
    return {name: str(one) for name, one in pairs.items()}


def poll_delays(given: str) -> tuple[float, float] | None:
    """`none`, `exponential` (from 1 to 30 seconds) or `exponential:FIRST:LONGEST`; None stands for `none`."""
    return _delays(given, 1.0)


def poll_delays_in_milliseconds(given: str) -> tuple[float, float] | None:
    """The same with the numbers in milliseconds; returns seconds."""
    return _delays(given, 0.001)


def _delays(given: str, unit: float) -> tuple[float, float] | None:
    kind, _, rest = given.strip().lower().partition(":")
    if kind == "none" and not rest:
        return None
    if kind == "exponential" and not rest:
        return 1.0, 30.0
    try:
        first, longest = (seconds(part) * unit for part in rest.split(":"))
    except ValueError:
        first, longest = 1.0, 0.0
    if kind != "exponential" or first > longest:
        raise ValueError("none, exponential, or exponential:FIRST:LONGEST with two times, the first not the longer one")
    return first, longest
