"""`tinker-hl`: finds the commands, runs one, and turns what went wrong into one line and an exit code.

Exit codes: 0 done, 1 it failed, 2 it was asked for wrongly (an unknown option, a malformed data file), 130 interrupted
by Ctrl-C. Commands come from the entry points in the group `tinker_hl.commands`, so that another package can add one;
nothing here knows what they do.
"""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import click

from tinker_hl.cli.failures import FAILED, INTERRUPTED, USAGE, asked_form, failure_of, tell
from tinker_hl.cli.forms import format_option

__all__ = ["FAILED", "GROUP", "INTERRUPTED", "USAGE", "main"]

GROUP: Final = "tinker_hl.commands"


class Commands(click.Group):
    """A group whose commands are entry points, loaded one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, sorted."""
        return sorted(_entry_points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command; None if there is none of that name."""
        point = _entry_points().get(cmd_name)
        return _load(point) if point else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it; for a name that there is not, the names that look like it are told too."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            alike = get_close_matches(args[0], self.list_commands(ctx), n=2)
            if not alike or "Did you mean" in error.message:
                raise
            meant = " or ".join(repr(name) for name in alike)
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {meant}?", ctx) from None


@cache
def _entry_points() -> dict[str, EntryPoint]:
    """By name. Looking them up reads a file of every installed package, so it is done once."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _load(point: EntryPoint) -> click.Command:
    try:
        command = point.load()
    except ImportError as error:
        return _unavailable(point.name, str(error))
    if not isinstance(command, click.Command):
        return _unavailable(point.name, f"{point.value} is not a click command")
    return command


def _unavailable(name: str, reason: str) -> click.Command:
    """A command that cannot be loaded still stands in the list, and says why when it is called."""

    @click.command(
        name,
        help=f"Not available: {reason}",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def command() -> None:
        raise click.ClickException(f"{name} is not available: {reason}. Try: pip install 'tinker-hl[local]'")

    return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@format_option
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
def commands(debug: bool) -> None:
    """Train language models through the Tinker API."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with an exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given))


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code. Errors are told on stderr in one line, and a hint in a second."""
    form = asked_form(arguments)
    try:
        result = commands.main(args=list(arguments), prog_name="tinker-hl", standalone_mode=False)
    except click.ClickException as error:
        if form == "table" or isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
        else:
            tell(failure_of(error), form)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has left (`| head`); the interpreter must not try to flush to it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        failure = failure_of(error)
        if "--debug" in arguments and failure.exit_code != INTERRUPTED:
            raise
        tell(failure, form)
        return failure.exit_code
    return result if isinstance(result, int) else 0
