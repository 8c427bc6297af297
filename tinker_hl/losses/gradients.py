"""Norms of the gradients of a pipeline's parts with respect to the logprobs, and the angles between them.

All parts depend on the model through the logprobs only, so what pulls against each other here does so in the model. It
knows nothing of what the parts are.
"""

import math
from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from tinker_hl.losses.outputs import BASE

__all__ = ["GradientReport", "report"]


@attrs.frozen(kw_only=True)
class GradientReport:
    """Of one evaluation. The norms are L2, over all logprobs of all datums."""

    norms: Mapping[str, float]
    """Of each part before its coefficient; `base` among them."""
    cosines: Mapping[str, float]
    """Of the angle between each term and the base; none without a base."""
    total_norm: float
    penalty_norm: float
    penalty_cosine: float | None
    penalty_angle: float | None
    """In degrees."""


def report(
    base: Tensor | None, terms: Mapping[str, Tensor], weights: Mapping[str, float], logprobs: list[Tensor]
) -> GradientReport:
    """Differentiate each part once; sums of them need no further pass, since gradients add up.

    Args:
        base: The base loss, if there is one.
        terms: The value of each, before its coefficient.
        weights: The coefficients; 0 for what is not trained.
        logprobs: The leaves.
    """
    gradients = {name: _gradient(value, logprobs) for name, value in terms.items()}
    zero = torch.zeros(sum(each.numel() for each in logprobs), dtype=torch.float64)
    penalty = sum((weights[name] * each for name, each in gradients.items()), zero)
    of_base = zero if base is None else _gradient(base, logprobs)
    norms = {name: _norm(each) for name, each in gradients.items()}
    cosine = None if base is None else _cosine(of_base, penalty)
    return GradientReport(
        norms=norms if base is None else {BASE: _norm(of_base), **norms},
        cosines={} if base is None else {name: _cosine(of_base, each) for name, each in gradients.items()},
        total_norm=_norm(of_base + penalty),
        penalty_norm=_norm(penalty),
        penalty_cosine=cosine,
        penalty_angle=None if cosine is None else math.degrees(math.acos(cosine)),
    )


def _gradient(value: Tensor, logprobs: list[Tensor]) -> Tensor:
    """One vector of all logprobs, float64; zeros for a value without a gradient."""
    if not value.requires_grad:
        return torch.zeros(sum(each.numel() for each in logprobs), dtype=torch.float64)
    found = torch.autograd.grad(value, logprobs, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([each.detach().to_dense().reshape(-1).to(torch.float64) for each in found])


def _norm(vector: Tensor) -> float:
    return float(torch.linalg.vector_norm(vector))


def _cosine(one: Tensor, other: Tensor) -> float:
    """0 where one of them vanishes: then there is no conflict, and no agreement."""
    size = _norm(one) * _norm(other)
    return max(-1.0, min(1.0, torch.dot(one, other).item() / size)) if size else 0.0
