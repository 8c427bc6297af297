"""P11: sampling through the adapters of 8 different runs at once, against one adapter."""

import sys

from benchmarks.harness import Figures, Report, arguments, at_least, in_turns, run_workload
from benchmarks.serving import MODEL, environment, serving

CALLERS = 64
ADAPTERS = 8


def main() -> None:
    options = arguments("P11: sampling through many adapters at once.")
    asked = ",".join(["4:4"] * 2 if options.quick else ["32:64"] * CALLERS)

    with serving() as service:

        def sampled(adapters: int) -> Figures:
            found = run_workload(
                sys.executable,
                "sample_through_http",
                *(MODEL, str(adapters), asked, "1" if options.quick else "3"),
                environment=environment(service),
            )
            return {"tokens/s": max(found["tokens/s"])}

        sides = {"one adapter": lambda: sampled(1), f"{ADAPTERS} adapters": lambda: sampled(ADAPTERS)}
        rounds = in_turns({"base model": lambda: sampled(0), **sides}, 1 if options.quick else 3)
    report = Report(
        "P11", f"sampling, {CALLERS} callers at once, LoRA of rank 32, prompts of 32 tokens, 64 new", rounds
    )
    report.goals = [
        at_least(
            f"tokens/s through {ADAPTERS} adapters / one",
            report.rate("tokens/s", f"{ADAPTERS} adapters", "one adapter"),
            0.7,
        )
    ]
    report.show()


if __name__ == "__main__":
    main()
