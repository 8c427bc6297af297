"""P1: what `import` costs, against the official SDK: time and resident memory, in fresh interpreters.

Ours imports lazily, so that the bare import alone would flatter it: the classes that every script uses are a line of
their own, and so is everything up to the first training client, on a stub server.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, in_turns, official, run_workload
from benchmarks.stub_server import running


def imported(python: Path | str, *options: str) -> dict[str, Any]:
    """One fresh interpreter; its byte code is compiled already after the first."""
    return run_workload(python, "import_sdk", *options)


def side(python: Path | str, *options: str) -> Callable[[], Figures]:
    return lambda: {name: value for name, value in imported(python, *options).items() if name != "heavy"}


def main() -> None:
    options = arguments("P1: what importing the client costs.")
    theirs = official()
    bare = {"official": (theirs, "tinker"), OURS: (sys.executable, "tinker_hl")}
    with running() as url:
        sides: dict[str, tuple[Any, ...]] = {
            **bare,
            **{f"{side}, classes": (*what, "names") for side, what in bare.items()},
            **{f"{side}, first client": (*what, "client", url) for side, what in bare.items()},
        }
        heavy = {name: imported(*what)["heavy"] for name, what in sides.items()}
        rounds = in_turns({name: side(*what) for name, what in sides.items()}, 1 if options.quick else 7)
    loaded = {"torch", "transformers"} & set(heavy[f"{OURS}, first client"])
    report = Report("P1", "import, in a fresh interpreter", rounds)

    def ratio(figure: str, kind: str = "") -> float:
        return report.ratio(figure, OURS + kind, "official" + kind)

    report.goals = [
        at_most("time of `import`, ours / official", ratio("milliseconds"), 0.25),
        at_most("resident memory after `import`, ours / official", ratio("resident MB"), 0.5),
        at_most("torch or transformers loaded by ours", len(loaded), 0),
        at_most("time with the classes that every script uses, ours / official", ratio("milliseconds", ", classes"), 1),
        at_most("CPU with those classes, ours / official", ratio("cpu ms", ", classes"), 1),
        at_most("resident memory with those classes, ours / official", ratio("resident MB", ", classes"), 1),
    ]
    report.notes = [
        "Ours imports lazily: the sides `classes` have fetched the classes that every script uses, the sides "
        "`first client` have made a training client, with all that is loaded for it: "
        f"CPU {ratio('cpu ms', ', first client'):.2f}, memory {ratio('resident MB', ', first client'):.2f} of the "
        "official SDK's.",
        *(f"{name} has loaded: {', '.join(modules) or 'nothing heavy'}" for name, modules in heavy.items()),
    ]
    report.show()


if __name__ == "__main__":
    main()
