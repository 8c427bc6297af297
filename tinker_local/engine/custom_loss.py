"""Losses that a client uploaded, on the logprobs of the model: a value, a gradient and metrics for each datum.

Each datum's loss is differentiated by itself with respect to its logprobs, so that what a graph holds is held for one
datum at a time; the gradient then goes on into the model as any other loss's does.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import orjson
import torch
from torch import Tensor

from tinker_local.engine.loss_interpreter import Budget, run_graph
from tinker_local.engine.protocol import TrainingDatum, UserFaultError

__all__ = ["CUSTOM", "CustomLoss", "CustomPass"]

CUSTOM = "custom"
"""Its name on the wire."""
TARGETS = "target_tokens"


@attrs.frozen
class CustomLoss:
    """An uploaded loss, and the limits under which it runs."""

    name: str
    ranks: Mapping[str, int]
    nodes: Sequence[Mapping[str, Any]]
    most_elements: int
    most_seconds: float

    @classmethod
    def parse(cls, config: Mapping[str, float | str]) -> "CustomLoss":
        """From what the service makes of a pass's configuration: the definition, as JSON.

        Raises:
            UserFaultError: the pass came without one.
        """
        definition = config.get("definition")
        if not isinstance(definition, str):
            raise UserFaultError("loss_fn 'custom' needs loss_fn_config.loss_id, which create_custom_loss gives")
        content = orjson.loads(definition)
        return cls(
            name=content["name"],
            ranks={given["name"]: given["rank"] for given in content["inputs"]},
            nodes=content["nodes"],
            most_elements=content["most_elements"],
            most_seconds=content["most_seconds"],
        )

    def check(self, datum: TrainingDatum) -> None:
        """Raises `UserFaultError` if an input is missing, or has another rank than was declared."""
        for name, rank in self.ranks.items():
            value = _given(datum, TARGETS if name == "logprobs" else name)
            if value is None:
                raise UserFaultError(f"loss_fn_inputs has no {name!r}, which the custom loss {self.name!r} takes")
            if value.ndim != rank:
                raise UserFaultError(
                    f"{name} has rank {value.ndim}, the custom loss {self.name!r} declared it with rank {rank}"
                )


class CustomPass:
    """One pass of one custom loss over its data."""

    def __init__(self, loss: CustomLoss, data: Sequence[TrainingDatum]) -> None:
        """Raises `UserFaultError`, naming the datum that lacks something."""
        for index, datum in enumerate(data):
            with _about(index):
                loss.check(datum)
        self._loss = loss
        self._data = data
        self._ends_at = time.monotonic() + loss.most_seconds
        self._metrics: dict[str, float] = {}

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of all data so far: sums, and means over the data of the pass."""
        count = len(self._data)
        return {name: total / count if name.endswith(":mean") else total for name, total in self._metrics.items()}

    def run(self, logprobs: Tensor, indices: Sequence[int]) -> tuple[Tensor, float]:
        """The gradient of the summed losses with respect to the logprobs, and that sum.

        Args:
            logprobs: of the data with these indices, one after the other.
            indices: into the data of the pass.

        Raises:
            UserFaultError: naming the datum and the node; a loss failed, is no finite number, or reached a limit.
        """
        parts = torch.split(logprobs.detach(), [self._data[index].tokens.size for index in indices])
        gradients, total = [], 0.0
        for index, part in zip(indices, parts, strict=True):
            with _about(index):
                gradient, value = self._run_one(part, self._data[index])
            gradients.append(gradient)
            total += value
        return torch.cat(gradients), total

    def _run_one(self, logprobs: Tensor, datum: TrainingDatum) -> tuple[Tensor, float]:
        leaf = logprobs.clone().requires_grad_()
        inputs = {name: _tensor(datum, name, leaf.device) for name in self._loss.ranks if name != "logprobs"}
        with torch.enable_grad():
            loss, metrics = run_graph(
                self._loss.nodes, {**inputs, "logprobs": leaf}, Budget(self._loss.most_elements, self._ends_at)
            )
            value = _scalar("the loss", loss)
            gradient = _gradient(loss, leaf)
        for name, metric in metrics.items():
            self._metrics[name] = self._metrics.get(name, 0.0) + _scalar(f"metric {name!r}", metric, finite=False)
        return gradient, value


@contextlib.contextmanager
def _about(index: int) -> Iterator[None]:
    """Puts the datum into an error's text."""
    try:
        yield
    except UserFaultError as error:
        raise UserFaultError(f"datum {index}: {error}") from None


def _gradient(loss: Tensor, leaf: Tensor) -> Tensor:
    """Of a loss, with respect to the logprobs; 0 where it does not depend on them."""
    if not loss.requires_grad:
        return torch.zeros_like(leaf)
    try:
        found: Sequence[Tensor | None] = torch.autograd.grad(loss, leaf, allow_unused=True)
    except RuntimeError as error:
        raise UserFaultError(f"the custom loss cannot be differentiated: {str(error).splitlines()[0]}") from None
    gradient = found[0]
    if gradient is None:
        return torch.zeros_like(leaf)
    if not torch.isfinite(gradient).all():
        raise UserFaultError("the gradient of the custom loss is not finite; the model is unchanged")
    return gradient


def _given(datum: TrainingDatum, name: str) -> "np.ndarray[Any, Any] | None":
    return datum.target_tokens if name == TARGETS else datum.inputs.get(name)


def _tensor(datum: TrainingDatum, name: str, device: torch.device) -> Tensor:
    value = _given(datum, name)
    assert value is not None
    return torch.from_numpy(np.array(value)).to(device)  # a copy: what came over the pipe cannot be written to


def _scalar(what: str, value: Any, *, finite: bool = True) -> float:
    if not isinstance(value, Tensor) or value.ndim != 0 or value.is_complex():
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise UserFaultError(f"{what} must be a scalar tensor, and is {shape}")
    number = float(value.detach())
    if finite and not np.isfinite(number):
        raise UserFaultError(f"{what} is {number}; nothing was gathered, the model is unchanged")
    return number
