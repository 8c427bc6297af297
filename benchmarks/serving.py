"""A service of our own for a benchmark: the packaged model or the null engine, its folder thrown away afterwards."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import tinker_local
from benchmarks.harness import peak_bytes
from tinker_local import embedded
from tinker_local.embedded import EmbeddedService

__all__ = ["MODEL", "MODEL_FOLDER", "environment", "peak_megabytes", "serving"]

MODEL = "tinker-hl/tiny"
MODEL_FOLDER = Path(tinker_local.__file__).parent / "models" / "tiny"


@contextmanager
def serving(engine: Literal["torch", "null"] = "torch") -> Iterator[EmbeddedService]:
    """A service that runs as long as the context is open."""
    with tempfile.TemporaryDirectory() as folder, embedded.start(data_dir=Path(folder), engine=engine) as service:
        yield service


def environment(service: EmbeddedService) -> Mapping[str, str]:
    """What a client's process needs to reach it."""
    return {"TINKER_BASE_URL": service.base_url, "TINKER_API_KEY": service.api_key}


def peak_megabytes(service: EmbeddedService) -> float:
    """The most memory that the service ever had: the sum over its processes of each one's own peak."""
    return sum(peak_bytes(pid) for pid in _family(service.pid)) / 2**20


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(member for child in children for member in _family(int(child)))]
