"""The losses of the protocol, each a **sum** over positions and data, never a mean.

Notation: p the logprob of a target under the model, q the logprob given with the datum, A the advantage, w the weight,
r = exp(p - q), sg stops the gradient, s = exp(mean over the masked positions of a datum of sg(p) - q). A term is that
of one target: it knows nothing of batches, models or adapters, and gspo's alone looks at the rest of its datum.

    cross_entropy        -w p
    importance_sampling  -r A
    ppo                  -min(r A, clip(r, low, high) A)             Schulman et al. 2017
    cispo                -sg(clip(r, low, high)) p A                 MiniMax-M1, 2025
    dro                  -(p A - beta/2 (p - q)^2)                   Richemond et al. 2024
    gspo                 -min(u A, clip(u, low, high) A)             Zheng et al. 2025
                         u = exp(log s + p - sg(p)): the value of s, the gradient of p

Where the bounds of a clip are given with the datum (`clip_low_threshold`, `clip_high_threshold`), they replace those of
the configuration, position by position. `weights`, where a datum of another loss than cross_entropy has them, multiply
its terms; where a datum of cross_entropy has none, they are 1. gspo's mask is `sequence_ratio_mask`, where it is not 0;
the protocol does not tell the default bounds of its clip, so they are the paper's.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np
import torch
from torch import Tensor

from tinker_local.engine.protocol import TrainingDatum, UserFaultError

__all__ = ["INSTEAD", "LOSSES", "Loss", "check_data", "parse_loss", "uploaded"]

Inputs = Mapping[str, Tensor]
Settings = Mapping[str, float]

_LOW, _HIGH = "clip_low_threshold", "clip_high_threshold"
_MASK: Final = "sequence_ratio_mask"
INSTEAD: Final[Mapping[str, str]] = {
    "stable_reinforce": "its formula is not published; use importance_sampling, ppo, cispo or gspo, or a custom loss",
}
"""Losses of the protocol that nobody outside can compute, and what to use."""


def _cross_entropy(p: Tensor, given: Inputs, _: Settings) -> Tensor:
    return -p


def _ratio(p: Tensor, given: Inputs) -> Tensor:
    """r; 1 where the advantage or the weight is 0, so that no stand-in for q at a masked position gives 0 * inf."""
    unused = given["advantages"] == 0
    if "weights" in given:
        unused = unused | (given["weights"] == 0)
    return torch.exp(torch.where(unused, torch.zeros_like(p), p - given["logprobs"]))


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


def _gspo(p: Tensor, given: Inputs, settings: Settings, rows: Tensor) -> Tensor:
    fixed, mask = p.detach(), given[_MASK] != 0
    apart = torch.where(mask, fixed - given["logprobs"], torch.zeros_like(fixed))
    count = int(rows[-1]) + 1
    sums = torch.zeros(count, dtype=p.dtype, device=p.device).index_add_(0, rows, apart)
    sizes = torch.zeros(count, dtype=p.dtype, device=p.device).index_add_(0, rows, mask.to(p.dtype))
    ratio = torch.exp((sums / sizes.clamp(min=1))[rows] + p - fixed)
    advantage = given["advantages"]
    return -torch.minimum(ratio * advantage, _clip(ratio, given, settings) * advantage)


@attrs.frozen
class _Kind:
    term: Callable[..., Tensor]
    """Takes logprobs, inputs and settings; and, `by_sequence`, which datum each target is of."""
    needs: tuple[str, ...] = ("logprobs", "advantages")
    takes: tuple[str, ...] = ("weights",)
    settings: Mapping[str, float] = attrs.field(factory=dict)
    """Keys of the configuration, with their defaults."""
    by_sequence: bool = False
    """Whether a term depends on the whole datum; then there is one target a position."""


_BOUNDS: Final = ("weights", _LOW, _HIGH)
LOSSES: Final[Mapping[str, _Kind]] = {
    "cross_entropy": _Kind(_cross_entropy, needs=()),
    "importance_sampling": _Kind(_importance_sampling),
    "ppo": _Kind(_ppo, takes=_BOUNDS, settings={_LOW: 0.8, _HIGH: 1.2}),
    "cispo": _Kind(_cispo, takes=_BOUNDS, settings={_LOW: 0.0, _HIGH: 4.0}),
    "dro": _Kind(_dro, settings={"beta": 0.05}),
    "gspo": _Kind(
        _gspo,
        needs=("logprobs", "advantages", _MASK),
        takes=_BOUNDS,
        settings={_LOW: 1 - 3e-4, _HIGH: 1 + 4e-4},
        by_sequence=True,
    ),
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

    def terms(self, logprobs: Tensor, given: Inputs, rows: Tensor) -> Tensor:
        """The loss of each target, whose sum is the loss.

        Args:
            logprobs: of the targets, float32 [n] or [n, K], with gradient.
            given: tensors of the same shape, for each name in `reads` that the data have.
            rows: [n], int64: which datum each position is of, counted from 0, ascending.
        """
        more = (rows,) if self.kind.by_sequence else ()
        terms = self.kind.term(logprobs, given, self.settings, *more)
        return terms * given["weights"] if "weights" in given else terms


def parse_loss(name: str, config: Mapping[str, float | str]) -> Loss:
    """A loss by its name on the wire, the defaults filled in.

    Raises:
        UserFaultError: the loss or a key of its configuration is unknown, or a value is not a finite number.
    """
    kind = LOSSES.get(name)
    if kind is None and name in INSTEAD:
        raise UserFaultError(f"loss_fn {name!r} cannot be computed here: {INSTEAD[name]}")
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


def uploaded() -> Loss:
    """Stands for a custom loss, which reads its inputs by itself (`tinker_local.engine.custom_loss`)."""
    return Loss("custom", _Kind(_cross_entropy, needs=(), takes=()), {})


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
    if loss.kind.by_sequence and targets.ndim != 1:
        raise UserFaultError(f"target_tokens has shape {list(targets.shape)}; {loss.name} takes one target a position")
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
