from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..models.severity import Severity
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.event_data import EventData


T = TypeVar("T", bound="GenericEvent")


@_attrs_define
class GenericEvent:
    """Anything else."""

    event_id: str
    event_session_index: int
    severity: Severity
    """ How grave an event is. """
    timestamp: datetime.datetime
    event_name: str
    event: Literal["GENERIC_EVENT"] = "GENERIC_EVENT"
    event_data: EventData | Unset = UNSET
    """ What a generic event carries. """

    def to_dict(self) -> dict[str, Any]:
        event = self.event

        event_id = self.event_id

        event_session_index = self.event_session_index

        severity = self.severity.value

        timestamp = self.timestamp.isoformat()

        event_name = self.event_name

        event_data: dict[str, Any] | Unset = UNSET
        if not isinstance(self.event_data, Unset):
            event_data = self.event_data.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "event": event,
                "event_id": event_id,
                "event_session_index": event_session_index,
                "severity": severity,
                "timestamp": timestamp,
                "event_name": event_name,
            }
        )
        if event_data is not UNSET:
            field_dict["event_data"] = event_data

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.event_data import EventData  # noqa: PLC0415

        d = dict(src_dict)
        event = cast(Literal["GENERIC_EVENT"], d.pop("event"))
        if event != "GENERIC_EVENT":
            raise ValueError(f"event must match const 'GENERIC_EVENT', got '{event}'")

        event_id = d.pop("event_id")

        event_session_index = d.pop("event_session_index")

        severity = Severity(d.pop("severity"))

        timestamp = datetime.datetime.fromisoformat(d.pop("timestamp"))

        event_name = d.pop("event_name")

        _event_data = d.pop("event_data", UNSET)
        event_data: EventData | Unset
        if isinstance(_event_data, Unset):
            event_data = UNSET
        else:
            event_data = EventData.from_dict(_event_data)

        generic_event = cls(
            event=event,
            event_id=event_id,
            event_session_index=event_session_index,
            severity=severity,
            timestamp=timestamp,
            event_name=event_name,
            event_data=event_data,
        )

        return generic_event
