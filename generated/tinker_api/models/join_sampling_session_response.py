from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="JoinSamplingSessionResponse")


@_attrs_define
class JoinSamplingSessionResponse:
    """The copy's number; the client that opened the session is 0."""

    client_counter: int
    type_: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        client_counter = self.client_counter

        type_ = self.type_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "client_counter": client_counter,
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        client_counter = d.pop("client_counter")

        type_ = d.pop("type", UNSET)

        join_sampling_session_response = cls(
            client_counter=client_counter,
            type_=type_,
        )

        return join_sampling_session_response
