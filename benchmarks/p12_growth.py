"""P12: what a call costs in a service that holds a hundred times as many runs, results and checkpoints."""

import sys

from benchmarks.harness import Figures, Report, arguments, at_most, in_turns, run_workload
from benchmarks.serving import MODEL, environment, serving

FEW = 20
GROWTH = 100


def main() -> None:
    options = arguments("P12: the cost of each kind of call as a service fills, with an engine that computes nothing.")
    few, growth, calls = (2, 2, 3) if options.quick else (FEW, GROWTH, 200)

    def holding(count: int) -> Figures:
        with serving("null") as service:
            sizes = (str(count), str(calls))
            return run_workload(sys.executable, "grown", MODEL, *sizes, environment=environment(service))

    full = few * growth
    sides = {f"{few} held": lambda: holding(few), f"{full} held": lambda: holding(full)}
    rounds = in_turns(sides, 1 if options.quick else 3)
    report = Report("P12", f"median of {calls} calls, one after the other, with few and many runs held", rounds)
    report.goals = [
        at_most(f"{figure.removesuffix(' ms')}, {full} held / {few} held", ratio(report, figure, few, full), 1.2)
        for figure in rounds[f"{few} held"][0]
    ]
    report.notes = ["Each run held has a checkpoint, a finished pass, a finished step and a finished save."]
    report.show()


def ratio(report: Report, figure: str, few: int, full: int) -> float:
    return report.ratio(figure, f"{full} held", f"{few} held")


if __name__ == "__main__":
    main()
