"""What it takes to repeat a run, or to see why two runs differ: written beside the run and each of its checkpoints.

Seeds, versions of what computes, the code's revision and whether it was changed, the configuration and the data, the
last two by hashes as well. It knows nothing of training. Keys and tokens are taken out: what looks like one, and what
is called one.
"""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import orjson

from tinker_hl.redaction import redacted_bytes, redacted_command, redacted_settings
from tinker_hl.version import __version__

__all__ = [
    "MANIFEST_FILE",
    "Manifest",
    "config_hash",
    "data_hash",
    "gather_manifest",
    "read_manifest",
    "write_manifest",
]

MANIFEST_FILE = "manifest.json"
PACKAGES = ("numpy", "orjson", "peft", "safetensors", "tokenizers", "torch", "transformers")
GIT_SECONDS = 10.0
CHUNK = 1 << 20
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


@attrs.frozen(kw_only=True)
class Manifest:
    """See the module. None and empty are what could not be found out, or was not told."""

    created: str
    """ISO 8601, UTC."""
    command: Sequence[str] = ()
    """The program and its arguments."""
    seeds: Mapping[str, int] = attrs.field(factory=dict)
    versions: Mapping[str, str] = attrs.field(factory=dict)
    """By package; `python` and `tinker-hl` among them."""
    platform: str = ""
    git_revision: str | None = None
    git_dirty: bool | None = None
    """Whether files that git knows were changed since."""
    config: Mapping[str, Any] = attrs.field(factory=dict)
    config_sha256: str = ""
    data_sha256: Mapping[str, str] = attrs.field(factory=dict)
    """By name of the file; by its path, where two have one name."""
    step: int | None = None
    """Of the checkpoint that it stands beside; None for a whole run."""
    checkpoint: str | None = None
    """Its path in the service."""

    def at(self, step: int, checkpoint: str | None = None) -> "Manifest":
        """The same run's manifest for a checkpoint."""
        return attrs.evolve(self, created=_now(), step=step, checkpoint=checkpoint)

    def differences(self, other: "Manifest") -> dict[str, tuple[Any, Any]]:
        """What differs between two runs, by the path of each value, such as `config.rank`; not times and steps.

        A value that only one of them has stands against None.
        """
        mine, theirs = (dict(_leaves(_compared(manifest))) for manifest in (self, other))
        names = sorted(mine.keys() | theirs.keys())
        return {name: (mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)}


def gather_manifest(
    config: Any = None,
    *,
    seeds: Mapping[str, int] | None = None,
    data: Sequence[str | Path] = (),
    repository: str | Path | None = None,
) -> Manifest:
    """Find out all that can be, and take the rest as it is told.

    Args:
        config: A mapping or an attrs class; what is no JSON value is written as its text.
        seeds: By what they are of.
        data: Files, or folders of them.
        repository: A folder of the code; None for the working directory.

    Raises:
        OSError: A data file cannot be read.
    """
    settings = attrs.asdict(config) if attrs.has(type(config)) else dict(config or {})
    settings = redacted_settings(orjson.loads(redacted_bytes(_canonical(settings))))
    revision, dirty = _git(Path(repository or "."))
    return Manifest(
        created=_now(),
        command=tuple(redacted_command(sys.argv)),
        seeds=dict(seeds or {}),
        versions=_versions(),
        platform=platform.platform(),
        git_revision=revision,
        git_dirty=dirty,
        config=settings,
        config_sha256=config_hash(settings),
        data_sha256={name: data_hash(path) for name, path in zip(_names(data), data, strict=True)},
    )


def write_manifest(place: str | Path, manifest: Manifest) -> Path:
    """Write it whole or not at all, in place of an older one.

    Args:
        place: A folder, which gets `manifest.json`, or a file whose folder exists.
        manifest: What to write.
    """
    path = _file(Path(place))
    path.parent.mkdir(parents=True, exist_ok=True)
    content = orjson.dumps(attrs.asdict(manifest), option=orjson.OPT_INDENT_2 | _OPTIONS)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(redacted_bytes(content) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    return path


def read_manifest(place: str | Path) -> Manifest:
    """Read one back, from its file or its folder. Fields of later versions are left out.

    Raises:
        OSError: There is none.
        ValueError: The file is no manifest.
    """
    path = _file(Path(place))
    value = orjson.loads(path.read_bytes())
    if not isinstance(value, dict) or "created" not in value:
        raise ValueError(f"{path} is no manifest")
    return Manifest(**{field.name: value[field.name] for field in attrs.fields(Manifest) if field.name in value})


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of the configuration as JSON with sorted keys: the order in which it was written does not matter."""
    return hashlib.sha256(_canonical(config)).hexdigest()


def data_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes; of a folder, of the names and hashes of the files in it, sorted by name."""
    path = Path(path)
    whole = hashlib.sha256()
    if path.is_dir():
        for file in sorted(found for found in path.rglob("*") if found.is_file()):
            whole.update(f"{file.relative_to(path).as_posix()}\0{data_hash(file)}\n".encode())
        return whole.hexdigest()
    with path.open("rb") as content:
        while piece := content.read(CHUNK):
            whole.update(piece)
    return whole.hexdigest()


def _names(paths: Sequence[str | Path]) -> list[str]:
    names = [Path(path).name for path in paths]
    return [str(path) if names.count(name) > 1 else name for name, path in zip(names, paths, strict=True)]


def _canonical(config: Mapping[str, Any]) -> bytes:
    return orjson.dumps(dict(config), default=str, option=_OPTIONS)


def _file(place: Path) -> Path:
    return place if place.suffix == ".json" else place / MANIFEST_FILE


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "tinker-hl": __version__}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _git(folder: Path) -> tuple[str | None, bool | None]:
    """The revision, and whether it was changed; None where there is no git, or no revision."""
    revision = _git_says(folder, "rev-parse", "HEAD")
    changes = _git_says(folder, "status", "--porcelain", "--untracked-files=no")
    return (revision or None), (None if not revision or changes is None else bool(changes))


def _git_says(folder: Path, *words: str) -> str | None:
    command = ["git", "-C", str(folder), *words]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip()


def _compared(manifest: Manifest) -> dict[str, Any]:
    values = attrs.asdict(manifest)
    for name in ("created", "step", "checkpoint"):
        del values[name]
    return values


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, list(value) if isinstance(value, tuple) else value
