"""Forward and backward passes: what is asked and what comes back."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from tinker_hl.types.dataclass_view import DataclassView
from tinker_hl.types.datum import Datum
from tinker_hl.types.loss_names import LossFnType
from tinker_hl.types.record import Answer, Record
from tinker_hl.types.tensor_data import TensorData

__all__ = [
    "ForwardBackwardInput",
    "ForwardBackwardOutput",
    "ForwardBackwardRequest",
    "ForwardRequest",
    "LossFnOutput",
    "LossFnType",
]

LossFnOutput: TypeAlias = dict[str, TensorData]


@attrs.frozen
class ForwardBackwardInput(DataclassView, Record):
    """Data and loss of one pass."""

    data: list[Datum]
    loss_fn: LossFnType
    loss_fn_config: Mapping[str, float | str] | None = None


@attrs.frozen
class ForwardBackwardRequest(DataclassView, Record):
    """A pass with gradient, as it is sent."""

    forward_backward_input: ForwardBackwardInput
    model_id: str
    seq_id: int | None = None


@attrs.frozen
class ForwardRequest(DataclassView, Record):
    """A pass without gradient, as it is sent to servers of the 0.7 generation."""

    forward_input: ForwardBackwardInput
    model_id: str
    seq_id: int | None = None


@attrs.frozen
class ForwardBackwardOutput(DataclassView, Answer):
    """What a pass reports.

    `loss_fn_outputs` has one dict a datum, in the order of the data; the built-in losses give `logprobs`, float32,
    shaped like the datum's `target_tokens`. `metrics` has keys `name:reduction`, `loss:sum` among them.
    """

    loss_fn_output_type: str
    loss_fn_outputs: list[LossFnOutput]
    metrics: dict[str, float] = attrs.field(factory=dict)

    @property
    def loss(self) -> float:
        """The metric `loss:sum`. Raises `AttributeError` naming the metrics there are, if it is not among them."""
        if "loss:sum" not in self.metrics:
            raise AttributeError(f"the loss reported no loss:sum, only {', '.join(self.metrics) or 'no metrics'}")
        return self.metrics["loss:sum"]

    def __repr__(self) -> str:
        shown: Any = self.loss_fn_outputs[:2]
        more = f" (first 2 of {len(self.loss_fn_outputs)})" if len(self.loss_fn_outputs) > 2 else ""
        return f"ForwardBackwardOutput(metrics={self.metrics}, loss_fn_outputs={shown}{more})"
