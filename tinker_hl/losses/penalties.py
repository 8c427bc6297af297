"""Regularizers of size and smoothness: they look at the logprobs alone.

x is a logprob, or its probability e^x. Sums run over positions and candidates; how they become one number is the option
`reduction`. The factor lambda of the textbooks is the coefficient of the pipeline's term.
"""

from typing import Any, ClassVar, Final, Literal

import attrs
import torch
from torch import Tensor

from tinker_hl.errors import InvalidDatumError
from tinker_hl.losses.datum_rows import Rows
from tinker_hl.losses.options import between, positive, refused
from tinker_hl.losses.reduction import Reduction, reduced, reduction_option
from tinker_hl.losses.regularizer import ElementwiseRegularizer, Regularizer, refuse_single_targets

__all__ = ["L1", "L2", "CandidateMass", "ElasticNet", "GroupLasso", "Smoothness", "Target"]

Target = Literal["logprobs", "probabilities"]
TARGETS: Final = ("logprobs", "probabilities")


def _target_option(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    hint = "An input of the datum is a constant, without a gradient; Consistency compares logprobs with one."
    if value not in TARGETS:
        raise refused(instance, attribute.name, f"must be one of {', '.join(TARGETS)}, got {value!r}", hint=hint)


@attrs.frozen(kw_only=True)
class L1(ElementwiseRegularizer):
    """sum |x| (Tibshirani 1996, the lasso).

    Args:
        target: What x is: `logprobs`, or `probabilities`, e^logprob.
    """

    target: Target = attrs.field(default="logprobs", validator=_target_option)
    reduction: Reduction = attrs.field(default="sum", validator=reduction_option)
    per_candidate: ClassVar[bool] = True

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """|x| of each element."""
        return [each.abs() for each in _targets(logprobs, self.target)]


@attrs.frozen(kw_only=True)
class L2(ElementwiseRegularizer):
    """sum clip(x - centre, -clip, clip)^2 (Hoerl and Kennard 1970, ridge). With reduction `mean`: the output's
    magnitude.

    Args:
        target: What x is: `logprobs`, or `probabilities`, e^logprob.
        centre: Taken off first: a number, `mean` (the weighted mean of all x of the call), or None.
        clip: What is further than this from the centre counts as this far, and has no gradient; None for no limit.
    """

    target: Target = attrs.field(default="logprobs", validator=_target_option)
    centre: float | Literal["mean"] | None = None
    clip: float | None = attrs.field(default=None, validator=attrs.validators.optional(positive))
    reduction: Reduction = attrs.field(default="sum", validator=reduction_option)
    per_candidate: ClassVar[bool] = True

    def __attrs_post_init__(self) -> None:
        if self.centre is not None and self.centre != "mean":
            between(-1e30, 1e30)(self, attrs.fields(L2).centre, self.centre)

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """The square of each element."""
        rows = _targets(logprobs, self.target)
        if self.centre is not None:
            centre = reduced(rows, weights, "mean") if self.centre == "mean" else self.centre
            rows = [each - centre for each in rows]
        if self.clip is not None:
            rows = [each.clamp(-self.clip, self.clip) for each in rows]
        return [torch.square(each) for each in rows]


@attrs.frozen(kw_only=True)
class ElasticNet(ElementwiseRegularizer):
    """sum alpha |x| + (1 - alpha) x^2 (Zou and Hastie 2005, without their factor 1/2).

    Args:
        alpha: The part of the absolute values, 0 to 1.
        target: What x is: `logprobs`, or `probabilities`, e^logprob.
    """

    alpha: float = attrs.field(default=0.5, validator=between(0, 1))
    target: Target = attrs.field(default="logprobs", validator=_target_option)
    reduction: Reduction = attrs.field(default="sum", validator=reduction_option)
    per_candidate: ClassVar[bool] = True

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """The mixture of each element."""
        rows = _targets(logprobs, self.target)
        return [self.alpha * each.abs() + (1 - self.alpha) * torch.square(each) for each in rows]


@attrs.frozen(kw_only=True)
class GroupLasso(Regularizer):
    """sum over groups g of sqrt(n_g) ||x_g||_2, n_g its elements of weight above 0 (Yuan and Lin 2006).

    The weights multiply the squares: ||x_g||_2^2 = sum_i w_i x_i^2. A group that is all zero has the gradient 0.

    Args:
        target: What x is: `logprobs`, or `probabilities`, e^logprob.
        group: `datum` (each datum is a group), `position` (the K candidates of each position), or how many positions
            in a row of a datum make a group, the last one perhaps fewer.
    """

    target: Target = attrs.field(default="probabilities", validator=_target_option)
    group: int | Literal["datum", "position"] = "datum"

    def __attrs_post_init__(self) -> None:
        if self.group not in ("datum", "position") and not (type(self.group) is int and self.group > 0):
            raise refused(self, "group", f"must be 'datum', 'position' or a whole number above 0, got {self.group!r}")

    def penalty(self, logprobs: Rows, *, reference: Rows | None = None, weights: Rows | None = None) -> Tensor:
        """See `Regularizer.penalty`."""
        rows = _targets(logprobs, self.target)
        weights = [torch.ones_like(each) for each in rows] if weights is None else weights
        return torch.stack(
            [_group_norm(x, w) for row, weight in zip(rows, weights, strict=True) for x, w in self._groups(row, weight)]
        ).sum()

    def _groups(self, row: Tensor, weight: Tensor) -> list[tuple[Tensor, Tensor]]:
        size = {"datum": row.shape[0], "position": 1}.get(str(self.group), self.group)
        return list(zip(torch.split(row, int(size)), torch.split(weight, int(size)), strict=True))


@attrs.frozen(kw_only=True)
class Smoothness(ElementwiseRegularizer):
    """sum_t (x_t - x_(t-1))^2: neighbouring positions are to be alike (Hodrick and Prescott 1997, of the first order).

    A pair counts with the product of its weights; the first position of a datum has no pair and the term 0.
    """

    reduction: Reduction = attrs.field(default="mean", validator=reduction_option)
    per_candidate: ClassVar[bool] = True

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """The square of each step."""
        return [torch.square(torch.diff(each, dim=0, prepend=each[:1])) for each in logprobs]

    def _term_weights(self, weights: Rows | None, logprobs: Rows) -> Rows | None:
        rows = [torch.ones_like(each) for each in logprobs] if weights is None else weights
        if all(len(each) < 2 for each in rows):
            raise InvalidDatumError("Smoothness compares neighbouring positions, and no datum has two")
        return [torch.cat([torch.zeros_like(each[:1]), each[1:] * each[:-1]]) for each in rows]


@attrs.frozen(kw_only=True)
class CandidateMass(ElementwiseRegularizer):
    """sum_t (log sum_k p_tk)^2: the candidates of a position are to hold all its probability.

    The z-loss of Chowdhery et al. 2022 (PaLM), log^2 Z, of what a client sees: over the whole vocabulary log Z of
    logprobs is 0 already; over K candidates it is the logarithm of the mass that they hold.
    """

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """The square of each position's log mass."""
        refuse_single_targets(self, logprobs, "")
        return [torch.square(torch.logsumexp(each, dim=-1)) for each in logprobs]


def _targets(logprobs: Rows, target: str) -> list[Tensor]:
    return [each.exp() for each in logprobs] if target == "probabilities" else list(logprobs)


def _group_norm(x: Tensor, weight: Tensor) -> Tensor:
    size = torch.count_nonzero(weight).to(x.dtype)
    norm: Tensor = torch.linalg.vector_norm(torch.sqrt(weight) * x)
    return torch.sqrt(size) * norm
