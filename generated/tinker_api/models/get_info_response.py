from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.adam_optimizer_config import AdamOptimizerConfig
    from ..models.dimuon_optimizer_config import DimuonOptimizerConfig
    from ..models.model_data import ModelData
    from ..models.open_optimizer_config import OpenOptimizerConfig


T = TypeVar("T", bound="GetInfoResponse")


@_attrs_define
class GetInfoResponse:
    """A model as it stands."""

    model_data: ModelData
    """ What a model is. """
    model_id: str
    type_: str | Unset = UNSET
    optimizer_config: AdamOptimizerConfig | DimuonOptimizerConfig | OpenOptimizerConfig | Unset = UNSET
    """ The optimizer family of a model, fixed for its lifetime. """
    is_lora: bool | None | Unset = UNSET
    lora_rank: int | None | Unset = UNSET
    model_name: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.adam_optimizer_config import AdamOptimizerConfig  # noqa: PLC0415
        from ..models.dimuon_optimizer_config import DimuonOptimizerConfig  # noqa: PLC0415

        model_data = self.model_data.to_dict()

        model_id = self.model_id

        type_ = self.type_

        optimizer_config: dict[str, Any] | Unset
        if isinstance(self.optimizer_config, Unset):
            optimizer_config = UNSET
        elif isinstance(self.optimizer_config, AdamOptimizerConfig):
            optimizer_config = self.optimizer_config.to_dict()
        elif isinstance(self.optimizer_config, DimuonOptimizerConfig):
            optimizer_config = self.optimizer_config.to_dict()
        else:
            optimizer_config = self.optimizer_config.to_dict()

        is_lora: bool | None | Unset
        if isinstance(self.is_lora, Unset):
            is_lora = UNSET
        else:
            is_lora = self.is_lora

        lora_rank: int | None | Unset
        if isinstance(self.lora_rank, Unset):
            lora_rank = UNSET
        else:
            lora_rank = self.lora_rank

        model_name: None | str | Unset
        if isinstance(self.model_name, Unset):
            model_name = UNSET
        else:
            model_name = self.model_name

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "model_data": model_data,
                "model_id": model_id,
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_
        if optimizer_config is not UNSET:
            field_dict["optimizer_config"] = optimizer_config
        if is_lora is not UNSET:
            field_dict["is_lora"] = is_lora
        if lora_rank is not UNSET:
            field_dict["lora_rank"] = lora_rank
        if model_name is not UNSET:
            field_dict["model_name"] = model_name

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.adam_optimizer_config import AdamOptimizerConfig  # noqa: PLC0415
        from ..models.dimuon_optimizer_config import DimuonOptimizerConfig  # noqa: PLC0415
        from ..models.model_data import ModelData  # noqa: PLC0415
        from ..models.open_optimizer_config import OpenOptimizerConfig  # noqa: PLC0415

        d = dict(src_dict)
        model_data = ModelData.from_dict(d.pop("model_data"))

        model_id = d.pop("model_id")

        type_ = d.pop("type", UNSET)

        def _parse_optimizer_config(
            data: object,
        ) -> AdamOptimizerConfig | DimuonOptimizerConfig | OpenOptimizerConfig | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_optimizer_config_type_0 = AdamOptimizerConfig.from_dict(data)

                return componentsschemas_optimizer_config_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_optimizer_config_type_1 = DimuonOptimizerConfig.from_dict(data)

                return componentsschemas_optimizer_config_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_optimizer_config_type_2 = OpenOptimizerConfig.from_dict(data)

            return componentsschemas_optimizer_config_type_2

        optimizer_config = _parse_optimizer_config(d.pop("optimizer_config", UNSET))

        def _parse_is_lora(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        is_lora = _parse_is_lora(d.pop("is_lora", UNSET))

        def _parse_lora_rank(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        lora_rank = _parse_lora_rank(d.pop("lora_rank", UNSET))

        def _parse_model_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model_name = _parse_model_name(d.pop("model_name", UNSET))

        get_info_response = cls(
            model_data=model_data,
            model_id=model_id,
            type_=type_,
            optimizer_config=optimizer_config,
            is_lora=is_lora,
            lora_rank=lora_rank,
            model_name=model_name,
        )

        return get_info_response
