"""R11: the service stays alive under load: samples, large training bodies and heartbeats all at once."""

import sys
from collections.abc import Callable

from benchmarks.harness import Figures, Report, arguments, at_most, in_turns, run_workload
from benchmarks.serving import MODEL, environment, serving

SAMPLES, BODIES, MEGABYTES = 512, 200, 3


def main() -> None:
    options = arguments("R11: the packaged model under load, trained by requests in protobuf and in JSON.")
    sizes = ("16", "4", "0.5") if options.quick else (str(SAMPLES), str(BODIES), str(MEGABYTES))

    def loaded(kind: str) -> Callable[[], Figures]:
        def once() -> Figures:
            with serving() as service:
                return run_workload(sys.executable, "heavy_load", MODEL, *sizes, kind, environment=environment(service))

        return once

    kinds = ("protobuf", "json")
    rounds = in_turns({kind: loaded(kind) for kind in kinds}, 1)
    what = f"{sizes[0]} samples at once, {sizes[1]} training bodies of {sizes[2]} MB, and heartbeats"
    report = Report("R11", what, rounds)
    report.goals = [
        *(at_most(f"errors, {kind}", report.best(kind, "errors"), 0) for kind in kinds),
        *(at_most(f"heartbeat p95, ms, {kind}", report.best(kind, "p95 ms"), 250) for kind in kinds),
    ]
    report.notes = ["Samples: prompts of 32 tokens, 32 new ones. Clients from 0.18 send protobuf, older ones JSON."]
    report.show()


if __name__ == "__main__":
    main()
