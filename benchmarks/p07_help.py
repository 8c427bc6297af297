"""P7: how long the command line takes to print its help, against the official SDK's."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, in_turns, official


def helped(command: Path) -> Callable[[], Figures]:
    def once() -> Figures:
        began = time.perf_counter()
        subprocess.run([command, "--help"], check=True, capture_output=True)
        return {"ms": (time.perf_counter() - began) * 1000}

    return once


def main() -> None:
    options = arguments("P7: the command line's help.")
    sides = {"official": helped(official().parent / "tinker"), OURS: helped(Path(sys.executable).parent / "tinker-hl")}
    rounds = in_turns(sides, 1 if options.quick else 7)
    report = Report("P7", "`--help` of the command line, a fresh process", rounds)
    report.goals = [at_most("`tinker-hl --help`, ms", report.best(OURS, "ms"), 200)]
    report.show()


if __name__ == "__main__":
    main()
