from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.supported_model import SupportedModel


T = TypeVar("T", bound="GetServerCapabilitiesResponse")


@_attrs_define
class GetServerCapabilitiesResponse:
    """What a server offers."""

    supported_models: list[SupportedModel]

    def to_dict(self) -> dict[str, Any]:
        supported_models = []
        for supported_models_item_data in self.supported_models:
            supported_models_item = supported_models_item_data.to_dict()
            supported_models.append(supported_models_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "supported_models": supported_models,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.supported_model import SupportedModel  # noqa: PLC0415

        d = dict(src_dict)
        supported_models = []
        _supported_models = d.pop("supported_models")
        for supported_models_item_data in _supported_models:
            supported_models_item = SupportedModel.from_dict(supported_models_item_data)

            supported_models.append(supported_models_item)

        get_server_capabilities_response = cls(
            supported_models=supported_models,
        )

        return get_server_capabilities_response
