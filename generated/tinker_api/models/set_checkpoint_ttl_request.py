from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

T = TypeVar("T", bound="SetCheckpointTtlRequest")


@_attrs_define
class SetCheckpointTtlRequest:
    """How long a checkpoint lives from now."""

    ttl_seconds: int | None
    """ Lifetime of a checkpoint in seconds, from the time of the call; null: for ever. Outside the range: 400. """

    def to_dict(self) -> dict[str, Any]:
        ttl_seconds: int | None
        ttl_seconds = self.ttl_seconds

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "ttl_seconds": ttl_seconds,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_ttl_seconds(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        ttl_seconds = _parse_ttl_seconds(d.pop("ttl_seconds"))

        set_checkpoint_ttl_request = cls(
            ttl_seconds=ttl_seconds,
        )

        return set_checkpoint_ttl_request
