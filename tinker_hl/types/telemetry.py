"""Events that a client may report, and their envelope."""

from datetime import datetime
from typing import Any, Literal, TypeAlias

import attrs

from tinker_hl.types.record import Answer, Record
from tinker_hl.types.scalars import moment

__all__ = [
    "EventType",
    "GenericEvent",
    "SessionEndEvent",
    "SessionStartEvent",
    "Severity",
    "TelemetryBatch",
    "TelemetryEvent",
    "TelemetryResponse",
    "TelemetrySendRequest",
    "UnhandledExceptionEvent",
]

EventType: TypeAlias = Literal["SESSION_START", "SESSION_END", "UNHANDLED_EXCEPTION", "GENERIC_EVENT"]
Severity: TypeAlias = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


@attrs.frozen(kw_only=True)
class SessionStartEvent(Answer):
    """A session began."""

    event: EventType = "SESSION_START"
    event_id: str
    event_session_index: int
    severity: Severity
    timestamp: datetime = attrs.field(converter=moment)


@attrs.frozen(kw_only=True)
class SessionEndEvent(Answer):
    """A session ended after `duration`."""

    duration: str
    event: EventType = "SESSION_END"
    event_id: str
    event_session_index: int
    severity: Severity
    timestamp: datetime = attrs.field(converter=moment)


@attrs.frozen(kw_only=True)
class UnhandledExceptionEvent(Answer):
    """An error reached the user's code."""

    error_message: str
    error_type: str
    event: EventType = "UNHANDLED_EXCEPTION"
    event_id: str
    event_session_index: int
    severity: Severity
    timestamp: datetime = attrs.field(converter=moment)
    traceback: str | None = None


@attrs.frozen(kw_only=True)
class GenericEvent(Answer):
    """Anything else, by name."""

    event: EventType = "GENERIC_EVENT"
    event_id: str
    event_name: str
    event_session_index: int
    severity: Severity
    timestamp: datetime = attrs.field(converter=moment)
    event_data: dict[str, Any] = attrs.field(factory=dict)


TelemetryEvent: TypeAlias = SessionStartEvent | SessionEndEvent | UnhandledExceptionEvent | GenericEvent


@attrs.frozen(kw_only=True)
class TelemetryBatch(Answer):
    """Events of one process in one session."""

    events: list[TelemetryEvent]
    platform: str
    sdk_version: str
    session_id: str
    process_uuid: str


@attrs.frozen(kw_only=True)
class TelemetrySendRequest(Record):
    """The same, as it is sent."""

    events: list[TelemetryEvent]
    platform: str
    sdk_version: str
    session_id: str
    process_uuid: str


@attrs.frozen(kw_only=True)
class TelemetryResponse(Answer):
    """The service has taken them."""

    status: str
