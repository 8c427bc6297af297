from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.server_limits import ServerLimits
    from ..models.supported_model import SupportedModel


T = TypeVar("T", bound="GetServerCapabilitiesResponse")


@_attrs_define
class GetServerCapabilitiesResponse:
    """What a server offers."""

    supported_models: list[SupportedModel]
    limits: ServerLimits | Unset = UNSET
    """ What a server refuses beyond; each has a typed error that names it. """

    def to_dict(self) -> dict[str, Any]:
        supported_models = []
        for supported_models_item_data in self.supported_models:
            supported_models_item = supported_models_item_data.to_dict()
            supported_models.append(supported_models_item)

        limits: dict[str, Any] | Unset = UNSET
        if not isinstance(self.limits, Unset):
            limits = self.limits.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "supported_models": supported_models,
            }
        )
        if limits is not UNSET:
            field_dict["limits"] = limits

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.server_limits import ServerLimits  # noqa: PLC0415
        from ..models.supported_model import SupportedModel  # noqa: PLC0415

        d = dict(src_dict)
        supported_models = []
        _supported_models = d.pop("supported_models")
        for supported_models_item_data in _supported_models:
            supported_models_item = SupportedModel.from_dict(supported_models_item_data)

            supported_models.append(supported_models_item)

        _limits = d.pop("limits", UNSET)
        limits: ServerLimits | Unset
        if isinstance(_limits, Unset):
            limits = UNSET
        else:
            limits = ServerLimits.from_dict(_limits)

        get_server_capabilities_response = cls(
            supported_models=supported_models,
            limits=limits,
        )

        return get_server_capabilities_response
