"""Losses of preferences between answers: DPO, IPO, SimPO for pairs, KTO for answers that were judged one by one.

log P is the sum of the logprobs of a datum that its `weights` count (all, where it has none), so weights of 0 on the
prompt and 1 on the answer. Datums of pairs come in the order chosen, rejected, chosen, rejected, ... The value is the
mean over the pairs, or over the datums, as in the papers.
"""

from abc import ABC, abstractmethod
from typing import Literal

import attrs
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tinker_hl.errors import InvalidDatumError
from tinker_hl.losses.datum_rows import Rows, RowSource, optional_rows, rows_of
from tinker_hl.losses.options import at_least, between, one_of, positive
from tinker_hl.types import Datum

__all__ = ["DPO", "IPO", "KTO", "PairLoss", "SimPO"]

Returned = tuple[Tensor, dict[str, float]]


@attrs.frozen(kw_only=True)
class PairLoss(ABC):
    """What losses of pairs have in common.

    Args:
        weights: What counts of each datum: a key of `loss_fn_inputs` (a datum without it counts whole), arrays, or a
            function of the datums; None for all.
    """

    weights: RowSource | None = "weights"

    def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> Returned:
        """The mean over the pairs, with `accuracy:mean` and `margin:mean`.

        Raises:
            InvalidDatumError: An odd number of datums, or an answer of which nothing counts.
        """
        if len(data) % 2:
            raise InvalidDatumError(
                f"{type(self).__name__} takes pairs, chosen and rejected in turn, and got {len(data)} datums"
            )
        weights = optional_rows(self.weights, data, logprobs, f"{type(self).__name__}.weights")
        margins = self.margins(self._scores(data, logprobs, weights))
        metrics = {
            "accuracy:mean": (margins > 0).to(margins.dtype).mean().item(),
            "margin:mean": margins.detach().mean().item(),
        }
        return self.of(margins).mean(), metrics

    def margins(self, scores: Tensor) -> Tensor:
        """How much more the chosen answer scores than the rejected one: [pairs] of [2 * pairs]."""
        return scores[0::2] - scores[1::2]

    @abstractmethod
    def of(self, margins: Tensor) -> Tensor:
        """The loss of each pair."""

    @abstractmethod
    def _scores(self, data: list[Datum], logprobs: Rows, weights: Rows | None) -> Tensor:
        """The score of each datum, [datums]."""


@attrs.frozen(kw_only=True)
class _ReferencePairLoss(PairLoss):
    reference: RowSource = "reference_logprobs"

    def _scores(self, data: list[Datum], logprobs: Rows, weights: Rows | None) -> Tensor:
        found = rows_of(self.reference, data, logprobs, f"{type(self).__name__}.reference")
        return _log_probabilities(logprobs, weights) - _log_probabilities(found, weights)


@attrs.frozen(kw_only=True)
class DPO(_ReferencePairLoss):
    """-(1 - e) log sigmoid(beta h) - e log sigmoid(-beta h) (Rafailov et al. 2023; e: Mitchell 2023, conservative DPO).

    h = (log P(chosen) - log Q(chosen)) - (log P(rejected) - log Q(rejected)), Q the reference.

    Args:
        beta: How strongly the model is kept to the reference.
        label_smoothing: e, the probability that a preference is the wrong way round; below 0.5.
        reference: The reference's logprobs: a key of `loss_fn_inputs`, arrays, or a function of the datums.
        weights: As in `PairLoss`.
    """

    beta: float = attrs.field(default=0.1, validator=positive)
    label_smoothing: float = attrs.field(default=0.0, validator=between(0, 0.5))

    def of(self, margins: Tensor) -> Tensor:
        """The loss of each pair."""
        right, wrong = logsigmoid(self.beta * margins), logsigmoid(-self.beta * margins)
        return -(1 - self.label_smoothing) * right - self.label_smoothing * wrong


@attrs.frozen(kw_only=True)
class IPO(_ReferencePairLoss):
    """(h - 1 / (2 tau))^2 with h as in `DPO` (Azar et al. 2024).

    Args:
        tau: How strongly the model is kept to the reference.
        reference: As in `DPO`.
        weights: As in `PairLoss`.
    """

    tau: float = attrs.field(default=0.1, validator=positive)

    def of(self, margins: Tensor) -> Tensor:
        """The loss of each pair."""
        return torch.square(margins - 1 / (2 * self.tau))


@attrs.frozen(kw_only=True)
class SimPO(PairLoss):
    """-log sigmoid(beta (log P(chosen) / n_chosen - log P(rejected) / n_rejected) - gamma) (Meng et al. 2024).

    n is the sum of an answer's weights: its length. There is no reference.

    Args:
        beta: The scale of the difference.
        gamma: The margin that the chosen answer should have.
        weights: As in `PairLoss`.
    """

    beta: float = attrs.field(default=2.0, validator=positive)
    gamma: float = attrs.field(default=1.0, validator=at_least(0))

    def of(self, margins: Tensor) -> Tensor:
        """The loss of each pair."""
        return -logsigmoid(self.beta * margins - self.gamma)

    def _scores(self, data: list[Datum], logprobs: Rows, weights: Rows | None) -> Tensor:
        return _log_probabilities(logprobs, weights) / _lengths(logprobs, weights)


@attrs.frozen(kw_only=True)
class KTO:
    """Each answer is good or bad by itself (Ethayarajh et al. 2024).

        lambda_g (1 - sigmoid(beta (h - z)))  for a good one
        lambda_b (1 - sigmoid(beta (z - h)))  for a bad one

    h = log P - log Q, Q the reference, z = max(0, an estimate of the KL divergence), a constant. The paper takes
    it from answers behind the wrong prompts; here it is the mean h of the call, as for answers that the model sampled.

    Args:
        good: Which datums are good: a key of `loss_fn_inputs` with one number a datum, or one number or truth a datum,
            or a function of the datums; above 0 is good.
        beta: How strongly the model is kept to the reference.
        good_weight: lambda_g.
        bad_weight: lambda_b.
        divergence: Where z comes from: `batch` (the mean h of the call) or `none` (0).
        reference: As in `DPO`.
        weights: As in `PairLoss`.
    """

    good: RowSource = attrs.field()
    beta: float = attrs.field(default=0.1, validator=positive)
    good_weight: float = attrs.field(default=1.0, validator=positive)
    bad_weight: float = attrs.field(default=1.0, validator=positive)
    divergence: Literal["batch", "none"] = attrs.field(default="batch", validator=one_of("batch", "none"))
    reference: RowSource = "reference_logprobs"
    weights: RowSource | None = "weights"

    def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> Returned:
        """The mean over the datums, with `divergence:mean` (z) and `good:mean`, the part of good ones."""
        weights = optional_rows(self.weights, data, logprobs, "KTO.weights")
        reference = rows_of(self.reference, data, logprobs, "KTO.reference")
        found = rows_of(self.good, data, [each.detach().new_zeros(1) for each in logprobs], "KTO.good")
        good = torch.cat([each.reshape(1) for each in found]) > 0
        ratios = _log_probabilities(logprobs, weights) - _log_probabilities(reference, weights)
        return self.of(ratios, good).mean(), {
            "divergence:mean": self._divergence(ratios).item(),
            "good:mean": good.to(ratios.dtype).mean().item(),
        }

    def of(self, ratios: Tensor, good: Tensor) -> Tensor:
        """The loss of each datum.

        Args:
            ratios: h, [datums].
            good: [datums], bool.
        """
        apart = self.beta * (ratios - self._divergence(ratios))
        return torch.where(
            good, self.good_weight * (1 - torch.sigmoid(apart)), self.bad_weight * (1 - torch.sigmoid(-apart))
        )

    def _divergence(self, ratios: Tensor) -> Tensor:
        return ratios.detach().mean().clamp(min=0) * (self.divergence == "batch")


def _log_probabilities(rows: Rows, weights: Rows | None) -> Tensor:
    """log P of each datum, [datums]."""
    if weights is None:
        return torch.stack([each.sum() for each in rows])
    return torch.stack([(row * weight).sum() for row, weight in zip(rows, weights, strict=True)])


def _lengths(rows: Rows, weights: Rows | None) -> Tensor:
    sizes = [each.new_tensor(each.numel()) for each in rows] if weights is None else [each.sum() for each in weights]
    for index, each in enumerate(sizes):
        if each <= 0:
            raise InvalidDatumError("nothing of this answer counts: its weights are 0", datum_index=index)
    return torch.stack(sizes)
