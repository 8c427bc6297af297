"""P3: 1,000 concurrent sample calls, against the official SDK, on a stub server whose results are ready at once."""

import sys

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, official, run_workload
from benchmarks.stub_server import running


def main() -> None:
    options = arguments("P3: a thousand samples at once.")
    calls = 20 if options.quick else 1000
    turns, each = (1, 1) if options.quick else (3, 3)
    rounds: dict[str, list[Figures]] = {"official": [], OURS: []}
    theirs = official()
    with running() as url:
        for _ in range(turns):
            for side, python, name in (("official", theirs, "official"), (OURS, sys.executable, "ours")):
                found = run_workload(python, "sample", name, url, *map(str, (each, calls)))
                sizes = {"peak MB": found["peak MB"], "MB above the import": found["peak MB"] - found["imported MB"]}
                rounds[side] += [{**one, **sizes} for one in found["rounds"]]
    report = Report("P3", f"{calls:,} concurrent sample calls, prompts of 256 tokens, samples of 64", rounds)
    report.goals = [
        at_most("wall, ours / official", report.ratio("wall ms", OURS, "official"), 0.25),
        at_most("client CPU, ours / official", report.ratio("cpu ms", OURS, "official"), 0.25),
        at_most("peak memory, ours / official", report.ratio("peak MB", OURS, "official"), 0.5),
    ]
    report.show()


if __name__ == "__main__":
    main()
