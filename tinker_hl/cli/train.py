"""`tinker-hl train`: fine-tune a model on a file of one's own."""

from pathlib import Path

import click

from tinker_hl.cli.forms import form, format_option

__all__ = ["train"]


@click.command()
@format_option
@click.argument("data", metavar="DATA.jsonl", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", required=True, metavar="NAME", help="The base model, by the name that the service has for it.")
@click.option(
    "--base-url",
    envvar="TINKER_BASE_URL",
    default="local",
    show_default="TINKER_BASE_URL, else local",
    help="The service; `local` starts one on this machine.",
)
@click.option("--rank", type=click.IntRange(min=1), default=32, show_default=True, help="Rank of the LoRA adapter.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimizer steps, instead of --epochs.")
@click.option(
    "--epochs",
    type=click.FloatRange(min=0, min_open=True),
    help="Passes over the training pairs.  [default: 3]",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=2e-4,
    show_default=True,
    help="Of the first step; it falls linearly to nothing.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Pairs a step.")
@click.option(
    "--grad-clip-norm",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Largest norm of a step's summed gradient; 0 is off.",
)
@click.option(
    "--eval-fraction",
    type=click.FloatRange(min=0, max=1, max_open=True),
    default=0.1,
    show_default=True,
    help='Share of the pairs to hold out, where the file does not say ("split": "test").',
)
@click.option("--eval-every", type=click.IntRange(min=1), help="Steps between measurements.  [default: a fifth]")
@click.option(
    "--save-every", type=click.IntRange(min=0), help="Steps between checkpoints; 0 is off.  [default: a fifth]"
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the adapter, the split and the batches.")
@click.option("--name", metavar="NAME", help="Name of the run and its folder.  [default: DATA-date-time]")
@click.option(
    "--runs-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where the run's folder is made.",
)
def train(
    data: Path,
    model: str,
    base_url: str,
    rank: int,
    steps: int | None,
    epochs: float | None,
    learning_rate: float,
    batch_size: int,
    grad_clip_norm: float,
    eval_fraction: float,
    eval_every: int | None,
    save_every: int | None,
    seed: int,
    name: str | None,
    runs_dir: Path,
) -> None:
    """Fine-tune a LoRA adapter on prompt/completion pairs.

    DATA.jsonl has one pair a line: {"prompt": "...", "completion": "..."}, with "split": "train" or "test" if you
    like. A faulty line stops the run before any training.

    The run's folder gets metrics.jsonl, checkpoints.jsonl, curve.png and the adapter, which peft loads. Results go to
    stdout, one JSON object last, or with --format json nothing else; progress goes to stderr.
    """
    if steps is not None and epochs is not None:
        raise click.UsageError("--steps and --epochs exclude each other.")
    from tinker_hl.cli.job import JobOptions, run_job
    from tinker_hl.cli.screen import Screen
    from tinker_hl.recipes.run_folder import default_run_name

    options = JobOptions(
        data=data,
        model=model,
        base_url=base_url,
        name=name or default_run_name(data.stem),
        runs_dir=runs_dir,
        rank=rank,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
        epochs=epochs or 3.0,
        eval_fraction=eval_fraction,
        eval_every=eval_every,
        save_every=save_every,
        grad_clip_norm=grad_clip_norm,
        seed=seed,
    )
    run_job(options, Screen(form()))
