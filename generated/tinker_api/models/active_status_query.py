from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="ActiveStatusQuery")


@_attrs_define
class ActiveStatusQuery:
    """Sessions whose status is `active`."""

    type_: Literal["active"] = "active"

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["active"], d.pop("type"))
        if type_ != "active":
            raise ValueError(f"type must match const 'active', got '{type_}'")

        active_status_query = cls(
            type_=type_,
        )

        return active_status_query
