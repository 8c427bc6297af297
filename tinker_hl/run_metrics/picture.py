"""Curves as a PNG: one panel for each metric, one line for each run. Imports matplotlib when it draws."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinker_hl.errors import ConfigurationError
from tinker_hl.run_metrics.curves import Curve

__all__ = ["draw_png"]

PAPER, INK, QUIET = "#fcfcfa", "#1f2430", "#8a92a6"
COLORS = ("#3b6fd4", "#e07a2f", "#3f9c6b", "#b4518f", "#7a6bd0", "#c0a02c", "#4aa3b5", "#c2504d")
WIDTH, PANEL = 7.0, 3.2
"""Inches of a panel; 150 dots an inch."""


def draw_png(path: str | Path, curves: Sequence[Curve], *, log_scale: bool = False) -> None:
    """Draw curves, two panels a row, and write them.

    Args:
        path: Of the PNG.
        curves: As `read_runs` gives them.
        log_scale: Whether values are shown by their logarithms, in panels where all are positive.

    Raises:
        ConfigurationError: matplotlib is not installed.
        OSError: The file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError("matplotlib is needed to draw", hint="pip install 'tinker-hl[plot]'") from error
    names = list(dict.fromkeys(curve.name for curve in curves))
    runs = list(dict.fromkeys(curve.run for curve in curves))
    columns = min(2, len(names))
    rows = math.ceil(len(names) / columns)
    # Not pyplot: its figures are global, and it looks for a display.
    figure = Figure(figsize=(WIDTH * columns, PANEL * rows + 0.4), dpi=150, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel, name in zip(panels, names, strict=False):
        _panel(panel, name, [curve for curve in curves if curve.name == name], runs, log_scale)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    if len(runs) > 1:
        lines, labels = panels[0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside upper center", ncols=min(4, len(runs)), frameon=False, fontsize=9)
    figure.savefig(path, facecolor=PAPER, format="png")


def _panel(panel: Any, name: str, curves: Sequence[Curve], runs: Sequence[str], log_scale: bool) -> None:
    panel.set_facecolor(PAPER)
    # A name is no formula.
    panel.set_title(name, loc="left", color=INK, fontsize=11, parse_math=False)
    for run in runs:
        # Each run has its color in every panel, and a line in the legend even where it has no curve.
        curve = next((curve for curve in curves if curve.run == run), None)
        steps, values = (curve.steps, curve.values) if curve else ((), ())
        color = COLORS[runs.index(run) % len(COLORS)]
        marker = "o" if len(steps) < 20 else None
        panel.plot(steps, values, color=color, linewidth=1.6, marker=marker, markersize=4, label=_plain(run))
    if log_scale and all(value > 0 for curve in curves for value in curve.values):
        panel.set_yscale("log")
    panel.grid(axis="y", color=QUIET, alpha=0.22, linewidth=0.8)
    panel.tick_params(which="both", colors=QUIET, length=0, labelsize=9)
    for side, spine in panel.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(QUIET)


def _plain(run: str) -> str:
    """A label that matplotlib takes as it is: it leaves out those that begin with an underscore, and reads dollars."""
    return run.replace("$", r"\$").removeprefix("_")
