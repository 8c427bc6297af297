"""The losses of the protocol in plain numpy and float64: what a server should have computed. No torch.

Notation: p the logprob of a target under the model, q the logprob given with the datum, A the advantage, w the weight
(1 where the datum has none), r = exp(p - q), s = exp(mean over the masked positions of a datum of p - q).

    cross_entropy        -w p
    importance_sampling  -w r A
    ppo                  -w min(r A, clip(r, low, high) A)
    cispo                -w clip(r, low, high) p A
    dro                  -w (p A - beta/2 (p - q)^2)
    gspo                 -w min(s A, clip(s, low, high) A)

These are the values; where the losses stop a gradient makes no difference to them. Bounds that are given with the datum
replace those of the configuration. A loss is the sum over all positions of all datums.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinker_hl.errors import InvalidDatumError, LossOptionError
from tinker_hl.types import Datum, TensorData

__all__ = ["REFERENCE_DEFAULTS", "elementwise_loss", "reference_loss", "reference_settings"]

Floats = NDArray[np.float64]

_LOW, _HIGH, _MASK = "clip_low_threshold", "clip_high_threshold", "sequence_ratio_mask"
REFERENCE_DEFAULTS: Final[Mapping[str, Mapping[str, float]]] = {
    "cross_entropy": {},
    "importance_sampling": {},
    "ppo": {_LOW: 0.8, _HIGH: 1.2},
    "cispo": {_LOW: 0.0, _HIGH: 4.0},
    "dro": {"beta": 0.05},
    "gspo": {_LOW: 1 - 3e-4, _HIGH: 1 + 4e-4},
}
"""The losses, and the configuration of each where a call gives none; the local service's. The protocol leaves `beta`
and the bounds of gspo open."""


def elementwise_loss(
    loss_fn: str,
    logprobs: ArrayLike,
    inputs: Mapping[str, Any],
    loss_fn_config: Mapping[str, float | str] | None = None,
) -> Floats:
    """The loss of each position of one datum.

    Args:
        loss_fn: One of `REFERENCE_DEFAULTS`.
        logprobs: p, [T] or [T, K].
        inputs: The datum's `loss_fn_inputs`, or arrays by the same names, shaped as the logprobs.
        loss_fn_config: As of `forward_backward`.

    Returns:
        float64, shaped as the logprobs; their sum is the datum's part of `loss:sum`.

    Raises:
        LossOptionError: The loss or a setting is not known here; `field` names it.
        InvalidDatumError: An input is missing or has another shape.
    """
    settings = reference_settings(loss_fn, loss_fn_config)
    p = np.asarray(logprobs, dtype=np.float64)
    given = {name: _array(name, inputs[name], p) for name in _READ[loss_fn] if name in inputs}
    for name in _NEEDED[loss_fn]:
        if name not in given:
            raise InvalidDatumError(f"{loss_fn} needs it", field=f"loss_fn_inputs[{name!r}]")
    return _TERMS[loss_fn](p, given, settings) * given.get("weights", 1.0)


def reference_loss(
    loss_fn: str,
    data: Sequence[Datum],
    logprobs: Sequence[ArrayLike],
    loss_fn_config: Mapping[str, float | str] | None = None,
) -> float:
    """The loss of a call: what `loss:sum` should be.

    Args:
        loss_fn: One of `REFERENCE_DEFAULTS`.
        data: The datums.
        logprobs: What the server returned for each, `loss_fn_outputs[i]["logprobs"]`.
        loss_fn_config: As of `forward_backward`.

    Raises:
        LossOptionError: The loss or a setting is not known here.
        InvalidDatumError: An input is missing or has another shape; names the datum.
    """
    total = 0.0
    for index, (datum, row) in enumerate(zip(data, logprobs, strict=True)):
        values = row.to_numpy() if isinstance(row, TensorData) else row
        try:
            total += float(elementwise_loss(loss_fn, values, datum.loss_fn_inputs, loss_fn_config).sum())
        except InvalidDatumError as error:
            message = error.message.removeprefix(f"{error.field}: ")
            raise InvalidDatumError(message, datum_index=index, field=error.field) from None
    return total


def reference_settings(loss_fn: str, config: Mapping[str, float | str] | None) -> dict[str, float]:
    """A loss's settings, complete.

    Raises:
        LossOptionError: The loss or a setting is not known here; `field` names it.
    """
    if loss_fn not in REFERENCE_DEFAULTS:
        raise LossOptionError(
            f"there is no reference for the loss {loss_fn!r}, only for {', '.join(REFERENCE_DEFAULTS)}", field="loss_fn"
        )
    defaults = REFERENCE_DEFAULTS[loss_fn]
    for key, value in (config or {}).items():
        if key not in defaults or isinstance(value, str):
            raise LossOptionError(
                f"loss_fn_config[{key!r}] = {value!r} is none of {loss_fn}'s: {', '.join(defaults) or 'it has none'}",
                field=f"loss_fn_config[{key!r}]",
            )
    return {**defaults, **{key: float(value) for key, value in (config or {}).items()}}


def _array(name: str, value: Any, p: Floats) -> Floats:
    array = np.asarray(value.to_numpy() if isinstance(value, TensorData) else value, dtype=np.float64)
    if array.shape != p.shape:
        raise InvalidDatumError(
            f"shape {list(array.shape)} does not fit the logprobs, which have {list(p.shape)}",
            field=f"loss_fn_inputs[{name!r}]",
        )
    return array


Given = Mapping[str, Floats]
Settings = Mapping[str, float]


def _clip(ratios: Floats, given: Given, settings: Settings) -> Floats:
    low, high = given.get(_LOW, settings[_LOW]), given.get(_HIGH, settings[_HIGH])
    return np.minimum(np.maximum(ratios, low), high)


def _ratios(p: Floats, given: Given) -> Floats:
    """r; 1 where the advantage or the weight is 0: it counts for nothing, and q may be any stand-in there."""
    unused = (given["advantages"] == 0) | (given.get("weights", np.ones_like(p)) == 0)
    return np.exp(np.where(unused, 0.0, p - given["logprobs"]))


def _cross_entropy(p: Floats, given: Given, settings: Settings) -> Floats:
    return -p


def _importance_sampling(p: Floats, given: Given, settings: Settings) -> Floats:
    return -_ratios(p, given) * given["advantages"]


def _ppo(p: Floats, given: Given, settings: Settings) -> Floats:
    return _surrogate(_ratios(p, given), given, settings)


def _cispo(p: Floats, given: Given, settings: Settings) -> Floats:
    return -_clip(_ratios(p, given), given, settings) * p * given["advantages"]


def _dro(p: Floats, given: Given, settings: Settings) -> Floats:
    return settings["beta"] / 2 * np.square(p - given["logprobs"]) - p * given["advantages"]


def _gspo(p: Floats, given: Given, settings: Settings) -> Floats:
    masked = given[_MASK] != 0
    apart = (p - given["logprobs"])[masked]
    mean = apart.mean() if apart.size else 0.0
    return _surrogate(np.full(p.shape, np.exp(mean)), given, settings)


def _surrogate(ratios: Floats, given: Given, settings: Settings) -> Floats:
    advantages = given["advantages"]
    return -np.minimum(ratios * advantages, _clip(ratios, given, settings) * advantages)


_TERMS: Final[Mapping[str, Callable[[Floats, Given, Settings], Floats]]] = {
    "cross_entropy": _cross_entropy,
    "importance_sampling": _importance_sampling,
    "ppo": _ppo,
    "cispo": _cispo,
    "dro": _dro,
    "gspo": _gspo,
}
_POLICY: Final = ("logprobs", "advantages")
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "cross_entropy": (),
    "importance_sampling": _POLICY,
    "ppo": _POLICY,
    "cispo": _POLICY,
    "dro": _POLICY,
    "gspo": (*_POLICY, _MASK),
}
_READ: Final[Mapping[str, tuple[str, ...]]] = {
    name: (*needed, "weights", *((_LOW, _HIGH) if _LOW in REFERENCE_DEFAULTS[name] else ()))
    for name, needed in _NEEDED.items()
}
