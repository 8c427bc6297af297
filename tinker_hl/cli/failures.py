"""What is said of a command that failed, on stderr: lines for people, or one JSON object for programs; its exit code.

The library's hints name arguments; here they are the options of that name. The module knows no command.
"""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs
import click

from tinker_hl.cli.forms import FORMS, Form

if TYPE_CHECKING:
    from tinker_hl.errors import TinkerError

__all__ = ["FAILED", "INTERRUPTED", "USAGE", "Failure", "asked_form", "failure_of", "tell", "told"]

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
_ARGUMENT: Final = re.compile(r"""\b([a-z]+(?:_[a-z]+)*)=(?:"([^"]*)"|(?=[\s,.;)]|$))""")
"""`name=` and `name="value"`, but no `name=value` of an example."""
_FORMS: Final[dict[str, Form]] = {form: form for form in FORMS}
_REACH: Final = re.compile(r"\b(base_url|api_key)\b")


@attrs.frozen(kw_only=True)
class Failure:
    """Why a command did not do what it was asked for."""

    type: str
    """The class of the error."""
    message: str
    hint: str | None = None
    """What to do about it."""
    status: int | None = None
    """Of the server's answer, where it is the server that refused."""
    exit_code: int = FAILED


def asked_form(arguments: Sequence[str]) -> Form:
    """The form that a line asks for, read without its command: the line may be what is wrong."""
    words = list(arguments)[: arguments.index("--")] if "--" in arguments else list(arguments)
    found: Form = "table"
    for word, following in zip(words, [*words[1:], ""], strict=False):
        value = following if word in ("-f", "--format") else word.removeprefix("--format=").removeprefix("-f")
        found = _FORMS.get(value, found) if value != word else found
    return found


def failure_of(error: BaseException) -> Failure:
    """What there is to say of an error: one line for what is foreseen, and for others what to do to see more."""
    name = type(error).__name__
    if isinstance(error, click.ClickException):
        context = error.ctx if isinstance(error, click.UsageError) else None
        hint = f"`{context.command_path} --help` tells what may stand there." if context else None
        return Failure(type=name, message=error.format_message(), hint=hint, exit_code=error.exit_code)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Failure(type="Interrupted", message="Interrupted.", exit_code=INTERRUPTED)
    from tinker_hl.errors import ConfigurationError, TinkerError

    if isinstance(error, OSError) and error.strerror and not isinstance(error, TinkerError):
        # A folder that is not there, a full disk: it is the machine that says no.
        place = f"{error.filename}: " if error.filename else ""
        return Failure(type=name, message=f"{place}{error.strerror.lower()}")
    if not isinstance(error, TinkerError):
        hint = "not foreseen; `tinker-hl --debug ...` shows where it happened."
        return Failure(type=name, message=f"{name}: {error}", hint=hint)
    return Failure(
        type=name,
        message=told(error),
        hint=_with_options(error.hint) if error.hint else None,
        status=getattr(error, "status_code", None),
        exit_code=USAGE if isinstance(error, ConfigurationError) else FAILED,
    )


def tell(failure: Failure, form: Form) -> None:
    """Say it on stderr: a line, and a second one for the hint; or the object `{"error": {...}}` in one line."""
    if form != "table":
        click.echo(json.dumps({"error": attrs.asdict(failure)}), err=True)
    elif failure.exit_code == INTERRUPTED:
        click.echo(failure.message, err=True)
    else:
        click.echo(f"Error: {failure.message}", err=True)
        if failure.hint:
            click.echo(f"Hint: {failure.hint}", err=True)


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


def _with_options(hint: str) -> str:
    """A hint of the library in the words of the command line."""
    said = _ARGUMENT.sub(lambda found: " ".join([_option(found[1]), *([found[2]] if found[2] else [])]), hint)
    return _REACH.sub(lambda found: _option(found[1]), said)


def _option(argument: str) -> str:
    return f"--{argument.replace('_', '-')}"
