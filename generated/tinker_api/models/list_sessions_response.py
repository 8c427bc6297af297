from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

T = TypeVar("T", bound="ListSessionsResponse")


@_attrs_define
class ListSessionsResponse:
    """Session ids, the newest first."""

    sessions: list[str]

    def to_dict(self) -> dict[str, Any]:
        sessions = self.sessions

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "sessions": sessions,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        sessions = cast(list[str], d.pop("sessions"))

        list_sessions_response = cls(
            sessions=sessions,
        )

        return list_sessions_response
