"""Which sequences share a micro-batch: similar lengths together, few batches, bounded memory.

A plan is about lengths alone; the module knows no tensors. The cost of a batch of n rows padded to length T is taken as
overhead + n T, in positions: the overhead is what one more forward and backward pass costs in operators alone. The plan
is the cheapest cut of the sequences sorted by length, found exactly by dynamic programming.
"""

from collections.abc import Sequence

import numpy as np

__all__ = ["OVERHEAD_POSITIONS", "plan_batches"]

OVERHEAD_POSITIONS = 256
"""Measured on two cores with a 1.7 M parameter model: a pass costs about as much as this many more positions."""


def plan_batches(lengths: Sequence[int], *, max_positions: int, overhead: int = OVERHEAD_POSITIONS) -> list[list[int]]:
    """Cut sequences into micro-batches.

    Args:
        lengths: of each sequence, in tokens, each at least 1.
        max_positions: rows times longest row of a batch stays at or below this, unless one row alone is longer.
        overhead: what one more batch costs, in positions.

    Returns:
        Indices into `lengths`; each occurs once. Longest sequences first, so that memory peaks at once or never.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    longest = np.array([lengths[index] for index in order], dtype=np.int64)
    count = len(order)
    best = np.zeros(count + 1, dtype=np.int64)
    """best[i]: cost of the sequences from i on."""
    ends = np.zeros(count, dtype=np.int64)
    for start in range(count - 1, -1, -1):
        rows = max(1, min(count - start, max_positions // int(longest[start])))
        costs = overhead + longest[start] * np.arange(1, rows + 1) + best[start + 1 : start + rows + 1]
        choice = int(costs.argmin())
        best[start], ends[start] = costs[choice], start + choice + 1
    plan, start = [], 0
    while start < count:
        plan.append(order[start : int(ends[start])])
        start = int(ends[start])
    return plan
