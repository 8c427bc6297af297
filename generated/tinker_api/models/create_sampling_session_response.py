from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="CreateSamplingSessionResponse")


@_attrs_define
class CreateSamplingSessionResponse:
    """The sampling session."""

    sampling_session_id: str
    type_: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        sampling_session_id = self.sampling_session_id

        type_ = self.type_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "sampling_session_id": sampling_session_id,
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        sampling_session_id = d.pop("sampling_session_id")

        type_ = d.pop("type", UNSET)

        create_sampling_session_response = cls(
            sampling_session_id=sampling_session_id,
            type_=type_,
        )

        return create_sampling_session_response
