"""P1: what `import` costs, against the official SDK: time and resident memory, in fresh interpreters."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, in_turns, official, run_workload


def imported(python: Path | str, *options: str) -> dict[str, Any]:
    """One fresh interpreter; its byte code is compiled already after the first."""
    return run_workload(python, "import_sdk", *options)


def side(python: Path | str, *options: str) -> Callable[[], Figures]:
    return lambda: {name: value for name, value in imported(python, *options).items() if name != "heavy"}


def main() -> None:
    options = arguments("P1: what importing the client costs.")
    theirs = official()
    bare = {"official": (theirs, "tinker"), OURS: (sys.executable, "tinker_hl")}
    used = {f"{side}, classes": (*what, "names") for side, what in bare.items()}
    sides = bare | used
    heavy = {name: imported(*what)["heavy"] for name, what in sides.items()}
    rounds = in_turns({name: side(*what) for name, what in sides.items()}, 1 if options.quick else 7)
    loaded = {"torch", "transformers"} & set(heavy[f"{OURS}, classes"])
    report = Report("P1", "import, in a fresh interpreter", rounds)
    report.goals = [
        at_most("time of `import`, ours / official", report.ratio("milliseconds", OURS, "official"), 0.25),
        at_most("resident memory after `import`, ours / official", report.ratio("resident MB", OURS, "official"), 0.5),
        at_most("torch or transformers loaded by ours", len(loaded), 0),
    ]
    fetched = report.ratio("milliseconds", f"{OURS}, classes", "official, classes")
    memory = report.ratio("resident MB", f"{OURS}, classes", "official, classes")
    report.notes = [
        "Ours imports lazily. With the classes fetched that every script needs (side `classes`): "
        f"time {fetched:.2f}, memory {memory:.2f} of the official SDK's.",
        *(f"{name} has loaded: {', '.join(modules) or 'nothing heavy'}" for name, modules in heavy.items()),
    ]
    report.show()


if __name__ == "__main__":
    main()
