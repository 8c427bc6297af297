"""P13: a fresh process, a local service of its own, the tiny model: how long until the first step is trained."""

import sys
import tempfile
import time

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, in_turns, run_workload
from benchmarks.serving import MODEL


def first_step() -> Figures:
    """The whole command, from before its interpreter starts until it has ended its service."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        found = run_workload(sys.executable, "first_step", MODEL, environment={"TINKER_HL_HOME": folder})
        return {"seconds": time.perf_counter() - began, **found}


def main() -> None:
    options = arguments("P13: how long a first script takes to its first trained step.")
    report = Report("P13", "a script's start to its first trained step and end", {})
    report.rounds = in_turns({OURS: first_step}, 1 if options.quick else 3)
    report.goals = [at_most("command to first trained step, s", report.best(OURS, "seconds"), 15)]
    report.notes = ["The time holds the end of the service too, so the step itself comes earlier."]
    report.show()


if __name__ == "__main__":
    main()
