"""Losses of policy gradients, written with torch: those of the protocol, and sequence-level ones of papers.

p is the logprob of a target under the model, q the one that it was sampled with, A its advantage, w its weight,
r = exp(p - q), sg stops the gradient. How the terms of the positions become one number is the option `reduction`; `sum`
is the protocol's, so that `PPO()` here and `forward_backward(data, "ppo")` are the same loss.
"""

from abc import ABC, abstractmethod

import attrs
import torch
from torch import Tensor

from tinker_hl.losses.datum_rows import Rows, RowSource, optional_rows, rows_of
from tinker_hl.losses.kl_estimate import kl_estimate
from tinker_hl.losses.options import at_least, refused
from tinker_hl.losses.reduction import Reduction, reduced, reduction_option
from tinker_hl.types import Datum

__all__ = [
    "CISPO",
    "DRO",
    "GRPO",
    "GSPO",
    "PPO",
    "CrossEntropy",
    "ImportanceSampling",
    "OnPolicyDistillation",
    "PolicyLoss",
    "ReinforcePlusPlus",
]

Returned = tuple[Tensor, dict[str, float]]


@attrs.frozen(kw_only=True)
class CrossEntropy:
    """-w p, the protocol's `cross_entropy`.

    Args:
        weights: w: a key of `loss_fn_inputs` (1 for a datum without it), arrays, or a function of the datums.
        reduction: How the positions become one number.
    """

    weights: RowSource | None = "weights"
    reduction: Reduction = attrs.field(default="sum", validator=reduction_option)

    def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> Returned:
        """The loss of a call."""
        weights = optional_rows(self.weights, data, logprobs, "CrossEntropy.weights")
        return reduced([-each for each in logprobs], weights, self.reduction), {}


@attrs.frozen(kw_only=True)
class PolicyLoss(ABC):
    """What the losses have in common.

    Args:
        advantages: A: a key of `loss_fn_inputs`, arrays or one number a datum, or a function of the datums.
        old_logprobs: q, likewise.
        weights: w, likewise; a datum without the key has ones. 0 takes a position, as of a prompt, out of every mean.
        reduction: `sum`; `mean` over all positions; `datum_mean`: over each datum, then over these.
    """

    advantages: RowSource = "advantages"
    old_logprobs: RowSource = "logprobs"
    weights: RowSource | None = "weights"
    reduction: Reduction = attrs.field(default="sum", validator=reduction_option)

    def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> Returned:
        """The loss of a call, with the metrics `ratio:mean` and `clipped:mean`, the part of positions at a bound.

        Both are over the positions that train: without a weight, or without an advantage, one has no ratio.
        """
        name = type(self).__name__
        old = rows_of(self.old_logprobs, data, logprobs, f"{name}.old_logprobs")
        advantages = rows_of(self.advantages, data, logprobs, f"{name}.advantages")
        weights = optional_rows(self.weights, data, logprobs, f"{name}.weights")
        counted = [torch.ones_like(each) for each in logprobs] if weights is None else weights
        rows = zip(logprobs, old, advantages, counted, strict=True)
        # Without weight the ratio is 1: a stand-in for q, as of a prompt, might overflow, and 0 * inf is not a number.
        terms = [self.terms(torch.where(w != 0, p, q), q, a, w) for p, q, a, w in rows]
        return reduced(terms, weights, self.reduction), self._metrics(logprobs, old, advantages, counted)

    @abstractmethod
    def terms(self, logprobs: Tensor, old: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
        """The loss of each position of one datum, before its weight; all of one shape, [T] or [T, K]."""

    def _ratios(self, logprobs: Tensor, old: Tensor, weights: Tensor) -> Tensor:
        return torch.exp(logprobs - old)

    def _is_clipped(self, ratios: Tensor) -> Tensor:
        return torch.zeros_like(ratios, dtype=torch.bool)

    def _metrics(self, logprobs: Rows, old: Rows, advantages: Rows, weights: Rows) -> dict[str, float]:
        rows = zip(logprobs, old, advantages, weights, strict=True)
        ratios = torch.cat([self._ratios(p.detach(), q, w)[(w != 0) & (a != 0)] for p, q, a, w in rows])
        if not ratios.numel():
            return {}
        clipped = self._is_clipped(ratios).to(ratios.dtype).mean().item()
        return {"ratio:mean": ratios.mean().item(), "clipped:mean": clipped}


@attrs.frozen(kw_only=True)
class ImportanceSampling(PolicyLoss):
    """-r A, the protocol's `importance_sampling`."""

    def terms(self, logprobs: Tensor, old: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
        """See `PolicyLoss.terms`."""
        return -_ratio(logprobs, old, advantages) * advantages


@attrs.frozen(kw_only=True)
class _Clipped(PolicyLoss):
    low: float = attrs.field(default=0.8, validator=at_least(0))
    high: float = attrs.field(default=1.2, validator=at_least(0))

    def __attrs_post_init__(self) -> None:
        if self.low > self.high:
            raise refused(self, "low", f"must be high, {self.high:g}, or less, got {self.low:g}")

    def _is_clipped(self, ratios: Tensor) -> Tensor:
        return (ratios < self.low) | (ratios > self.high)

    def _surrogate(self, ratios: Tensor, advantages: Tensor) -> Tensor:
        return -torch.minimum(ratios * advantages, ratios.clamp(self.low, self.high) * advantages)


@attrs.frozen(kw_only=True)
class PPO(_Clipped):
    """-min(r A, clip(r, low, high) A), the protocol's `ppo` (Schulman et al. 2017).

    Args:
        low: Least ratio that counts.
        high: Greatest.
        advantages, old_logprobs, weights, reduction: As in `PolicyLoss`.
    """

    def terms(self, logprobs: Tensor, old: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
        """See `PolicyLoss.terms`."""
        return self._surrogate(_ratio(logprobs, old, advantages), advantages)


@attrs.frozen(kw_only=True)
class CISPO(_Clipped):
    """-sg(clip(r, low, high)) p A, the protocol's `cispo` (MiniMax-M1, Chen et al. 2025).

    Args:
        low: Least ratio that counts.
        high: Greatest.
        advantages, old_logprobs, weights, reduction: As in `PolicyLoss`.
    """

    low: float = attrs.field(default=0.0, validator=at_least(0))
    high: float = attrs.field(default=4.0, validator=at_least(0))

    def terms(self, logprobs: Tensor, old: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
        """See `PolicyLoss.terms`."""
        ratios = _ratio(logprobs.detach(), old, advantages)
        return -ratios.clamp(self.low, self.high) * logprobs * advantages


@attrs.frozen(kw_only=True)
class DRO(PolicyLoss):
    """-(p A - beta / 2 (p - q)^2), the protocol's `dro` (Richemond et al. 2024).

    Args:
        beta: How strongly the model is kept to the sampling one.
        advantages, old_logprobs, weights, reduction: As in `PolicyLoss`.
    """

    beta: float = attrs.field(default=0.05, validator=at_least(0))

    def terms(self, logprobs: Tensor, old: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
        """See `PolicyLoss.terms`."""
        return 0.5 * self.beta * torch.square(logprobs - old) - logprobs * advantages


@attrs.frozen(kw_only=True)
class GSPO(_Clipped):
    """-min(s A, clip(s, low, high) A), s = exp(the mean of p - q over the datum's positions) (Zheng et al. 2025).

    The mean is over positions whose weight is not 0. Unlike the protocol's `gspo`, which is the paper's token-level
    variant, the gradient goes through s as a whole: of a datum with one advantage both have the same gradient.

    Args:
        low: Least sequence ratio that counts.
        high: Greatest; both are the paper's.
        advantages, old_logprobs, weights: As in `PolicyLoss`.
        reduction: By default the paper's: the mean over the datums.
    """

    low: float = attrs.field(default=1 - 3e-4, validator=at_least(0))
    high: float = attrs.field(default=1 + 4e-4, validator=at_least(0))
    reduction: Reduction = attrs.field(default="datum_mean", validator=reduction_option)

    def terms(self, logprobs: Tensor, old: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
        """See `PolicyLoss.terms`."""
        return self._surrogate(self._ratios(logprobs, old, weights), advantages)

    def _ratios(self, logprobs: Tensor, old: Tensor, weights: Tensor) -> Tensor:
        counted = weights != 0
        apart = (logprobs - old)[counted]
        mean = apart.sum() / max(1, apart.numel())
        return torch.exp(mean).expand(logprobs.shape)


@attrs.frozen(kw_only=True)
class GRPO(_Clipped):
    """-min(r A, clip(r, low, high) A) + beta k3, a mean over each answer, then over the answers (Shao et al. 2024).

    k3 = e^(ref - p) - 1 - (ref - p), the estimate of the KL divergence from a reference. `grpo_advantages` gives A.
    With `dr_grpo_advantages`, `reduction="sum"` and a factor of your own it is Dr. GRPO (Liu et al. 2025), which
    divides by no length.

    Args:
        low: Least ratio that counts.
        high: Greatest.
        beta: Of the divergence; 0 needs no reference.
        reference: The reference's logprobs: a key of `loss_fn_inputs`, arrays, or a function of the datums.
        advantages, old_logprobs, weights: As in `PolicyLoss`.
        reduction: By default the paper's.
    """

    beta: float = attrs.field(default=0.0, validator=at_least(0))
    reference: RowSource = "reference_logprobs"
    reduction: Reduction = attrs.field(default="datum_mean", validator=reduction_option)

    def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> Returned:
        """The loss of a call; with a beta above 0 also `divergence:mean`, its mean over the positions."""
        loss, metrics = super().__call__(data, logprobs)
        if self.beta == 0:
            return loss, metrics
        found = rows_of(self.reference, data, logprobs, "GRPO.reference")
        weights = optional_rows(self.weights, data, logprobs, "GRPO.weights")
        counted = [torch.ones_like(each) for each in logprobs] if weights is None else weights
        rows = zip(logprobs, found, counted, strict=True)
        # As in the base class: no stand-in for the reference of a prompt may overflow.
        apart = [kl_estimate(torch.where(w != 0, p, q), q, "k3") for p, q, w in rows]
        shown = reduced([each.detach() for each in apart], weights, "mean").item()
        return loss + self.beta * reduced(apart, weights, self.reduction), {**metrics, "divergence:mean": shown}

    def terms(self, logprobs: Tensor, old: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
        """See `PolicyLoss.terms`; without the divergence."""
        return self._surrogate(_ratio(logprobs, old, advantages), advantages)


@attrs.frozen(kw_only=True)
class ReinforcePlusPlus(_Clipped):
    """-min(r A, clip(r, low, high) A), the mean over all tokens of the call (Hu 2025, REINFORCE++).

    Its advantages are those of `reinforce_plus_plus_advantages`: normalised over the whole call, with the divergence
    from a reference in the reward, token by token.

    Args:
        low: Least ratio that counts.
        high: Greatest.
        advantages, old_logprobs, weights: As in `PolicyLoss`.
        reduction: By default the paper's.
    """

    reduction: Reduction = attrs.field(default="mean", validator=reduction_option)

    def terms(self, logprobs: Tensor, old: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
        """See `PolicyLoss.terms`."""
        return self._surrogate(_ratio(logprobs, old, advantages), advantages)


@attrs.frozen(kw_only=True)
class OnPolicyDistillation:
    """-r A with A = log teacher - q of each token that the student sampled (Agarwal et al. 2024; Lu et al. 2025).

    Its gradient is that of the reverse KL divergence KL(student || teacher), token by token, without discounting.

    Args:
        teacher: The teacher's logprobs of the same tokens: a key of `loss_fn_inputs`, arrays, or a function of the
            datums.
        old_logprobs, weights, reduction: As in `PolicyLoss`.
    """

    teacher: RowSource = "teacher_logprobs"
    old_logprobs: RowSource = "logprobs"
    weights: RowSource | None = "weights"
    reduction: Reduction = attrs.field(default="sum", validator=reduction_option)

    def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> Returned:
        """The loss of a call, with `ratio:mean` and `divergence:mean`, the mean of q - log teacher."""
        old = rows_of(self.old_logprobs, data, logprobs, "OnPolicyDistillation.old_logprobs")
        teacher = rows_of(self.teacher, data, logprobs, "OnPolicyDistillation.teacher")
        weights = optional_rows(self.weights, data, logprobs, "OnPolicyDistillation.weights")
        apart = [q - t for q, t in zip(old, teacher, strict=True)]
        inner = ImportanceSampling(
            advantages=[-each for each in apart], old_logprobs=old, weights=weights, reduction=self.reduction
        )
        loss, metrics = inner(data, logprobs)
        metrics.pop("clipped:mean", None)
        return loss, {**metrics, "divergence:mean": reduced(apart, weights, "mean").item()}


def _ratio(logprobs: Tensor, old: Tensor, advantages: Tensor) -> Tensor:
    """r; 1 where the advantage is 0, so that no stand-in for q at a masked position overflows into 0 * inf."""
    return torch.exp(torch.where(advantages == 0, torch.zeros_like(logprobs), logprobs - old))
