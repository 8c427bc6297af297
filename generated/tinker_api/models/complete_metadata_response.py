from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="CompleteMetadataResponse")


@_attrs_define
class CompleteMetadataResponse:
    """Done, and large: reserve the room, then ask with `allow_metadata_only` false."""

    status: str
    response_payload_size: int
    """ Bytes. """

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        response_payload_size = self.response_payload_size

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "status": status,
                "response_payload_size": response_payload_size,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        status = d.pop("status")

        response_payload_size = d.pop("response_payload_size")

        complete_metadata_response = cls(
            status=status,
            response_payload_size=response_payload_size,
        )

        return complete_metadata_response
