"""`Timeline`: what a client did and when, as a file that Perfetto and chrome://tracing open.

A listener of the client's events. Each public call is a bar; within it are bars of the requests that the server took,
and marks where it was retried, held up or told something. A counter shows how many calls were under way. The format is
the Trace Event Format's JSON object with nestable asynchronous events, since calls overlap. It holds what events hold:
no bodies, no secrets.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from tinker_hl.events import Event

__all__ = ["Timeline"]

MOST_EVENTS: Final = 1_000_000
"""Kept in memory; of more the oldest are dropped."""
_ENDS: Final = {"done": "done", "failed": "failed", "cancelled": "cancelled"}
_MARKS: Final = frozenset({"retried", "queue_state", "notice", "heartbeat_failed", "session_started", "session_ended"})


class Timeline:
    """Listens from `service.subscribe(timeline.hear)` on. Safe from any thread.

    Args:
        most_events: Kept; of more the oldest are dropped, and `dropped` counts them.
    """

    def __init__(self, most_events: int = MOST_EVENTS) -> None:
        self._events: deque[Event] = deque(maxlen=most_events)
        self._heard = 0
        self._lock = threading.Lock()

    def hear(self, event: Event) -> None:
        """Note an event."""
        if event.kind in ("polled", "answered"):
            return  # thousands a minute, and the bars show their sum
        with self._lock:
            self._heard += 1
            self._events.append(event)

    @property
    def dropped(self) -> int:
        """Events that there was no room for."""
        with self._lock:
            return self._heard - len(self._events)

    def trace(self) -> dict[str, Any]:
        """The trace as an object: `traceEvents` in the order of time, timestamps in microseconds since the first."""
        with self._lock:
            events = sorted(self._events, key=lambda event: event.at)
        return {
            "traceEvents": [_process_name(), *_Bars(events).all()],
            "displayTimeUnit": "ms",
            "otherData": {"dropped_events": str(self.dropped)},
        }

    def write(self, path: str | Path) -> Path:
        """Write the trace; open it at https://ui.perfetto.dev. The file is whole or not there."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}.new")
        aside.write_bytes(orjson.dumps(self.trace()))
        aside.replace(target)
        return target


class _Bars:
    """Turns events into bars. Invariant: each bar that was begun is ended, if need be at the last event's time."""

    def __init__(self, events: list[Event]) -> None:
        self._heard = events
        self._start = events[0].at if events else 0.0
        self._calls: dict[int, str] = {}
        self._requests: dict[str, tuple[int, str]] = {}

    def all(self) -> Iterator[dict[str, Any]]:
        for event in self._heard:
            yield from self._of(event)
        if self._heard:
            last = self._heard[-1]
            for request_id in list(self._requests):
                yield self._request_ends(request_id, last, "not ended")
            for number, name in self._calls.items():
                yield self._bar("e", name, number, last, {"outcome": "not ended"})

    def _of(self, event: Event) -> Iterator[dict[str, Any]]:
        number = event.call_id
        if event.kind == "queued" and number is not None:
            self._calls[number] = event.call
            yield self._bar("b", event.call, number, event, {})
            yield self._under_way(event)
        elif event.kind == "ended" and number in self._calls:
            assert number is not None
            for request_id in [name for name, (call, _) in self._requests.items() if call == number]:
                yield self._request_ends(request_id, event, "given up")
            yield self._bar("e", self._calls.pop(number), number, event, _told(event))
            yield self._under_way(event)
        elif event.kind == "sent" and event.request_id is not None and number in self._calls:
            assert number is not None
            name = f"{event.call.rpartition('.')[2]} at the server"
            self._requests[event.request_id] = number, name
            yield self._bar("b", name, number, event, {"request_id": event.request_id})
        elif event.kind in _ENDS and event.request_id in self._requests:
            assert event.request_id is not None
            yield self._request_ends(event.request_id, event, _ENDS[event.kind])
        elif event.kind in _MARKS:
            yield self._mark(event)

    def _request_ends(self, request_id: str, event: Event, outcome: str) -> dict[str, Any]:
        number, name = self._requests.pop(request_id)
        return self._bar("e", name, number, event, {"outcome": outcome})

    def _bar(self, phase: str, name: str, number: int, event: Event, told: dict[str, Any]) -> dict[str, Any]:
        return {"cat": "tinker", "id": number, "ph": phase, "args": told, **self._place(name, event)}

    def _mark(self, event: Event) -> dict[str, Any]:
        place = self._place(event.kind, event)
        told = {"call": event.call, **_told(event)}
        if event.call_id in self._calls:
            return {"cat": "tinker", "id": event.call_id, "ph": "n", "args": told, **place}
        return {"cat": "tinker", "ph": "i", "s": "p", "args": told, **place}

    def _under_way(self, event: Event) -> dict[str, Any]:
        return {"cat": "tinker", "ph": "C", "args": {"calls": len(self._calls)}, **self._place("under way", event)}

    def _place(self, name: str, event: Event) -> dict[str, Any]:
        return {"name": name, "pid": 1, "tid": 1, "ts": round((event.at - self._start) * 1e6)}


def _told(event: Event) -> dict[str, Any]:
    """What an event says, as far as it is text or a number."""
    told = {name: value for name, value in event.fields.items() if isinstance(value, str | int | float | bool)}
    return {**told, **({"detail": event.detail} if event.detail else {})}


def _process_name() -> dict[str, Any]:
    return {"name": "process_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": "tinker-hl client"}}
