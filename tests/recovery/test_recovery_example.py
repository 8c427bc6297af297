"""`examples/recoverable_training.py` runs, and goes on where it was."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.killable import KillableService

EXAMPLE = Path(__file__).parents[2] / "examples" / "recoverable_training.py"


def output(service: KillableService, folder: Path, steps: int) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TINKER_")}
    environment |= {"TINKER_BASE_URL": service.base_url, "TINKER_API_KEY": service.api_key}
    ended = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE, folder, str(steps)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return ended.stdout.splitlines()


def test_the_example_goes_on_where_it_was(killable: KillableService, tmp_path: Path) -> None:
    whole = output(killable, tmp_path / "whole", 6)
    parts = output(killable, tmp_path / "parts", 4), output(killable, tmp_path / "parts", 6)
    assert [line.split()[0] for line in parts[1]] == ["4", "5", "6"]
    fruits = [line.split()[1] for line in whole[:6]]
    assert [line.split()[1] for part in parts for line in part[:-1]] == fruits, "the random order went on, too"
    assert parts[1][-1].startswith("6 steps, saved as tinker://")
