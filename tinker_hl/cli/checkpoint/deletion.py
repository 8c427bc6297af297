"""`checkpoint delete`: by path or by filter, shown first, asked once, many at a time, and told one by one.

With `--grace` nothing is deleted at once: the checkpoints expire later, and `set-ttl --remove` takes it back.
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from tinker_hl.cli.checkpoint.listing import COLUMNS, all_checkpoints
from tinker_hl.cli.failures import FAILED, told
from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import note, print_json, print_record, print_records
from tinker_hl.cli.pages import progress
from tinker_hl.cli.parameters import moment, tinker_path
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import plural, size

if TYPE_CHECKING:
    from tinker_hl.types import Checkpoint

__all__ = ["confirm", "delete", "in_parallel"]

AT_ONCE: Final = 32
SHOWN: Final = 20
_TYPES: Final = {
    "weights": "training",
    "sampler_weights": "sampler",
    "external_weights": "external",
    "training": "training",
    "sampler": "sampler",
    "external": "external",
}


@attrs.frozen
class _Marked:
    """A checkpoint that is to go."""

    path: str
    size_bytes: int | None = None

    @classmethod
    def of(cls, checkpoint: "Checkpoint") -> "_Marked":
        return cls(checkpoint.tinker_path, checkpoint.size_bytes)


@click.command()
@format_option
@click.argument("paths", nargs=-1, type=tinker_path, metavar="[PATH]...")
@click.option("--run-id", metavar="ID", help="All of one training run.")
@click.option("--type", "kind", type=click.Choice(list(_TYPES)), help="All of one type.")
@click.option("--before", type=moment, help="All that were saved before a time, UTC.")
@click.option("--after", type=moment, help="All that were saved after a time, UTC.")
@click.option("--grace", type=click.FloatRange(min=1), metavar="HOURS", help="Let them expire so much later instead.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed where there is no terminal.")
@reaching
def delete(
    reach: Reach,
    paths: tuple[str, ...],
    run_id: str | None,
    kind: str | None,
    before: datetime | None,
    after: datetime | None,
    grace: float | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Delete the checkpoints PATH, or all that match every filter.

    They are shown first. The exit code is 1 if any could not be deleted.
    """
    filters = any(value is not None for value in (run_id, kind, before, after))
    if bool(paths) == filters:
        raise click.UsageError("give paths, or filters (--run-id, --type, --before, --after), not both.")
    if not (yes or dry_run):
        refuse_without_terminal()
    if filters:
        found = [one for one in _listed(reach, run_id) if _matches(one, kind, before, after)]
        marked = [_Marked.of(one) for one in found]
    else:
        known = {} if yes and not dry_run else _known(reach, paths)
        found = list(known.values())
        marked = [_Marked.of(known[path]) if path in known else _Marked(path) for path in dict.fromkeys(paths)]
    if dry_run:
        print_records(found, COLUMNS, name="checkpoints", nothing="No checkpoint matches.")
        return 0
    if not marked:
        note("No checkpoint matches.")
        return _summary([], {}, grace)
    total = sum(one.size_bytes or 0 for one in marked)
    if not yes and not confirm(
        [f"{one.path}  {size(one.size_bytes)}" for one in marked],
        f"{'Let' if grace else 'Delete'} {plural(len(marked), 'checkpoint')} ({size(total)})"
        + (f" expire in {grace:g} hours?" if grace else " for good?"),
    ):
        note("Nothing was deleted.")
        return FAILED
    rest = reach.rest()
    act: Callable[[str], Future[None]] = (
        rest.delete_checkpoint_from_tinker_path
        if grace is None
        else lambda path: rest.set_checkpoint_ttl_from_tinker_path(path, round(grace * 3600))
    )
    failed = in_parallel(reach, [one.path for one in marked], act)
    return _summary([one for one in marked if one.path not in failed], failed, grace)


def refuse_without_terminal() -> None:
    """A question needs somebody who answers."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on; add --yes to go on without being asked.")


def confirm(lines: Sequence[str], question: str) -> bool:
    """Show what it is about, on stderr, and ask once."""
    for line in lines[:SHOWN]:
        note(f"  {line}")
    if len(lines) > SHOWN:
        note(f"  and {len(lines) - SHOWN:,} more (--dry-run shows all)")
    return click.confirm(question, err=True)


def in_parallel(reach: Reach, paths: Sequence[str], act: Callable[[str], "Future[Any]"]) -> dict[str, str]:
    """Do something with each path, many at once; one that fails stops no other.

    Returns:
        What went wrong, by path.
    """
    from tinker_hl.errors import TinkerError

    failed: dict[str, str] = {}
    for start in range(0, len(paths), AT_ONCE):
        under_way = [(path, act(path)) for path in paths[start : start + AT_ONCE]]
        for done, (path, future) in enumerate(under_way, start=start + 1):
            try:
                reach.wait(future)
            except TinkerError as error:
                failed[path] = told(error)
            progress(f"{done:,} of {len(paths):,}")
    progress("")
    return failed


def _listed(reach: Reach, run_id: str | None) -> "list[Checkpoint]":
    if run_id is not None:
        return reach.wait(reach.rest().list_checkpoints(run_id)).checkpoints
    return all_checkpoints(reach).items


def _matches(one: "Checkpoint", kind: str | None, before: datetime | None, after: datetime | None) -> bool:
    return (
        (kind is None or one.checkpoint_type == _TYPES[kind])
        and (before is None or one.time < before)
        and (after is None or one.time > after)
    )


def _known(reach: Reach, paths: Sequence[str]) -> "dict[str, Checkpoint]":
    """What the server tells of these checkpoints; one that it does not know is left to the deletion to report."""
    from tinker_hl.errors import NotFoundError
    from tinker_hl.types import ParsedCheckpointTinkerPath

    rest = reach.rest()
    found: dict[str, Checkpoint] = {}
    runs = dict.fromkeys(ParsedCheckpointTinkerPath.from_tinker_path(path).training_run_id for path in paths)
    for listing in [rest.list_checkpoints(run_id) for run_id in runs]:
        try:
            found |= {one.tinker_path: one for one in reach.wait(listing).checkpoints if one.tinker_path in paths}
        except NotFoundError:
            continue
    return found


def _summary(done: Sequence[_Marked], failed: dict[str, str], grace: float | None) -> int:
    failures = [{"tinker_path": path, "error": error} for path, error in failed.items()]
    counted = {"deleted_count" if grace is None else "expiring_count": len(done), "failed": failures}
    if form() == "json":
        print_json(counted)
    elif form() == "jsonl":
        print_record(counted, [])
    elif done or failed:
        freed = sum(one.size_bytes or 0 for one in done)
        verb = "Deleted" if grace is None else f"In {grace:g} hours expire:"
        click.echo(f"{verb} {plural(len(done), 'checkpoint')}{f' ({size(freed)})' if freed else ''}.")
        for path, error in failed.items():
            note(f"Failed: {path}: {error}")
    return FAILED if failed else 0
