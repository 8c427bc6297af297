"""Checkpoint folders: written where nobody looks, then made visible by a rename. It does not know what is in them.

    checkpoints/<run>/<kind>/<name>/   what was saved; complete, always
    checkpoints/.staging/<random>/     being written, or being deleted

A run's id cannot begin with a dot, so nothing saved can be mistaken for staging. What lies in staging at the start was
left by a process that died: old versions whose successor never came go back to their place, the rest is deleted.
"""

import json
import os
import shutil
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from tinker_local import durable
from tinker_local.errors import ApiError
from tinker_local.store.paths import CheckpointPath

__all__ = ["RUN_FILE", "Folders", "Placed", "is_plain"]

RUN_FILE = "run.json"
_STAGING = ".staging"
_OLD = "old-"


def is_plain(path: Path) -> bool:
    """Whether it is a file itself, and no link to one: somebody may have put a link into a folder."""
    return stat.S_ISREG(path.lstat().st_mode)


@attrs.frozen(kw_only=True)
class Placed:
    """A folder that was put in its place, and what it replaced."""

    target: Path
    old: Path | None
    """Where what was there before is kept."""
    size: int
    """Bytes of its files."""


class Folders:
    """The folders under one root."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staging = root / _STAGING
        self._staging.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._recover()

    def at(self, path: CheckpointPath) -> Path:
        """Where a checkpoint is, or would be."""
        return self._root / path.run_id / path.kind / path.name

    def stage(self) -> Path:
        """An empty folder to write into."""
        directory = self._staging / uuid.uuid4().hex
        directory.mkdir()
        return directory

    def commit(self, staged: Path, path: CheckpointPath, about: Mapping[str, Any]) -> int:
        """Write `run.json`, flush, and put the folder in its place, in exchange for what was there.

        Returns:
            The size of its files in bytes.
        """
        placed = self.place(staged, path, about)
        self.settle(placed)
        return placed.size

    def place(self, staged: Path, path: CheckpointPath, about: Mapping[str, Any]) -> "Placed":
        """The first half of `commit`: what was there is kept aside until `settle`, or until `take_back`.

        Raises:
            OSError: it could not be written or put there; all is as before, but for the staged folder.
        """
        durable.write(staged / RUN_FILE, json.dumps({"path": str(path), **about}, indent=2, sort_keys=True).encode())
        durable.flush_folder(staged)
        target = self.at(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        size = sum(file.stat().st_size for file in staged.iterdir() if file.is_file())
        old = self._set_aside(target)
        try:
            staged.rename(target)
            durable.flush_folder(target.parent)
        except OSError:
            self.take_back(Placed(target=target, old=old, size=size))
            raise
        return Placed(target=target, old=old, size=size)

    def settle(self, placed: "Placed") -> None:
        """What was replaced is not needed any more."""
        if placed.old is not None:
            shutil.rmtree(placed.old, ignore_errors=True)

    def take_back(self, placed: "Placed") -> None:
        """Put back what was replaced, and remove what replaced it."""
        if placed.target.exists():
            gone = self._staging / uuid.uuid4().hex
            placed.target.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        if placed.old is not None:
            placed.old.rename(placed.target)

    def copy(self, source: CheckpointPath, staged: Path) -> None:
        """Fill a staged folder with the files of a checkpoint, links left out; they share their storage."""
        for file in self.at(source).iterdir():
            if file.name != RUN_FILE and is_plain(file):
                os.link(file, staged / file.name)

    def discard(self, staged: Path) -> None:
        """Give up a staged folder."""
        shutil.rmtree(staged, ignore_errors=True)

    def delete(self, path: CheckpointPath) -> None:
        """Remove a checkpoint; it is gone as a whole at once, and its files soon after."""
        gone = self._staging / uuid.uuid4().hex
        try:
            self.at(path).rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone, ignore_errors=True)

    def runs(self) -> list[str]:
        """The ids of all that have something here."""
        return [folder.name for folder in self._root.iterdir() if folder.name != _STAGING]

    def sizes(self) -> list[tuple[str, int]]:
        """The ids of all that have something here, and the bytes of their files; what was changed last comes last."""
        found = []
        for folder in self._root.iterdir():
            if folder.name != _STAGING:
                files = [file.stat() for file in folder.glob("*/*/*")]
                newest = max((file.st_mtime for file in files), default=0.0)
                found.append((newest, folder.name, sum(file.st_size for file in files)))
        return [(run_id, size) for _, run_id, size in sorted(found)]

    def paths(self, run_id: str, kind: str) -> list[CheckpointPath]:
        """What a run has of a kind, in no order."""
        folder = self._root / run_id / kind
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return [CheckpointPath(run_id, kind, name) for name in names]

    def delete_run(self, run_id: str) -> None:
        """Remove all that a run has; it is gone as a whole at once, and its files soon after."""
        gone = self._staging / uuid.uuid4().hex
        try:
            (self._root / run_id).rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone, ignore_errors=True)

    def _set_aside(self, target: Path) -> Path | None:
        old = self._staging / f"{_OLD}{uuid.uuid4().hex}"
        try:
            target.rename(old)
        except FileNotFoundError:
            return None
        return old

    def _recover(self) -> None:
        for left in self._staging.iterdir():
            target = self._home_of(left) if left.name.startswith(_OLD) else None
            if target is not None and not target.exists():
                left.rename(target)
            else:
                shutil.rmtree(left, ignore_errors=True)

    def _home_of(self, directory: Path) -> Path | None:
        """Where an old version was; None if it does not say so, which must stop no service from starting."""
        try:
            about = json.loads((directory / RUN_FILE).read_bytes())
            return self.at(CheckpointPath.parse(str(about["path"])))
        except (OSError, ValueError, LookupError, TypeError, ApiError):
            return None
