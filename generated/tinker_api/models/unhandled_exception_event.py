from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..models.severity import Severity
from ..types import UNSET, Unset

T = TypeVar("T", bound="UnhandledExceptionEvent")


@_attrs_define
class UnhandledExceptionEvent:
    """A client's program failed."""

    event_id: str
    event_session_index: int
    severity: Severity
    """ How grave an event is. """
    timestamp: datetime.datetime
    error_message: str
    error_type: str
    event: Literal["UNHANDLED_EXCEPTION"] = "UNHANDLED_EXCEPTION"
    traceback: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        event = self.event

        event_id = self.event_id

        event_session_index = self.event_session_index

        severity = self.severity.value

        timestamp = self.timestamp.isoformat()

        error_message = self.error_message

        error_type = self.error_type

        traceback: None | str | Unset
        if isinstance(self.traceback, Unset):
            traceback = UNSET
        else:
            traceback = self.traceback

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "event": event,
                "event_id": event_id,
                "event_session_index": event_session_index,
                "severity": severity,
                "timestamp": timestamp,
                "error_message": error_message,
                "error_type": error_type,
            }
        )
        if traceback is not UNSET:
            field_dict["traceback"] = traceback

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        event = cast(Literal["UNHANDLED_EXCEPTION"], d.pop("event"))
        if event != "UNHANDLED_EXCEPTION":
            raise ValueError(f"event must match const 'UNHANDLED_EXCEPTION', got '{event}'")

        event_id = d.pop("event_id")

        event_session_index = d.pop("event_session_index")

        severity = Severity(d.pop("severity"))

        timestamp = datetime.datetime.fromisoformat(d.pop("timestamp"))

        error_message = d.pop("error_message")

        error_type = d.pop("error_type")

        def _parse_traceback(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        traceback = _parse_traceback(d.pop("traceback", UNSET))

        unhandled_exception_event = cls(
            event=event,
            event_id=event_id,
            event_session_index=event_session_index,
            severity=severity,
            timestamp=timestamp,
            error_message=error_message,
            error_type=error_type,
            traceback=traceback,
        )

        return unhandled_exception_event
