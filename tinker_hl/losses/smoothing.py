"""Regularizers of what the model is sure of, and of how much it writes: label smoothing and length."""

import math
from typing import Literal

import attrs
import torch
from torch import Tensor

from tinker_hl.errors import InvalidDatumError
from tinker_hl.losses.datum_rows import Rows, RowSource
from tinker_hl.losses.options import one_of, refused, whole
from tinker_hl.losses.reduction import Reduction, reduction_option
from tinker_hl.losses.regularizer import ElementwiseRegularizer, Regularizer

__all__ = ["LabelSmoothing", "LengthPenalty"]

LEAST_REST = 1e-6


@attrs.frozen(kw_only=True)
class LabelSmoothing(ElementwiseRegularizer):
    """log p_y - sum_k log p_k / V: with a coefficient e beside cross entropy, label smoothing (Szegedy et al. 2016).

    -log p_y + e (log p_y - sum_k log p_k / V) is (1 - e) of the cross entropy and e of that with the uniform
    distribution. y is the first candidate of a position. With targets [T, K] the sum is over the K candidates, and V is
    K. With targets [T] the client sees p_y only: the other V - 1 tokens are taken to share what is left evenly,
    which is the least that the sum can be.

    Args:
        vocabulary_size: V, needed for targets [T].
    """

    vocabulary_size: int | None = attrs.field(default=None, validator=attrs.validators.optional(whole(2)))
    reduction: Reduction = attrs.field(default="sum", validator=reduction_option)

    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """The term of each position."""
        return [self._candidates(row) if row.ndim > 1 else self._single(row, i) for i, row in enumerate(logprobs)]

    @staticmethod
    def _candidates(row: Tensor) -> Tensor:
        return row[:, 0] - row.mean(dim=-1)

    def _single(self, row: Tensor, index: int) -> Tensor:
        if self.vocabulary_size is None:
            raise InvalidDatumError(
                "LabelSmoothing needs vocabulary_size where target_tokens is [T]",
                datum_index=index,
                field="loss_fn_inputs['target_tokens']",
                hint="Give it, or several candidates a position, the target first.",
            )
        others = self.vocabulary_size - 1
        rest = (1 - row.exp()).clamp(min=LEAST_REST).log() - math.log(others)
        return row - (row + others * rest) / self.vocabulary_size


@attrs.frozen(kw_only=True)
class LengthPenalty(Regularizer):
    """The mean over the datums of c(n_i), n_i the positions of a datum whose weight is not 0.

    With `limit` L and `margin` M, the soft punishment of overlong answers of DAPO (Yu et al. 2025, equation 13):

        c(n) = 0 up to L - M, (n - L + M) / M up to L, 1 beyond

    A length has no derivative. The gradient is that of the expected penalty, by the score function (Williams 1992): the
    mean of (c_i - baseline) d log P(y_i), where log P(y_i) is the sum of the datum's logprobs that count. So the datums
    must be answers that the model itself has sampled, and `weights` must be 0 on prompts.

    Args:
        limit: The longest that an answer should be, in positions.
        margin: Over how many positions before the limit the penalty grows.
        baseline: `mean` (of the others of the call, which leaves it unbiased) or `none`.
        weights: As in `Regularizer`; by default the datum's own.
    """

    limit: int = attrs.field(validator=whole(1))
    margin: int = attrs.field(validator=whole(1))
    baseline: Literal["mean", "none"] = attrs.field(default="mean", validator=one_of("mean", "none"))
    weights: RowSource | None = "weights"

    def __attrs_post_init__(self) -> None:
        if self.margin > self.limit:
            raise refused(self, "margin", f"must be limit, {self.limit}, or less, got {self.margin}")

    def penalty(self, logprobs: Rows, *, reference: Rows | None = None, weights: Rows | None = None) -> Tensor:
        """See `Regularizer.penalty`."""
        counted = [torch.ones_like(each) if weights is None else weights[i] for i, each in enumerate(logprobs)]
        sizes = torch.stack([(each.amax(-1) if each.ndim > 1 else each).count_nonzero() for each in counted])
        costs = ((sizes - self.limit + self.margin) / self.margin).clamp(0, 1).to(logprobs[0].dtype)
        scores = torch.stack([row[weight != 0].sum() for row, weight in zip(logprobs, counted, strict=True)])
        surrogate = ((costs - self._baselines(costs)) * scores).mean()
        return costs.mean() + surrogate - surrogate.detach()

    def _baselines(self, costs: Tensor) -> Tensor:
        if self.baseline == "none" or len(costs) < 2:
            return torch.zeros_like(costs)
        return (costs.sum() - costs) / (len(costs) - 1)
