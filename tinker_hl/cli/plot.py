"""`tinker-hl plot`: the curves of runs on this machine, in the terminal or as a picture. It asks no server."""

import shutil
import sys
from pathlib import Path

import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import note, on_terminal, print_record, print_records, styled

__all__ = ["plot"]

PIPE_WIDTH = 80
COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-m", "--metric", "metrics", multiple=True, metavar="NAME", help="One, or more.  [default: all]")
@click.option(
    "--png",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw into this file, and print its name.",
)
@click.option("--log-scale", is_flag=True, help="Logarithms of positive values, in the PNG.")
@click.option("--height", type=click.IntRange(4, 200), default=10, show_default=True, help="Lines of a text's picture.")
@click.option("--width", type=click.IntRange(24, 500), help="Characters.  [default: the terminal's]")
@format_option
def plot(
    runs: tuple[Path, ...], metrics: tuple[str, ...], png: Path | None, log_scale: bool, height: int, width: int | None
) -> None:
    """Draw what runs measured.

    There is one picture a metric, with all runs in it. RUN is the folder of a run, which holds metrics.jsonl, or such a
    file; a run that is still going can be drawn, too. Values that are not finite, and metrics of a single step, are
    left out. With --format json or jsonl the numbers themselves are printed.
    """
    from tinker_hl.run_metrics.curves import read_runs

    curves = read_runs(runs, metrics)
    if png is not None:
        from tinker_hl.run_metrics.picture import draw_png

        draw_png(png, curves, log_scale=log_scale)
        click.echo(str(png)) if form() == "table" else print_record({"path": str(png)}, ())
        return
    if form() != "table":
        print_records(curves, [], name="curves", nothing="")
        return
    if log_scale:
        note("--log-scale is for --png; text is drawn as it is")
    from tinker_hl.run_metrics.text_plot import draw_text

    text = draw_text(curves, width=width or _width(), height=height, paint=_paint)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    # A terminal that has no braille gets question marks, and not a traceback.
    click.echo(text.encode(encoding, "replace").decode(encoding))


def _paint(text: str, number: int) -> str:
    return styled(text, fg=COLOURS[number % len(COLOURS)])


def _width() -> int:
    return shutil.get_terminal_size().columns if on_terminal() else PIPE_WIDTH
