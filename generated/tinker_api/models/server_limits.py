from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

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
    max_small_body_bytes: int | Unset = UNSET
    """ Of the body of every request but passes and samples, sent or unpacked. """
    max_bytes_under_way: int | Unset = UNSET
    """ Of all bodies together, in memory and without results yet; 429 beyond. """
    max_spooled_bytes: int | Unset = UNSET
    """ Of passes that wait on the disk for a missing sequence id; 429 beyond. """
    max_autosave_bytes: int | Unset = UNSET
    """ Of automatic saves and the calls since them, on the disk; 429 beyond. """
    max_metadata_bytes: int | Unset = UNSET
    """ Of the labels of one session, run or checkpoint, as JSON. """
    max_sessions: int | Unset = UNSET
    """ Open at once. """
    max_models: int | Unset = UNSET
    """ In open sessions. """
    max_samplers: int | Unset = UNSET
    """ Sampling sessions in open sessions. """
    max_custom_losses: int | Unset = UNSET
    """ Of one session. """
    max_checkpoints: int | Unset = UNSET
    """ Kept at once. """
    max_unfetched_results: int | Unset = UNSET
    """ Of one session that were never fetched; the oldest go, or 429 beyond. """
    max_unfetched_bytes: int | Unset = UNSET
    """ The same of their bytes. """
    max_pending_requests: int | Unset = UNSET
    """ Of one model, that wait at once; 429 beyond. """

    def to_dict(self) -> dict[str, Any]:
        max_lora_rank = self.max_lora_rank

        max_num_samples = self.max_num_samples

        max_pending_samples = self.max_pending_samples

        max_body_bytes = self.max_body_bytes

        max_inflated_bytes = self.max_inflated_bytes

        max_small_body_bytes = self.max_small_body_bytes

        max_bytes_under_way = self.max_bytes_under_way

        max_spooled_bytes = self.max_spooled_bytes

        max_autosave_bytes = self.max_autosave_bytes

        max_metadata_bytes = self.max_metadata_bytes

        max_sessions = self.max_sessions

        max_models = self.max_models

        max_samplers = self.max_samplers

        max_custom_losses = self.max_custom_losses

        max_checkpoints = self.max_checkpoints

        max_unfetched_results = self.max_unfetched_results

        max_unfetched_bytes = self.max_unfetched_bytes

        max_pending_requests = self.max_pending_requests

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
        if max_small_body_bytes is not UNSET:
            field_dict["max_small_body_bytes"] = max_small_body_bytes
        if max_bytes_under_way is not UNSET:
            field_dict["max_bytes_under_way"] = max_bytes_under_way
        if max_spooled_bytes is not UNSET:
            field_dict["max_spooled_bytes"] = max_spooled_bytes
        if max_autosave_bytes is not UNSET:
            field_dict["max_autosave_bytes"] = max_autosave_bytes
        if max_metadata_bytes is not UNSET:
            field_dict["max_metadata_bytes"] = max_metadata_bytes
        if max_sessions is not UNSET:
            field_dict["max_sessions"] = max_sessions
        if max_models is not UNSET:
            field_dict["max_models"] = max_models
        if max_samplers is not UNSET:
            field_dict["max_samplers"] = max_samplers
        if max_custom_losses is not UNSET:
            field_dict["max_custom_losses"] = max_custom_losses
        if max_checkpoints is not UNSET:
            field_dict["max_checkpoints"] = max_checkpoints
        if max_unfetched_results is not UNSET:
            field_dict["max_unfetched_results"] = max_unfetched_results
        if max_unfetched_bytes is not UNSET:
            field_dict["max_unfetched_bytes"] = max_unfetched_bytes
        if max_pending_requests is not UNSET:
            field_dict["max_pending_requests"] = max_pending_requests

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        max_lora_rank = d.pop("max_lora_rank")

        max_num_samples = d.pop("max_num_samples")

        max_pending_samples = d.pop("max_pending_samples")

        max_body_bytes = d.pop("max_body_bytes")

        max_inflated_bytes = d.pop("max_inflated_bytes")

        max_small_body_bytes = d.pop("max_small_body_bytes", UNSET)

        max_bytes_under_way = d.pop("max_bytes_under_way", UNSET)

        max_spooled_bytes = d.pop("max_spooled_bytes", UNSET)

        max_autosave_bytes = d.pop("max_autosave_bytes", UNSET)

        max_metadata_bytes = d.pop("max_metadata_bytes", UNSET)

        max_sessions = d.pop("max_sessions", UNSET)

        max_models = d.pop("max_models", UNSET)

        max_samplers = d.pop("max_samplers", UNSET)

        max_custom_losses = d.pop("max_custom_losses", UNSET)

        max_checkpoints = d.pop("max_checkpoints", UNSET)

        max_unfetched_results = d.pop("max_unfetched_results", UNSET)

        max_unfetched_bytes = d.pop("max_unfetched_bytes", UNSET)

        max_pending_requests = d.pop("max_pending_requests", UNSET)

        server_limits = cls(
            max_lora_rank=max_lora_rank,
            max_num_samples=max_num_samples,
            max_pending_samples=max_pending_samples,
            max_body_bytes=max_body_bytes,
            max_inflated_bytes=max_inflated_bytes,
            max_small_body_bytes=max_small_body_bytes,
            max_bytes_under_way=max_bytes_under_way,
            max_spooled_bytes=max_spooled_bytes,
            max_autosave_bytes=max_autosave_bytes,
            max_metadata_bytes=max_metadata_bytes,
            max_sessions=max_sessions,
            max_models=max_models,
            max_samplers=max_samplers,
            max_custom_losses=max_custom_losses,
            max_checkpoints=max_checkpoints,
            max_unfetched_results=max_unfetched_results,
            max_unfetched_bytes=max_unfetched_bytes,
            max_pending_requests=max_pending_requests,
        )

        return server_limits
