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

T = TypeVar("T", bound="StorageBillingEvent")


@_attrs_define
class StorageBillingEvent:
    """Storage used."""

    gigabyte_hours: float
    type_: Literal["storage"] = "storage"
    free: bool | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        gigabyte_hours = self.gigabyte_hours

        free = self.free

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "gigabyte_hours": gigabyte_hours,
            }
        )
        if free is not UNSET:
            field_dict["free"] = free

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["storage"], d.pop("type"))
        if type_ != "storage":
            raise ValueError(f"type must match const 'storage', got '{type_}'")

        gigabyte_hours = d.pop("gigabyte_hours")

        free = d.pop("free", UNSET)

        storage_billing_event = cls(
            type_=type_,
            gigabyte_hours=gigabyte_hours,
            free=free,
        )

        return storage_billing_event
