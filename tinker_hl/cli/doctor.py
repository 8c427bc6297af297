"""`tinker-hl doctor`: makes every check that the installed packages offer, and says what to do about what is wrong.

Checks come from the entry points in the group `tinker_hl.checks`, as commands do; nothing here knows what they look at.
A check is a function that returns a line on what it found, or raises: what the exception says is what to do.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Final

import attrs
import click

from tinker_hl.cli.failures import FAILED, failure_of
from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import GAP, on_terminal, print_json, print_record, styled, terminal_width, wrapped

__all__ = ["GROUP", "Check", "Finding", "all_checks", "doctor", "examined"]

GROUP: Final = "tinker_hl.checks"
TRAINING: Final = "training"

Check = Callable[[], str]


@attrs.frozen(kw_only=True)
class Finding:
    """What one check came to."""

    check: str
    ok: bool
    detail: str
    """What was found, or what is wrong and what to do about it."""
    seconds: float


@click.command()
@click.option("--quick", is_flag=True, help="Leave out the training, which takes some seconds.")
@format_option
def doctor(quick: bool) -> int:
    """Check this machine, and say what to do about what is wrong.

    Looked at are versions, torch, folders, port, clock, credentials, and a training of three steps. The exit code is 1
    if anything is wrong.
    """
    checks = {name: check for name, check in all_checks().items() if not (quick and name == TRAINING)}
    from tinker_hl.cli.notices import show_notices

    show_notices()
    findings = []
    for finding in examined(checks):
        findings.append(finding)
        if form() == "table":
            _show(finding, max(map(len, checks)))
        elif form() == "jsonl":
            print_record(finding, [])
    if form() == "json":
        print_json({"checks": findings})
    wrong = sum(not finding.ok for finding in findings)
    if form() == "table":
        click.echo(f"{wrong} of {len(findings)} checks failed." if wrong else "All is well.")
    return FAILED if wrong else 0


def all_checks() -> Mapping[str, Check]:
    """The checks of every installed package, by name, the training last."""
    found: dict[str, Check] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            found |= point.load()
        except ImportError as error:
            found[point.name] = _missing(point.name, error)
    return dict(sorted(found.items(), key=lambda item: item[0] == TRAINING))


def examined(checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Make the checks, one after the other; one that fails in any way stops no other."""
    for name, check in checks.items():
        began = time.perf_counter()
        try:
            detail, ok = check(), True
        except Exception as error:
            detail, ok = _told(error), False
        yield Finding(check=name, ok=ok, detail=detail, seconds=round(time.perf_counter() - began, 3))


def _missing(name: str, error: ImportError) -> Check:
    def check() -> str:
        raise RuntimeError(f"not installed ({error}): pip install 'tinker-hl[{name}]'")

    return check


def _told(error: Exception) -> str:
    from tinker_hl.errors import TinkerError

    if not isinstance(error, TinkerError):
        return str(error) or type(error).__name__
    failure = failure_of(error)
    return f"{failure.message.removesuffix('.')}. {failure.hint}" if failure.hint else failure.message


def _show(finding: Finding, width: int) -> None:
    mark = styled("ok  ", fg="green") if finding.ok else styled("FAIL", fg="red", bold=True)
    beside = len("FAIL ") + width + GAP
    detail = wrapped(finding.detail, terminal_width() - beside) if on_terminal() else [finding.detail]
    click.echo(f"{mark} {finding.check:<{width}}{' ' * GAP}{detail[0]}")
    for line in detail[1:]:
        click.echo(f"{'':<{beside}}{line}")
