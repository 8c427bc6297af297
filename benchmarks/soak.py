"""The service under mixed load for a while: whether its memory, file handles, threads and tasks stay what they are.

    python benchmarks/soak.py --minutes 30

The load is `benchmarks/workloads/mixed_load.py`. What is held is looked at every few seconds. Results are kept for ten
minutes after their delivery, so that the first half hour's third is warm-up; the other two thirds are compared.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from benchmarks.harness import ROOT, Figures, Report, at_most
from benchmarks.serving import MODEL
from tinker_local.keys import new_key

MEMORY_GROWTH = 1.05
"""Medians of the last third / of the second: what an allocator's noise may make of it."""
EVERY_SECONDS = 10.0
THIRDS = ("warm-up", "second third", "last third")


@attrs.define
class Watched:
    """A service, its folder, and where it tells what it holds."""

    process: subprocess.Popen[bytes]
    base_url: str
    api_key: str
    folder: Path
    told: Path

    def look(self) -> tuple[Figures, dict[str, int]]:
        """What both processes hold now, and the service's Python objects by type."""
        service, engine = self.process.pid, _child(self.process.pid)
        inside = self._inside()
        figures = {
            "service MB": _resident_megabytes(service),
            "engine MB": _resident_megabytes(engine),
            "service files": len(os.listdir(f"/proc/{service}/fd")),
            "engine files": len(os.listdir(f"/proc/{engine}/fd")),
            "threads": _threads(service) + _threads(engine),
            "tasks": inside["tasks"],
            "database MB": _megabytes(self.folder.glob("*.sqlite")),
            "write-ahead log MB": _megabytes(self.folder.glob("*.sqlite-wal")),
            "checkpoints MB": _megabytes(self.folder.glob("checkpoints/**/*")),
        }
        return figures, inside["objects"]

    def _inside(self) -> dict[str, Any]:
        self.told.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        until = time.monotonic() + 60
        while not self.told.exists():
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError("the service does not tell what it holds")
            time.sleep(0.01)
        return dict(json.loads(self.told.read_text(encoding="utf-8")))


@contextmanager
def watched() -> Iterator[Watched]:
    """A service that runs as long as the context is open."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, told, key = Path(scratch) / "data", Path(scratch) / "told.json", new_key()
        command = [sys.executable, "-m", "benchmarks.workloads.watched_service", str(told)]
        options = ["--owned", "--port", "0", "--threads", "1", "--log-level", "warning", "--data-dir", str(folder)]
        process = subprocess.Popen(
            [*command, *options], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{key}\n".encode())
            process.stdin.flush()
            url = json.loads(process.stdout.readline())["base_url"]
            yield Watched(process, url, key, folder, told)
        finally:
            process.terminate()
            process.wait(60)
            process.stdin.close()
            process.stdout.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="The service under mixed load for a while.")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--quick", action="store_true", help="half a minute: shows that it runs, measures nothing")
    options = parser.parse_args()
    seconds = 24.0 if options.quick else options.minutes * 60
    with watched() as service:
        looks, counts, objects = soaked(service, seconds)
    report(looks, counts, objects, seconds).show()


def soaked(service: Watched, seconds: float) -> tuple[list[Figures], dict[str, int], list[dict[str, int]]]:
    """The load's way: what was held at each look, what was done, and the objects at each look."""
    environment = {**_environment(), "TINKER_BASE_URL": service.base_url, "TINKER_API_KEY": service.api_key}
    command = [sys.executable, "-m", "benchmarks.workloads.mixed_load", MODEL, str(seconds), str(service.folder)]
    load = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    looks, objects, until = [], [], time.monotonic() + seconds
    pause = min(EVERY_SECONDS, seconds / 24)
    while time.monotonic() < until and load.poll() is None:
        time.sleep(pause)
        figures, kinds = service.look()
        looks.append(figures)
        objects.append(kinds)
        if len(looks) % 6 == 1:
            print(" ".join(f"{name} {value:.4g}" for name, value in figures.items()), file=sys.stderr, flush=True)
    line, _ = load.communicate(timeout=600)
    if load.returncode:
        raise RuntimeError(f"the load ended with {load.returncode}")
    return looks, dict(json.loads(line)), objects


def report(
    looks: Sequence[Figures], counts: dict[str, int], objects: Sequence[dict[str, int]], seconds: float
) -> Report:
    """The thirds of the time side by side."""
    third = len(looks) // 3
    parts: dict[str, Sequence[Figures]] = {
        name: looks[index * third : (index + 1) * third] for index, name in enumerate(THIRDS)
    }
    middle = {
        name: {figure: statistics.median(look[figure] for look in part) for figure in looks[0]}
        for name, part in parts.items()
    }
    before, after = middle[THIRDS[1]], middle[THIRDS[2]]
    goals = [
        *(
            at_most(f"{name}, last third / second", after[name] / before[name], MEMORY_GROWTH)
            for name in ("service MB", "engine MB")
        ),
        *(
            at_most(f"least {name}, last third - second", later(parts, name), 0)
            for name in ("service files", "engine files", "threads", "tasks")
        ),
        at_most("write-ahead log, most MB", max(look["write-ahead log MB"] for look in looks), 16.0),
    ]
    done = ", ".join(f"{name} {count}" for name, count in counts.items())
    return Report(
        "Soak",
        f"the service under mixed load for {seconds / 60:g} minutes",
        parts,
        goals=goals,
        notes=[f"Done: {done}.", f"Python objects of the service that grew most: {grown(objects)}."],
    )


def later(parts: Mapping[str, Sequence[Figures]], figure: str) -> float:
    """How much more there is at the quietest moment of the last third than at that of the second: requests under way
    come and go, what is leaked stays.
    """
    second, last = (min(look[figure] for look in parts[name]) for name in THIRDS[1:])
    return last - second


def grown(objects: Sequence[dict[str, int]]) -> str:
    """The types of which there are most more at the end than at two thirds of the time."""
    before, after = objects[len(objects) // 3], objects[-1]
    more = {name: count - before.get(name, 0) for name, count in after.items()}
    most = sorted(more.items(), key=lambda pair: -pair[1])[:5]
    return ", ".join(f"{name} {count:+d}" for name, count in most)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TINKER_", "COVERAGE_"))}
    return {**kept, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def _child(pid: int) -> int:
    """The engine, which is the service's only child that lives on."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(children[0])


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ProcessLookupError(f"process {pid} has ended")


def _resident_megabytes(pid: int) -> float:
    return _status(pid, "VmRSS") / 1024


def _threads(pid: int) -> int:
    return _status(pid, "Threads")


def _megabytes(files: Iterator[Path]) -> float:
    total = 0
    for file in files:
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:  # it was deleted a moment ago
            continue
    return total / 1e6


if __name__ == "__main__":
    main()
