from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="ServerLimits")


@_attrs_define
class ServerLimits:
    """What a server refuses beyond; each has a typed error that names it."""

    max_lora_rank: int
    """ Of an adapter. """
    max_num_samples: int
    """ Of one request. """
    max_pending_samples: int
    """ Requests for samples that are under way at once. """
    max_body_bytes: int
    """ Of a request's body as it is sent. """
    max_inflated_bytes: int
    """ Of a request's body when it is unpacked. """

    def to_dict(self) -> dict[str, Any]:
        max_lora_rank = self.max_lora_rank

        max_num_samples = self.max_num_samples

        max_pending_samples = self.max_pending_samples

        max_body_bytes = self.max_body_bytes

        max_inflated_bytes = self.max_inflated_bytes

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "max_lora_rank": max_lora_rank,
                "max_num_samples": max_num_samples,
                "max_pending_samples": max_pending_samples,
                "max_body_bytes": max_body_bytes,
                "max_inflated_bytes": max_inflated_bytes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        max_lora_rank = d.pop("max_lora_rank")

        max_num_samples = d.pop("max_num_samples")

        max_pending_samples = d.pop("max_pending_samples")

        max_body_bytes = d.pop("max_body_bytes")

        max_inflated_bytes = d.pop("max_inflated_bytes")

        server_limits = cls(
            max_lora_rank=max_lora_rank,
            max_num_samples=max_num_samples,
            max_pending_samples=max_pending_samples,
            max_body_bytes=max_body_bytes,
            max_inflated_bytes=max_inflated_bytes,
        )

        return server_limits
