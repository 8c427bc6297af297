"""What use cost."""

from datetime import datetime
from typing import Literal, TypeAlias

import attrs

from tinker_hl.types.record import Answer, Record
from tinker_hl.types.scalars import moment, moment_or_none

__all__ = [
    "BillingEventInfo",
    "BillingUsageEvent",
    "BillingUsageResponse",
    "BillingUsageSession",
    "CheckpointBillingEvent",
    "CurrentCheckpointStorageUsageItem",
    "CurrentCheckpointStorageUsageResponse",
    "GetBillingUsageRequest",
    "GetCurrentCheckpointStorageUsageRequest",
    "SamplingPrefillBillingEvent",
    "SamplingSampleBillingEvent",
    "StorageBillingEvent",
    "TrainingBillingEvent",
]


@attrs.frozen(kw_only=True)
class GetBillingUsageRequest(Record):
    """Which hours: `starting_on` included, `ending_before` not; whole hours in UTC, at most 14 days."""

    starting_on: datetime = attrs.field(converter=moment)
    ending_before: datetime = attrs.field(converter=moment)


@attrs.frozen(kw_only=True)
class GetCurrentCheckpointStorageUsageRequest(Record):
    """Which project; None is all."""

    project_id: str | None = None


@attrs.frozen(kw_only=True)
class TrainingBillingEvent(Answer):
    """Tokens trained on."""

    type: Literal["training"] = "training"
    token_count: int


@attrs.frozen(kw_only=True)
class SamplingPrefillBillingEvent(Answer):
    """Prompt tokens, read anew or from a cache."""

    type: Literal["sampling_prefill"] = "sampling_prefill"
    cached: bool
    token_count: int


@attrs.frozen(kw_only=True)
class SamplingSampleBillingEvent(Answer):
    """Tokens sampled."""

    type: Literal["sampling_sample"] = "sampling_sample"
    token_count: int


@attrs.frozen(kw_only=True)
class CheckpointBillingEvent(Answer):
    """Checkpoints saved."""

    type: Literal["checkpoint"] = "checkpoint"
    count: int


@attrs.frozen(kw_only=True)
class StorageBillingEvent(Answer):
    """Storage used."""

    type: Literal["storage"] = "storage"
    free: bool = False
    gigabyte_hours: float


BillingEventInfo: TypeAlias = (
    TrainingBillingEvent
    | SamplingPrefillBillingEvent
    | SamplingSampleBillingEvent
    | CheckpointBillingEvent
    | StorageBillingEvent
)


@attrs.frozen(kw_only=True)
class BillingUsageEvent(Answer):
    """One kind of use in one hour."""

    bucket_start: datetime = attrs.field(converter=moment)
    bucket_end: datetime = attrs.field(converter=moment)
    base_model: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    session_id: str | None = None
    project_id: str | None = None
    estimated_cost_usd: float | None = None
    effective_rate_usd_per_million_tokens: float | None = None
    effective_rate_usd_per_gigabyte_month: float | None = None
    event_info: BillingEventInfo


@attrs.frozen(kw_only=True)
class BillingUsageSession(Answer):
    """What a session said about itself."""

    user_metadata: dict[str, str] | None = None


@attrs.frozen(kw_only=True)
class BillingUsageResponse(Answer):
    """Use, hour by hour."""

    data: list[BillingUsageEvent]
    sessions: dict[str, BillingUsageSession] = attrs.field(factory=dict)
    cost_data_through: datetime | None = attrs.field(default=None, converter=moment_or_none)


@attrs.frozen(kw_only=True)
class CurrentCheckpointStorageUsageItem(Answer):
    """What one user stores in one project."""

    project_id: str | None = None
    org_user_urn: str | None = None
    user_email: str | None = None
    user_name: str | None = None
    checkpoint_count: int
    size_bytes: int
    size_gigabytes: float
    estimated_monthly_cost_usd: float | None = None


@attrs.frozen(kw_only=True)
class CurrentCheckpointStorageUsageResponse(Answer):
    """What is stored now."""

    effective_rate_usd_per_gigabyte_month: float | None = None
    data: list[CurrentCheckpointStorageUsageItem]
