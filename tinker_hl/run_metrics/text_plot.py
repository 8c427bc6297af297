"""Curves as text: a picture of braille dots, two by four a character, for a terminal. It knows no file and no terminal.

Where several curves go through one character, it has the dots of all.
"""

import math
from collections.abc import Callable, Sequence

from tinker_hl.run_metrics.curves import Curve

__all__ = ["draw_text"]

BRAILLE = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a character's dots, by row and column (Unicode 15, block Braille Patterns)."""
LABEL = 10
LEAST_WIDTH, LEAST_HEIGHT = 24, 4

Paint = Callable[[str, int], str]
"""Colours a text as that of the run with this number."""


def _unpainted(text: str, number: int) -> str:
    return text


def draw_text(curves: Sequence[Curve], *, width: int = 80, height: int = 12, paint: Paint = _unpainted) -> str:
    """Pictures of curves, one for each metric, with axes; below it where each run's curve begins and ends.

    Args:
        curves: As `read_runs` gives them.
        width: Of the text, in characters.
        height: Of each picture, in lines, without axis and legend.
        paint: Tells runs apart; a character that several curves go through is the last one's.
    """
    by_name: dict[str, list[Curve]] = {}
    for curve in curves:
        by_name.setdefault(curve.name, []).append(curve)
    runs = list(dict.fromkeys(curve.run for curve in curves))
    width, height = max(width, LEAST_WIDTH), max(height, LEAST_HEIGHT)

    def of_run(text: str, run: str) -> str:
        return paint(text, runs.index(run))

    return "\n\n".join("\n".join(_picture(name, among, width, height, of_run)) for name, among in by_name.items())


def _picture(
    name: str, curves: Sequence[Curve], width: int, height: int, of_run: Callable[[str, str], str]
) -> list[str]:
    steps = [step for curve in curves for step in curve.steps]
    values = [value for curve in curves for value in curve.values]
    (left, right), (low, high) = (min(steps), max(steps)), (min(values), max(values))
    columns = width - LABEL - 2
    if low == high:
        height = 1  # a level line says it all
    canvas = _Canvas(columns, height)
    for curve in curves:
        points = [
            (_place(step, left, right, columns * 2 - 1), _place(value, high, low, height * 4 - 1))
            for step, value in zip(curve.steps, curve.values, strict=True)
        ]
        for start, end in zip(points, points[1:] or points, strict=False):
            canvas.line(start, end, curve.run)
    lines = canvas.lines(of_run)
    labels = {0: _short(high), height - 1: _short(low)}
    if height >= 7:
        labels[height // 2] = _short(high - (high - low) * (height // 2) / (height - 1))
    drawn = [f"{labels.get(row, ''):>{LABEL}} ┤{line}" for row, line in enumerate(lines)]
    first, last = _short(left), _short(right)
    if len(first) + len(last) >= columns:
        first = ""  # so narrow, the end says more
    axis = f"{'':>{LABEL}} └{first}{last:>{columns - len(first)}}"
    widest = max(len(curve.run) for curve in curves)
    legend = [
        f"{'':>{LABEL}}  {of_run(_printable(curve.run), curve.run)}{'':<{widest - len(curve.run)}}  "
        f"{_short(curve.values[0])} → {_short(curve.values[-1])}"
        for curve in curves
    ]
    return [_printable(name), *drawn, axis, *legend]


class _Canvas:
    """Dots in characters. Invariant: rows go from the top down."""

    def __init__(self, columns: int, rows: int) -> None:
        self._cells = [[0] * columns for _ in range(rows)]
        self._owners = [[""] * columns for _ in range(rows)]

    def line(self, start: tuple[int, int], end: tuple[int, int], owner: str) -> None:
        """All dots of a straight line, both ends included."""
        count = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for index in range(count + 1):
            x, y = (round(a + (b - a) * index / count) for a, b in zip(start, end, strict=True))
            self._cells[y // 4][x // 2] |= DOTS[y % 4][x % 2]
            self._owners[y // 4][x // 2] = owner

    def lines(self, painted: Callable[[str, str], str]) -> list[str]:
        """The picture, without blanks at the right."""
        return [
            "".join(
                painted(chr(BRAILLE + cell), owner) if cell else " " for cell, owner in zip(cells, owners, strict=True)
            ).rstrip()
            for cells, owners in zip(self._cells, self._owners, strict=True)
        ]


def _place(value: float, first: float, last: float, dots: int) -> int:
    """Where a value is between two others, in dots from the first."""
    # Halved, so that no difference is beyond what a float holds.
    return 0 if first == last else round((value / 2 - first / 2) / (last / 2 - first / 2) * dots)


def _printable(text: str) -> str:
    """A name as a terminal may be given it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _short(value: float) -> str:
    """A number in at most ten characters."""
    if value == 0 or (math.isfinite(value) and float(value).is_integer() and abs(value) < 1e7):
        return f"{value:.0f}"
    return f"{value:.4g}" if 1e-4 <= abs(value) < 1e6 else f"{value:.2e}"
