"""`--format table|json|jsonl`, which may stand anywhere on the line: before the command, or behind it.

The last one wins that is given to the innermost command. It knows nothing of what is shown.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar, cast

import click

__all__ = ["FORMS", "Form", "form", "format_option"]

Form = Literal["table", "json", "jsonl"]
FORMS: Final[tuple[Form, ...]] = ("table", "json", "jsonl")
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


def form() -> Form:
    """What the running command's line asks for."""
    return cast(Form, click.get_current_context().meta.get(_KEY, "table"))


def _keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    # Contexts of one line share `meta`, and the outer ones are parsed first.
    if value is not None:
        context.meta[_KEY] = value
