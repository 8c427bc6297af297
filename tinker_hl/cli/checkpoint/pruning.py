"""`checkpoint prune`: delete what a policy does not keep, shown first and asked once."""

import re
from typing import TYPE_CHECKING, Literal

import click

from tinker_hl.cli.checkpoint.deletion import confirm, refuse_without_terminal
from tinker_hl.cli.failures import FAILED, told
from tinker_hl.cli.forms import format_option
from tinker_hl.cli.output import Column, note, print_records
from tinker_hl.cli.pages import progress
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import age, plural, size, yes_or_no

if TYPE_CHECKING:
    from tinker_hl.checkpoints import Decision

__all__ = ["prune"]

COLUMNS: "tuple[Column[Decision], ...]" = (
    Column("Path", lambda decision: decision.checkpoint.tinker_path),
    Column("Keep", lambda decision: yes_or_no(decision.keep)),
    Column("Why", lambda decision: ", ".join(decision.reasons) or "no rule keeps it"),
    Column("Size", lambda decision: size(decision.checkpoint.size_bytes), right=True),
    Column("Created", lambda decision: age(decision.checkpoint.time)),
)


@click.command()
@format_option
@click.option("--run-id", metavar="ID", help="Only one training run's.  [default: all of one's own, run by run]")
@click.option("--keep-last", type=click.IntRange(min=0), default=0, help="Keep the n newest.")
@click.option("--keep-every", type=click.IntRange(min=0), default=0, help="Keep those whose step is a multiple of k.")
@click.option("--keep-best", type=click.IntRange(min=0), default=0, help="Keep the m best, by --best-by.")
@click.option("--best-by", metavar="LABEL", help="The label of a checkpoint that holds the metric.")
@click.option(
    "--best-is",
    type=click.Choice(["lowest", "highest"]),
    default="lowest",
    show_default=True,
    help="Which value of the metric is best.",
)
@click.option("--pin", multiple=True, metavar="PATH_OR_NAME", help="Keep this one. Repeatable.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed where there is no terminal.")
@reaching
def prune(
    reach: Reach,
    run_id: str | None,
    keep_last: int,
    keep_every: int,
    keep_best: int,
    best_by: str | None,
    best_is: Literal["lowest", "highest"],
    pin: tuple[str, ...],
    dry_run: bool,
    yes: bool,
) -> int:
    """Delete checkpoints, but for those that a rule keeps.

    Rules keep the newest, every k-th, the best, the pinned, in each run and kind of checkpoint apart. Public
    checkpoints stay. What would go is shown first. The exit code is 1 if any could not be deleted.
    """
    if not (yes or dry_run):
        refuse_without_terminal()
    from tinker_hl import checkpoints

    try:
        policy = checkpoints.RetentionPolicy(
            keep_last=keep_last,
            keep_every=keep_every,
            keep_best=keep_best,
            best_by=best_by,
            best_is=best_is,
            pinned=pin,
        )
    except ValueError as error:
        names = re.compile(r"\b(keep|best)_(last|every|best|by)\b")
        raise click.UsageError(names.sub(r"--\1-\2", str(error))) from None
    rest = reach.rest()
    plan = checkpoints.prune(rest, policy, training_run_id=run_id, timeout=reach.timeout)
    going = plan.going
    if dry_run or not going:
        print_records(plan.decisions, COLUMNS, name="checkpoints", nothing="No checkpoints.")
        note(f"{plural(len(going), 'checkpoint')} would go ({size(plan.freed_bytes)}), {len(plan.kept):,} would stay.")
        return 0
    lines = [f"{one.checkpoint.tinker_path}  {size(one.checkpoint.size_bytes)}" for one in going]
    question = (
        f"Delete {plural(len(going), 'checkpoint')} ({size(plan.freed_bytes)}) for good, keep {len(plan.kept):,}?"
    )
    if not yes and not confirm(lines, question):
        note("Nothing was deleted.")
        return FAILED
    done = checkpoints.prune(
        rest,
        policy,
        training_run_id=run_id,
        dry_run=False,
        progress=lambda decision: progress(decision.checkpoint.tinker_path),
        timeout=reach.timeout,
    )
    progress("")
    print_records(done.decisions, COLUMNS, name="checkpoints", nothing="No checkpoints.")
    for one in done.failures:
        if one.failure is not None:
            note(f"Failed: {one.checkpoint.tinker_path}: {told(one.failure)}")
    note(f"Deleted {plural(sum(one.deleted for one in done.decisions), 'checkpoint')}.")
    return FAILED if done.failures else 0
