"""P5: reading the logprobs of a pass into numpy and torch, against the official SDK."""

import sys
from pathlib import Path

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, official, run_workload
from benchmarks.stub_server import running


def main() -> None:
    options = arguments("P5: from a result to arrays and tensors.")
    datums, tokens = (4, 64) if options.quick else (256, 4096)
    turns, each = (1, 2) if options.quick else (3, 50)
    sides: dict[str, tuple[Path | str, str]] = {"official": (official(), "official"), OURS: (sys.executable, "ours")}
    rounds: dict[str, list[Figures]] = {side: [] for side in sides}
    copied: dict[str, float] = {}
    with running() as url:
        for _ in range(turns):
            for side, (python, name) in sides.items():
                found = run_workload(python, "reading_logprobs", name, url, *map(str, (each, datums, tokens)))
                rounds[side] += found["rounds"]
                copied[side] = found["bytes copied"]
    report = Report("P5", f"{datums} x {tokens:,} logprobs of a result, into numpy and torch", rounds)
    report.goals = [
        at_most("into numpy, ours / official", report.ratio("numpy us", OURS, "official"), 1.0),
        at_most("into torch, ours / official", report.ratio("torch us", OURS, "official"), 1.0),
        at_most("bytes that ours copies for it", copied[OURS], 0),
    ]
    report.notes = [f"{side}: {number:,.0f} bytes are copied." for side, number in copied.items()]
    report.show()


if __name__ == "__main__":
    main()
