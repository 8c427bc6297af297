"""What type checkers say of programs that give lists, tuples and arrays: nothing; and of mistakes: where they are."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("typed_user_code.py")
MISTAKES = [
    "Datum(model_input=[1, 2], loss_fn_inputs={})",
    "Datum(model_input=ModelInput.empty(), loss_fn_inputs=[1.0])",
    "ModelInput(chunk=[])",
    "TensorData([1], dtype='float64')",
]

COMMANDS = {
    "mypy": [sys.executable, "-m", "mypy", "--strict"],
    "pyright": [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
}


def check(checker: str, program: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMANDS[checker], str(program)], cwd=ROOT, capture_output=True, text=True, timeout=110)


@pytest.mark.parametrize("checker", COMMANDS)
def test_lists_tuples_and_arrays_are_accepted(checker: str) -> None:
    done = check(checker, PROGRAM)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", COMMANDS)
def test_mistakes_are_found(checker: str, tmp_path: Path) -> None:
    program = tmp_path / "mistakes.py"
    program.write_text("\n".join(["from tinker_hl import Datum, ModelInput, TensorData", *MISTAKES]))
    done = check(checker, program)
    assert done.returncode == 1, done.stdout + done.stderr
    for line in range(2, 2 + len(MISTAKES)):
        assert f"mistakes.py:{line}:" in done.stdout, MISTAKES[line - 2]
