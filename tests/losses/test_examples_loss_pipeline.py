"""`examples/loss_pipeline.py` runs as it stands, learns, and prints value, share and gradient norm of each term."""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "loss_pipeline.py"


def test_it_runs_as_it_stands_and_shows_each_term(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TINKER_")}
    environment |= {"TINKER_HL_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    totals = [float(found) for found in re.findall(r"^step \d+  loss ([\d.]+)", done.stdout, re.MULTILINE)]
    assert len(totals) == 10
    assert totals[-1] < totals[0]
    shown = re.findall(r"^  (\S+) +value +(\S+)  share +(\S+)%  gradient norm +(\S+)$", done.stdout, re.MULTILINE)
    assert [name for name, *_ in shown] == ["kl", "entropy", "least-likely"] * 10
    for _, _, share, norm in shown[3:]:
        assert 0 < float(share) < 100
        assert float(norm) > 0
