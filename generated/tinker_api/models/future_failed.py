from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="FutureFailed")


@_attrs_define
class FutureFailed:
    """A failure is ready."""

    request_id: str
    state: Literal["failed"] = "failed"

    def to_dict(self) -> dict[str, Any]:
        state = self.state

        request_id = self.request_id

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "state": state,
                "request_id": request_id,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        state = cast(Literal["failed"], d.pop("state"))
        if state != "failed":
            raise ValueError(f"state must match const 'failed', got '{state}'")

        request_id = d.pop("request_id")

        future_failed = cls(
            state=state,
            request_id=request_id,
        )

        return future_failed
