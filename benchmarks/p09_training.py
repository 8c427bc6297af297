"""P9: training tokens a second through HTTP, against a plain torch + peft loop with padded batches."""

import sys

import numpy as np

from benchmarks.harness import OURS, Figures, Report, arguments, at_least, at_most, in_turns, run_workload
from benchmarks.serving import MODEL, MODEL_FOLDER, environment, peak_megabytes, serving

PLAIN = "torch + peft"
LEAST = {"equal": 0.95, "mixed": 1.2}
"""How many times the plain loop's tokens a second are promised."""


def batches(*, quick: bool) -> dict[str, tuple[str, int]]:
    """Lengths of the sequences of a batch, and steps, of each case."""
    if quick:
        return {"mixed": ("4,8", 1)}
    mixed = np.random.default_rng(1).integers(16, 257, 32)
    return {"equal": (",".join(["128"] * 16), 12), "mixed": (",".join(map(str, mixed)), 8)}


def case(lengths: str, steps: int, turns: int) -> dict[str, list[Figures]]:
    """Both sides in turns; the service is the same one throughout, as it is in life."""
    with serving() as service:

        def ours() -> Figures:
            found = run_workload(
                sys.executable, "train_through_http", MODEL, str(steps), lengths, environment=environment(service)
            )
            return {**found, "peak MB": peak_megabytes(service)}

        def plain() -> Figures:
            return run_workload(sys.executable, "plain_training", str(MODEL_FOLDER), str(steps), lengths)

        return in_turns({PLAIN: plain, OURS: ours}, turns)


def main() -> None:
    options = arguments("P9: training through HTTP against a loop of torch and peft.")
    rounds: dict[str, list[Figures]] = {}
    cases = batches(quick=options.quick)
    for name, (lengths, steps) in cases.items():
        found = case(lengths, steps, 1 if options.quick else 3)
        rounds |= {f"{side}, {name}": figures for side, figures in found.items()}
    report = Report("P9", "training, LoRA of rank 32 on all linear layers of the packaged model", rounds)
    report.goals = [
        goal
        for name in cases
        for goal in (
            at_least(
                f"tokens/s, {name} lengths, ours / plain",
                report.rate("tokens/s", f"{OURS}, {name}", f"{PLAIN}, {name}"),
                LEAST[name],
            ),
            at_most(
                f"peak memory, {name} lengths, service / plain loop",
                report.ratio("peak MB", f"{OURS}, {name}", f"{PLAIN}, {name}"),
                1.0,
            ),
        )
    ]
    report.notes = [
        "Equal: 16 x 128 tokens. Mixed: 32 sequences of 16 to 256 tokens; padding is not counted as tokens."
    ]
    report.show()


if __name__ == "__main__":
    main()
