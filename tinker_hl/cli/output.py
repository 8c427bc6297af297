"""What commands print: records as a table, as one JSON document or as JSON lines; notes for people on stderr.

A table that does not fit the terminal is shown as one short block a record, with nothing cut off; where nobody looks (a
pipe, a file) it is as wide as it has to be. The module knows nothing of what the records are.
"""

import json
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs
import click

from tinker_hl.cli.forms import form
from tinker_hl.cli.wording import one_line

__all__ = ["Column", "note", "on_terminal", "print_json", "print_record", "print_records", "styled", "table"]

R = TypeVar("R")
GAP: Final = 2
_INDENT: Final = "  "
_NUMBERS: Final = re.compile(r"\[\n[-+0-9.eE,\snul]+\]")
"""An array of numbers and nulls, one a line; a line break is in no string of JSON."""


@attrs.frozen
class Column(Generic[R]):
    """One column of a table."""

    title: str
    cell: Callable[[R], str]
    """The text of a record in this column; it may hold anything, control characters are made harmless."""
    right: bool = False
    """Numbers stand at the right."""


def print_records(
    records: Sequence[R],
    columns: Sequence[Column[R]],
    *,
    name: str,
    nothing: str,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print a list in the form that was asked for.

    Args:
        records: Public types, attrs classes or mappings.
        columns: Of the table; the first one names a record.
        name: The list's field in the JSON document.
        nothing: A note for people where there are none.
        more: Further fields of the JSON document.
    """
    if form() == "json":
        print_json({**(more or {}), name: records})
    elif form() == "jsonl":
        for record in records:
            click.echo(_json(_plain(record), indent=None))
    elif records:
        rows = [[one_line(column.cell(record)) for column in columns] for record in records]
        width = _width() if on_terminal() else None
        titles = [column.title for column in columns]
        click.echo("\n".join(table(titles, rows, [column.right for column in columns], width=width)))
    else:
        note(nothing)


def print_record(record: Any, rows: Sequence[tuple[str, str]]) -> None:
    """Print one record: its JSON, or a line for each of `rows`, which are names and values."""
    if form() == "json":
        print_json(record)
    elif form() == "jsonl":
        click.echo(_json(_plain(record), indent=None))
    else:
        widest = max(len(name) for name, _ in rows)
        for name, value in rows:
            label = styled(f"{name:<{widest}}", fg="bright_cyan")
            click.echo(f"{label}{' ' * GAP}{one_line(value)}".rstrip())


def print_json(value: Any) -> None:
    """Print one JSON document; times are ISO 8601."""
    click.echo(_json(_plain(value), indent=2))


def note(text: str) -> None:
    """A line for people, on stderr, in every form."""
    click.echo(text, err=True)


def on_terminal() -> bool:
    """Whether somebody looks at stdout."""
    return sys.stdout.isatty()


def styled(text: str, **style: Any) -> str:
    """Coloured text for stdout, where there is a terminal that may have colours (https://no-color.org)."""
    if not on_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, **style)


def table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], *, width: int | None
) -> list[str]:
    """The lines of a table, or of blocks where it is wider than `width`.

    Args:
        titles: Of the columns.
        rows: A cell for each column.
        right: Which columns stand at the right.
        width: Of the terminal; None for any.
    """
    widths = [max(map(_cells, column)) for column in zip(titles, *rows, strict=True)]
    if width is not None and sum(widths) + GAP * (len(widths) - 1) > width:
        return [line for row in rows for line in _block(titles, row, width)]
    head = styled(_line(titles, widths, right), bold=True)
    return [head, *(_line(row, widths, right, first=True) for row in rows)]


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], *, first: bool = False) -> str:
    padded = []
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - _cells(cell))
        shown = styled(cell, fg="bright_cyan") if first and place == 0 else cell
        padded.append(space + shown if right[place] else shown + space)
    return (" " * GAP).join(padded).rstrip()


def _block(titles: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """A record in as few lines as its cells need: its name, then `Title cell`, several on a line."""
    lines, current = [styled(row[0], fg="bright_cyan")], ""
    for title, cell in zip(titles[1:], row[1:], strict=True):
        piece = f"{title}: {cell}"
        if current and _cells(_INDENT + current) + GAP + _cells(piece) > width:
            lines.append(_INDENT + current)
            current = ""
        current += (" " * GAP if current else "") + piece
    return [*lines, _INDENT + current] if current else lines


def _cells(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only here: Chinese and emoji take two

    return cell_len(text)


def _width() -> int:
    return shutil.get_terminal_size().columns


def _plain(value: Any) -> Any:
    """What JSON can hold, of a public type, an attrs class, or anything made of them."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if attrs.has(type(value)):
        return {name: _plain(field) for name, field in attrs.asdict(value, recurse=False).items()}
    if isinstance(value, Mapping):
        return {key: _plain(field) for key, field in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON has no other numbers
    return value.isoformat() if hasattr(value, "isoformat") else value


def _json(value: Any, *, indent: int | None) -> str:
    # A stdout that is not Unicode's would make of a letter what JSON does not know.
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, default=str)
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text)
