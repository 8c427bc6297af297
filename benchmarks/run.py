"""Run the benchmarks one after the other, and write what they found to `docs/benchmarks.md`.

    python benchmarks/run.py               all of them (`make bench`)
    python benchmarks/run.py p01 p09       these; what the others found last stays
    python benchmarks/run.py soak          half an hour under load, which is not among all of them
    python benchmarks/run.py --quick       only to see that each script runs; writes nothing

What the scripts printed is kept in `benchmarks/results.json`, from which `scripts/promises.py` reads too. This module
knows nothing of what is measured.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "scripts"]

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
RESULTS = FOLDER / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
SECONDS = 3600
ON_REQUEST = ("soak",)
"""Scripts that take so long that they run only if they are named."""
HEADER = """# Benchmarks

What was measured, with the command that measured it. Each script runs the sides in turns on one machine, so a ratio
means something; seconds alone do not carry over to another machine. A goal is a line of [promises](promises.md); the
ratios compare the best round of each side, because other work on the machine can only slow a round down; "load before"
says how many processes wanted a core when the script began, and far from 0 the figures are worth little. "Official" is
the newest `tinker` from the package index, unmodified, in an environment of its own.

This page is written by `make bench`. Where the time of the largest call goes, before and after it was made faster, is
in [performance](performance.md).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the benchmarks and write docs/benchmarks.md.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="the first letters of a script, as in p09; all without"
    )
    parser.add_argument("--quick", action="store_true", help="the least work: shows that they run, writes nothing")
    options = parser.parse_args(arguments)
    results = read_results()
    for script in scripts(options.names):
        results[script.stem] = measure(script, quick=options.quick)
        if not options.quick:
            # Not sorted within: the order of sides and figures is the scripts' own.
            RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n", encoding="utf-8")
            PAGE.write_text(page(results), encoding="utf-8")
    return 0


def scripts(names: Sequence[str] = ()) -> list[Path]:
    """The benchmark scripts whose names begin like one of `names`; all without any.

    Raises:
        SystemExit: a name fits no script.
    """
    every = sorted(FOLDER.glob("[pr][0-9][0-9]_*.py"))
    named = every + [FOLDER / f"{name}.py" for name in ON_REQUEST if name in names]
    for name in names:
        if not any(script.stem.startswith(name) for script in named):
            raise SystemExit(
                f"no benchmark begins with {name}; there are: {', '.join(script.stem for script in every)}"
            )
    return [script for script in named if not names or script.stem.startswith(tuple(names))]


def read_results() -> dict[str, dict[str, Any]]:
    """What each script found when it last ran, by the script's name."""
    return dict(json.loads(RESULTS.read_text(encoding="utf-8"))) if RESULTS.exists() else {}


def measure(script: Path, *, quick: bool) -> dict[str, Any]:
    """Run one script; its table goes to the terminal, its JSON line comes back."""
    command = [sys.executable, str(script), *(["--quick"] if quick else [])]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=True)
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page, from what the scripts found."""
    return "\n".join([HEADER, *(section(name, results[name]) for name in sorted(results))])


def section(name: str, found: Mapping[str, Any]) -> str:
    """One benchmark: its goals, its figures, its notes."""
    machine = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
    goals = [f"| {goal['goal']} | {goal['value']:g} | {limit(goal)} | {verdict(goal)} |" for goal in found["goals"]]
    sides: Mapping[str, Mapping[str, Any]] = found["sides"]
    figures = list(dict.fromkeys(figure for side in sides.values() for figure in side))
    rows = [
        f"| {name} | " + " | ".join(cell(side.get(figure)) for figure in figures) + " |" for name, side in sides.items()
    ]
    lines = [
        f"## {found['promise']}: {found['what']}",
        "",
        f"`python benchmarks/{name}.py`: {machine}",
        "",
        "| Goal | Measured | Limit | |",
        "|---|--:|--:|---|",
        *goals,
        "",
        "| min / median | " + " | ".join(figures) + " |",
        "|---|" + "--:|" * len(figures),
        *rows,
        "",
        *(f"- {note}" for note in found["notes"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def limit(goal: Mapping[str, Any]) -> str:
    return f"{'>=' if goal['at_least'] else '<='} {goal['limit']:g}"


def verdict(goal: Mapping[str, Any]) -> str:
    return "met" if goal["met"] else "**missed**"


def cell(summary: Mapping[str, float] | None) -> str:
    return f"{summary['min']:g} / {summary['median']:g}" if summary else ""


if __name__ == "__main__":
    raise SystemExit(main())
