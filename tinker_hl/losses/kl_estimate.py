"""The KL divergence from a reference, estimated from the sampled tokens themselves."""

from typing import Literal

import attrs
import torch
from torch import Tensor

from tinker_hl.losses.datum_rows import Rows
from tinker_hl.losses.divergences import ReferenceRegularizer
from tinker_hl.losses.options import one_of
from tinker_hl.losses.regularizer import needed_reference

__all__ = ["Estimator", "KLEstimate", "kl_estimate"]

Estimator = Literal["k1", "k2", "k3"]


@attrs.frozen(kw_only=True)
class KLEstimate(ReferenceRegularizer):
    """KL(p || q) of the model p from a reference q, for targets that the model sampled (Schulman 2020).

    With d = log p - log q of a sampled token:

        k1  d                 unbiased, may be below 0
        k2  d^2 / 2           biased, little variance
        k3  e^-d - 1 + d      unbiased, never below 0; the one of GRPO (Shao et al. 2024)

    An estimator of the value need not have the value's gradient: that of k1 is 0 on average, and that of k3 is the
    gradient of KL(q || p). The gradient of KL(p || q) is the mean of d (d log p), which is k2's own.

    Args:
        estimator: Of the value.
        gradient: `divergence`: that of KL(p || q), whatever the estimator; `own`: that of the formula above.
    """

    estimator: Estimator = attrs.field(default="k3", validator=one_of("k1", "k2", "k3"))
    gradient: Literal["divergence", "own"] = attrs.field(default="divergence", validator=one_of("divergence", "own"))

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """The estimate of each position; the mean over its candidates, each taken as a draw."""
        found = needed_reference(self, reference, logprobs)
        rows = [self._term(p, q) for p, q in zip(logprobs, found, strict=True)]
        return [each.mean(dim=-1) if each.ndim > 1 else each for each in rows]

    def _term(self, p: Tensor, q: Tensor) -> Tensor:
        value = kl_estimate(p, q, self.estimator)
        if self.gradient == "own":
            return value
        right = kl_estimate(p, q, "k2")
        return value.detach() + right - right.detach()


def kl_estimate(logprobs: Tensor, reference: Tensor, estimator: Estimator) -> Tensor:
    """The estimator of each element; see `KLEstimate`.

    Args:
        logprobs: log p of sampled tokens, of any shape.
        reference: log q of the same.
        estimator: Which.
    """
    apart = logprobs - reference
    if estimator == "k1":
        return apart
    return torch.square(apart) / 2 if estimator == "k2" else torch.exp(-apart) - 1 + apart
