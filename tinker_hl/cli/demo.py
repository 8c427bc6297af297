"""`tinker-hl demo`: watch the tiny model learn pig latin."""

from pathlib import Path

import click

from tinker_hl.cli.forms import form, format_option

__all__ = ["demo"]

TINY_MODEL = "tinker-hl/tiny"
HERE = Path(__file__).resolve().parent
IN_THE_REPOSITORY = HERE.parents[1] / "examples" / "data" / "pig_latin.jsonl"
DATA = IN_THE_REPOSITORY if IN_THE_REPOSITORY.is_file() else HERE / "pig_latin.jsonl"
"""A wheel carries a copy beside this module."""


@click.command()
@format_option
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=DATA,
    show_default="examples/data/pig_latin.jsonl",
    help="The pairs; 200 of these words are held out.",
)
@click.option("--model", default=TINY_MODEL, show_default=True, metavar="NAME", help="The base model.")
@click.option(
    "--base-url",
    envvar="TINKER_BASE_URL",
    default="local",
    show_default="TINKER_BASE_URL, else local",
    help="The service; `local` starts one on this machine.",
)
@click.option("--steps", type=click.IntRange(min=1), default=150, show_default=True, help="Optimizer steps.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Words a step.")
@click.option("--name", metavar="NAME", help="Name of the run and its folder.  [default: demo-date-time]")
@click.option(
    "--runs-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where the run's folder is made.",
)
def demo(data: Path, model: str, base_url: str, steps: int, batch_size: int, name: str | None, runs_dir: Path) -> None:
    """Teach a small model pig latin, in about a minute.

    It is asked 200 words that it never trains on, before and after. The run's folder gets metrics.jsonl, curve.png and
    the adapter, which is then tried in plain peft. Results go to stdout, one JSON object last, or with --format json
    nothing else.
    """
    from tinker_hl.cli.job import JobOptions, run_job
    from tinker_hl.cli.screen import Screen
    from tinker_hl.recipes.run_folder import default_run_name

    options = JobOptions(
        data=data,
        model=model,
        base_url=base_url,
        name=name or default_run_name("demo"),
        runs_dir=runs_dir,
        learning_rate=2e-3,
        batch_size=batch_size,
        steps=steps,
        eval_every=max(1, steps // 10),  # a curve that shows how it learned
    )
    run_job(options, Screen(form()))
