"""`checkpoint list` and `info`; how checkpoints look in a table, and how all of them are read."""

from typing import TYPE_CHECKING

import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import Column, note, print_record, print_records
from tinker_hl.cli.pages import Listed, collect, limit_option, offset_option
from tinker_hl.cli.parameters import tinker_path
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import MISSING, age, plural, size, yes_or_no

if TYPE_CHECKING:
    from tinker_hl.types import Checkpoint

__all__ = ["COLUMNS", "all_checkpoints", "info", "list_checkpoints"]

PAGE = 1000
NEVER = "Never"
COLUMNS: "tuple[Column[Checkpoint], ...]" = (
    Column("Checkpoint ID", lambda checkpoint: checkpoint.checkpoint_id),
    Column("Type", lambda checkpoint: checkpoint.checkpoint_type),
    Column("Size", lambda checkpoint: size(checkpoint.size_bytes), right=True),
    Column("Public", lambda checkpoint: yes_or_no(checkpoint.public)),
    Column("Created", lambda checkpoint: age(checkpoint.time)),
    Column("Expires", lambda checkpoint: age(checkpoint.expires_at, missing=NEVER)),
    Column("Path", lambda checkpoint: checkpoint.tinker_path),
)


@click.command(name="list")
@format_option
@click.option("--run-id", metavar="ID", help="Only the checkpoints of one training run: all of them.")
@limit_option
@offset_option
@reaching
def list_checkpoints(reach: Reach, run_id: str | None, limit: int, offset: int) -> None:
    """List checkpoints: one's own, or all of one run."""
    if run_id is not None:
        found = reach.wait(reach.rest().list_checkpoints(run_id)).checkpoints
        more = {"run_id": run_id}
        listed = Listed(found, len(found))
    else:
        listed, more = all_checkpoints(reach, limit=limit, offset=offset), {}
    print_records(listed.items, COLUMNS, name="checkpoints", nothing="No checkpoints.", more=more)
    if form() == "table" and (left := listed.left_out(offset if run_id is None else 0)):
        note(f"{plural(left, 'more checkpoint')} not shown; --limit 0 shows all.")


@click.command()
@format_option
@click.argument("path", type=tinker_path)
@reaching
def info(reach: Reach, path: str) -> None:
    """Show the checkpoint PATH, and what its adapter is."""
    from tinker_hl.types import ParsedCheckpointTinkerPath

    rest = reach.rest()
    run_id = ParsedCheckpointTinkerPath.from_tinker_path(path).training_run_id
    listing, weights = rest.list_checkpoints(run_id), rest.get_weights_info_by_tinker_path(path)
    found = next((one for one in reach.wait(listing).checkpoints if one.tinker_path == path), None)
    if found is None:
        raise click.ClickException(f"the run {run_id} has no checkpoint {path}")
    told = reach.wait(weights)
    layers = {"train_mlp": told.train_mlp, "train_attn": told.train_attn, "train_unembed": told.train_unembed}
    shape = {"base_model": told.base_model, "is_lora": told.is_lora, "lora_rank": told.lora_rank, **layers}
    rows = [(column.title, column.cell(found)) for column in COLUMNS]
    rows += [("Base Model", told.base_model), ("LoRA", yes_or_no(told.is_lora))]
    rows += [("LoRA Rank", MISSING if told.lora_rank is None else str(told.lora_rank))]
    rows += [("Layers", ", ".join(name.removeprefix("train_") for name, is_in in layers.items() if is_in) or MISSING)]
    rows += [(f"Metadata: {name}", value) for name, value in sorted((found.user_metadata or {}).items())]
    print_record({**found.model_dump(mode="json"), **shape}, rows)


def all_checkpoints(reach: Reach, *, limit: int = 0, offset: int = 0) -> "Listed[Checkpoint]":
    """One's own checkpoints, page by page; a limit of 0 is all."""
    rest = reach.rest()

    def fetch(count: int, start: int) -> "tuple[list[Checkpoint], int | None]":
        found = reach.wait(rest.list_user_checkpoints(count, start))
        return found.checkpoints, None if found.cursor is None else found.cursor.total_count

    return collect(fetch, limit=limit, offset=offset, page=PAGE, what="checkpoints")
