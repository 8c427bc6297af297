"""Measuring side by side: the same work by several sides in turns, a table of what came out, one JSON line last.

What counts is the ratio between sides of one run on one machine; seconds alone prove nothing and are only shown. It
does not know what is measured: a side is anything that does the work once and tells its figures.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table

from scripts.official_venv import NEWEST, official_python

__all__ = [
    "OURS",
    "Figures",
    "Goal",
    "Report",
    "Stopwatch",
    "arguments",
    "at_least",
    "at_most",
    "in_turns",
    "official",
    "peak_bytes",
    "run_workload",
]

Figures = Mapping[str, float]
"""What one round of one side came to: a figure's name, with its unit, and its value."""
Side = Callable[[], Figures]

OURS = "tinker-hl"
ROOT = Path(__file__).resolve().parent.parent
LOAD_BEFORE = os.getloadavg()[0]
"""Processes that wanted a core in the minute before the benchmark began; far from 0, somebody else was measured too."""


@attrs.frozen
class Goal:
    """A line of `docs/promises.md` that this run can confirm or not."""

    text: str
    value: float
    limit: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether this run confirms it."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def at_least(text: str, value: float, limit: float) -> Goal:
    """The goal that `value` reaches `limit`."""
    return Goal(text, value, limit, at_least=True)


def at_most(text: str, value: float, limit: float) -> Goal:
    """The goal that `value` stays within `limit`."""
    return Goal(text, value, limit, at_least=False)


@attrs.define
class Report:
    """What one benchmark found; printing it is a benchmark's last act."""

    promise: str
    what: str
    rounds: Mapping[str, Sequence[Figures]]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()

    def best(self, side: str, figure: str) -> float:
        """The least of a side's rounds: other work on the machine can only add to a time or a size."""
        return min(one[figure] for one in self.rounds[side] if figure in one)

    def most(self, side: str, figure: str) -> float:
        """The greatest of a side's rounds, for rates."""
        return max(one[figure] for one in self.rounds[side] if figure in one)

    def ratio(self, figure: str, side: str, other: str) -> float:
        """How much of `other`'s figure `side` needs, best rounds of both."""
        return self.best(side, figure) / max(self.best(other, figure), 1e-12)

    def rate(self, figure: str, side: str, other: str) -> float:
        """How many times `other`'s rate `side` reaches, best rounds of both."""
        return self.most(side, figure) / max(self.most(other, figure), 1e-12)

    def as_json(self) -> dict[str, Any]:
        """Everything that the JSON line says."""
        sides = {
            side: {figure: _summary([one[figure] for one in rounds if figure in one]) for figure in _figures(rounds)}
            for side, rounds in self.rounds.items()
        }
        goals = [
            {
                "goal": goal.text,
                "value": _short(goal.value),
                "limit": goal.limit,
                "at_least": goal.at_least,
                "met": goal.met,
            }
            for goal in self.goals
        ]
        return {
            "promise": self.promise,
            "what": self.what,
            "sides": sides,
            "goals": goals,
            "notes": list(self.notes),
            "machine": machine(),
        }

    def show(self) -> None:
        """Print the table for people on stderr, then the JSON line for programs on stdout."""
        console = Console(stderr=True)
        console.print(self._figures_table())
        for goal in self.goals:
            sign = ">=" if goal.at_least else "<="
            console.print(f"{'met ' if goal.met else 'MISS'}  {goal.text}: {goal.value:.3g} ({sign} {goal.limit:g})")
        for note in self.notes:
            console.print(f"      {note}")
        sys.stderr.flush()
        print(json.dumps(self.as_json()), flush=True)

    def _figures_table(self) -> Table:
        figures = dict.fromkeys(name for rounds in self.rounds.values() for name in _figures(rounds))
        table = Table(title=f"{self.promise}: {self.what}")
        table.add_column("min / median")
        for figure in figures:
            table.add_column(figure, justify="right")
        for side, rounds in self.rounds.items():
            values = [[one[figure] for one in rounds if figure in one] for figure in figures]
            table.add_row(side, *(f"{min(v):.4g} / {statistics.median(v):.4g}" if v else "" for v in values))
        return table


def _figures(rounds: Sequence[Figures]) -> list[str]:
    return list(dict.fromkeys(name for one in rounds for name in one))


def _summary(values: Sequence[float]) -> dict[str, float]:
    return {
        "min": _short(min(values)),
        "median": _short(statistics.median(values)),
        "max": _short(max(values)),
        "rounds": len(values),
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def in_turns(sides: Mapping[str, Side], rounds: int) -> dict[str, list[Figures]]:
    """Each side once, then each again: what else happens on the machine meets all of them alike."""
    found: dict[str, list[Figures]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(side())
    return found


def arguments(description: str) -> argparse.Namespace:
    """The options of every benchmark: with `--quick` it shows that it works, and its numbers mean nothing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="the least work: shows that it runs, measures nothing")
    return parser.parse_args()


def official() -> Path:
    """The python that has the newest official SDK."""
    return official_python(NEWEST)


def run_workload(
    python: Path | str, workload: str, *options: str, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run `benchmarks/workloads/<workload>.py` in a process of its own, and read the JSON line that it prints last.

    Raises:
        RuntimeError: it failed; the message ends with what it wrote to stderr.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TINKER_", "COVERAGE_"))}
    ended = subprocess.run(
        [str(python), "-m", f"benchmarks.workloads.{workload}", *options],
        env={**kept, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **(environment or {})},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{workload} {' '.join(options)} ended with {ended.returncode}:\n{ended.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


@attrs.define
class Stopwatch:
    """Seconds on the wall and of this process's CPU, all threads, since it was made or last read."""

    _wall: float = attrs.field(factory=time.perf_counter)
    _cpu: float = attrs.field(factory=time.process_time)

    def read(self) -> tuple[float, float]:
        """Seconds of (wall, CPU) since then; starts anew."""
        wall, cpu = time.perf_counter(), time.process_time()
        passed = wall - self._wall, cpu - self._cpu
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return passed


def peak_bytes(pid: int | None = None) -> int:
    """The most resident memory that this process (or process `pid` of this machine) ever had, in bytes.

    Raises:
        ProcessLookupError: there is no such process any more.
    """
    if pid is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


def machine() -> dict[str, Any]:
    """What a reader needs to know of the machine, and nothing that names it."""
    from importlib.metadata import version

    return {
        "cores": os.cpu_count(),
        "load before": _short(LOAD_BEFORE),
        "python": platform.python_version(),
        "system": platform.system(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "peft": version("peft"),
    }
