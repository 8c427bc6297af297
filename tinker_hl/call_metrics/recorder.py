"""Counts what the events of one connection tell, by public method. It knows neither clients nor servers.

Two things are timed: each HTTP exchange, and each request from its submission to its result, which takes as long as the
service works on it and may be polled for many times.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import attrs
import orjson

from tinker_hl import loop
from tinker_hl.call_metrics.export import to_prometheus
from tinker_hl.call_metrics.histogram import Histogram, Latency
from tinker_hl.events import Event, EventKind

__all__ = ["CallCounts", "CallMetrics", "ExportFormat", "MetricsSnapshot", "is_counted"]

ExportFormat = Literal["json", "prometheus"]


@attrs.frozen(kw_only=True)
class CallCounts:
    """What one public method, or one task in the background, has done."""

    sent: int
    """Requests that the server accepted and promised a result of."""
    done: int
    """Of these, those whose result came."""
    failed: Mapping[str, int]
    """Requests that ended in an error, by the error's class; those that the server never accepted are among them."""
    cancelled: int
    """Requests whose result nobody waits for any more."""
    pending: int
    """Requests that the server accepted and that have not ended in any of these ways."""
    retried: int
    """Attempts that failed and were followed by another."""
    polled: int
    """Questions for a result that was not there yet."""
    paused: int
    """Of these answers, those by which the server said that it lets the request wait."""
    answers: Mapping[int, int]
    """HTTP answers by status."""
    exchanges: Latency
    """Seconds of each HTTP exchange that was answered; long polls are among them."""
    results: Latency
    """Seconds from a request's submission to its result."""


@attrs.frozen(kw_only=True)
class MetricsSnapshot:
    """All counts at one moment."""

    calls: Mapping[str, CallCounts]
    """By name, such as `TrainingClient.forward_backward`."""

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts, lists and numbers."""
        return attrs.asdict(self)


class _Counts:
    """The counts of one call, as they grow."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.exchanges = Histogram()
        self.results = Histogram()

    def hear(self, event: Event) -> None:
        self.kinds[event.kind] += 1
        fields = event.fields
        if event.kind == "answered":
            self.answers[fields["status"]] += 1
            self.exchanges.add(fields["seconds"])
        elif event.kind == "done":
            self.results.add(fields["seconds"])
        elif event.kind == "failed":
            self.kinds["broken"] += fields["promised"]
            self.failed[str(fields.get("error_type", "Exception"))] += 1

    def snapshot(self) -> CallCounts:
        return CallCounts(
            sent=self.kinds["sent"],
            done=self.kinds["done"],
            failed=dict(self.failed),
            cancelled=self.kinds["cancelled"],
            pending=max(0, self.kinds["sent"] - sum(self.kinds[kind] for kind in _ENDS)),
            retried=self.kinds["retried"],
            polled=self.kinds["polled"] + self.kinds["queue_state"],
            paused=self.kinds["queue_state"],
            answers=dict(sorted(self.answers.items())),
            exchanges=self.exchanges.snapshot(),
            results=self.results.snapshot(),
        )


_COUNTED = frozenset({"sent", "polled", "queue_state", "retried", "answered", "done", "failed", "cancelled"})
_ENDS = ("done", "cancelled", "broken")
"""Of a request that was accepted. Broken are the failures among these; an event tells which they are."""


def is_counted(kind: EventKind, fields: Mapping[str, Any]) -> bool:
    """Whether `CallMetrics` has a use for an event."""
    return kind in _COUNTED


class CallMetrics:
    """Counts since the connection was made, or since `reset`. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, _Counts] = {}
        loop.reset_after_fork(self)

    def hear(self, event: Event) -> None:
        """A listener of events."""
        if event.kind not in _COUNTED:
            return
        with self._lock:
            counts = self._calls.get(event.call)
            if counts is None:
                counts = self._calls[event.call] = _Counts()
            counts.hear(event)

    def snapshot(self) -> MetricsSnapshot:
        """The counts as they stand; the object does not change any more."""
        with self._lock:
            return MetricsSnapshot(calls={name: counts.snapshot() for name, counts in sorted(self._calls.items())})

    def reset(self) -> None:
        """Begin anew with nothing counted."""
        with self._lock:
            self._calls = {}

    def export(self, format: ExportFormat = "json") -> str:
        """The counts as a text.

        Args:
            format: `json`, or `prometheus` for its text exposition format 0.0.4.

        Raises:
            ValueError: Another format.
        """
        if format == "json":
            return orjson.dumps(self.snapshot().to_dict(), option=orjson.OPT_NON_STR_KEYS).decode()
        if format == "prometheus":
            return to_prometheus(self.snapshot())
        raise ValueError(f"format must be json or prometheus, got {format!r}")

    def after_fork(self) -> None:
        """The lock may have been held by a thread of the parent."""
        self._lock = threading.Lock()
