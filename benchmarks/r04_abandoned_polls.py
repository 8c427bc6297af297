"""R4: no finished result is lost to a dropped connection."""

import sys

from benchmarks.harness import Figures, Report, arguments, at_least, at_most, run_workload
from benchmarks.serving import MODEL, environment, serving

POLLS = 10_000


def main() -> None:
    options = arguments("R4: polls whose connections are cut, over a socket, with an engine that computes nothing.")
    polls = 200 if options.quick else POLLS
    with serving("null") as service:
        found: Figures = run_workload(
            sys.executable, "abandoned_polls", MODEL, str(polls), environment=environment(service)
        )
    report = Report("R4", f"{polls} polls that are cut off, and each result asked for again", {"service": [found]})
    report.goals = [
        at_least("abandoned polls", found["abandoned"], polls),
        at_most("answered 404 afterwards", found["404"], 0),
        at_most("results lost", found["lost"], 0),
    ]
    report.notes = ["Each is cut at a random moment within 20 ms: unsent, waiting, or while its answer is on the way."]
    report.show()


if __name__ == "__main__":
    main()
