"""`checkpoint diff`: in what two adapters differ, layer by layer."""

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tinker_hl.cli.checkpoint.transfer import TRANSFER_SECONDS, folder_name
from tinker_hl.cli.forms import format_option
from tinker_hl.cli.output import Column, note, print_records
from tinker_hl.cli.parameters import tinker_path
from tinker_hl.cli.reach import Reach, reaching

if TYPE_CHECKING:
    from tinker_hl.checkpoints import LayerDiff

__all__ = ["diff"]

ROUNDING: Final = 1e-9
"""Relative to the norm of an adapter; its numbers are float32, its norms float64."""
COLUMNS: "tuple[Column[LayerDiff], ...]" = (
    Column("Layer", lambda layer: layer.layer),
    Column("Norm 1", lambda layer: f"{layer.norm_first:.4g}", right=True),
    Column("Norm 2", lambda layer: f"{layer.norm_second:.4g}", right=True),
    Column("Change", lambda layer: _change(layer.norm_difference, layer.norm_first), right=True),
    Column("Relative", lambda layer: _share(layer.relative_change), right=True),
    Column("Cosine", lambda layer: _number(layer.cosine), right=True),
    Column("Rank", lambda layer: f"{layer.stable_rank_difference:.1f}", right=True),
)


@click.command()
@format_option
@click.argument("first")
@click.argument("second")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Layers; 0 is all.")
@reaching
def diff(reach: Reach, first: str, second: str, limit: int) -> None:
    """Compare two adapters; what changed most comes first.

    FIRST and SECOND are folders or paths of checkpoints, which are fetched for it. Norm 1, Norm 2 and Change are
    Frobenius norms of what each adds to the weights of a layer, and of the difference; Rank tells in how many
    directions the difference goes (its stable rank).
    """
    from tinker_hl import checkpoints

    with tempfile.TemporaryDirectory(prefix="tinker-hl-diff-") as work:
        folders = [_folder(reach, place, Path(work) / str(number)) for number, place in enumerate((first, second))]
        found = checkpoints.diff(folders[0], folders[1])
    layers = found.largest(limit or len(found.layers))
    whole = {name: getattr(found, name) for name in ("norm_first", "norm_second", "norm_difference", "cosine")}
    print_records(layers, COLUMNS, name="layers", nothing="Neither has any layers.", more=whole)
    note(
        f"{len(found.layers):,} layers in all: norm 1 {found.norm_first:.4g}, norm 2 {found.norm_second:.4g}, "
        f"change {_change(found.norm_difference, found.norm_first)}, cosine {_number(found.cosine)}."
    )


def _folder(reach: Reach, place: str, work: Path) -> Path:
    if not place.startswith("tinker://"):
        if not Path(place).is_dir():
            raise click.UsageError(f"{place} is neither a folder nor a checkpoint's path.")
        return Path(place)
    from tinker_hl.checkpoints import download

    path = tinker_path(place)
    with reach.service(display_name="tinker-hl checkpoint diff") as service:
        seconds = max(reach.timeout, TRANSFER_SECONDS)
        return download(service, path, work / folder_name(path), timeout=seconds).folder


def _change(norm: float, of: float) -> str:
    """The norm of a difference; what is left of equal numbers by rounding is none."""
    return "0" if norm <= ROUNDING * of else f"{norm:.4g}"


def _share(value: float) -> str:
    return "new" if math.isinf(value) else f"{value:.1%}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
