"""Compares the gradient that torch finds of a custom loss with finite differences: for losses of your own."""

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from tinker_hl.custom_loss.surrogate import CustomLossFn
from tinker_hl.types import Datum

__all__ = ["GradientCheck", "check_gradient"]


@attrs.frozen(kw_only=True)
class GradientCheck:
    """What `check_gradient` found."""

    largest_difference: float
    """Between the two, over all elements of all datums."""
    datum_index: int
    """Where it is."""
    element: int
    """In the datum's flattened logprobs."""
    autograd: float
    """What torch says there."""
    finite_difference: float
    """(f(x + step) - f(x - step)) / (2 step)."""


def check_gradient(
    loss_fn: CustomLossFn, data: Sequence[Datum], logprobs: Sequence[Any], *, step: float = 1e-5
) -> GradientCheck:
    """Differentiate a loss twice, by torch and by central differences, in float64.

    The loss is evaluated twice for each element, so give few and short datums. A loss that stops a gradient on purpose
    (a clipped ratio, a score function) differs on purpose.

    Args:
        loss_fn: The loss.
        data: The datums to call it with.
        logprobs: Where to differentiate: one array or tensor a datum.
        step: Of the differences.

    Returns:
        Where the two differ most.
    """
    leaves = [torch.as_tensor(each).detach().to(torch.float64).clone().requires_grad_() for each in logprobs]
    gradients = torch.autograd.grad(_value(loss_fn, data, leaves), leaves, allow_unused=True, materialize_grads=True)
    found = [
        GradientCheck(
            largest_difference=abs(by_torch - by_steps),
            datum_index=index,
            element=element,
            autograd=by_torch,
            finite_difference=by_steps,
        )
        for index, gradient in enumerate(gradients)
        for element, by_torch in enumerate(gradient.reshape(-1).tolist())
        for by_steps in [_central_difference(loss_fn, data, leaves, index, element, step)]
    ]
    return max(found, key=lambda each: each.largest_difference)


def _central_difference(
    loss_fn: CustomLossFn, data: Sequence[Datum], leaves: list[Tensor], index: int, element: int, step: float
) -> float:
    def at(offset: float) -> float:
        moved = [each.detach().clone() for each in leaves]
        moved[index].view(-1)[element] += offset
        # With gradients: a loss may differentiate something itself.
        return _value(loss_fn, data, [each.requires_grad_() for each in moved]).item()

    return (at(step) - at(-step)) / (2 * step)


def _value(loss_fn: CustomLossFn, data: Sequence[Datum], logprobs: list[Tensor]) -> Tensor:
    found: Any = loss_fn(list(data), logprobs)
    loss: Tensor = found[0] if isinstance(found, tuple) else found
    return loss.reshape(())
