"""Losses of preferences and of policy gradients once more, in plain numpy, from the formulas of the papers.

Each takes one array a datum and returns a number. They know nothing of torch.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twins import fold

Array = NDArray[np.float64]
Rows = Sequence[Array]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def scores(rows: Rows, weights: Rows) -> list[float]:
    return [sum(x * w for x, w in zip(row, weight, strict=True)) for row, weight in zip(rows, weights, strict=True)]


def margins(rows: Rows, weights: Rows, reference: Rows) -> list[float]:
    """h of each pair: chosen, rejected, chosen, rejected, ..."""
    p, q = scores(rows, weights), scores(reference, weights)
    return [(p[i] - q[i]) - (p[i + 1] - q[i + 1]) for i in range(0, len(p), 2)]


def dpo(rows: Rows, weights: Rows, reference: Rows, *, beta: float = 0.1, label_smoothing: float = 0.0) -> float:
    e = label_smoothing
    found = [
        -(1 - e) * math.log(sigmoid(beta * h)) - e * math.log(sigmoid(-beta * h))
        for h in margins(rows, weights, reference)
    ]
    return sum(found) / len(found)


def ipo(rows: Rows, weights: Rows, reference: Rows, *, tau: float = 0.1) -> float:
    found = [(h - 1 / (2 * tau)) ** 2 for h in margins(rows, weights, reference)]
    return sum(found) / len(found)


def simpo(rows: Rows, weights: Rows, reference: Rows, *, beta: float = 2.0, gamma: float = 1.0) -> float:
    means = [total / sum(weight) for total, weight in zip(scores(rows, weights), weights, strict=True)]
    found = [-math.log(sigmoid(beta * means[i] - beta * means[i + 1] - gamma)) for i in range(0, len(means), 2)]
    return sum(found) / len(found)


def kto(
    rows: Rows,
    weights: Rows,
    reference: Rows,
    *,
    good: Sequence[float],
    beta: float = 0.1,
    good_weight: float = 1.0,
    bad_weight: float = 1.0,
    divergence: str = "batch",
    z: float | None = None,
) -> float:
    """`z` holds the divergence where it is, as a constant."""
    h = [p - q for p, q in zip(scores(rows, weights), scores(reference, weights), strict=True)]
    middle = (max(0.0, sum(h) / len(h)) if divergence == "batch" else 0.0) if z is None else z
    found = [
        good_weight * (1 - sigmoid(beta * (each - middle)))
        if is_good
        else bad_weight * (1 - sigmoid(beta * (middle - each)))
        for each, is_good in zip(h, good, strict=True)
    ]
    return sum(found) / len(found)


# Of policy gradients: terms of one datum, from p, q, A, and w for what counts.


def clip(x: float, low: float, high: float) -> float:
    return max(low, min(high, x))


def importance_sampling(p: Array, q: Array, a: Array, w: Array) -> list[float]:
    return [-math.exp(x - y) * z for x, y, z in zip(p, q, a, strict=True)]


def ppo(p: Array, q: Array, a: Array, w: Array, *, low: float = 0.8, high: float = 1.2) -> list[float]:
    ratios = [math.exp(x - y) for x, y in zip(p, q, strict=True)]
    return [-min(r * z, clip(r, low, high) * z) for r, z in zip(ratios, a, strict=True)]


def cispo(
    p: Array, q: Array, a: Array, w: Array, *, low: float = 0.0, high: float = 4.0, at: Array | None = None
) -> list[float]:
    """`at` holds the ratio where it is, as a constant."""
    fixed = p if at is None else at
    return [-clip(math.exp(f - y), low, high) * x * z for f, x, y, z in zip(fixed, p, q, a, strict=True)]


def dro(p: Array, q: Array, a: Array, w: Array, *, beta: float = 0.05) -> list[float]:
    return [-(x * z - beta / 2 * (x - y) ** 2) for x, y, z in zip(p, q, a, strict=True)]


def gspo(p: Array, q: Array, a: Array, w: Array, *, low: float = 1 - 3e-4, high: float = 1 + 4e-4) -> list[float]:
    counted = [x - y for x, y, z in zip(p, q, w, strict=True) if z != 0]
    s = math.exp(sum(counted) / len(counted))
    return [-min(s * z, clip(s, low, high) * z) for z in a]


def cross_entropy(p: Array, q: Array, a: Array, w: Array) -> list[float]:
    return [-x for x in p]


TERMS: dict[str, tuple[Callable[..., list[float]], str]] = {
    "CrossEntropy": (cross_entropy, "sum"),
    "ImportanceSampling": (importance_sampling, "sum"),
    "PPO": (ppo, "sum"),
    "CISPO": (cispo, "sum"),
    "DRO": (dro, "sum"),
    "GSPO": (gspo, "datum_mean"),
    "GRPO": (ppo, "datum_mean"),
    "ReinforcePlusPlus": (ppo, "mean"),
}
"""Terms, and the reduction that is the default."""


def policy(name: str, p: Rows, q: Rows, a: Rows, w: Rows, *, reduction: str | None = None, **options: Any) -> float:
    terms, default = TERMS[name]
    found = [terms(*each, **options) for each in zip(p, q, a, w, strict=True)]
    return fold(found, [list(each) for each in w], default if reduction is None else reduction)
