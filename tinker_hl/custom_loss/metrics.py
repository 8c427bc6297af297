"""The metrics of a custom loss: what counts as a number, and how they join those of the server.

It knows nothing of losses or gradients.
"""

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from tinker_hl.custom_loss.rules import Rule
from tinker_hl.errors import CustomLossError
from tinker_hl.types import ForwardBackwardOutput
from tinker_hl.types.arrays import is_torch_tensor

__all__ = ["metric_numbers", "with_surrogate_metrics"]


def metric_numbers(metrics: Mapping[Any, Any]) -> dict[str, float]:
    """The metrics as plain numbers, so that they hold no tensor, and no graph behind it.

    Args:
        metrics: Names to Python numbers, numpy numbers, or arrays or tensors of one real number, on any device.

    Raises:
        CustomLossError: Something else; it names the metric.
    """
    return {_name(key): _number(key, value) for key, value in metrics.items()}


def with_surrogate_metrics(
    output: ForwardBackwardOutput, loss: float, metrics: Mapping[str, float]
) -> ForwardBackwardOutput:
    """The second pass's result as the user reads it.

    `loss:sum` is the custom loss, `surrogate_loss:sum` what the server called its loss (absent where it says none), and
    the user's metrics are added under their own names.
    """
    joined = dict(output.metrics)
    server_loss = joined.pop("loss:sum", None)
    joined.update(metrics)
    joined["loss:sum"] = loss
    if server_loss is not None:
        joined["surrogate_loss:sum"] = server_loss
    return attrs.evolve(output, metrics=joined)


def _name(key: Any) -> str:
    if not isinstance(key, str):
        raise CustomLossError(f"the name of a metric is text, got {key!r}", rule=Rule.METRICS, metric=repr(key))
    return key


def _number(key: Any, value: Any) -> float:
    if isinstance(value, (int, float)):
        return _python_number(key, value)
    size = _size(value)
    if size is None:
        raise _refusal(key, f"got {_kind(value)}")
    if size != 1:
        raise _refusal(key, f"got {size} of them, of shape {list(value.shape)}")
    return float(value.item())


def _size(value: Any) -> int | None:
    """How many real numbers an array or a tensor holds; None for anything else."""
    if is_torch_tensor(value):
        return None if value.is_complex() or value.is_meta else int(value.numel())
    is_numeric = isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf"
    return int(value.size) if is_numeric else None


def _python_number(key: Any, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _refusal(key, "got an integer that no float holds") from None


def _kind(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ + (f" of {dtype}" if dtype is not None else "")


def _refusal(key: Any, got: str) -> CustomLossError:
    return CustomLossError(
        f"metric {key!r} must be one real number (Python, numpy, or a tensor with one element), {got}",
        rule=Rule.METRICS,
        metric=str(key),
    )
