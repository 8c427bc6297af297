from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="SamplingSampleBillingEvent")


@_attrs_define
class SamplingSampleBillingEvent:
    """Tokens drawn."""

    token_count: int
    type_: Literal["sampling_sample"] = "sampling_sample"

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        token_count = self.token_count

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "token_count": token_count,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["sampling_sample"], d.pop("type"))
        if type_ != "sampling_sample":
            raise ValueError(f"type must match const 'sampling_sample', got '{type_}'")

        token_count = d.pop("token_count")

        sampling_sample_billing_event = cls(
            type_=type_,
            token_count=token_count,
        )

        return sampling_sample_billing_event
