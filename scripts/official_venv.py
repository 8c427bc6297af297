"""The official SDK in virtual environments of its own, so that its dependencies never meet ours.

    python scripts/official_venv.py newest 0.7.0      make what is missing, print each one's python
    python scripts/official_venv.py --upgrade newest  the same, after a new release

It knows how the environments are made and where they are, not what is done with them.
"""

import argparse
import fcntl
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["NEWEST", "official_python"]

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venvs"
NEWEST = "newest"
UNDECLARED = {"0.18.1": ("orjson",)}
"""What a release imports and does not say that it needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Install the official SDK, each version in an environment of its own.")
    parser.add_argument("versions", nargs="+", metavar="VERSION", help="a version, or newest")
    parser.add_argument("--upgrade", action="store_true", help="look for a newer release, and install it")
    options = parser.parse_args(arguments)
    for version in options.versions:
        print(official_python(version, upgrade=options.upgrade))
    return 0


def official_python(version: str, *, upgrade: bool = False) -> Path:
    """The python of the environment that holds this version; the environment is made if it is not there.

    Args:
        version: `newest`, or an exact version of the package `tinker`.
        upgrade: install again, so that `newest` becomes what it is today.

    Raises:
        subprocess.CalledProcessError: pip could not install it; its own words are on stderr.
    """
    folder = ENVIRONMENTS / f"official-{version}"
    python = folder / "bin" / "python"
    complete = folder / ".set-up"
    with _alone(folder):
        if upgrade or not complete.exists():
            complete.unlink(missing_ok=True)
            if not python.exists():
                venv.create(folder, with_pip=True)
            _install(python, version)
            complete.touch()
    return python


def _install(python: Path, version: str) -> None:
    """Torch, which only custom losses need, comes in our own pinned version: one download serves every environment."""
    requirement = "tinker" if version == NEWEST else f"tinker=={version}"
    torch = _pinned("torch")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(f"{torch}\n")
        constraints.flush()
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--upgrade",
            "--constraint",
            constraints.name,
        ]
        # stdout carries the paths of the pythons and nothing else.
        subprocess.run([*command, requirement, torch, *UNDECLARED.get(version, ())], check=True, stdout=sys.stderr)


def _pinned(package: str) -> str:
    found = re.search(rf"^{package}==\S+", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LookupError(f"constraints.txt does not pin {package}")
    return found.group()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two processes that want the same environment make it one after the other."""
    folder.parent.mkdir(exist_ok=True)
    with open(folder.with_name(folder.name + ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    raise SystemExit(main())
