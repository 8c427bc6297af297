"""Losses computed on this machine: the mathematics of a custom loss, without any request.

The server's `cross_entropy` is L = -sum_i w_i * logprob_i, so its gradient with respect to logprob_i is -w_i. To
back-propagate an arbitrary C(logprobs), its weights must be w_i = -dC/dlogprob_i: **minus** the derivative, which
torch's autograd gives. So a custom loss is two passes: one for the logprobs, one with those weights.

torch is imported when a loss is computed, not before. The module knows nothing of requests or order.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from tinker_hl.custom_loss.metrics import metric_numbers
from tinker_hl.custom_loss.rules import Rule
from tinker_hl.errors import APIResponseValidationError, CustomLossError, InvalidDatumError
from tinker_hl.types import Datum, ForwardBackwardOutput, TensorData

if TYPE_CHECKING:
    import torch

__all__ = [
    "CustomLossFn",
    "Surrogate",
    "checked_result",
    "evaluate",
    "forward_datums",
    "refuse_unusable",
    "tensor_shape",
]

CustomLossFn = Callable[[list[Datum], "list[torch.Tensor]"], "tuple[torch.Tensor, Mapping[str, Any]]"]
"""Takes the datums and the logprobs of each (float32, shaped as its `target_tokens`, requiring gradients); returns a
scalar loss and metrics."""


@attrs.frozen(kw_only=True)
class Surrogate:
    """What the second pass sends, and what the first one found. It holds no tensor of the user's."""

    data: list[Datum]
    loss: float
    metrics: dict[str, float]


def refuse_unusable(loss_fn: object) -> None:
    """Raise at the call what can be seen of a loss without calling it.

    Raises:
        CustomLossError: It cannot be called, or is async.
    """
    if not callable(loss_fn):
        raise CustomLossError(
            f"a custom loss is a function of (data, logprobs), or a LossHandle; got {loss_fn!r}",
            rule=Rule.CALLABLE,
            hint="Losses that the server has by a name go to forward_backward.",
        )
    if inspect.iscoroutinefunction(loss_fn) or inspect.iscoroutinefunction(type(loss_fn).__call__):
        raise async_refusal()


def forward_datums(data: Sequence[Datum]) -> list[Datum]:
    """The datums of the first pass: targets and weights only; other inputs stay on this machine.

    The weights are dense, so that the second pass is no larger. They have no part in the logprobs: where the datum has
    none, or has some of another shape for the loss to read, they are zeros.

    Raises:
        InvalidDatumError: A datum has no `target_tokens`.
    """
    return [_forward_datum(datum, index) for index, datum in enumerate(data)]


def evaluate(
    loss_fn: CustomLossFn, data: Sequence[Datum], output: ForwardBackwardOutput, shown: Sequence[Datum] | None = None
) -> Surrogate:
    """Call the user's loss on the logprobs of a forward pass, and differentiate it.

    What the loss raises is passed on as it is. Parameters of the user's own that the loss depends on have the loss's
    gradient added to their `.grad`, as `loss.backward()` does.

    Args:
        loss_fn: The user's.
        data: The datums of the call.
        output: Of the forward pass; one `logprobs` for each datum.
        shown: The objects to call the loss with, if others than `data`.

    Raises:
        CustomLossError: It returned something else than a real scalar that depends on the logprobs, and metrics.
        InvalidDatumError: A logprob, the loss, or its gradient is not finite; names the datum.
        APIResponseValidationError: The server sent no logprobs, or of another shape.
    """
    import torch

    leaves = _leaves(data, output)
    with torch.enable_grad():
        loss, metrics = checked_result(loss_fn(list(data if shown is None else shown), list(leaves)))
        numbers = metric_numbers(metrics)
        _differentiate(loss, leaves)
    weighted = [_weighted(datum, leaf, index) for index, (datum, leaf) in enumerate(zip(data, leaves, strict=True))]
    return Surrogate(data=weighted, loss=float(loss.item()), metrics=numbers)


def _forward_datum(datum: Datum, index: int) -> Datum:
    targets = datum.loss_fn_inputs.get("target_tokens")
    if targets is None:
        raise InvalidDatumError("a custom loss needs it", datum_index=index, field="loss_fn_inputs['target_tokens']")
    shape = tensor_shape(targets)
    weights = datum.loss_fn_inputs.get("weights")
    if weights is None or weights.dtype != "float32" or tensor_shape(weights) != shape:
        dense = TensorData.from_numpy(np.zeros(shape, dtype=np.float32))
    else:
        dense = TensorData.from_numpy(weights.to_numpy()) if weights.is_sparse else weights
    return attrs.evolve(datum, loss_fn_inputs={"target_tokens": targets, "weights": dense})


def tensor_shape(tensor: TensorData) -> tuple[int, ...]:
    """The dense shape; one axis where the tensor leaves it open."""
    return (tensor.values.size,) if tensor.shape is None else tuple(tensor.shape)


def _leaves(data: Sequence[Datum], output: ForwardBackwardOutput) -> "list[torch.Tensor]":
    found = output.loss_fn_outputs
    if len(found) != len(data):
        raise _not_promised(f"the server answered for {len(found)} datums, not for {len(data)}")
    pairs = zip(data, found, strict=True)
    return [_leaf(datum, outputs.get("logprobs"), index) for index, (datum, outputs) in enumerate(pairs)]


def _leaf(datum: Datum, logprobs: TensorData | None, index: int) -> "torch.Tensor":
    import torch

    shape = tensor_shape(datum.loss_fn_inputs["target_tokens"])
    if logprobs is None:
        raise _not_promised(f"the server sent no logprobs for datum {index}, which a custom loss is computed from")
    values = logprobs.to_numpy().astype(np.float32)
    if values.size != math.prod(shape) or (values.ndim > 1 and values.shape != shape):
        raise _not_promised(f"the logprobs of datum {index} have shape {list(values.shape)}, not {list(shape)}")
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InvalidDatumError(
            f"the server computed {values.reshape(-1)[place]} at element {place}, which is not finite",
            datum_index=index,
            field="logprobs",
        )
    return torch.from_numpy(values.reshape(shape)).requires_grad_(True)


def _not_promised(message: str) -> APIResponseValidationError:
    return APIResponseValidationError(None, None, message)


def checked_result(result: Any) -> "tuple[torch.Tensor, Mapping[str, Any]]":
    """The loss and the metrics of what the user's function returned.

    Raises:
        CustomLossError: It is something else than a real scalar and metrics.
    """
    import torch

    if inspect.iscoroutine(result):
        result.close()
        raise async_refusal()
    if not (
        isinstance(result, (tuple, list))
        and len(result) == 2
        and isinstance(result[0], torch.Tensor)
        and isinstance(result[1], Mapping)
    ):
        raise CustomLossError(
            f"a custom loss returns (loss, metrics), a scalar torch.Tensor and a dict; got {_described(result)}",
            rule=Rule.RETURNS,
        )
    loss, metrics = result
    if loss.numel() != 1:
        raise CustomLossError(
            f"a custom loss must be a scalar, got a tensor of shape {list(loss.shape)}; reduce it, as with .sum()",
            rule=Rule.SCALAR,
        )
    if not loss.is_floating_point() or loss.is_meta:
        place = "on the meta device, which holds no values" if loss.is_meta else f"of {loss.dtype}"
        raise CustomLossError(f"a custom loss must hold a real number with a fraction, got one {place}", rule=Rule.REAL)
    return loss, metrics


def async_refusal() -> CustomLossError:
    """The error for a loss that is a coroutine."""
    return CustomLossError(
        "a custom loss cannot be an async function: it runs in a thread of its own, without an event loop, where it "
        "may block; write `def`, and asyncio.run(...) inside if you must",
        rule=Rule.NOT_ASYNC,
    )


def _described(result: Any) -> str:
    if isinstance(result, (tuple, list)):
        return f"{type(result).__name__} of ({', '.join(type(part).__name__ for part in result)})"
    return type(result).__name__


def _differentiate(loss: "torch.Tensor", leaves: "list[torch.Tensor]") -> None:
    """Leave the gradient of the loss in each leaf, and nothing but it."""
    for leaf in leaves:
        leaf.grad = None  # a loss may have differentiated something itself
    if loss.requires_grad:
        if not math.isfinite(loss.item()):
            raise _not_finite(loss, leaves)
        loss.backward()  # type: ignore[no-untyped-call]
    if all(leaf.grad is None for leaf in leaves):
        raise CustomLossError(
            "the custom loss has no gradient: it does not depend on the logprobs that it was given",
            rule=Rule.GRADIENT,
        )


def _not_finite(loss: "torch.Tensor", leaves: "list[torch.Tensor]") -> InvalidDatumError:
    """The error for such a loss, naming the first datum through which it came to be, if its gradient tells."""
    import torch

    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    worst = next((i for i, g in enumerate(gradients) if g is not None and not bool(torch.isfinite(g).all())), None)
    return InvalidDatumError(f"the custom loss is {loss.item()}, which is not finite", datum_index=worst)


def _weighted(datum: Datum, leaf: "torch.Tensor", index: int) -> Datum:
    """The datum of the second pass: the weights that make cross_entropy's gradient that of the loss."""
    gradient = np.zeros(tuple(leaf.shape), np.float32) if leaf.grad is None else leaf.grad.to_dense().numpy()
    if not np.isfinite(gradient).all():
        place = int(np.flatnonzero(~np.isfinite(gradient))[0])
        raise InvalidDatumError(
            f"the gradient of the custom loss is {gradient.reshape(-1)[place]} at element {place}, which is not finite",
            datum_index=index,
            field="loss_fn_inputs['weights']",
        )
    weights = TensorData.from_numpy(-gradient).compressed()
    targets = datum.loss_fn_inputs["target_tokens"]
    return attrs.evolve(datum, loss_fn_inputs={"target_tokens": targets, "weights": weights})
