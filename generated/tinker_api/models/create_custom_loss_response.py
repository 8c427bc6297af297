from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="CreateCustomLossResponse")


@_attrs_define
class CreateCustomLossResponse:
    """The loss, to be named in `loss_fn_config`."""

    loss_id: str
    type_: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        loss_id = self.loss_id

        type_ = self.type_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "loss_id": loss_id,
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        loss_id = d.pop("loss_id")

        type_ = d.pop("type", UNSET)

        create_custom_loss_response = cls(
            loss_id=loss_id,
            type_=type_,
        )

        return create_custom_loss_response
