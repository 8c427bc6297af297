"""P8: the round trip of a training call with a null engine, 32 in flight: what the service itself costs."""

import sys

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, in_turns, run_workload
from benchmarks.serving import MODEL, environment, serving

IN_FLIGHT = 32
RAW = "bare HTTP"


def main() -> None:
    options = arguments("P8: a training call's round trip with an engine that computes nothing.")
    calls = 8 if options.quick else 1000
    with serving("null") as service:

        def calling(side: str) -> Figures:
            sizes = (str(calls), str(IN_FLIGHT))
            return run_workload(sys.executable, "round_trips", side, MODEL, *sizes, environment=environment(service))

        sides = {RAW: lambda: calling("raw"), f"{OURS} client": lambda: calling("client")}
        rounds = in_turns(sides, 1 if options.quick else 3)
    report = Report("P8", f"forward_backward of one datum with the null engine, {IN_FLIGHT} in flight", rounds)
    report.goals = [
        at_most("p50 of the round trip, ms", report.best(RAW, "p50 ms"), 10),
        at_most("p99 of the round trip, ms", report.best(RAW, "p99 ms"), 50),
    ]
    report.notes = [
        "A round trip is two requests: one submits, one fetches. Client and service share the cores, so the client of "
        "the bare side does no more than it must (`benchmarks/lean_http.py`)."
    ]
    report.show()


if __name__ == "__main__":
    main()
