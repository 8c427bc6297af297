from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="AdapterConfig")


@_attrs_define
class AdapterConfig:
    """peft's `adapter_config.json`."""

    peft_type: str
    r: int
    lora_alpha: float
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        peft_type = self.peft_type

        r = self.r

        lora_alpha = self.lora_alpha

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "peft_type": peft_type,
                "r": r,
                "lora_alpha": lora_alpha,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        peft_type = d.pop("peft_type")

        r = d.pop("r")

        lora_alpha = d.pop("lora_alpha")

        adapter_config = cls(
            peft_type=peft_type,
            r=r,
            lora_alpha=lora_alpha,
        )

        adapter_config.additional_properties = d
        return adapter_config

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
