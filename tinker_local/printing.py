"""`--format table|json|jsonl` for the commands of this package, and records printed in the form that was asked for.

`tinker-hl` has the option before the command, too, and keeps it in the context under the name that stands here; the
packages do not import each other, so this is all that they share. The module does not know what the records are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click
import orjson

__all__ = ["form", "format_option", "print_record", "print_records"]

FORMS: Final = ("table", "json", "jsonl")
_KEY: Final = "tinker_hl.cli.form"

F = TypeVar("F", bound=Callable[..., Any])


def format_option(command: F) -> F:
    """Give a command, or a group of them, the option `--format`; `form()` then tells what was chosen."""
    option = click.option(
        "-f",
        "--format",
        type=click.Choice(FORMS),
        expose_value=False,
        callback=_keep,
        help="`table` for people; one `json` document, or a line for each record, for programs.  [default: table]",
    )
    return option(command)


def form() -> str:
    """What the running command's line asks for."""
    return str(click.get_current_context().meta.get(_KEY, "table"))


def print_records(records: Sequence[Mapping[str, Any]], *, name: str, nothing: str) -> None:
    """Print a list: a table under the fields' names, a document `{name: [...]}`, or a line for each record.

    Args:
        records: All with the same fields.
        name: The list's field in the JSON document.
        nothing: A note for people, on stderr, where there are none.
    """
    if form() == "json":
        click.echo(orjson.dumps({name: records}, option=orjson.OPT_INDENT_2))
    elif form() == "jsonl":
        for record in records:
            click.echo(orjson.dumps(record))
    elif records:
        titles = [field.replace("_", " ").title() for field in records[0]]
        rows = [titles, *([_cell(value) for value in record.values()] for record in records)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    else:
        click.echo(nothing, err=True)


def print_record(record: Mapping[str, Any], *, text: str) -> None:
    """Print one record: its JSON, or the text that stands for it in a table."""
    if form() == "table":
        click.echo(text)
    else:
        click.echo(orjson.dumps(record, option=orjson.OPT_INDENT_2 if form() == "json" else 0))


def _cell(value: Any) -> str:
    """A value on one line; what somebody typed moves no cursor."""
    text = "-" if value in (None, "") else str(value)
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    # Contexts of one line share `meta`, and the outer ones are parsed first.
    if value is not None:
        context.meta[_KEY] = value
