from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="GetSamplerResponse")


@_attrs_define
class GetSamplerResponse:
    """What a sampling session samples from."""

    sampler_id: str
    base_model: str
    model_path: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        sampler_id = self.sampler_id

        base_model = self.base_model

        model_path: None | str | Unset
        if isinstance(self.model_path, Unset):
            model_path = UNSET
        else:
            model_path = self.model_path

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "sampler_id": sampler_id,
                "base_model": base_model,
            }
        )
        if model_path is not UNSET:
            field_dict["model_path"] = model_path

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        sampler_id = d.pop("sampler_id")

        base_model = d.pop("base_model")

        def _parse_model_path(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model_path = _parse_model_path(d.pop("model_path", UNSET))

        get_sampler_response = cls(
            sampler_id=sampler_id,
            base_model=base_model,
            model_path=model_path,
        )

        return get_sampler_response
