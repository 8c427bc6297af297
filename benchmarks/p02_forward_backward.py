"""P2: the client's work for one forward_backward of 256 x 4,096 tokens, against the official SDK, on a stub server.

Twice: in protobuf against the newest release, and in JSON against the last line of releases that speaks it. The limits
of one request are the SDK's own, so that over JSON the two cut the pass in different places.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, official, run_workload
from benchmarks.stub_server import running
from scripts.official_venv import official_python

JSON_RELEASE = "0.7.0"
"""A release of the official SDK that sends and takes passes as JSON."""
OURS_JSON, OFFICIAL_JSON = f"{OURS}, JSON", f"official {JSON_RELEASE}, JSON"
BLOCK = "longest block of the SDK's loop ms"


def main() -> None:
    options = arguments("P2: CPU of the client for one large forward_backward.")
    datums, tokens = (4, 64) if options.quick else (256, 4096)
    turns, each = (1, 1) if options.quick else (3, 4)
    size = (each, datums, tokens)
    rounds: dict[str, list[Figures]] = {}
    with running() as url, running("benchmarks.stub_server", "--json") as json_url:
        for _ in range(turns):
            measure(rounds, {"official": official(), OURS: sys.executable}, url, size)
            measure(rounds, {OFFICIAL_JSON: official_python(JSON_RELEASE), OURS_JSON: sys.executable}, json_url, size)
    report = Report("P2", f"forward_backward of {datums} x {tokens:,} tokens, types built, logprobs read", rounds)
    report.goals = [
        at_most("client CPU, ours / official", report.ratio("cpu ms", OURS, "official"), 0.4),
        at_most("longest block of our event loop, ms", report.best(OURS, BLOCK), 5),
        at_most("client CPU over JSON, ours / official", report.ratio("cpu ms", OURS_JSON, OFFICIAL_JSON), 0.4),
        at_most("longest block of our event loop over JSON, ms", report.best(OURS_JSON, BLOCK), 5),
    ]
    report.show()


def measure(
    rounds: dict[str, list[Figures]], sides: Mapping[str, Path | str], url: str, size: tuple[int, int, int]
) -> None:
    """Each side once, on the same server; adds to its rounds.

    Args:
        rounds: By side.
        sides: The python of each.
        url: The server.
        size: Rounds, datums, tokens of each datum.
    """
    for side, python in sides.items():
        name = "ours" if side.startswith(OURS) else "official"
        found = run_workload(python, "forward_backward", name, url, *map(str, size))
        rounds.setdefault(side, []).extend({**one, "peak MB": found["peak MB"]} for one in found["rounds"])


if __name__ == "__main__":
    main()
