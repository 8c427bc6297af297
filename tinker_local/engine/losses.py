"""The losses of the protocol, each a **sum** over positions and data, never a mean.

Notation: p the logprob of a target under the model, q the logprob given with the datum, A the advantage, w the weight,
r = exp(p - q), sg stops the gradient. A term is elementwise: it knows nothing of batches, models or adapters.

    cross_entropy        -w p
    importance_sampling  -r A
    ppo                  -min(r A, clip(r, low, high) A)             Schulman et al. 2017
    cispo                -sg(clip(r, low, high)) p A                 MiniMax-M1, 2025
    dro                  -(p A - beta/2 (p - q)^2)                   Richemond et al. 2024

Where the bounds of a clip are given with the datum (`clip_low_threshold`, `clip_high_threshold`), they replace those of
the configuration, position by position. `weights`, where a datum of another loss than cross_entropy has them, multiply
its terms; where a datum of cross_entropy has none, they are 1.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np
import torch
from torch import Tensor

from tinker_local.engine.protocol import TrainingDatum, UserFaultError

__all__ = ["LOSSES", "Loss", "check_data", "parse_loss"]

Inputs = Mapping[str, Tensor]
Settings = Mapping[str, float]

_LOW, _HIGH = "clip_low_threshold", "clip_high_threshold"


def _cross_entropy(p: Tensor, given: Inputs, _: Settings) -> Tensor:
    return -p


def _ratio(p: Tensor, given: Inputs) -> Tensor:
    """r; 1 where the advantage is 0, so that no stand-in for q at a masked position overflows into 0 * inf."""
    return torch.exp(torch.where(given["advantages"] == 0, torch.zeros_like(p), p - given["logprobs"]))


def _importance_sampling(p: Tensor, given: Inputs, _: Settings) -> Tensor:
    return -_ratio(p, given) * given["advantages"]


def _clip(ratio: Tensor, given: Inputs, settings: Settings) -> Tensor:
    low = given.get(_LOW, torch.tensor(settings[_LOW], dtype=ratio.dtype, device=ratio.device))
    high = given.get(_HIGH, torch.tensor(settings[_HIGH], dtype=ratio.dtype, device=ratio.device))
    return torch.clamp(ratio, low, high)


def _ppo(p: Tensor, given: Inputs, settings: Settings) -> Tensor:
    ratio, advantage = _ratio(p, given), given["advantages"]
    return -torch.minimum(ratio * advantage, _clip(ratio, given, settings) * advantage)


def _cispo(p: Tensor, given: Inputs, settings: Settings) -> Tensor:
    return -_clip(_ratio(p.detach(), given), given, settings) * p * given["advantages"]


def _dro(p: Tensor, given: Inputs, settings: Settings) -> Tensor:
    return 0.5 * settings["beta"] * torch.square(p - given["logprobs"]) - p * given["advantages"]


@attrs.frozen
class _Kind:
    term: Callable[[Tensor, Inputs, Settings], Tensor]
    needs: tuple[str, ...] = ("logprobs", "advantages")
    takes: tuple[str, ...] = ("weights",)
    settings: Mapping[str, float] = attrs.field(factory=dict)
    """Keys of the configuration, with their defaults."""


_BOUNDS: Final = ("weights", _LOW, _HIGH)
LOSSES: Final[Mapping[str, _Kind]] = {
    "cross_entropy": _Kind(_cross_entropy, needs=()),
    "importance_sampling": _Kind(_importance_sampling),
    "ppo": _Kind(_ppo, takes=_BOUNDS, settings={_LOW: 0.8, _HIGH: 1.2}),
    "cispo": _Kind(_cispo, takes=_BOUNDS, settings={_LOW: 0.0, _HIGH: 4.0}),
    "dro": _Kind(_dro, settings={"beta": 0.05}),
}


@attrs.frozen
class Loss:
    """A loss with its configuration complete."""

    name: str
    kind: _Kind
    settings: Settings

    @property
    def reads(self) -> tuple[str, ...]:
        """The inputs that this loss looks at; a datum may have others."""
        return self.kind.needs + self.kind.takes

    def terms(self, logprobs: Tensor, given: Inputs) -> Tensor:
        """The loss of each target, whose sum is the loss.

        Args:
            logprobs: of the targets, float32 of any shape, with gradient.
            given: tensors of the same shape, for each name in `reads` that the data have.
        """
        terms = self.kind.term(logprobs, given, self.settings)
        return terms * given["weights"] if "weights" in given else terms


def parse_loss(name: str, config: Mapping[str, float | str]) -> Loss:
    """A loss by its name on the wire, the defaults filled in.

    Raises:
        UserFaultError: the loss or a key of its configuration is unknown, or a value is not a finite number.
    """
    kind = LOSSES.get(name)
    if kind is None:
        raise UserFaultError(f"loss_fn {name!r} is not known here; there are {', '.join(LOSSES)}")
    for key, value in config.items():
        if key not in kind.settings:
            known = ", ".join(kind.settings) or "none"
            raise UserFaultError(f"loss_fn_config has {key!r}, which {name} does not know; its keys: {known}")
        if not _is_finite_number(value):
            raise UserFaultError(f"loss_fn_config[{key!r}] is {value!r}; it must be a finite number")
    settings = {**kind.settings, **{key: float(value) for key, value in config.items()}}
    if _LOW in settings and settings[_LOW] > settings[_HIGH]:
        raise UserFaultError(f"{_LOW} is {settings[_LOW]:g}, above {_HIGH}, {settings[_HIGH]:g}")
    return Loss(name, kind, settings)


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_data(data: Sequence[TrainingDatum], loss: Loss, *, vocabulary: int, context: int) -> None:
    """Refuse data that cannot be trained on, before anything is computed.

    Raises:
        UserFaultError: naming the datum, the field and the limit.
    """
    if not data:
        raise UserFaultError("data is empty; give at least one datum")
    for index, datum in enumerate(data):
        try:
            _check_datum(datum, loss, vocabulary, context)
        except UserFaultError as error:
            raise UserFaultError(f"datum {index}: {error}") from None


def _check_datum(datum: TrainingDatum, loss: Loss, vocabulary: int, context: int) -> None:
    tokens, targets = datum.tokens, datum.target_tokens
    if tokens.ndim != 1 or not tokens.size:
        raise UserFaultError(f"model_input has shape {list(tokens.shape)}; it must be [N] with at least one token")
    if tokens.size > context:
        raise UserFaultError(f"model_input has {tokens.size} tokens, the context of this model is {context}")
    if targets.ndim not in (1, 2) or targets.shape[0] != tokens.size or not targets.size:
        raise UserFaultError(
            f"target_tokens has shape {list(targets.shape)}; for {tokens.size} tokens of model_input it must be "
            f"[{tokens.size}] or [{tokens.size}, K]"
        )
    _check_tokens("model_input", tokens, vocabulary)
    _check_tokens("target_tokens", targets, vocabulary)
    for name in loss.kind.needs:
        if name not in datum.inputs:
            raise UserFaultError(f"loss_fn_inputs has no {name!r}, which {loss.name} needs")
    for name in loss.reads:
        if name in datum.inputs:
            _check_input(name, datum.inputs[name], targets.shape)


def _check_tokens(field: str, tokens: np.ndarray[Any, Any], vocabulary: int) -> None:
    outside = (tokens < 0) | (tokens >= vocabulary)
    if outside.any():
        place = np.unravel_index(int(outside.argmax()), tokens.shape)
        raise UserFaultError(
            f"{field}{[int(i) for i in place]} is {int(tokens[place])}; token ids of this model are 0 to "
            f"{vocabulary - 1}. Mask a position by a weight or advantage of 0, not by its id"
        )


def _check_input(name: str, value: np.ndarray[Any, Any], shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise UserFaultError(f"{name} has shape {list(value.shape)}, target_tokens has {list(shape)}; they must agree")
    wrong = ~np.isfinite(value)
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), shape)
        raise UserFaultError(f"{name}{[int(i) for i in place]} is {value[place]}; it must be finite")
