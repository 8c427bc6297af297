import ast
import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "training_loop.py"


def test_it_is_twenty_lines_of_code() -> None:
    source = EXAMPLE.read_text()
    docstring = ast.parse(source).body[0]
    code = [line for line in source.splitlines()[docstring.end_lineno :] if line.strip()]
    assert len(code) <= 20


def test_it_runs_as_it_stands_and_learns(tmp_path: Path) -> None:
    # Without a key and without an address: nothing but what is on this machine.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TINKER_")}
    environment["TINKER_HL_HOME"] = str(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *losses, answer = done.stdout.splitlines()
    values = [float(line.split()[1]) for line in losses]
    assert len(values) == 20
    assert values[-1] < values[0] / 5
    assert answer.strip().startswith("yellow")
