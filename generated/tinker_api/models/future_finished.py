from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="FutureFinished")


@_attrs_define
class FutureFinished:
    """A result is ready."""

    request_id: str
    state: Literal["finished"] = "finished"
    response_payload_uncompressed_size: int | None | Unset = UNSET
    """ Bytes. """

    def to_dict(self) -> dict[str, Any]:
        state = self.state

        request_id = self.request_id

        response_payload_uncompressed_size: int | None | Unset
        if isinstance(self.response_payload_uncompressed_size, Unset):
            response_payload_uncompressed_size = UNSET
        else:
            response_payload_uncompressed_size = self.response_payload_uncompressed_size

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "state": state,
                "request_id": request_id,
            }
        )
        if response_payload_uncompressed_size is not UNSET:
            field_dict["response_payload_uncompressed_size"] = response_payload_uncompressed_size

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        state = cast(Literal["finished"], d.pop("state"))
        if state != "finished":
            raise ValueError(f"state must match const 'finished', got '{state}'")

        request_id = d.pop("request_id")

        def _parse_response_payload_uncompressed_size(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        response_payload_uncompressed_size = _parse_response_payload_uncompressed_size(
            d.pop("response_payload_uncompressed_size", UNSET)
        )

        future_finished = cls(
            state=state,
            request_id=request_id,
            response_payload_uncompressed_size=response_payload_uncompressed_size,
        )

        return future_finished
