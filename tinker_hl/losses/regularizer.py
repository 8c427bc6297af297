"""What all regularizers are: options that are checked when they are made, and a penalty that is one number.

A regularizer has the signature of a custom loss, so that it is a term of a pipeline and can be trained alone. It knows
neither clients nor pipelines.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import attrs
import torch
from torch import Tensor

from tinker_hl.errors import InvalidDatumError
from tinker_hl.losses.datum_rows import Rows, RowSource, rows_of
from tinker_hl.losses.reduction import Reduction, position_weights, reduced, reduction_option
from tinker_hl.types import Datum

__all__ = ["ElementwiseRegularizer", "Regularizer", "candidates", "needed_reference", "refuse_single_targets"]


@attrs.frozen(kw_only=True)
class Regularizer(ABC):
    """A penalty over logprobs, differentiable in them.

    Args:
        weights: How much each position counts, 0 or more: a key of the datums' `loss_fn_inputs`, arrays, or a function
            of the datums. None counts all alike.
    """

    weights: RowSource | None = None

    def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The penalty of a call, and no metrics of its own; what `forward_backward_custom` and `Pipeline` call."""
        return self.penalty(
            logprobs, reference=self._reference(data, logprobs), weights=self._weights(data, logprobs)
        ), {}

    @abstractmethod
    def penalty(self, logprobs: Rows, *, reference: Rows | None = None, weights: Rows | None = None) -> Tensor:
        """The penalty, a scalar of the dtype of the logprobs.

        Args:
            logprobs: One tensor a datum, [T] or [T, K]; natural logarithms.
            reference: Of the same shapes, for those that compare with something.
            weights: Of the same shapes, 0 or more; None for ones.
        """

    def _reference(self, data: list[Datum], logprobs: list[Tensor]) -> list[Tensor] | None:
        return None

    def _weights(self, data: list[Datum], logprobs: list[Tensor]) -> list[Tensor] | None:
        if self.weights is None:
            return None
        found = rows_of(self.weights, data, logprobs, f"{type(self).__name__}.weights")
        for index, each in enumerate(found):
            if bool((each < 0).any()):
                field = f"loss_fn_inputs[{self.weights!r}]" if isinstance(self.weights, str) else "weights"
                raise InvalidDatumError(
                    f"a weight of {type(self).__name__} is {each.min().item():g}; it must be 0 or more",
                    datum_index=index,
                    field=field,
                )
        return found


@attrs.frozen(kw_only=True)
class ElementwiseRegularizer(Regularizer):
    """A penalty that is a sum or a mean of terms, one a position (or one a candidate).

    Args:
        reduction: `sum`, `mean` (over all positions of all datums) or `datum_mean` (over each datum, then over these).
    """

    reduction: Reduction = attrs.field(default="mean", validator=reduction_option)
    per_candidate: ClassVar[bool] = False
    """Whether there is a term for each candidate, rather than one for each position."""

    def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The penalty of a call, with the mean, the least and the greatest of the terms that count as metrics."""
        weights = self._weights(data, logprobs)
        terms = self._counted_terms(logprobs, self._reference(data, logprobs), weights)
        counted = self._term_weights(weights, logprobs)
        return reduced(terms, counted, self.reduction), _spread(terms, counted)

    def penalty(self, logprobs: Rows, *, reference: Rows | None = None, weights: Rows | None = None) -> Tensor:
        """See `Regularizer.penalty`."""
        terms = self._counted_terms(logprobs, reference, weights)
        return reduced(terms, self._term_weights(weights, logprobs), self.reduction)

    @abstractmethod
    def terms(self, logprobs: Rows, reference: Rows | None = None, weights: Rows | None = None) -> list[Tensor]:
        """The term of each position, [T], or of each candidate, [T, K]; the weights are not multiplied in yet."""

    def _counted_terms(self, logprobs: Rows, reference: Rows | None, weights: Rows | None) -> list[Tensor]:
        """The terms, with 0 in place of the rows' numbers at positions without weight.

        A stand-in there, as of a reference that scored no prompt, might overflow; and 0 * inf, in a backward pass too,
        is not a number.
        """
        if weights is None:
            return self.terms(logprobs, reference, weights)
        places = [w != 0 if self.per_candidate or w.ndim < 2 else (w != 0).any(-1, keepdim=True) for w in weights]
        rows = [torch.where(place, row, 0.0) for place, row in zip(places, logprobs, strict=True)]
        if reference is not None:
            reference = [torch.where(place, row, 0.0) for place, row in zip(places, reference, strict=True)]
        return self.terms(rows, reference, weights)

    def _term_weights(self, weights: Rows | None, logprobs: Rows) -> Rows | None:
        return weights if self.per_candidate else position_weights(weights, logprobs)


def _spread(terms: Sequence[Tensor], weights: Rows | None) -> dict[str, float]:
    counted = [each.detach() for each in terms]
    if weights is not None:
        counted = [each[weight != 0] for each, weight in zip(counted, weights, strict=True)]
    flat = torch.cat([each.reshape(-1) for each in counted])
    if not flat.numel():
        return {}
    return {"mean:mean": flat.mean().item(), "min:min": flat.min().item(), "max:max": flat.max().item()}


def needed_reference(regularizer: object, reference: Rows | None, logprobs: Rows) -> Rows:
    """The reference rows, which there must be, of the shapes of the logprobs.

    Raises:
        InvalidDatumError: There are none, or one has another shape.
    """
    if reference is None or len(reference) != len(logprobs):
        raise InvalidDatumError(f"{type(regularizer).__name__} compares with reference rows: give one a datum")
    for index, (row, other) in enumerate(zip(logprobs, reference, strict=True)):
        if row.shape != other.shape:
            raise InvalidDatumError(
                f"the reference has shape {list(other.shape)}, the logprobs have {list(row.shape)}", datum_index=index
            )
    return reference


def candidates(row: Tensor) -> Tensor:
    """[T, K] of a row of either shape; a row of single targets has one candidate a position."""
    return row if row.ndim > 1 else row.unsqueeze(-1)


def refuse_single_targets(regularizer: object, logprobs: Rows, option: str) -> None:
    """Refuse rows [T] for what needs the candidates of a position.

    Raises:
        InvalidDatumError: Names the datum.
    """
    for index, row in enumerate(logprobs):
        if row.ndim < 2:
            raise InvalidDatumError(
                f"{type(regularizer).__name__}{option} needs several candidates a position, targets of shape [T, K]; "
                f"got {list(row.shape)}",
                datum_index=index,
                field="loss_fn_inputs['target_tokens']",
            )
