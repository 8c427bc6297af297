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

T = TypeVar("T", bound="SessionStartEvent")


@_attrs_define
class SessionStartEvent:
    """A client started."""

    event_id: str
    event_session_index: int
    severity: Severity
    """ How grave an event is. """
    timestamp: datetime.datetime
    event: Literal["SESSION_START"] = "SESSION_START"

    def to_dict(self) -> dict[str, Any]:
        event = self.event

        event_id = self.event_id

        event_session_index = self.event_session_index

        severity = self.severity.value

        timestamp = self.timestamp.isoformat()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "event": event,
                "event_id": event_id,
                "event_session_index": event_session_index,
                "severity": severity,
                "timestamp": timestamp,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        event = cast(Literal["SESSION_START"], d.pop("event"))
        if event != "SESSION_START":
            raise ValueError(f"event must match const 'SESSION_START', got '{event}'")

        event_id = d.pop("event_id")

        event_session_index = d.pop("event_session_index")

        severity = Severity(d.pop("severity"))

        timestamp = datetime.datetime.fromisoformat(d.pop("timestamp"))

        session_start_event = cls(
            event=event,
            event_id=event_id,
            event_session_index=event_session_index,
            severity=severity,
            timestamp=timestamp,
        )

        return session_start_event
