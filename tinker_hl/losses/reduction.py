"""Makes one number of the terms of all positions of all datums.

With x the terms, w their weights (1 without any), i a datum and t a position of it:

    sum         sum_it w_it x_it
    mean        sum_it w_it x_it / sum_it w_it
    datum_mean  the mean over the datums of sum_t w_it x_it / sum_t w_it; a datum without weight counts as none

The losses of the protocol are sums; a mean is the same whatever the number and length of the datums.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import attrs
import torch
from torch import Tensor

from tinker_hl.errors import InvalidDatumError
from tinker_hl.losses.datum_rows import Rows
from tinker_hl.losses.options import one_of, refused

__all__ = ["REDUCTIONS", "Reduction", "position_weights", "reduced", "reduction_option"]

Reduction: TypeAlias = Literal["sum", "mean", "datum_mean"]
REDUCTIONS: Final[tuple[Reduction, ...]] = ("sum", "mean", "datum_mean")


def reduction_option(instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """Validator: one of `REDUCTIONS`; `none` is refused with the reason."""
    if value == "none":
        raise refused(instance, attribute.name, "cannot be 'none': a loss is one number", hint="Use sum or mean.")
    one_of(*REDUCTIONS)(instance, attribute, value)


def reduced(terms: Rows, weights: Rows | None, reduction: Reduction) -> Tensor:
    """See the module. A term of weight 0 is not looked at.

    Args:
        terms: One tensor a datum.
        weights: Of the same shapes; None for ones.
        reduction: How.

    Raises:
        InvalidDatumError: A mean over weights that are all 0.
    """
    if weights is None:
        weights = [torch.ones_like(each) for each in terms]
    sums = torch.stack([_weighted_sum(each, weight) for each, weight in zip(terms, weights, strict=True)])
    if reduction == "sum":
        return sums.sum()
    sizes = torch.stack([each.sum() for each in weights])
    if not bool((sizes != 0).any()):
        raise InvalidDatumError(
            "the weights of all datums are 0, so that there is nothing to take the mean of",
            hint="Give some position a weight, or leave the term out for such batches.",
        )
    if reduction == "mean":
        return sums.sum() / sizes.sum()
    counted = sizes != 0
    return (sums[counted] / sizes[counted]).mean()


def position_weights(weights: Rows | None, logprobs: Rows) -> Sequence[Tensor] | None:
    """The weights of positions, [T], where a term is of a position and not of a candidate: the largest of its K."""
    if weights is None:
        return None
    return [each.amax(dim=-1) if row.ndim > 1 else each for each, row in zip(weights, logprobs, strict=True)]


def _weighted_sum(terms: Tensor, weights: Tensor) -> Tensor:
    counted = weights != 0
    return (terms[counted] * weights[counted]).sum()
