"""`tinker-hl`: finds the commands, runs one, and turns what went wrong into one line and an exit code.

Exit codes: 0 done, 1 it failed, 2 it was asked for wrongly (an unknown option, a malformed data file), 130 interrupted
by Ctrl-C. Commands come from the entry points in the group `tinker_hl.commands`, so that another package can add one;
nothing here knows what they do.
"""

import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final

import click

from tinker_hl.cli.forms import format_option

if TYPE_CHECKING:
    from tinker_hl.errors import TinkerError

__all__ = ["FAILED", "GROUP", "INTERRUPTED", "USAGE", "main", "told"]

GROUP: Final = "tinker_hl.commands"
FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


class Commands(click.Group):
    """A group whose commands are entry points, loaded one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, sorted."""
        return sorted(_entry_points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command; None if there is none of that name."""
        point = _entry_points().get(cmd_name)
        return _load(point) if point else None


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
    try:
        result = commands.main(args=list(arguments), prog_name="tinker-hl", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left (`| head`); the interpreter must not try to flush to it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _tell(error)
    return result if isinstance(result, int) else 0


def _tell(error: Exception) -> int:
    """One line for what the client foresees; for anything else also what to do to see more."""
    from tinker_hl.errors import ConfigurationError, TinkerError

    if not isinstance(error, TinkerError):
        click.echo(f"Error: {type(error).__name__}: {error}", err=True)
        click.echo("Hint: not foreseen; `tinker-hl --debug ...` shows where it happened.", err=True)
        return FAILED
    click.echo(f"Error: {told(error)}", err=True)
    if error.hint:
        click.echo(f"Hint: {error.hint}", err=True)
    return USAGE if isinstance(error, ConfigurationError) else FAILED


def told(error: "TinkerError") -> str:
    """What an error says in one line: a server's refusal in the server's own words, with its status."""
    status, body = getattr(error, "status_code", None), getattr(error, "body", None)
    detail = body.get("detail") if isinstance(body, dict) else None
    if status is None or not detail:
        return error.message or str(error)
    if isinstance(detail, list):
        detail = "; ".join(_fault(fault) for fault in detail)
    return f"{detail} (status {status})"


def _fault(fault: object) -> str:
    """One entry of a 422's list: where, and what."""
    if not isinstance(fault, dict):
        return str(fault)
    place = ".".join(str(part) for part in fault.get("loc") or ())
    return f"{place}: {fault.get('msg', '')}" if place else str(fault.get("msg", fault))
