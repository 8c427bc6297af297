"""Promises: what a submission answers, and what polling for its result answers."""

from typing import Literal, TypeAlias

import attrs

from tinker_hl.errors import RequestErrorCategory
from tinker_hl.types.record import Answer, Record
from tinker_hl.types.scalars import whole

__all__ = [
    "FutureCompletion",
    "FutureFailed",
    "FutureFinished",
    "FutureRetrieveRequest",
    "FuturesRetrieveRequest",
    "FuturesRetrieveResponse",
    "RequestErrorCategory",
    "RequestFailedResponse",
    "RequestID",
    "SamplingSessionFuturesTarget",
    "TryAgainResponse",
    "UntypedAPIFuture",
]

RequestID: TypeAlias = str


@attrs.frozen(kw_only=True)
class UntypedAPIFuture(Answer):
    """The service's promise of a result. `sample_sequence_ids` has one id a sample, where the service gives them."""

    request_id: str
    model_id: str | None = None
    sample_sequence_ids: list[str] | None = None


@attrs.frozen(kw_only=True)
class FutureRetrieveRequest(Record):
    """Asks for a result; `allow_metadata_only` lets the service answer with the size of a large one."""

    request_id: str
    allow_metadata_only: bool = False


@attrs.frozen(kw_only=True)
class TryAgainResponse(Answer):
    """There is no result yet."""

    type: Literal["try_again"] = "try_again"
    request_id: str
    queue_state: Literal["active", "paused_capacity", "paused_rate_limit"] = "active"
    queue_state_reason: str | None = None


@attrs.frozen(kw_only=True)
class RequestFailedResponse(Answer):
    """The work failed."""

    error: str
    category: RequestErrorCategory = RequestErrorCategory.Unknown


@attrs.frozen(kw_only=True)
class SamplingSessionFuturesTarget(Record):
    """Whose completions are asked for: one client of one sampling session."""

    type: Literal["sampling_session"] = "sampling_session"
    sampling_session_id: str
    cloned_sampler_id: int = attrs.field(default=0, converter=whole)


@attrs.frozen(kw_only=True)
class FuturesRetrieveRequest(Record):
    """Asks which of many promises are done; acknowledges what was seen and fetched."""

    target: SamplingSessionFuturesTarget
    prev_cursor: int = attrs.field(default=0, converter=whole)
    timeout: float | None = None
    """Seconds to hold the call; 0 answers at once; None leaves it to the service."""
    retrieved_request_ids: list[str] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class FutureFinished(Answer):
    """A promise that has a result."""

    state: Literal["finished"] = "finished"
    request_id: str
    response_payload_uncompressed_size: int | None = None


@attrs.frozen(kw_only=True)
class FutureFailed(Answer):
    """A promise that has an error."""

    state: Literal["failed"] = "failed"
    request_id: str


FutureCompletion: TypeAlias = FutureFinished | FutureFailed


@attrs.frozen(kw_only=True)
class FuturesRetrieveResponse(Answer):
    """What was completed since `prev_cursor`, and the next one."""

    completions: list[FutureCompletion]
    cursor: int
