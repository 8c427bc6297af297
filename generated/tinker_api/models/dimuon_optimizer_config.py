from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="DimuonOptimizerConfig")


@_attrs_define
class DimuonOptimizerConfig:
    """Dimuon."""

    type_: Literal["dimuon"] = "dimuon"
    version: int | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        version = self.version

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
            }
        )
        if version is not UNSET:
            field_dict["version"] = version

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["dimuon"], d.pop("type"))
        if type_ != "dimuon":
            raise ValueError(f"type must match const 'dimuon', got '{type_}'")

        version = d.pop("version", UNSET)

        dimuon_optimizer_config = cls(
            type_=type_,
            version=version,
        )

        return dimuon_optimizer_config
