"""P10: sampling tokens a second, 64 callers at once, against transformers, one by one and in static batches."""

import sys

import numpy as np

from benchmarks.harness import OURS, Figures, Report, arguments, at_least, run_workload
from benchmarks.serving import MODEL, MODEL_FOLDER, environment, serving

CALLERS = 64
ONE_BY_ONE = "generate, one by one"
STATIC = (16, 32, 64)
QUICK_STATIC = (2,)
LEAST = {"equal": 1.0, "mixed": 1.3}
"""How many times the best static batch's tokens a second are promised."""


def requests(*, quick: bool) -> dict[str, list[tuple[int, int]]]:
    """Prompt length and new tokens of each request, of each case."""
    if quick:
        return {"mixed": [(4, 2), (2, 4)]}
    generator = np.random.default_rng(2)
    mixed = zip(generator.integers(8, 129, CALLERS), generator.integers(8, 129, CALLERS), strict=True)
    return {"equal": [(32, 64)] * CALLERS, "mixed": [(int(prompt), int(new)) for prompt, new in mixed]}


def as_option(asked: list[tuple[int, int]]) -> str:
    return ",".join(f"{prompt}:{new}" for prompt, new in asked)


def plain(size: int, asked: list[tuple[int, int]]) -> Figures:
    return run_workload(sys.executable, "plain_sampling", str(MODEL_FOLDER), str(size), as_option(asked))


def main() -> None:
    options = arguments("P10: sampling for many callers at once.")
    rounds: dict[str, list[Figures]] = {}
    cases = requests(quick=options.quick)
    turns, sizes = (1, QUICK_STATIC) if options.quick else (2, STATIC)
    with serving() as service:
        for name, asked in cases.items():
            for _ in range(turns):
                # A quarter of the requests tells the rate of one by one, which does not depend on how many there are.
                rounds.setdefault(f"{ONE_BY_ONE}, {name}", []).append(plain(1, asked[: max(1, len(asked) // 4)]))
                for size in sizes:
                    rounds.setdefault(f"static batch of {size}, {name}", []).append(plain(size, asked))
                found = run_workload(
                    sys.executable,
                    "sample_through_http",
                    *(MODEL, "0", as_option(asked), str(1 if options.quick else 3)),
                    environment=environment(service),
                )
                ours = rounds.setdefault(f"{OURS}, {name}", [])
                ours += [{"tokens/s": value} for value in found["tokens/s"]]
    report = Report("P10", f"sampling, {CALLERS} callers at once, the packaged model", rounds)
    report.goals = [
        goal
        for name in cases
        for goal in (
            at_least(
                f"tokens/s, {name} lengths, ours / one by one",
                report.rate("tokens/s", f"{OURS}, {name}", f"{ONE_BY_ONE}, {name}"),
                5.0,
            ),
            at_least(
                f"tokens/s, {name} lengths, ours / best static batch",
                min(report.rate("tokens/s", f"{OURS}, {name}", f"static batch of {size}, {name}") for size in sizes),
                LEAST[name],
            ),
        )
    ]
    report.notes = [
        "Equal: prompts of 32 tokens, 64 new ones. Mixed: prompts and new tokens of 8 to 128 each.",
        "A static batch runs until its longest request is done; only tokens that were asked for count.",
    ]
    report.show()


if __name__ == "__main__":
    main()
