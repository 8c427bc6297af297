"""R7: a run of the official SDK survives `kill -9`, of the engine and of the whole service; its script sees nothing.

Step by step, result by result and weight by weight it is the run that nobody disturbed.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from benchmarks.killable import KillableService
from scripts.official_venv import official_python

SCRIPT = Path(__file__).parent / "scripts" / "undisturbed.py"
STEPS = 8


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableService]:
    running = KillableService(tmp_path_factory.mktemp("killable") / "data", "--autosave-every", "1")
    running.engine_pid()
    yield running
    running.close()


@pytest.fixture(scope="module")
def undisturbed(service: KillableService) -> dict[str, Any]:
    return run(service, {})


def run(service: KillableService, kills: Mapping[int, Callable[[], None]]) -> dict[str, Any]:
    """What the script tells at its end; while the steps named are under way, something is killed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TINKER_", "PYTHON"))}
    environment |= {"TINKER_BASE_URL": service.base_url, "TINKER_API_KEY": service.api_key}
    command = [str(official_python("newest")), str(SCRIPT), "tinker-hl/tiny", str(STEPS)]
    told: dict[str, Any] = {}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            told = json.loads(line)
            kills.get(told.get("under way", -1), lambda: None)()
        problem = process.stderr.read()
    assert process.returncode == 0, problem[-3000:] + service.log()[-3000:]
    return told


def weights(service: KillableService, path: str) -> dict[str, bytes]:
    run_id, kind, name = path.removeprefix("tinker://").split("/")
    folder = service.data_dir / "checkpoints" / run_id / kind / name
    files = ("adapter_model.safetensors", "optimizer.safetensors")
    return {f"{file} {key}": value.tobytes() for file in files for key, value in load_file(folder / file).items()}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["the engine", "the service"])
def test_r07_the_official_sdk_notices_no_more_than_a_pause(
    service: KillableService, undisturbed: dict[str, Any], victim: str
) -> None:
    disturbed = run(service, {3: service.kill_engine} if victim == "the engine" else {5: service.kill})
    assert disturbed["losses"] == undisturbed["losses"]
    assert disturbed["tokens"] == undisturbed["tokens"]
    assert weights(service, disturbed["path"]) == weights(service, undisturbed["path"])
