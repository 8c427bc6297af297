"""Runs a researcher's script with a client: a release of the official SDK, or ours under the official name."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from scripts.official_venv import official_python
from tinker_local.embedded import EmbeddedService

__all__ = ["MODEL", "run_script"]

SCRIPTS = Path(__file__).parent / "scripts"
MODEL = "tinker-hl/tiny"


def run_script(client: str, service: EmbeddedService, script: str = "training_loop.py") -> dict[str, Any]:
    """Run a script of the folder `scripts` with a client; its last line is JSON.

    The environment of an official release is made here when `make official` has not made it yet.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TINKER_", "PYTHON"))}
    python = [sys.executable, "-m", "tinker_hl.compat"] if client == "ours" else [official_python(client)]
    ended = subprocess.run(
        [*python, SCRIPTS / script, MODEL],
        env=environment
        | {
            "TINKER_BASE_URL": service.base_url,
            "TINKER_API_KEY": service.api_key,
            "TINKER_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout[-2000:]}\n{ended.stderr[-6000:]}"
    return dict(json.loads(ended.stdout.splitlines()[-1]))
