"""`tinker-hl run`: the training runs of a server, as a list and one by one."""

from typing import TYPE_CHECKING, Any

import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import Column, note, print_record, print_records
from tinker_hl.cli.pages import collect, limit_option, offset_option
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.sample import sample
from tinker_hl.cli.wording import MISSING, age, plural, yes_or_no

if TYPE_CHECKING:
    from tinker_hl.clients.rest import AccessScope
    from tinker_hl.types import Checkpoint, TrainingRun

__all__ = ["run"]

PAGE = 100
COLUMNS: "dict[str, Column[TrainingRun]]" = {
    "id": Column("Run ID", lambda run: run.training_run_id),
    "model": Column("Base Model", lambda run: run.base_model),
    "owner": Column("Owner", lambda run: run.model_owner),
    "lora": Column("LoRA", lambda run: _lora(run)),
    "updated": Column("Last Update", lambda run: age(run.last_request_time)),
    "status": Column("Status", lambda run: _status(run)),
    "checkpoint": Column("Last Checkpoint", lambda run: _path(run.last_checkpoint)),
    "checkpoint_time": Column("Saved", lambda run: age(run.last_checkpoint.time) if run.last_checkpoint else MISSING),
}
DEFAULT_COLUMNS = "id,model,lora,updated,status"

scope_option = click.option(
    "--access-scope",
    type=click.Choice(["owned", "accessible"]),
    default="owned",
    show_default=True,
    help="One's own, or also those of others that one may see.",
)


def column_names(value: str) -> tuple[str, ...]:
    """Names of columns with commas between them."""
    names = tuple(name.strip() for name in value.split(","))
    for name in names:
        if name not in COLUMNS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(COLUMNS)}")
    return names


@click.group()
@format_option
def run() -> None:
    """List training runs, and look at one."""


@run.command(name="list")
@format_option
@limit_option
@offset_option
@click.option(
    "-c",
    "--columns",
    type=column_names,
    metavar="NAME,...",
    default=DEFAULT_COLUMNS,
    show_default=True,
    help=f"Of the table: {', '.join(COLUMNS)}.",
)
@click.option("--project-id", metavar="ID", help="Only the runs of one project.")
@scope_option
@reaching
def list_runs(
    reach: Reach, limit: int, offset: int, columns: tuple[str, ...], project_id: str | None, access_scope: "AccessScope"
) -> None:
    """List training runs, newest first."""
    rest = reach.rest()

    def fetch(count: int, start: int) -> "tuple[list[TrainingRun], int]":
        found = reach.wait(rest.list_training_runs(count, start, access_scope, project_id))
        return found.training_runs, found.cursor.total_count

    listed = collect(fetch, limit=limit, offset=offset, page=PAGE, what="runs")
    chosen = [COLUMNS[name] for name in columns]
    print_records(listed.items, chosen, name="runs", nothing="No training runs.")
    if form() == "table" and (left := listed.left_out(offset)):
        note(f"{plural(left, 'more run')} not shown; --limit 0 shows all.")


@run.command()
@format_option
@click.argument("run_id")
@scope_option
@reaching
def info(reach: Reach, run_id: str, access_scope: "AccessScope") -> None:
    """Show the training run RUN_ID."""
    found = reach.wait(reach.rest().get_training_run(run_id, access_scope))
    print_record(found, _rows(found))


@run.command()
@format_option
@click.argument("first")
@click.argument("second")
@scope_option
@reaching
def diff(reach: Reach, first: str, second: str, access_scope: "AccessScope") -> None:
    """Show in what the training runs FIRST and SECOND differ."""
    rest = reach.rest()
    asked = [rest.get_training_run(run_id, access_scope) for run_id in (first, second)]
    found = [reach.wait(future) for future in asked]
    sides: list[dict[str, Any]] = [
        dict(_rows(one)) if form() == "table" else one.model_dump(mode="json") for one in found
    ]
    nothing = MISSING if form() == "table" else None
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    apart = [
        {"property": name, "first": sides[0].get(name, nothing), "second": sides[1].get(name, nothing)}
        for name in names
        if sides[0].get(name) != sides[1].get(name)
    ]
    columns = [
        Column[dict[str, Any]]("Property", lambda row: row["property"]),
        Column[dict[str, Any]]("First", lambda row: row["first"]),
        Column[dict[str, Any]]("Second", lambda row: row["second"]),
    ]
    print_records(apart, columns, name="differences", nothing="They do not differ.")


run.add_command(sample, "sample")


def _rows(found: "TrainingRun") -> list[tuple[str, str]]:
    rows = [
        ("Run ID", found.training_run_id),
        ("Base Model", found.base_model),
        ("Owner", found.model_owner),
        ("LoRA", yes_or_no(found.is_lora)),
        ("LoRA Rank", MISSING if found.lora_rank is None else str(found.lora_rank)),
        ("Status", _status(found)),
        ("Last Update", age(found.last_request_time)),
        ("Last Checkpoint", _path(found.last_checkpoint)),
        ("Last Sampler Checkpoint", _path(found.last_sampler_checkpoint)),
    ]
    return [*rows, *((f"Metadata: {name}", value) for name, value in sorted((found.user_metadata or {}).items()))]


def _lora(found: "TrainingRun") -> str:
    return f"Rank {found.lora_rank}" if found.is_lora and found.lora_rank else yes_or_no(found.is_lora)


def _status(found: "TrainingRun") -> str:
    return "Failed" if found.corrupted else "Active"


def _path(checkpoint: "Checkpoint | None") -> str:
    return MISSING if checkpoint is None else checkpoint.tinker_path
