"""What commands print: records as a table, as one JSON document or as JSON lines; notes for people on stderr.

A table that does not fit the terminal has its prose broken between words, and if that is not enough it is shown as
one short block a record, with nothing cut off; where nobody looks (a pipe, a file) it is as wide as it has to be. The
module knows nothing of what the records are.
"""

import json
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, Generic, TypeVar

import attrs
import click

from tinker_hl.cli.forms import form
from tinker_hl.cli.wording import one_line

__all__ = [
    "GAP",
    "Column",
    "note",
    "on_terminal",
    "print_json",
    "print_record",
    "print_records",
    "styled",
    "table",
    "terminal_width",
    "wrapped",
]

R = TypeVar("R")
GAP: Final = 2
LEAST_PROSE: Final = 20
"""Characters: in fewer, prose is no longer read with ease."""
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
    wraps: bool = False
    """Prose, which goes on in another line where the terminal is narrow."""


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
        width = terminal_width() if on_terminal() else None
        titles, right = [column.title for column in columns], [column.right for column in columns]
        click.echo("\n".join(table(titles, rows, right, width=width, wraps=[column.wraps for column in columns])))
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
    return sys.stdout is not None and sys.stdout.isatty()  # None: it was closed (`>&-`)


def styled(text: str, **style: Any) -> str:
    """Coloured text for stdout, where there is a terminal that may have colours (https://no-color.org)."""
    if not on_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, **style)


def table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[bool],
    *,
    width: int | None,
    wraps: Sequence[bool] = (),
) -> list[str]:
    """The lines of a table, or of blocks where it is wider than `width`.

    Args:
        titles: Of the columns.
        rows: A cell for each column.
        right: Which columns stand at the right.
        width: Of the terminal; None for any.
        wraps: Which columns are prose; none without it.
    """
    widths = [max(map(_cells, column)) for column in zip(titles, *rows, strict=True)]
    if width is not None:
        columns = list(zip(titles, *rows, strict=True))
        prose = [place for place, wrap in enumerate(wraps) if wrap and all(map(str.isascii, columns[place]))]
        _narrow(widths, prose, columns, width)
        if _whole(widths) > width:
            return [line for row in rows for line in _block(titles, row, width)]
    head = styled(_line(titles, widths, right), bold=True)
    return [head, *(line for row in rows for line in _lines(row, widths, right))]


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, broken between words where there are any; at least one."""
    return textwrap.wrap(text, max(width, 1), break_on_hyphens=False) or [""]


def terminal_width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns


def _whole(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _narrow(widths: list[int], prose: Sequence[int], columns: Sequence[Sequence[str]], width: int) -> None:
    """Take from the columns of prose, the widest first, until all fit: as far as no word breaks, then further."""
    for whole_words in (True, False):
        for place in sorted(prose, key=lambda place: -widths[place]):
            words = [word for cell in columns[place] for word in cell.split()] if whole_words else [columns[place][0]]
            least = min(widths[place], max(LEAST_PROSE, *map(len, words)))
            widths[place] = max(least, widths[place] - max(0, _whole(widths) - width))


def _lines(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """A row, in as many lines as its longest prose needs."""
    cells = [wrapped(cell, width) if _cells(cell) > width else [cell] for cell, width in zip(row, widths, strict=True)]
    lines = zip_longest(*cells, fillvalue="")
    return [_line(line, widths, right, first=number == 0) for number, line in enumerate(lines)]


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
            lines.append(current)
            current = ""
        current += (" " * GAP if current else "") + piece
    return [lines[0], *(line for text in [*lines[1:], current] if text for line in _hanging(text, width))]


def _hanging(text: str, width: int) -> list[str]:
    """A line of a block; prose that is too long goes on below. A path stays whole, beside its title."""
    longest = max(map(len, text.split()))
    if _cells(_INDENT + text) <= width or len(2 * _INDENT) + longest > width or not text.isascii():
        return [_INDENT + text]
    return textwrap.wrap(
        text,
        width,
        initial_indent=_INDENT,
        subsequent_indent=2 * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _cells(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only here: Chinese and emoji take two

    return cell_len(text)


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
    encoding = getattr(sys.stdout, "encoding", None) or ""
    ascii_only = not encoding.lower().startswith("utf")
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, default=str)
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text)
