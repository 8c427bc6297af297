"""Losses computed on this machine: the mathematics of a custom loss, without any request.

The server's `cross_entropy` is L = -sum_i w_i * logprob_i, so its gradient with respect to logprob_i is -w_i. To
back-propagate an arbitrary C(logprobs), its weights must be w_i = -dC/dlogprob_i: **minus** the derivative, which
torch's autograd gives. So a custom loss is two passes: one for the logprobs, one with those weights.

torch is imported when a loss is computed, not before. The module knows nothing of requests or order.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from tinker_hl.errors import ConfigurationError, InvalidDatumError
from tinker_hl.types import Datum, ForwardBackwardOutput, TensorData

if TYPE_CHECKING:
    import torch

__all__ = ["CustomLossFn", "Surrogate", "evaluate", "forward_datums", "require_torch", "with_surrogate_metrics"]

CustomLossFn = Callable[[list[Datum], "list[torch.Tensor]"], "tuple[torch.Tensor, Mapping[str, Any]]"]
"""Takes the datums and the logprobs of each (float32, shaped as its `target_tokens`, requiring gradients); returns a
scalar loss and metrics."""


@attrs.frozen(kw_only=True)
class Surrogate:
    """What the second pass sends, and what the first one found."""

    data: list[Datum]
    loss: float
    metrics: dict[str, float]


def require_torch() -> None:
    """Raise now, at the call, if torch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "a custom loss needs torch, which is not installed", hint="Install it with: pip install 'tinker-hl[torch]'"
        ) from error


def forward_datums(data: Sequence[Datum]) -> list[Datum]:
    """The datums of the first pass: targets and weights only; other inputs stay on this machine.

    Raises:
        InvalidDatumError: A datum has no `target_tokens`.
    """
    return [_forward_datum(datum, index) for index, datum in enumerate(data)]


def evaluate(loss_fn: CustomLossFn, data: list[Datum], output: ForwardBackwardOutput) -> Surrogate:
    """Call the user's loss on the logprobs of a forward pass, and differentiate it.

    Args:
        loss_fn: The user's.
        data: The datums as the user gave them.
        output: Of the forward pass; one `logprobs` for each datum.

    Raises:
        ValueError: The loss is no scalar, or does not depend on any logprob.
        InvalidDatumError: The loss, or its gradient, is not finite; names the datum.
    """
    leaves = [_leaf(outputs["logprobs"]) for outputs in output.loss_fn_outputs]
    loss, metrics = _call(loss_fn, data, leaves)
    loss.backward()  # type: ignore[no-untyped-call]
    if all(leaf.grad is None for leaf in leaves):
        raise ValueError("the custom loss has no gradient: it does not depend on the logprobs that it was given")
    weighted = [_weighted(datum, leaf, index) for index, (datum, leaf) in enumerate(zip(data, leaves, strict=True))]
    return Surrogate(
        data=weighted, loss=float(loss.item()), metrics={key: float(value) for key, value in metrics.items()}
    )


def with_surrogate_metrics(output: ForwardBackwardOutput, surrogate: Surrogate) -> ForwardBackwardOutput:
    """The second pass's result as the user reads it.

    `loss:sum` is the custom loss, `surrogate_loss:sum` what the server called its loss (absent where it says none), and
    the user's metrics are added under their own names.
    """
    metrics = dict(output.metrics)
    server_loss = metrics.pop("loss:sum", None)
    metrics.update(surrogate.metrics)
    metrics["loss:sum"] = surrogate.loss
    if server_loss is not None:
        metrics["surrogate_loss:sum"] = server_loss
    return attrs.evolve(output, metrics=metrics)


def _forward_datum(datum: Datum, index: int) -> Datum:
    targets = datum.loss_fn_inputs.get("target_tokens")
    if targets is None:
        raise InvalidDatumError("a custom loss needs it", datum_index=index, field="loss_fn_inputs['target_tokens']")
    weights = datum.loss_fn_inputs.get("weights")
    if weights is None:
        weights = TensorData.from_numpy(np.zeros(targets.to_numpy().shape, dtype=np.float32))
    return attrs.evolve(datum, loss_fn_inputs={"target_tokens": targets, "weights": weights})


def _leaf(logprobs: TensorData) -> "torch.Tensor":
    import torch

    leaf: torch.Tensor = logprobs.to_torch().to(torch.float32).detach().clone()
    return leaf.requires_grad_(True)


def _call(
    loss_fn: CustomLossFn, data: list[Datum], leaves: "list[torch.Tensor]"
) -> "tuple[torch.Tensor, Mapping[str, Any]]":
    import torch

    result = loss_fn(data, leaves)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], torch.Tensor)):
        raise TypeError("a custom loss returns (loss, metrics): a scalar torch.Tensor and a dict")
    loss, metrics = result
    if loss.numel() != 1:
        raise ValueError(f"a custom loss must be a scalar, got a tensor of shape {list(loss.shape)}")
    if not math.isfinite(loss.item()):
        worst = next((i for i, leaf in enumerate(leaves) if not bool(torch.isfinite(leaf).all())), None)
        raise InvalidDatumError(f"the custom loss is {loss.item()}, which is not finite", datum_index=worst)
    return loss, metrics


def _weighted(datum: Datum, leaf: "torch.Tensor", index: int) -> Datum:
    import torch

    gradient = leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)
    if not bool(torch.isfinite(gradient).all()):
        raise InvalidDatumError(
            "the gradient of the custom loss is not finite", datum_index=index, field="loss_fn_inputs['weights']"
        )
    weights = TensorData.from_numpy((-gradient).numpy())
    targets = datum.loss_fn_inputs["target_tokens"]
    return attrs.evolve(datum, loss_fn_inputs={"target_tokens": targets, "weights": weights})
