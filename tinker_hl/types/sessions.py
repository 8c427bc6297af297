"""Sessions: what all calls of one client belong to."""

from datetime import datetime
from typing import Any, Literal, TypeAlias

import attrs

from tinker_hl.types.record import Answer, Record
from tinker_hl.types.scalars import moment, whole, zoned

__all__ = [
    "AccessibleSearchOwner",
    "ActiveSessionStatusQuery",
    "CancelledSessionStatusQuery",
    "ClientFinishedSessionStatusQuery",
    "ClientSessionFinishErrored",
    "ClientSessionFinishInterrupted",
    "ClientSessionFinishReason",
    "ClientSessionFinishReasonType",
    "ClientSessionFinishSuccess",
    "ClientSessionFinished",
    "CreateSessionRequest",
    "CreateSessionResponse",
    "FailedSessionStatusQuery",
    "GetSessionResponse",
    "ListSessionsResponse",
    "OwnSearchOwner",
    "SearchOwner",
    "SessionActive",
    "SessionCancelled",
    "SessionFailed",
    "SessionFailedReason",
    "SessionFailedRequestReason",
    "SessionFailedSamplingSessionReason",
    "SessionFailedTrainingRunReason",
    "SessionHeartbeatRequest",
    "SessionHeartbeatResponse",
    "SessionSearchCursor",
    "SessionSearchRequest",
    "SessionSearchResponse",
    "SessionStatus",
    "SessionStatusQuery",
    "SessionSummary",
    "TraceExportResponse",
    "UserSearchOwner",
]


@attrs.frozen(kw_only=True)
class CreateSessionRequest(Record):
    """Opens a session."""

    tags: list[str]
    user_metadata: dict[str, Any] | None = None
    sdk_version: str
    project_id: str | None = None
    display_name: str | None = None
    type: Literal["create_session"] = "create_session"


@attrs.frozen(kw_only=True)
class CreateSessionResponse(Answer):
    """The session's id, and what the service wants the user to read."""

    type: Literal["create_session"] = "create_session"
    info_message: str | None = None
    warning_message: str | None = None
    error_message: str | None = None
    session_id: str


@attrs.frozen(kw_only=True)
class SessionHeartbeatRequest(Record):
    """Says that the client is alive."""

    session_id: str
    type: Literal["session_heartbeat"] = "session_heartbeat"


@attrs.frozen(kw_only=True)
class SessionHeartbeatResponse(Answer):
    """The service has heard it."""

    type: Literal["session_heartbeat"] = "session_heartbeat"


@attrs.frozen(kw_only=True)
class ListSessionsResponse(Answer):
    """Ids of sessions."""

    sessions: list[str]


@attrs.frozen(kw_only=True)
class GetSessionResponse(Answer):
    """What belongs to a session."""

    training_run_ids: list[str]
    sampler_ids: list[str]
    user_metadata: dict[str, str] | None = None
    display_name: str | None = None


@attrs.frozen(kw_only=True)
class TraceExportResponse(Answer):
    """Whether a session's trace can be fetched, and where."""

    status: Literal["pending", "ready", "failed"]
    url: str | None = None
    error: str | None = None


@attrs.frozen(kw_only=True)
class ClientSessionFinishSuccess(Answer):
    """The client's work was done."""

    type: Literal["success"] = "success"


@attrs.frozen(kw_only=True)
class ClientSessionFinishErrored(Answer):
    """The client ended with an error."""

    type: Literal["errored"] = "errored"


@attrs.frozen(kw_only=True)
class ClientSessionFinishInterrupted(Answer):
    """A person stopped the client."""

    type: Literal["interrupted"] = "interrupted"


ClientSessionFinishReasonType: TypeAlias = Literal["success", "errored", "interrupted"]
ClientSessionFinishReason: TypeAlias = (
    ClientSessionFinishSuccess | ClientSessionFinishErrored | ClientSessionFinishInterrupted
)


@attrs.frozen(kw_only=True)
class SessionFailedRequestReason(Answer):
    """A request failed."""

    type: Literal["request"] = "request"
    request_id: str
    request_type: str


@attrs.frozen(kw_only=True)
class SessionFailedTrainingRunReason(Answer):
    """A training run failed."""

    type: Literal["training_run"] = "training_run"
    training_run_id: str


@attrs.frozen(kw_only=True)
class SessionFailedSamplingSessionReason(Answer):
    """A sampling session failed."""

    type: Literal["sampling_session"] = "sampling_session"
    sampling_session_id: str


SessionFailedReason: TypeAlias = (
    SessionFailedRequestReason | SessionFailedTrainingRunReason | SessionFailedSamplingSessionReason
)


@attrs.frozen(kw_only=True)
class SessionActive(Answer):
    """The session is alive."""

    type: Literal["active"] = "active"


@attrs.frozen(kw_only=True)
class SessionCancelled(Answer):
    """The session was cancelled."""

    type: Literal["cancelled"] = "cancelled"
    detail: str | None = None


@attrs.frozen(kw_only=True)
class SessionFailed(Answer):
    """The session failed."""

    type: Literal["failed"] = "failed"
    category: Literal["user", "internal"]
    reason: SessionFailedReason
    message: str


@attrs.frozen(kw_only=True)
class ClientSessionFinished(Answer):
    """The client finished the session."""

    type: Literal["client_finished"] = "client_finished"
    reason: ClientSessionFinishReason
    detail: str | None = None


SessionStatus: TypeAlias = SessionFailed | SessionCancelled | ClientSessionFinished | SessionActive


@attrs.frozen(kw_only=True)
class OwnSearchOwner(Record):
    """Search one's own sessions."""

    type: Literal["own"] = "own"


@attrs.frozen(kw_only=True)
class AccessibleSearchOwner(Record):
    """Search every session that one may see."""

    type: Literal["accessible"] = "accessible"


@attrs.frozen(kw_only=True)
class UserSearchOwner(Record):
    """Search the sessions of 1 to 10 users."""

    type: Literal["user"] = "user"
    owner_urns: list[str] = attrs.field(validator=[attrs.validators.min_len(1), attrs.validators.max_len(10)])


SearchOwner: TypeAlias = OwnSearchOwner | AccessibleSearchOwner | UserSearchOwner


@attrs.frozen(kw_only=True)
class ActiveSessionStatusQuery(Record):
    """Matches sessions that are alive."""

    type: Literal["active"] = "active"


@attrs.frozen(kw_only=True)
class CancelledSessionStatusQuery(Record):
    """Matches cancelled sessions."""

    type: Literal["cancelled"] = "cancelled"


@attrs.frozen(kw_only=True)
class FailedSessionStatusQuery(Record):
    """Matches failed sessions."""

    type: Literal["failed"] = "failed"


@attrs.frozen(kw_only=True)
class ClientFinishedSessionStatusQuery(Record):
    """Matches sessions that their client finished, for any or some reasons."""

    type: Literal["client_finished"] = "client_finished"
    reasons: list[ClientSessionFinishReasonType] | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.min_len(1))
    )


SessionStatusQuery: TypeAlias = (
    ActiveSessionStatusQuery | CancelledSessionStatusQuery | FailedSessionStatusQuery | ClientFinishedSessionStatusQuery
)


@attrs.frozen(kw_only=True)
class SessionSearchCursor(Answer):
    """Where the next page begins."""

    last_created_at: datetime = attrs.field(converter=zoned)
    last_session_id: str


@attrs.frozen(kw_only=True)
class SessionSearchRequest(Record):
    """Which sessions to look for; `limit` is from 1 to 200."""

    session_id: str | None = None
    project_ids: list[str] | None = None
    user_metadata: dict[str, str] = attrs.field(factory=dict)
    display_name: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.min_len(1))
    )
    owner: SearchOwner = attrs.field(factory=OwnSearchOwner)
    statuses: list[SessionStatusQuery] | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.min_len(1))
    )
    limit: int = attrs.field(default=50, converter=whole, validator=[attrs.validators.ge(1), attrs.validators.le(200)])
    cursor: SessionSearchCursor | None = None


@attrs.frozen(kw_only=True)
class SessionSummary(Answer):
    """One session that was found."""

    session_id: str
    created_at: datetime = attrs.field(converter=moment)
    owner: str
    project_id: str
    status: SessionStatus | None = None
    checkpoints_count: int
    display_name: str | None = None
    user_metadata: dict[str, str] | None = None
    checkpoint_storage_bytes: int | None = None


@attrs.frozen(kw_only=True)
class SessionSearchResponse(Answer):
    """A page of sessions, newest first."""

    sessions: list[SessionSummary]
    next_cursor: SessionSearchCursor | None = None
