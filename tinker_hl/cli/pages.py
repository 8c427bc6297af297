"""Long lists, page by page: `--limit`, `--offset`, and a line on stderr that tells how far it is."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs
import click

__all__ = ["Listed", "collect", "limit_option", "offset_option", "progress"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_LIMIT: Final = 20


@attrs.frozen
class Listed(Generic[T]):
    """What was read of a list."""

    items: list[T]
    total: int | None
    """How many there are; None where the server does not say."""

    def left_out(self, offset: int) -> int:
        """How many stand behind what was read."""
        return 0 if self.total is None else max(0, self.total - offset - len(self.items))


def limit_option(command: F) -> F:
    """`--limit N`, where 0 is all."""
    option = click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=DEFAULT_LIMIT,
        show_default=True,
        help="At most so many; 0 is all.",
    )
    return option(command)


def offset_option(command: F) -> F:
    """`--offset N`."""
    return click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out the first so many.")(command)


def collect(
    fetch: Callable[[int, int], tuple[Sequence[T], int | None]], *, limit: int, offset: int, page: int, what: str
) -> Listed[T]:
    """Read a list until there is enough of it, or no more.

    Args:
        fetch: Called with a limit and an offset; gives the records there, and how many there are in all, if it knows.
        limit: How many are wanted; 0 is all.
        offset: Records to leave out before the first one.
        page: How many to ask for at once.
        what: What is counted, for the line on stderr.
    """
    items: list[T] = []
    total: int | None = None
    told = False
    while True:
        wanted = page if not limit else min(page, limit - len(items))
        found, total = fetch(wanted, offset + len(items))
        items += found
        known_end = total is not None and offset + len(items) >= total
        if known_end or not found or len(items) == limit or (total is None and len(found) < wanted):
            break
        told = True
        progress(f"{len(items):,} of {'?' if total is None else f'{total:,}'} {what}")
    if told:
        progress("")
    return Listed(items, total)


def progress(text: str) -> None:
    """Replace the line on a terminal, by nothing at the end; say nothing elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", nl=False, err=True)
