"""P6: what 10,000 pending samples cost: connections, CPU, memory, against the official SDK."""

import sys
from pathlib import Path

from benchmarks.harness import OURS, Figures, Report, arguments, at_most, official, run_workload
from benchmarks.stub_server import running

PLAIN = "one poll a future"


def main() -> None:
    options = arguments("P6: ten thousand samples that nobody finishes.")
    futures, seconds = (100, 0.5) if options.quick else (10_000, 10.0)
    sides: dict[str, tuple[Path | str, str, str]] = {
        "official": (official(), "official", "announces"),
        OURS: (sys.executable, "ours", "announces"),
        f"{OURS}, {PLAIN}": (sys.executable, "ours", "plain"),
    }
    rounds: dict[str, list[Figures]] = {side: [] for side in sides}
    for side, (python, name, offers) in sides.items():
        with running("benchmarks.holding_server", offers) as url:
            rounds[side].append(run_workload(python, "pending", name, url, str(futures), str(seconds)))
    report = Report("P6", f"{futures:,} pending samples on a server that announces what is finished", rounds)
    few, many = "connections with half the futures", "connections"
    report.goals = [
        at_most("connections, all futures / half of them", report.best(OURS, many) / report.best(OURS, few), 1.05),
        at_most("CPU a second, ours / official", report.ratio("CPU ms a second", OURS, "official"), 0.25),
        at_most("kB a future", report.best(OURS, "kB a future"), 10),
    ]
    report.notes = [
        f"The third side is ours on a server without announcements, with {PLAIN}; the goals are about the second.",
    ]
    report.show()


if __name__ == "__main__":
    main()
