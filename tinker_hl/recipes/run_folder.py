"""The folder of one run: `metrics.jsonl`, `checkpoints.jsonl`, and whatever else the run leaves.

Each line is in the file before the call that wrote it returns, so that an interrupted run has what it did. Knows
nothing of what the lines mean.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tinker_hl.errors import ConfigurationError
from tinker_hl.run_metrics.journal import METRICS_FILE, append_record
from tinker_hl.run_metrics.manifest import Manifest, write_manifest

__all__ = ["RunFolder", "default_run_name"]

_FORBIDDEN: Final = frozenset('/\\:*?"<>|\0')
_LONGEST: Final = 100


def default_run_name(stem: str) -> str:
    """`<stem>-<date>-<time>`, in local time."""
    return f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"


class RunFolder:
    """A run's folder, made anew. Invariant: its name is one plain path component, and no run was in it before.

    Raises:
        ConfigurationError: the name is no folder name, or there is a folder of that name.
    """

    def __init__(self, runs: Path, name: str) -> None:
        if not name or name.startswith((".", "-")) or len(name) > _LONGEST or _FORBIDDEN & set(name):
            raise ConfigurationError(
                f"{name!r} cannot be a run's name", hint="use letters, digits, dots, dashes and underscores"
            )
        self.name = name
        self.path = runs / name
        self.manifest: Manifest | None = None
        try:
            self.path.mkdir(parents=True)
        except FileExistsError as error:
            raise ConfigurationError(f"{self.path} exists", hint="choose another --name, or remove it") from error

    def metrics(self, record: Mapping[str, Any]) -> None:
        """Append a line to `metrics.jsonl`; a number that is not finite is written as null."""
        append_record(self.path / METRICS_FILE, record)

    def checkpoint(self, *, step: int, path: str) -> None:
        """Note a checkpoint of the service in `checkpoints.jsonl`, and its manifest in `manifests/`."""
        append_record(self.path / "checkpoints.jsonl", {"step": step, "path": path})
        if self.manifest is not None:
            write_manifest(self.path / "manifests" / f"step-{step:06d}.json", self.manifest.at(step, path))

    def describe(self, manifest: Manifest) -> None:
        """Write what it takes to repeat the run, and from now on the same beside each checkpoint."""
        self.manifest = manifest
        write_manifest(self.path, manifest)

    def remove_if_empty(self) -> bool:
        """Take the folder away if nothing was written into it, so that its name is free; tells whether."""
        if any(self.path.iterdir()):
            return False
        self.path.rmdir()
        return True
