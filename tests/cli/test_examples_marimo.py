"""`examples/reactive_training.py` runs under the real marimo as it stands: its cells wait in marimo's loop."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "reactive_training.py"


@pytest.mark.timeout(300)
def test_it_runs_as_a_program_and_its_model_learns(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TINKER_")}
    homes = {
        "TINKER_HL_HOME": "home",
        "XDG_CONFIG_HOME": "config",
        "XDG_CACHE_HOME": "cache",
        "XDG_STATE_HOME": "state",
    }
    environment |= {name: str(tmp_path / folder) for name, folder in homes.items()}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    losses, answer = done.stdout.splitlines()
    first, last = (float(loss) for loss in losses.split(" -> "))
    assert last < 0.1 * first
    assert answer == "plum is purple"


def test_marimo_finds_nothing_wrong_with_it() -> None:
    """No name is defined twice, no cell waits for itself, no file of another format."""
    command = [sys.executable, "-m", "marimo", "-q", "check", "--strict", str(EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
