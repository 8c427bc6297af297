"""`checkpoint save`: a checkpoint without a training script, of a fresh adapter or of one that was saved before."""

import json
from pathlib import Path
from typing import Any

import click

from tinker_hl.cli.forms import format_option
from tinker_hl.cli.output import note, print_record
from tinker_hl.cli.parameters import tinker_path
from tinker_hl.cli.reach import Reach, reaching

__all__ = ["save"]


@click.command()
@format_option
@click.option("--base-model", metavar="NAME", help="Make a fresh adapter on this base model.")
@click.option("--model-path", type=tinker_path, metavar="PATH", help="Load this training checkpoint instead.")
@click.option("--name", default="initial", show_default=True, help="Of the checkpoint.")
@click.option(
    "--kind",
    type=click.Choice(["training", "sampler", "external"]),
    default="training",
    show_default=True,
    help="To go on from, to sample from, or to download.",
)
@click.option("--rank", type=click.IntRange(min=1), default=32, show_default=True, help="Of a fresh adapter.")
@click.option("--seed", type=int, help="Of a fresh adapter's weights.")
@click.option("--train-mlp/--no-train-mlp", default=True, show_default=True, help="Adapt feed-forward layers.")
@click.option("--train-attn/--no-train-attn", default=True, show_default=True, help="Adapt attention layers.")
@click.option("--train-unembed/--no-train-unembed", default=True, show_default=True, help="Adapt the output layer.")
@click.option("--ttl", type=click.IntRange(min=1), metavar="SECONDS", help="Delete it so many seconds from now.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what was saved there too, as JSON.",
)
@reaching
def save(
    reach: Reach,
    base_model: str | None,
    model_path: str | None,
    name: str,
    kind: str,
    rank: int,
    seed: int | None,
    train_mlp: bool,
    train_attn: bool,
    train_unembed: bool,
    ttl: int | None,
    output: Path | None,
) -> None:
    """Save a fresh adapter, or one that was saved before.

    The checkpoint gets a run of its own.
    """
    if (base_model is None) == (model_path is None):
        raise click.UsageError("give one of --base-model and --model-path.")
    if not (train_mlp or train_attn or train_unembed):
        raise click.UsageError("an adapter needs at least one of the kinds of layers.")
    if output is not None and not output.resolve().parent.is_dir():
        raise click.UsageError(f"--output: there is no folder {output.resolve().parent}.")
    with reach.service(display_name="tinker-hl checkpoint save") as service:
        if model_path is not None:
            trainer = reach.wait(service.create_training_client_from_state_with_optimizer(model_path))
        else:
            trainer = reach.wait(
                service.create_lora_training_client(str(base_model), rank, seed, train_mlp, train_attn, train_unembed)
            )
        saving: Any = {
            "training": lambda: trainer.save_state(name, ttl_seconds=ttl),
            "sampler": lambda: trainer.save_weights_for_sampler(name, ttl_seconds=ttl),
            "external": lambda: trainer.save_weights_external(name, ttl_seconds=ttl),
        }
        path = reach.wait(saving[kind]()).path
        told = trainer.get_info()
    record = {
        "tinker_path": path,
        "training_run_id": told.model_id,
        "checkpoint_type": kind,
        "base_model": told.model_name or told.model_data.model_name,
        "lora_rank": told.lora_rank,
        "seed": seed,
        "from": model_path,
    }
    if output is not None:
        output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        note(f"Written to {output}")
    print_record(record, [("Path", path), ("Run ID", told.model_id), ("Base Model", str(record["base_model"]))])
