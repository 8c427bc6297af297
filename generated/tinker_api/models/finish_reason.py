from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.finish_reason_type import FinishReasonType

T = TypeVar("T", bound="FinishReason")


@_attrs_define
class FinishReason:
    """How a session ended."""

    type_: FinishReasonType
    """ How a session ended. """

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_.value

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
        type_ = FinishReasonType(d.pop("type"))

        finish_reason = cls(
            type_=type_,
        )

        return finish_reason
