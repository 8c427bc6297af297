"""P2: the client's work for one forward_backward of 256 x 4,096 tokens, against the official SDK, on a stub server."""

import sys

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, official, run_workload
from benchmarks.stub_server import running


def main() -> None:
    options = arguments("P2: CPU of the client for one large forward_backward.")
    datums, tokens = (4, 64) if options.quick else (256, 4096)
    turns, each = (1, 1) if options.quick else (3, 4)
    rounds: dict[str, list[Figures]] = {"official": [], OURS: []}
    theirs = official()
    with running() as url:
        for _ in range(turns):
            for side, python, name in (("official", theirs, "official"), (OURS, sys.executable, "ours")):
                found = run_workload(python, "forward_backward", name, url, *map(str, (each, datums, tokens)))
                rounds[side] += [{**one, "peak MB": found["peak MB"]} for one in found["rounds"]]
    block = "longest block of the SDK's loop ms"
    report = Report("P2", f"forward_backward of {datums} x {tokens:,} tokens, types built, logprobs read", rounds)
    report.goals = [
        at_most("client CPU, ours / official", report.ratio("cpu ms", OURS, "official"), 0.4),
        at_most("longest block of our event loop, ms", report.best(OURS, block), 5),
    ]
    report.show()


if __name__ == "__main__":
    main()
