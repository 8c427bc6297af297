"""Regularizers and losses once more, in plain numpy: element by element, with loops, from the formulas of the docs.

Each takes rows, one array a datum, [T] or [T, K]; and returns a number. They know nothing of torch.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = Sequence[NDArray[np.float64]]
Weights = Rows | None


def fold(terms: Sequence[Sequence[float]], weights: Sequence[Sequence[float]], reduction: str) -> float:
    """One number of the terms of each datum."""
    sums = [sum(w * x for x, w in zip(xs, ws, strict=True)) for xs, ws in zip(terms, weights, strict=True)]
    sizes = [sum(ws) for ws in weights]
    if reduction == "sum":
        return sum(sums)
    if reduction == "mean":
        return sum(sums) / sum(sizes)
    means = [total / size for total, size in zip(sums, sizes, strict=True) if size != 0]
    return sum(means) / len(means)


def elements(rows: Rows, weights: Weights, term: Callable[[float], float], reduction: str) -> float:
    """A term of each element."""
    given = [np.ones_like(row) for row in rows] if weights is None else weights
    terms = [[term(x) for x in row.reshape(-1)] for row in rows]
    return fold(terms, [list(w.reshape(-1)) for w in given], reduction)


def positions(rows: Rows, weights: Weights, term: Callable[..., float], reduction: str, *others: Rows) -> float:
    """A term of each position, of its candidates in this row set and in others."""
    given = [np.ones_like(row) for row in rows] if weights is None else weights
    terms = [
        [term(*(np.atleast_1d(each[i][t]) for each in (rows, *others))) for t in range(len(row))]
        for i, row in enumerate(rows)
    ]
    return fold(terms, [[float(np.max(w[t])) for t in range(len(w))] for w in given], reduction)


def value_of(x: float, target: str) -> float:
    return math.exp(x) if target == "probabilities" else x


def l1(rows: Rows, weights: Weights, *, target: str = "logprobs", reduction: str = "sum") -> float:
    return elements(rows, weights, lambda x: abs(value_of(x, target)), reduction)


def l2(
    rows: Rows,
    weights: Weights,
    *,
    target: str = "logprobs",
    reduction: str = "sum",
    centre: float | str | None = None,
    clip: float | None = None,
) -> float:
    middle = 0.0
    if centre == "mean":
        middle = elements(rows, weights, lambda x: value_of(x, target), "mean")
    elif centre is not None:
        middle = float(centre)

    def term(x: float) -> float:
        apart = value_of(x, target) - middle
        return (apart if clip is None else max(-clip, min(clip, apart))) ** 2

    return elements(rows, weights, term, reduction)


def elastic_net(
    rows: Rows, weights: Weights, *, alpha: float = 0.5, target: str = "logprobs", reduction: str = "sum"
) -> float:
    ones = l1(rows, weights, target=target, reduction=reduction)
    return alpha * ones + (1 - alpha) * l2(rows, weights, target=target, reduction=reduction)


def group_lasso(rows: Rows, weights: Weights, *, group: int | str = "datum", target: str = "probabilities") -> float:
    given = [np.ones_like(row) for row in rows] if weights is None else weights
    total = 0.0
    for row, weight in zip(rows, given, strict=True):
        size = {"datum": len(row), "position": 1}.get(str(group), group)
        for start in range(0, len(row), int(size)):
            xs, ws = row[start : start + size].reshape(-1), weight[start : start + size].reshape(-1)
            squares = sum(w * value_of(x, target) ** 2 for x, w in zip(xs, ws, strict=True))
            total += math.sqrt(sum(1 for w in ws if w != 0)) * math.sqrt(squares)
    return total


def smoothness(rows: Rows, weights: Weights, *, reduction: str = "mean") -> float:
    given = [np.ones_like(row) for row in rows] if weights is None else weights
    terms, counted = [], []
    for row, weight in zip(rows, given, strict=True):
        flat, sizes = row.reshape(len(row), -1), weight.reshape(len(row), -1)
        pairs = [(t, k) for t in range(1, len(flat)) for k in range(flat.shape[1])]
        terms.append([(flat[t, k] - flat[t - 1, k]) ** 2 for t, k in pairs])
        counted.append([sizes[t, k] * sizes[t - 1, k] for t, k in pairs])
    return fold(terms, counted, reduction)


def candidate_mass(rows: Rows, weights: Weights, *, reduction: str = "mean") -> float:
    return positions(rows, weights, lambda p: math.log(sum(math.exp(x) for x in p)) ** 2, reduction)


def closed(p: NDArray[np.float64], support: str) -> list[float]:
    found = [float(x) for x in p]
    if support == "given":
        return found
    return [*found, math.log(max(1e-6, 1 - sum(math.exp(x) for x in found)))]


def entropy(
    rows: Rows,
    weights: Weights,
    *,
    goal: str = "minimise",
    temperature: float = 1.0,
    normalized: bool = False,
    support: str = "given",
    reduction: str = "mean",
) -> float:
    def term(p: NDArray[np.float64]) -> float:
        if temperature != 1.0:
            scaled = p / temperature
            p = scaled - math.log(sum(math.exp(x) for x in scaled))
        found = closed(p, support)
        total = -sum(math.exp(x) * x for x in found if x > -50)
        return total / math.log(len(found)) if normalized else total

    return (-1 if goal == "maximise" else 1) * positions(rows, weights, term, reduction)


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    total = 0.0
    for x, y in zip(p, q, strict=True):
        if math.exp(x) > 1e-10:
            total += math.exp(x) * max(-100.0, min(100.0, x - y))
    return total


def in_direction(direction: str, p: Sequence[float], q: Sequence[float]) -> float:
    both = {"forward": divergence(p, q), "reverse": divergence(q, p)}
    return both.get(direction, sum(both.values()) / 2)


def kl(
    rows: Rows,
    weights: Weights,
    reference: Rows,
    *,
    direction: str = "forward",
    support: str = "given",
    reduction: str = "mean",
) -> float:
    def term(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
        return in_direction(direction, closed(p, support), closed(q, support))

    return positions(rows, weights, term, reduction, reference)


def jensen_shannon(
    rows: Rows, weights: Weights, reference: Rows, *, support: str = "given", reduction: str = "mean"
) -> float:
    def term(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
        left, right = closed(p, support), closed(q, support)
        middle = [math.log((math.exp(x) + math.exp(y)) / 2) for x, y in zip(left, right, strict=True)]
        return (divergence(left, middle) + divergence(right, middle)) / 2

    return positions(rows, weights, term, reduction, reference)


def consistency(rows: Rows, weights: Weights, reference: Rows, *, kind: str = "mse", reduction: str = "mean") -> float:
    if kind == "cosine":
        given = [np.ones_like(row) for row in rows] if weights is None else weights
        apart = [[1 - cosine(x, y, w)] for x, y, w in zip(rows, reference, given, strict=True)]
        return fold(apart, [[float(np.any(w != 0))] for w in given], reduction)
    terms: dict[str, Callable[..., float]] = {
        "mse": lambda x, y: float(np.mean((x - y) ** 2)),
        "l1": lambda x, y: float(np.mean(np.abs(x - y))),
        "symmetric_kl": lambda x, y: in_direction("symmetric", list(x), list(y)),
    }
    return positions(rows, weights, terms[kind], reduction, reference)


def cosine(x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]) -> float:
    if not np.any(w != 0):
        return 0.0  # its weight is 0, too
    pairs = list(zip(x.reshape(-1), y.reshape(-1), w.reshape(-1), strict=True))
    dot = sum(c * a * b for a, b, c in pairs)
    return float(dot / math.sqrt(sum(c * a * a for a, _, c in pairs) * sum(c * b * b for _, b, c in pairs)))


def kl_estimate(
    rows: Rows, weights: Weights, reference: Rows, *, estimator: str = "k3", reduction: str = "mean"
) -> float:
    def term(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
        found = []
        for x, y in zip(p, q, strict=True):
            ratio = math.exp(y - x)  # of the reference to the model, as in Schulman's note
            found.append({"k1": -math.log(ratio), "k2": math.log(ratio) ** 2 / 2, "k3": ratio - 1 - math.log(ratio)})
        return sum(each[estimator] for each in found) / len(found)

    return positions(rows, weights, term, reduction, reference)


def orthogonality(rows: Rows, weights: Weights, *, mode: str = "soft", axis: str = "rows") -> float:
    scaled = list(rows) if weights is None else [row * w for row, w in zip(rows, weights, strict=True)]
    matrices = {
        "rows": lambda: [np.stack([row.reshape(-1) for row in scaled])],
        "sequence": lambda: scaled,
        "vocabulary": lambda: [row.T for row in scaled],
    }[axis]()
    total = 0.0
    for vectors in matrices:
        unit = [v / max(1e-8, math.sqrt(sum(x * x for x in v))) for v in vectors]
        gram = [[float(np.dot(a, b)) for b in unit] for a in unit]
        count = len(gram)
        apart = sum(gram[i][j] ** 2 for i in range(count) for j in range(count) if i != j)
        trace = sum(gram[i][i] for i in range(count))
        square = sum((gram[i][i] - 1) ** 2 for i in range(count))
        total += {"soft": apart, "hard": apart + square, "spectral": (trace - count) ** 2 + apart}[mode]
    return total


def label_smoothing(
    rows: Rows, weights: Weights, *, vocabulary_size: int | None = None, reduction: str = "sum"
) -> float:
    def term(p: NDArray[np.float64]) -> float:
        if len(p) > 1 or vocabulary_size is None:
            return float(p[0] - sum(p) / len(p))
        rest = math.log(max(1e-6, 1 - math.exp(p[0])) / (vocabulary_size - 1))
        return float(p[0] - (p[0] + (vocabulary_size - 1) * rest) / vocabulary_size)

    return positions(rows, weights, term, reduction)


def length_penalty(rows: Rows, weights: Weights, *, limit: int, margin: int, **_: Any) -> float:
    given = [np.ones_like(row) for row in rows] if weights is None else weights
    costs = []
    for weight in given:
        size = sum(1 for w in weight if np.any(w != 0))
        soft = (size - (limit - margin)) / margin
        costs.append(0.0 if size <= limit - margin else soft if size <= limit else 1.0)
    return sum(costs) / len(costs)


REGULARIZERS: dict[str, Callable[..., float]] = {
    "L1": l1,
    "L2": l2,
    "ElasticNet": elastic_net,
    "GroupLasso": group_lasso,
    "Smoothness": smoothness,
    "CandidateMass": candidate_mass,
    "Entropy": entropy,
    "KL": kl,
    "JensenShannon": jensen_shannon,
    "Consistency": consistency,
    "KLEstimate": kl_estimate,
    "Orthogonality": orthogonality,
    "LabelSmoothing": label_smoothing,
    "LengthPenalty": length_penalty,
}
