"""The official SDK in environments of its own, our service on a socket, and what the one saw of the other."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.official_venv import official_python
from tinker_local import embedded
from tinker_local.embedded import EmbeddedService

SCRIPTS = Path(__file__).parent / "scripts"
MODEL = "tinker-hl/tiny"


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedService]:
    """`tinker-hl serve` with the packaged model, in a process of its own."""
    with embedded.start(data_dir=tmp_path_factory.mktemp("service") / "data", threads=1) as running:
        yield running


@pytest.fixture(scope="session")
def ran(service: EmbeddedService) -> Callable[[str], dict[str, Any]]:
    """What the script saw, run once for each client: a release of the official SDK, or `ours` through compat."""

    @functools.cache
    def run(client: str) -> dict[str, Any]:
        return {"asked": client, **run_script(client, service)}

    return run


@pytest.fixture(scope="session", params=["0.7.0", "newest", "ours"])
def seen(request: pytest.FixtureRequest, ran: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What the script saw, for each client in turn."""
    return ran(request.param)


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
