"""Optimizers: the settings of a step, and the family that a model is made with."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs

from tinker_hl.types.open_record import OpenRecord
from tinker_hl.types.record import Answer, Record
from tinker_hl.types.scalars import finite, whole

__all__ = [
    "AdamOptimizerConfig",
    "AdamParams",
    "DimuonOptimizerConfig",
    "DimuonParams",
    "OptimParams",
    "OptimParamsBase",
    "OptimStepRequest",
    "OptimStepResponse",
    "OptimizerConfig",
    "OptimizerConfigBase",
]

NOT_NEGATIVE = attrs.validators.ge(0.0)
DECAY = attrs.validators.and_(attrs.validators.ge(0.0), attrs.validators.lt(1.0))


@attrs.frozen(kw_only=True)
class AdamParams(Record):
    """One AdamW step (Loshchilov & Hutter 2019); nothing is remembered from earlier steps but the moments.

    Args:
        learning_rate: step size, 0 or more.
        beta1: decay of the mean of gradients, 0 <= beta1 < 1.
        beta2: decay of the mean of squared gradients, 0 <= beta2 < 1.
        eps: added to the root in the denominator, 0 or more.
        weight_decay: decoupled from the gradient, 0 or more.
        grad_clip_norm: the gradient's global norm is cut to this; 0 is off.
    """

    learning_rate: float = attrs.field(default=0.0001, converter=finite, validator=NOT_NEGATIVE)
    beta1: float = attrs.field(default=0.9, converter=finite, validator=DECAY)
    beta2: float = attrs.field(default=0.95, converter=finite, validator=DECAY)
    eps: float = attrs.field(default=1e-12, converter=finite, validator=NOT_NEGATIVE)
    weight_decay: float = attrs.field(default=0.0, converter=finite, validator=NOT_NEGATIVE)
    grad_clip_norm: float = attrs.field(default=0.0, converter=finite, validator=NOT_NEGATIVE)


@attrs.frozen(kw_only=True)
class DimuonParams(Record):
    """One step of the Dimuon family.

    Args:
        learning_rate: step size, 0 or more.
        grad_clip_norm: 0 or less is off.
        beta1: decay of the momentum, 0 <= beta1 < 1.
    """

    learning_rate: float = attrs.field(converter=finite, validator=NOT_NEGATIVE)
    grad_clip_norm: float = attrs.field(default=0.0, converter=finite)
    beta1: float = attrs.field(default=0.9, converter=finite, validator=DECAY)
    type: Literal["dimuon"] = "dimuon"


@attrs.frozen(init=False)
class OptimParamsBase(OpenRecord):
    """Settings of an optimizer family that this client does not know: `OptimParamsBase(type="x", any_field=1)`."""

    type: str
    extra: dict[str, Any] = attrs.field(factory=dict)

    def __init__(self, *, type: str, **extra: Any) -> None:  # the wire's name
        self.__attrs_init__(type, extra)


OptimParams: TypeAlias = AdamParams | DimuonParams | OptimParamsBase


@attrs.frozen(kw_only=True)
class AdamOptimizerConfig(Record):
    """A model that is stepped with `AdamParams`."""

    type: Literal["adamw"] = "adamw"


@attrs.frozen(kw_only=True)
class DimuonOptimizerConfig(Record):
    """A model that is stepped with `DimuonParams`."""

    type: Literal["dimuon"] = "dimuon"
    version: int = attrs.field(default=1, converter=whole)


@attrs.frozen(init=False)
class OptimizerConfigBase(OpenRecord):
    """An optimizer family that this client does not know: `OptimizerConfigBase(type="x", any_field=1)`."""

    type: str
    extra: dict[str, Any] = attrs.field(factory=dict)

    def __init__(self, *, type: str, **extra: Any) -> None:  # the wire's name
        self.__attrs_init__(type, extra)


OptimizerConfig: TypeAlias = AdamOptimizerConfig | DimuonOptimizerConfig | OptimizerConfigBase


def _params(value: Any) -> OptimParams:
    """Settings as they are, or from a plain dict, whose `type` says which family; without one it is Adam."""
    if isinstance(value, (AdamParams, DimuonParams, OptimParamsBase)):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(f"an optimizer's settings are needed, such as AdamParams, got {type(value).__name__}")
    kinds: dict[Any, type[AdamParams | DimuonParams]] = {None: AdamParams, "dimuon": DimuonParams}
    return kinds.get(value.get("type"), OptimParamsBase)(**value)


@attrs.frozen(kw_only=True, init=False)
class OptimStepRequest(Record):
    """One optimizer step, as it is sent: Adam under `adam_params`, every other family under `optimizer_params`."""

    optim_params: OptimParams
    model_id: str
    seq_id: int | None = None
    type: Literal["optim_step"] = "optim_step"

    def __init__(
        self,
        *,
        model_id: str,
        optim_params: OptimParams | None = None,
        adam_params: OptimParams | None = None,
        optimizer_params: OptimParams | None = None,
        seq_id: int | None = None,
        type: Literal["optim_step"] = "optim_step",  # the wire's name
    ) -> None:
        given = [params for params in (optim_params, adam_params, optimizer_params) if params is not None]
        if len(given) != 1:
            raise TypeError("exactly one of optim_params, adam_params, optimizer_params is needed")
        self.__attrs_init__(optim_params=_params(given[0]), model_id=model_id, seq_id=seq_id, type=type)

    @property
    def adam_params(self) -> OptimParams:
        """The name of the field in 0.7."""
        return self.optim_params

    def _wire_fields(self) -> dict[str, Any]:
        name = "adam_params" if isinstance(self.optim_params, AdamParams) else "optimizer_params"
        return {"model_id": self.model_id, "seq_id": self.seq_id, "type": self.type, name: self.optim_params}


@attrs.frozen(kw_only=True)
class OptimStepResponse(Answer):
    """What a step reports, the gradient's norm where the service tells it."""

    metrics: dict[str, float] | None = None
