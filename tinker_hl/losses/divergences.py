"""Regularizers that look at logprobs as distributions: entropy, divergences from a reference, consistency.

p is a probability under the model, q under the reference. The client knows the logprobs of the targets only: K
candidates a position where `target_tokens` is [T, K], one where it is [T]. So a sum over "all tokens" is one over
these. With `support="given"` it is just that: exact where the candidates hold all the mass, else a part of the sum,
which for a divergence may be below 0. With `support="closed"` what the candidates leave over is one outcome more, so
that p and q are distributions: a divergence is then never below 0, and never above that of the whole vocabulary (data
processing).

References are constants: no gradient goes to them.
"""

import math
from collections.abc import Callable
from typing import Final, Literal

import attrs
import torch
from torch import Tensor

from tinker_hl.losses.datum_rows import Rows, RowSource, rows_of
from tinker_hl.losses.options import one_of, positive, refused
from tinker_hl.losses.reduction import Reduction, reduction_option
from tinker_hl.losses.regularizer import (
    ElementwiseRegularizer,
    candidates,
    needed_reference,
    refuse_single_targets,
)
from tinker_hl.types import Datum

__all__ = ["KL", "Consistency", "Entropy", "JensenShannon", "ReferenceRegularizer"]

MAX_DIFFERENCE: Final = 100.0
"""log p - log q counts as at most this much."""
LEAST_PROBABILITY: Final = 1e-10
"""Outcomes below are left out of a divergence: p log p is 0 in the limit."""
LEAST_LOGPROB: Final = -50.0
"""Outcomes at or below are left out of an entropy."""
LEAST_REST: Final = 1e-6
"""What the candidates leave over counts as at least this much: about 16 roundings of float32 below 1."""

Support = Literal["given", "closed"]


@attrs.frozen(kw_only=True)
class Entropy(ElementwiseRegularizer):
    """H = -sum_k p_k log p_k of each position (Williams and Peng 1991; Mnih et al. 2016).

    As `estimator="sampled"`, for targets that the model itself sampled: H is the mean of -log p, whose own gradient is
    0 on average; the gradient is therefore that of the entropy, the mean of -(log p) d log p (score function).

    Args:
        goal: `minimise` gives +H, `maximise` -H, since a loss is minimised.
        estimator: `candidates` sums over them, `sampled` takes each target as one draw from the model.
        temperature: Divides the logprobs, which are normalised again over the candidates, if it is not 1.
        normalized: Divide by log K, so that it is from 0 to 1.
        support: See the module; of `candidates` only.
    """

    goal: Literal["minimise", "maximise"] = attrs.field(default="minimise", validator=one_of("minimise", "maximise"))
    estimator: Literal["candidates", "sampled"] = attrs.field(
        default="candidates", validator=one_of("candidates", "sampled")
    )
    temperature: float = attrs.field(default=1.0, validator=positive)
    normalized: bool = False
    support: Support = attrs.field(default="given", validator=one_of("given", "closed"))

    def __attrs_post_init__(self) -> None:
        if self.estimator == "sampled" and (self.temperature != 1.0 or self.normalized or self.support == "closed"):
            raise refused(
                self,
                "estimator",
                "cannot be 'sampled' with temperature, normalized or support: these are of sums over candidates",
            )

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """H or -H of each position."""
        if self.normalized or self.temperature != 1.0:
            refuse_single_targets(self, logprobs, ".normalized" if self.normalized else ".temperature")
        sign = -1.0 if self.goal == "maximise" else 1.0
        of = _sampled_entropy if self.estimator == "sampled" else self._entropy
        return [sign * of(candidates(each)) for each in logprobs]

    def _entropy(self, row: Tensor) -> Tensor:
        count = row.shape[-1]
        if self.temperature != 1.0:
            row = torch.log_softmax(row / self.temperature, dim=-1)
        if self.support == "closed":
            row, count = _closed(row), count + 1
        parts = torch.where(row > LEAST_LOGPROB, row.exp() * row, torch.zeros_like(row))
        return -parts.sum(dim=-1) / (math.log(count) if self.normalized else 1.0)


@attrs.frozen(kw_only=True)
class ReferenceRegularizer(ElementwiseRegularizer):
    """A penalty on the distance from reference logprobs.

    Args:
        reference: Their source: a key of the datums' `loss_fn_inputs`, one array a datum, or a function of the datums;
            of the shapes of the logprobs. `with_reference` puts them into datums.
    """

    reference: RowSource = "reference_logprobs"

    def _reference(self, data: list[Datum], logprobs: list[Tensor]) -> list[Tensor] | None:
        return rows_of(self.reference, data, logprobs, f"{type(self).__name__}.reference")


@attrs.frozen(kw_only=True)
class KL(ReferenceRegularizer):
    """Kullback-Leibler divergence (Kullback and Leibler 1951), summed over the candidates of a position.

        forward    KL(p || q) = sum_k p_k clip(log p_k - log q_k, -100, 100)
        reverse    KL(q || p) = sum_k q_k clip(log q_k - log p_k, -100, 100)
        symmetric  their mean (Jeffreys 1946, halved)

    Outcomes whose first probability is at or below 1e-10 are left out. For targets that the model itself sampled, [T],
    `KLEstimate` is the better choice.

    Args:
        direction: Of the three.
        support: See the module.
    """

    direction: Literal["forward", "reverse", "symmetric"] = attrs.field(
        default="forward", validator=one_of("forward", "reverse", "symmetric")
    )
    support: Support = attrs.field(default="given", validator=one_of("given", "closed"))

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """The divergence of each position."""
        found = needed_reference(self, reference, logprobs)
        return [_in_direction(self.direction, *_pair(p, q, self.support)) for p, q in zip(logprobs, found, strict=True)]


@attrs.frozen(kw_only=True)
class JensenShannon(ReferenceRegularizer):
    """(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2 (Lin 1991); from 0 to log 2.

    Args:
        support: See the module.
    """

    support: Support = attrs.field(default="given", validator=one_of("given", "closed"))

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """The divergence of each position."""
        pairs = zip(logprobs, needed_reference(self, reference, logprobs), strict=True)
        return [_jensen_shannon(*_pair(p, q, self.support)) for p, q in pairs]


@attrs.frozen(kw_only=True)
class Consistency(ReferenceRegularizer):
    """How far the logprobs x are from another set y of the same positions, as those of another view of the same text.

        mse           (x - y)^2                                    (Laine and Aila 2017)
        l1            |x - y|
        cosine        1 - cos(x, y), of each datum as one vector
        symmetric_kl  as `KL(direction="symmetric")`               (Miyato et al. 2018)

    Args:
        kind: Of the four.
        reference: As in `KL`; by default the datum's `original_logprobs`.
    """

    kind: Literal["mse", "l1", "cosine", "symmetric_kl"] = attrs.field(
        default="mse", validator=one_of("mse", "l1", "cosine", "symmetric_kl")
    )
    reference: RowSource = "original_logprobs"
    reduction: Reduction = attrs.field(default="mean", validator=reduction_option)

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """The distance of each position; for `cosine` one number a datum."""
        found = needed_reference(self, reference, logprobs)
        if self.kind == "cosine":
            sizes = [torch.ones_like(each) for each in logprobs] if weights is None else weights
            return [1 - _cosine(x, y, w).reshape(1) for x, y, w in zip(logprobs, found, sizes, strict=True)]
        distance = _DISTANCES[self.kind]
        return [distance(candidates(x), candidates(y)) for x, y in zip(logprobs, found, strict=True)]

    def _term_weights(self, weights: Rows | None, logprobs: Rows) -> Rows | None:
        if self.kind != "cosine" or weights is None:
            return super()._term_weights(weights, logprobs)
        return [(each != 0).any().to(each.dtype).reshape(1) for each in weights]


def _sampled_entropy(row: Tensor) -> Tensor:
    """-log p, with the gradient of the entropy: -(log p) d log p."""
    surrogate = -(row.detach() * row)
    return (-row.detach() + surrogate - surrogate.detach()).mean(dim=-1)


def _closed(row: Tensor) -> Tensor:
    """With what the candidates leave over as one outcome more."""
    rest = (1 - row.exp().sum(dim=-1, keepdim=True)).clamp(min=LEAST_REST)
    return torch.cat([row, rest.log()], dim=-1)


def _pair(p: Tensor, q: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    p, q = candidates(p), candidates(q)
    return (_closed(p), _closed(q)) if support == "closed" else (p, q)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    chance = p.exp()
    parts = chance * (p - q).clamp(-MAX_DIFFERENCE, MAX_DIFFERENCE)
    return torch.where(chance > LEAST_PROBABILITY, parts, torch.zeros_like(parts)).sum(dim=-1)


def _in_direction(direction: str, p: Tensor, q: Tensor) -> Tensor:
    if direction == "forward":
        return _kl(p, q)
    return _kl(q, p) if direction == "reverse" else (_kl(p, q) + _kl(q, p)) / 2


def _jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    middle = torch.logaddexp(p, q) - math.log(2)
    return (_kl(p, middle) + _kl(q, middle)) / 2


def _cosine(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    # The cosine is that of any multiple of the weights: small ones must not fall below what it takes for no length.
    scale = torch.sqrt(weight / weight.amax()) if bool((weight != 0).any()) else weight
    return torch.cosine_similarity((scale * x).reshape(-1), (scale * y).reshape(-1), dim=0)


_DISTANCES: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "mse": lambda x, y: torch.square(x - y).mean(dim=-1),
    "l1": lambda x, y: (x - y).abs().mean(dim=-1),
    "symmetric_kl": lambda x, y: _in_direction("symmetric", x, y),
}
