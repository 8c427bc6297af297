from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="CheckpointBillingEvent")


@_attrs_define
class CheckpointBillingEvent:
    """Checkpoints made."""

    count: int
    type_: Literal["checkpoint"] = "checkpoint"

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        count = self.count

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "count": count,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["checkpoint"], d.pop("type"))
        if type_ != "checkpoint":
            raise ValueError(f"type must match const 'checkpoint', got '{type_}'")

        count = d.pop("count")

        checkpoint_billing_event = cls(
            type_=type_,
            count=count,
        )

        return checkpoint_billing_event
