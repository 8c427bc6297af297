"""P4: how long after a result is ready on the server its caller has it, against the official SDK."""

import sys

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, official, run_workload
from benchmarks.stub_server import running


def main() -> None:
    options = arguments("P4: from a result that is ready on the server to the caller that waits for it.")
    calls = 4 if options.quick else 200
    turns, each = (1, 1) if options.quick else (3, 2)
    rounds: dict[str, list[Figures]] = {"official": [], OURS: []}
    theirs = official()
    with running("benchmarks.holding_server", "plain") as url:
        for _ in range(turns):
            for side, python, name in (("official", theirs, "official"), (OURS, sys.executable, "ours")):
                rounds[side] += run_workload(python, "waiting", name, url, *map(str, (each, calls)))["rounds"]
    report = Report("P4", "one optimizer step after the other, ready 11 to 29 ms after it was taken", rounds)
    report.goals = [
        at_most("p50, ours / official", report.ratio("p50 ms", OURS, "official"), 1.0),
        at_most("p99, ours / official", report.ratio("p99 ms", OURS, "official"), 1.0),
        at_most("p50, ms", report.best(OURS, "p50 ms"), 5),
    ]
    report.show()


if __name__ == "__main__":
    main()
