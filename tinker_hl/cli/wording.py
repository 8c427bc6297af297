"""How times, sizes and truths are said to people. Programs get them as they are, by `--format json`."""

from datetime import UTC, datetime
from typing import Final

__all__ = ["MISSING", "age", "harmless", "one_line", "plural", "size", "yes_or_no"]

MISSING: Final = "-"
_UNITS: Final = (("week", 7 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))
_SHOWN_AS_DATE_AFTER: Final = 30 * 86400
_SIZES: Final = ("B", "KB", "MB", "GB", "TB", "PB")


def age(moment: datetime | None, *, missing: str = MISSING, now: datetime | None = None) -> str:
    """`3 hours ago`, `in 2 days`, `just now`; a date beyond 30 days either way.

    Args:
        moment: A time; one without a zone is UTC's.
        missing: What stands for None.
        now: The present; None is this machine's.
    """
    if moment is None:
        return missing
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - aware).total_seconds()
    if abs(seconds) < 60:
        return "just now"
    if abs(seconds) > _SHOWN_AS_DATE_AFTER:
        return aware.astimezone(UTC).strftime("%Y-%m-%d")
    name, length = next((name, length) for name, length in _UNITS if abs(seconds) >= length)
    said = plural(int(abs(seconds) // length), name)
    return f"{said} ago" if seconds > 0 else f"in {said}"


def size(count: int | None) -> str:
    """A number of bytes, in powers of 1024 with one decimal: `512 B`, `1.5 MB`."""
    if count is None or count < 0:
        return MISSING
    amount, unit = float(count), 0
    # 1023.95 KB would be written as 1024.0 KB.
    while round(amount, 1) >= 1024 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{count} B" if unit == 0 else f"{amount:.1f} {_SIZES[unit]}"


def yes_or_no(value: bool | None) -> str:
    """`Yes`, `No`, or a dash for what is not known."""
    return MISSING if value is None else "Yes" if value else "No"


def plural(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def one_line(text: object) -> str:
    """A text that moves no cursor and starts no line: what a server or a file says is not trusted with the terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(text))


def harmless(text: str) -> str:
    """A text of several lines that moves no cursor: as `one_line`, but for line breaks and tabs."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else repr(letter)[1:-1] for letter in text)
