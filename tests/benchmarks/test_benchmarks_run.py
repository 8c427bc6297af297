"""Each benchmark runs to its end and says what it found; how fast anything is, no test asks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import Report, at_least, at_most, in_turns
from benchmarks.run import page, scripts

ROOT = Path(__file__).resolve().parents[2]
PROMISED = ("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "P11", "P12", "P13", "R4", "R7", "R11")


def report() -> Report:
    found = in_turns({"ours": lambda: {"wall ms": 2.0, "calls/s": 30.0}, "theirs": lambda: {"wall ms": 8.0}}, 2)
    made = Report("P0", "an example", found, notes=["a note"])
    made.goals = [at_most("wall", made.ratio("wall ms", "ours", "theirs"), 0.2), at_least("calls", 30.0, 30.0)]
    return made


@pytest.mark.interop
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.stem)
def test_each_benchmark_ends_with_one_line_of_json(script: Path) -> None:
    ended = subprocess.run(
        [sys.executable, script, "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    (line,) = ended.stdout.splitlines()
    found = json.loads(line)
    assert found["promise"].lower() == script.stem.partition("_")[0].replace("p0", "p").replace("r0", "r")
    assert found["goals"]
    assert all(side for side in found["sides"].values()), "every side has figures"
    assert f"{found['promise']}: " in ended.stderr


def test_every_promise_that_this_project_measures_has_a_script() -> None:
    assert [f"{script.stem[0].upper()}{int(script.stem[1:3])}" for script in scripts()] == list(PROMISED)


def test_a_name_chooses_scripts_and_an_unknown_one_is_refused() -> None:
    assert [script.stem for script in scripts(["p09"])] == ["p09_training"]
    assert [script.stem for script in scripts(["soak"])] == ["soak"]
    assert "soak" not in [script.stem for script in scripts()], "it takes half an hour"
    with pytest.raises(SystemExit, match="no benchmark begins with p99"):
        scripts(["p99"])


def test_a_ratio_compares_the_best_rounds_and_a_goal_knows_its_side() -> None:
    wall, calls = report().goals
    assert (wall.value, wall.met) == (0.25, False)
    assert (calls.value, calls.met) == (30.0, True)


def test_the_page_shows_what_was_missed_as_plainly_as_what_was_met() -> None:
    text = page({"p00_example": json.loads(json.dumps(report().as_json()))})
    assert "| wall | 0.25 | <= 0.2 | **missed** |" in text
    assert "| calls | 30 | >= 30 | met |" in text
    assert "| ours | 2 / 2 | 30 / 30 |" in text
    assert "| theirs | 8 / 8 |  |" in text
    assert "`python benchmarks/p00_example.py`" in text
    assert "- a note" in text
