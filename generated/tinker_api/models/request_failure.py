from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="RequestFailure")


@_attrs_define
class RequestFailure:
    """A request made the session fail."""

    request_id: str
    request_type: str
    type_: Literal["request"] = "request"

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        request_id = self.request_id

        request_type = self.request_type

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "request_id": request_id,
                "request_type": request_type,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["request"], d.pop("type"))
        if type_ != "request":
            raise ValueError(f"type must match const 'request', got '{type_}'")

        request_id = d.pop("request_id")

        request_type = d.pop("request_type")

        request_failure = cls(
            type_=type_,
            request_id=request_id,
            request_type=request_type,
        )

        return request_failure
