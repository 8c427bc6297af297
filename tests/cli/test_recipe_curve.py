import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.recipes.curve import Measured, draw_curve, smoothed


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


@pytest.mark.parametrize(
    ("losses", "measured"),
    [
        ([3.0, 1.0, 0.1], [Measured(0, 0.0), Measured(3, 0.95)]),
        ([0.5, 0.0], []),
        ([1.0], [Measured(0, 0.2)]),
    ],
)
def test_it_draws_whatever_a_run_left(tmp_path: Path, losses: list[float], measured: list[Measured]) -> None:
    path = tmp_path / "curve.png"
    draw_curve(path, title="a title", subtitle="$5 and 100%", losses=losses, measured=measured)
    assert png_size(path) == (1600, 1100)


@given(st.lists(st.floats(0, 100), min_size=1))
def test_the_smooth_line_stays_within_what_was_seen(losses: list[float]) -> None:
    line = smoothed(losses)
    assert len(line) == len(losses)
    assert line[0] == pytest.approx(losses[0])
    assert all(min(losses) - 1e-9 <= value <= max(losses) + 1e-9 for value in line)


def test_the_smooth_line_of_a_constant_is_the_constant() -> None:
    assert smoothed([2.5] * 20) == pytest.approx([2.5] * 20)
