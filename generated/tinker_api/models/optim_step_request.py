from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.adam_params import AdamParams
    from ..models.dimuon_params import DimuonParams
    from ..models.open_optimizer_params import OpenOptimizerParams


T = TypeVar("T", bound="OptimStepRequest")


@_attrs_define
class OptimStepRequest:
    """Applies the gradients gathered since the last step. Exactly one of the three members with parameters; the family
    must be the model's.

    """

    model_id: str
    type_: Literal["optim_step"] | Unset = "optim_step"
    seq_id: int | None | Unset = UNSET
    """ A request's place in its model's order, from 1. Requests run strictly by it, whatever the order of arrival.
    """
    adam_params: AdamParams | None | Unset = UNSET
    optimizer_params: DimuonParams | None | OpenOptimizerParams | Unset = UNSET
    optim_params: AdamParams | DimuonParams | None | OpenOptimizerParams | Unset = UNSET
    """ Another name for either of the others. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.adam_params import AdamParams  # noqa: PLC0415
        from ..models.dimuon_params import DimuonParams  # noqa: PLC0415
        from ..models.open_optimizer_params import OpenOptimizerParams  # noqa: PLC0415

        model_id = self.model_id

        type_ = self.type_

        seq_id: int | None | Unset
        if isinstance(self.seq_id, Unset):
            seq_id = UNSET
        else:
            seq_id = self.seq_id

        adam_params: dict[str, Any] | None | Unset
        if isinstance(self.adam_params, Unset):
            adam_params = UNSET
        elif isinstance(self.adam_params, AdamParams):
            adam_params = self.adam_params.to_dict()
        else:
            adam_params = self.adam_params

        optimizer_params: dict[str, Any] | None | Unset
        if isinstance(self.optimizer_params, Unset):
            optimizer_params = UNSET
        elif isinstance(self.optimizer_params, DimuonParams):
            optimizer_params = self.optimizer_params.to_dict()
        elif isinstance(self.optimizer_params, OpenOptimizerParams):
            optimizer_params = self.optimizer_params.to_dict()
        else:
            optimizer_params = self.optimizer_params

        optim_params: dict[str, Any] | None | Unset
        if isinstance(self.optim_params, Unset):
            optim_params = UNSET
        elif isinstance(self.optim_params, AdamParams):
            optim_params = self.optim_params.to_dict()
        elif isinstance(self.optim_params, DimuonParams):
            optim_params = self.optim_params.to_dict()
        elif isinstance(self.optim_params, OpenOptimizerParams):
            optim_params = self.optim_params.to_dict()
        else:
            optim_params = self.optim_params

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "model_id": model_id,
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_
        if seq_id is not UNSET:
            field_dict["seq_id"] = seq_id
        if adam_params is not UNSET:
            field_dict["adam_params"] = adam_params
        if optimizer_params is not UNSET:
            field_dict["optimizer_params"] = optimizer_params
        if optim_params is not UNSET:
            field_dict["optim_params"] = optim_params

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.adam_params import AdamParams  # noqa: PLC0415
        from ..models.dimuon_params import DimuonParams  # noqa: PLC0415
        from ..models.open_optimizer_params import OpenOptimizerParams  # noqa: PLC0415

        d = dict(src_dict)
        model_id = d.pop("model_id")

        type_ = cast(Literal["optim_step"] | Unset, d.pop("type", UNSET))
        if type_ != "optim_step" and not isinstance(type_, Unset):
            raise ValueError(f"type must match const 'optim_step', got '{type_}'")

        def _parse_seq_id(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        seq_id = _parse_seq_id(d.pop("seq_id", UNSET))

        def _parse_adam_params(data: object) -> AdamParams | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                adam_params_type_0 = AdamParams.from_dict(data)

                return adam_params_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(AdamParams | None | Unset, data)

        adam_params = _parse_adam_params(d.pop("adam_params", UNSET))

        def _parse_optimizer_params(data: object) -> DimuonParams | None | OpenOptimizerParams | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_optimizer_params_type_0 = DimuonParams.from_dict(data)

                return componentsschemas_optimizer_params_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_optimizer_params_type_1 = OpenOptimizerParams.from_dict(data)

                return componentsschemas_optimizer_params_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(DimuonParams | None | OpenOptimizerParams | Unset, data)

        optimizer_params = _parse_optimizer_params(d.pop("optimizer_params", UNSET))

        def _parse_optim_params(data: object) -> AdamParams | DimuonParams | None | OpenOptimizerParams | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                optim_params_type_0 = AdamParams.from_dict(data)

                return optim_params_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_optimizer_params_type_0 = DimuonParams.from_dict(data)

                return componentsschemas_optimizer_params_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_optimizer_params_type_1 = OpenOptimizerParams.from_dict(data)

                return componentsschemas_optimizer_params_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(AdamParams | DimuonParams | None | OpenOptimizerParams | Unset, data)

        optim_params = _parse_optim_params(d.pop("optim_params", UNSET))

        optim_step_request = cls(
            model_id=model_id,
            type_=type_,
            seq_id=seq_id,
            adam_params=adam_params,
            optimizer_params=optimizer_params,
            optim_params=optim_params,
        )

        return optim_step_request
