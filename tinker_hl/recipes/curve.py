"""The picture of a run: loss of each step, and exact match where it was measured.

Imports matplotlib when it draws. Knows nothing of how the numbers were made.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from tinker_hl.errors import ConfigurationError

__all__ = ["Measured", "draw_curve"]

INK: Final = "#1f2430"
QUIET: Final = "#8a92a6"
LOSS: Final = "#3b6fd4"
ACCURACY: Final = "#e07a2f"
PAPER: Final = "#fcfcfa"


@attrs.frozen
class Measured:
    """Exact match after a number of steps."""

    step: int
    exact_match: float


def smoothed(values: Sequence[float], *, keep: float = 0.8) -> list[float]:
    """Running mean of values, without the bias towards the start (Kingma & Ba 2015, section 3)."""
    mean, weight, line = 0.0, 0.0, []
    for value in values:
        mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        line.append(mean / weight)
    return line


def draw_curve(path: Path, *, title: str, subtitle: str, losses: Sequence[float], measured: Sequence[Measured]) -> None:
    """Draw losses (nats a token, log scale, step 1 first) over exact match, and write it as a PNG of 1600 x 1100.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError("matplotlib is needed to draw", hint="pip install 'tinker-hl[local]'") from error
    # Not pyplot: its figures are global, and it looks for a display.
    figure = Figure(figsize=(10, 6.875), dpi=160, facecolor=PAPER)
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    figure.subplots_adjust(left=0.085, right=0.95, top=0.84, bottom=0.085, hspace=0.16)
    figure.text(0.085, 0.945, title, fontsize=17, fontweight="bold", color=INK)
    figure.text(0.085, 0.905, subtitle, fontsize=10.5, color=QUIET)
    _draw_losses(above, losses)
    _draw_accuracy(below, measured, last_step=max(len(losses), 1))
    figure.savefig(path, facecolor=PAPER)


def _draw_losses(axes: Any, losses: Sequence[float]) -> None:
    _plain(axes, "loss, nats a token")
    steps = range(1, len(losses) + 1)
    axes.plot(steps, losses, color=LOSS, alpha=0.28, linewidth=1.0)
    logarithmic = bool(losses) and min(losses) > 0
    # On a log axis the mean of the logs: the plain mean would hang above the curve wherever it falls.
    line = [math.exp(value) for value in smoothed(list(map(math.log, losses)))] if logarithmic else smoothed(losses)
    axes.plot(steps, line, color=LOSS, linewidth=2.2)
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda *_: "")
    if losses:
        _mark(axes, len(losses), line[-1], f"{line[-1]:.3g}", LOSS)


def _draw_accuracy(axes: Any, measured: Sequence[Measured], *, last_step: int) -> None:
    _plain(axes, "exact match, held out")
    axes.set_ylim(-0.04, 1.08)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlim(0, last_step * 1.03)
    axes.set_xlabel("step", color=QUIET, fontsize=10.5)
    steps, shares = [point.step for point in measured], [point.exact_match for point in measured]
    axes.fill_between(steps, shares, color=ACCURACY, alpha=0.10, linewidth=0)
    axes.plot(steps, shares, color=ACCURACY, linewidth=2.2, marker="o", markersize=6, markeredgecolor=PAPER)
    if measured:
        _mark(axes, steps[0], shares[0], f"{shares[0]:.1%} before", ACCURACY)
        if len(measured) > 1:
            _mark(axes, steps[-1], shares[-1], f"{shares[-1]:.1%}", ACCURACY)


def _mark(axes: Any, x: float, y: float, text: str, color: str) -> None:
    """Write a value at its point: to the left of the last, to the right of the first."""
    place = {"ha": "left", "xytext": (20, 6)} if x == 0 else {"ha": "right", "xytext": (-2, 9)}
    axes.annotate(
        text, (x, y), textcoords="offset points", color=color, fontsize=11, fontweight="bold", clip_on=False, **place
    )


def _plain(axes: Any, label: str) -> None:
    axes.set_facecolor(PAPER)
    axes.set_title(label, loc="left", color=INK, fontsize=11.5)
    axes.grid(axis="y", color=QUIET, alpha=0.22, linewidth=0.8)
    axes.tick_params(which="both", colors=QUIET, length=0, labelsize=10)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(QUIET)
