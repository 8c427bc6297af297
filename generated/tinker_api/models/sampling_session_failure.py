from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="SamplingSessionFailure")


@_attrs_define
class SamplingSessionFailure:
    """A sampling session made the session fail."""

    sampling_session_id: str
    type_: Literal["sampling_session"] = "sampling_session"

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        sampling_session_id = self.sampling_session_id

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "sampling_session_id": sampling_session_id,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["sampling_session"], d.pop("type"))
        if type_ != "sampling_session":
            raise ValueError(f"type must match const 'sampling_session', got '{type_}'")

        sampling_session_id = d.pop("sampling_session_id")

        sampling_session_failure = cls(
            type_=type_,
            sampling_session_id=sampling_session_id,
        )

        return sampling_session_failure
