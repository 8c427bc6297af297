"""Two adapters that the official SDK trains at once end as each ends alone, bit for bit."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from scripts.official_venv import official_python
from tinker_local.embedded import EmbeddedService

SCRIPT = Path(__file__).parent / "scripts" / "two_adapters.py"


@pytest.mark.parametrize("release", ["newest", "0.7.0"])
def test_two_adapters_at_once_end_as_each_alone(release: str, service: EmbeddedService) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TINKER_", "PYTHON"))}
    environment |= {"TINKER_BASE_URL": service.base_url, "TINKER_API_KEY": service.api_key, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [official_python(release), SCRIPT, "tinker-hl/tiny"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    saved: dict[str, str] = json.loads(ended.stdout.splitlines()[-1])
    for name in ("a", "b"):
        for file in ("adapter_model.safetensors", "optimizer.safetensors"):
            alone, together = (weights(service, saved[f"{name} {how}"], file) for how in ("alone", "together"))
            assert alone == together, f"{name}: {file}"
    assert weights(service, saved["a alone"], "adapter_model.safetensors") != weights(
        service, saved["b alone"], "adapter_model.safetensors"
    )


def weights(service: EmbeddedService, path: str, file: str) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """The tensors of a checkpoint's file, to the last bit."""
    run_id, kind, name = path.removeprefix("tinker://").split("/")
    tensors = load_file(service.data_dir / "checkpoints" / run_id / kind / name / file)
    return {key: (tensor.shape, tensor.tobytes()) for key, tensor in tensors.items()}
