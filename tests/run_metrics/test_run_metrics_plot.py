"""Curves of runs: read from their files, drawn as text and as PNG, also by `tinker-hl plot`."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tinker_hl.cli.plot import plot
from tinker_hl.errors import ConfigurationError
from tinker_hl.run_metrics import RunMetrics
from tinker_hl.run_metrics.curves import Curve, read_run, read_runs
from tinker_hl.run_metrics.picture import draw_png
from tinker_hl.run_metrics.text_plot import BRAILLE, draw_text


def run(folder: Path, losses: Sequence[float | None], **more: float) -> Path:
    metrics = RunMetrics(folder)
    for step, loss in enumerate(losses):
        metrics.log({"loss": loss, **more}, step=step)
    return folder


def test_curves_leave_out_what_is_no_number_and_take_the_later_of_two(tmp_path: Path) -> None:
    folder = run(tmp_path / "one", [3.0, None, float("nan"), 1.0])
    metrics = RunMetrics(folder)
    metrics.log({"loss": 0.5, "exact_match": 0.9, "note": "resumed", "best": True}, step=3)
    with metrics.path.open("a") as file:
        file.write('{"step": 4, "loss": 0.')
    assert read_run(folder) == [Curve("one", "loss", (0.0, 3.0), (3.0, 0.5))]
    assert read_runs([metrics.path], ["exact_match"]) == [Curve("one", "exact_match", (3.0,), (0.9,))]


def test_runs_stand_side_by_side_by_metric(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", [2, 1], rate=0.1), run(tmp_path / "b", [3, 2])
    assert [(curve.name, curve.run) for curve in read_runs([first, second])] == [
        ("loss", "a"),
        ("loss", "b"),
        ("rate", "a"),
    ]
    same = run(tmp_path / "c" / "a", [1, 1])
    names = {curve.run for curve in read_runs([first, same])}
    assert names == {str(first), str(same)}, "told apart by their paths"


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)cannot be read.*metrics\.jsonl"):
        read_runs([tmp_path])
    folder = run(tmp_path / "a", [1.0, 2.0])
    with pytest.raises(ConfigurationError, match=r"(?s)no run has a metric 'lss'.*there are: loss"):
        read_runs([folder], ["lss"])
    with pytest.raises(ConfigurationError, match="more than one step"):
        read_runs([run(tmp_path / "b", [1.0])])


def test_a_text_has_the_curve_between_its_axes() -> None:
    text = draw_text([Curve("a", "loss", (0.0, 10.0), (4.0, 0.0))], width=28, height=4)
    assert text.splitlines() == [
        "loss",
        "         4 ┤⠉⠒⠤⣀",
        "           ┤    ⠉⠒⠤⣀",
        "           ┤        ⠉⠒⠤⣀",
        "         0 ┤            ⠉⠒⠤⣀",
        "           └0             10",
        "            a  4 → 0",
    ]


FINITE = st.floats(-1e12, 1e12) | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=40)
@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=8), st.integers(24, 120), st.integers(4, 20))
def test_any_curve_fits_its_width_and_height(points: list[tuple[float, float]], width: int, height: int) -> None:
    points = sorted(points)
    curve = Curve("a", "loss", tuple(step for step, _ in points), tuple(value for _, value in points))
    lines = draw_text([curve], width=width, height=height).splitlines()
    if len({value for _, value in points}) == 1:
        height = 1
    assert len(lines) == 1 + height + 2
    picture = lines[1 : 1 + height]
    assert all(len(line) <= width for line in lines[: 2 + height])
    assert any(ord(letter) > BRAILLE for line in picture for letter in line)


def test_a_curve_that_goes_through_all_that_a_float_holds_is_drawn() -> None:
    text = draw_text([Curve("a", "loss", (0.0, 1.0), (-1.5e308, 1.5e308))])
    assert "-1.50e+308" in text


def test_names_cannot_command_a_terminal() -> None:
    level = draw_text([Curve("a", "held", (0.0, 5.0), (200.0, 200.0))]).splitlines()
    assert [text.split()[0] for text in level if "┤" in text] == ["200"], "a level line needs no height"
    text = draw_text([Curve("a\x1b[2J", "loss\x07", (0.0, 1.0), (1.0, 2.0))])
    assert "\x1b" not in text
    assert "\x07" not in text


def test_runs_are_painted_apart() -> None:
    curves = [Curve(name, "loss", (0.0, 1.0), (value, value)) for name, value in (("a", 1.0), ("b", 2.0))]
    painted: set[tuple[str, int]] = set()
    draw_text(curves, paint=lambda text, number: painted.add((text, number)) or text)  # type: ignore[func-returns-value]
    assert {("a", 0), ("b", 1)} <= painted
    assert {number for _, number in painted} == {0, 1}


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


@pytest.mark.parametrize(("metrics", "size"), [(1, (1050, 540)), (2, (2100, 540)), (3, (2100, 1020))])
def test_a_picture_has_two_panels_a_row(tmp_path: Path, metrics: int, size: tuple[int, int]) -> None:
    curves = [
        Curve(run, f"$m_{number}$", (0.0, 1.0), (1.0, 0.5)) for number in range(metrics) for run in ("_a", "$b", "c")
    ]
    draw_png(tmp_path / "x.png", curves, log_scale=True)
    assert png_size(tmp_path / "x.png") == size


def test_the_command_draws_in_a_pipe_as_wide_as_eighty(tmp_path: Path) -> None:
    folders = [str(run(tmp_path / name, [3, 2, 1])) for name in ("a", "b")]
    done = CliRunner().invoke(plot, [*folders, "--height", "5"])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert (lines[0], len(lines)) == ("loss", 1 + 5 + 1 + 2)
    assert max(map(len, lines)) == 80


def test_the_command_gives_numbers_to_programs_and_draws_files(tmp_path: Path) -> None:
    folder = str(run(tmp_path / "a", [3, 2], rate=0.1))
    done = CliRunner().invoke(plot, [folder, "--metric", "loss", "--format", "json"])
    curve = {"run": "a", "name": "loss", "steps": [0.0, 1.0], "values": [3.0, 2.0]}
    assert json.loads(done.output) == {"curves": [curve]}
    lines = CliRunner().invoke(plot, [folder, "--format", "jsonl"]).output.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["loss", "rate"]
    target = tmp_path / "x.png"
    done = CliRunner().invoke(plot, [folder, "--png", str(target), "--log-scale"])
    assert done.output == f"{target}\n"
    assert png_size(target) == (2100, 540)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    done = CliRunner().invoke(plot, [str(tmp_path / "nothing")])
    assert done.exit_code == 2
    assert "does not exist" in done.output
    done = CliRunner().invoke(plot, [str(tmp_path)])
    assert isinstance(done.exception, ConfigurationError)
    done = CliRunner().invoke(plot, [])
    assert "RUN" in done.output
