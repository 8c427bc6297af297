"""Makes one result of the results of a call's chunks, so that chunking cannot be seen.

Each metric says in its name how it is reduced, `name:reduction`. With v_i the values and w_i the number of datums of
chunk i:

| reduction | result |
|---|---|
| `sum` | sum(v_i) |
| `mean` | sum(w_i v_i) / sum(w_i) |
| `min`, `max` | the least, the greatest; not a number if one is none |
| `slack` | max(v_i) - mean |
| `hash2`, `hash_unordered` | sum(v_i) mod 2^64, in whole numbers, which is exact and the same everywhere |
| `unique` | v_0 under the key, the others under `key_1`, `key_2`, ... |
| any other | as `mean`: a number of the right size is more use than none |
| none, or two colons | as `unique`: nothing is known of how to join them, so nothing is lost |

A metric that some chunk lacks is left out, since its reduction would be of a part. One chunk passes through untouched.
Nothing here raises: by the time that results are joined the service has done the work.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from tinker_hl.types.training import ForwardBackwardOutput

__all__ = ["combine"]

Values: TypeAlias = Sequence[float]
_HASH_MODULUS: Final = 2**64


def combine(outputs: Sequence[ForwardBackwardOutput]) -> ForwardBackwardOutput:
    """The result of all chunks, in order.

    Args:
        outputs: one a chunk; none gives an empty result.
    """
    if not outputs:
        return ForwardBackwardOutput("", [], {})
    if len(outputs) == 1:
        return outputs[0]
    weights = [len(output.loss_fn_outputs) for output in outputs]
    metrics: dict[str, float] = {}
    for key in outputs[0].metrics:
        if all(key in output.metrics for output in outputs):
            metrics.update(_reduced(key, [output.metrics[key] for output in outputs], weights))
    joined = [datum for output in outputs for datum in output.loss_fn_outputs]
    return ForwardBackwardOutput(outputs[0].loss_fn_output_type, joined, metrics)


def _reduced(key: str, values: Values, weights: Sequence[int]) -> Mapping[str, float]:
    parts = key.split(":")
    if len(parts) != 2 or parts[1] == "unique":
        return {key if place == 0 else f"{key}_{place}": value for place, value in enumerate(values)}
    return {key: _REDUCTIONS.get(parts[1], _mean)(values, weights)}


def _exact_sum(values: Values) -> float:
    """The sum, rounded once, so that it does not depend on where the chunks were cut."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # infinities of both signs, or a sum that is too large
        return sum(_as_float(value) for value in values)


def _as_float(value: float) -> float:
    """A float; a whole number beyond what a float holds is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _sum(values: Values, _: Sequence[int]) -> float:
    return _exact_sum(values)


def _mean(values: Values, weights: Sequence[int]) -> float:
    total = sum(weights)
    if total == 0:  # no chunk reports a datum: each counts alike
        return _exact_sum(values) / len(values)
    return _exact_sum([weight * value for value, weight in zip(values, weights, strict=True) if weight]) / total


def _min(values: Values, _: Sequence[int]) -> float:
    return math.nan if _has_nan(values) else min(values)


def _max(values: Values, _: Sequence[int]) -> float:
    return math.nan if _has_nan(values) else max(values)


def _has_nan(values: Values) -> bool:
    return any(isinstance(value, float) and math.isnan(value) for value in values)


def _slack(values: Values, weights: Sequence[int]) -> float:
    return _as_float(_max(values, weights)) - _mean(values, weights)


def _hash2(values: Values, _: Sequence[int]) -> float:
    if not all(math.isfinite(value) for value in values if isinstance(value, float)):
        return math.nan
    return sum(int(value) for value in values) % _HASH_MODULUS


_REDUCTIONS: Final[Mapping[str, Callable[[Values, Sequence[int]], float]]] = {
    "sum": _sum,
    "mean": _mean,
    "slack": _slack,
    "min": _min,
    "max": _max,
    "hash2": _hash2,
    "hash_unordered": _hash2,
}
