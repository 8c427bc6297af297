"""A loss of single datums that was traced: what a training client takes in place of a function.

It knows neither how losses are traced nor how they are run. torch is not imported here.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinker_hl.types import CustomLossInput

if TYPE_CHECKING:
    import torch
    import torch.fx

__all__ = ["LossHandle", "PerDatumLossFn"]

PerDatumLossFn = Callable[..., "tuple[torch.Tensor, Mapping[str, torch.Tensor]]"]
"""Takes the logprobs of one datum ([T] or [T, K]), then loss inputs of it by their names; returns the datum's loss (a
scalar) and metrics named `custom/<name>:sum` or `custom/<name>:mean`."""


@dataclass(frozen=True)
class LossHandle:
    """A loss that `ServiceClient.create_custom_loss` made.

    Invariant: `graph` has one placeholder for each of `inputs`, in their order, and returns the loss and a dict of
    metrics. Two handles are equal if all but their graphs are.

    Args:
        name: What the function was called.
        inputs: Its arguments and their ranks; `logprobs` is the first.
        session_id: The session that it can be used in.
        graph: The traced function.
        loss_id: The server's name of it; None if the loss runs on this machine.
    """

    name: str
    inputs: tuple[CustomLossInput, ...]
    session_id: str
    graph: "torch.fx.GraphModule" = field(repr=False, compare=False)
    loss_id: str | None = None

    @property
    def key(self) -> str:
        """The same for losses that compute the same in the same way: a SHA-256 of the traced code and the inputs."""
        return loss_key(self.graph, self.inputs)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs after `logprobs`, which each datum must have in its `loss_fn_inputs`."""
        return tuple(each.name for each in self.inputs[1:])


def loss_key(graph: "torch.fx.GraphModule", inputs: tuple[CustomLossInput, ...]) -> str:
    """See `LossHandle.key`."""
    return hashlib.sha256((graph.code + repr(inputs)).encode()).hexdigest()
