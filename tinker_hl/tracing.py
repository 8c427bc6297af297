"""OpenTelemetry spans of what a client does: a listener of its events. It knows neither clients nor exporters.

A public call is one span, a child of the span that was current where the call was made. Its own children say where the
time went:

    TrainingClient.forward_backward       from the call to its end
    |- queue                              until its first request was sent: other calls, limits, encoding
    |- POST forward_backward              each HTTP exchange: the way there and back, retries included
    |- result                             from a request's acceptance to its result: the service works, or pauses
    `- POST retrieve_future               each long poll

Names of attributes are those of OpenTelemetry's semantic conventions (1.4x) where it has any: `code.function.name`,
`http.request.method`, `http.response.status_code`, `server.address`, `server.port`, `error.type`; others begin with
`tinker.`. Needs the extra `opentelemetry`.
"""

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from tinker_hl import loop
from tinker_hl.errors import ConfigurationError
from tinker_hl.events import Event
from tinker_hl.version import __version__

try:
    from opentelemetry import propagate, trace  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise ConfigurationError("OpenTelemetry is not installed", hint="pip install 'tinker-hl[opentelemetry]'") from error

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider  # pyright: ignore[reportMissingImports]

__all__ = ["CallSpans", "trace_headers"]

NANOSECONDS = 1_000_000_000


def trace_headers() -> dict[str, str]:
    """Headers that carry the current span to the service, such as `traceparent`, for `call_options(headers=...)`.

    Empty where no span is current.
    """
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


@attrs.define
class _Result:
    """A request that the service has accepted."""

    span: "Span"
    state: str = "active"


@attrs.define
class _OpenCall:
    """A call that has not ended. All its spans are closed when it does."""

    span: "Span"
    queued: float
    """Seconds since the epoch."""
    sent: bool = False
    results: dict[str, _Result] = attrs.field(factory=dict)


class CallSpans:
    """Makes spans of the events that it is told: `service.subscribe(CallSpans())`.

    Args:
        tracer_provider: Where spans go; None for the process's own.

    Raises:
        ConfigurationError: When it is imported: `opentelemetry-api` is not installed.
    """

    def __init__(self, tracer_provider: "TracerProvider | None" = None) -> None:
        self._tracer = trace.get_tracer("tinker_hl", __version__, tracer_provider)
        self._lock = threading.Lock()
        self._calls: dict[int, _OpenCall] = {}
        loop.reset_after_fork(self)

    def __call__(self, event: Event) -> None:
        """A listener of events."""
        if event.call_id is None:
            return  # Heartbeats and other work in the background belongs to no call.
        with self._lock:
            if event.kind == "queued":
                self._begin(event, event.call_id)
            elif (call := self._calls.get(event.call_id)) is not None:
                self._within(call, event)
                if event.kind == "ended":
                    del self._calls[event.call_id]

    def after_fork(self) -> None:
        """Spans that are open are the parent's to end."""
        self._lock = threading.Lock()
        self._calls = {}

    def _begin(self, event: Event, number: int) -> None:
        attributes = {"code.function.name": event.call}
        span = self._tracer.start_span(event.call, start_time=_nanoseconds(event.at), attributes=attributes)
        self._calls[number] = _OpenCall(span, event.at)

    def _within(self, call: _OpenCall, event: Event) -> None:
        if event.kind == "answered":
            self._exchange(call, event)
        elif event.kind == "sent" and event.request_id is not None:
            call.results[event.request_id] = _Result(self._child(call, "result", event.at, _request(event)))
        elif event.kind in ("polled", "queue_state"):
            _tell_state(call, event)
        elif event.kind == "retried":
            fields = {"http.request.resend_count": event.fields["attempt"], "tinker.wait_s": event.fields["wait_s"]}
            call.span.add_event("retry", {**fields, "tinker.detail": event.detail}, _nanoseconds(event.at))
        elif event.kind in ("done", "cancelled", "failed"):
            result = call.results.pop(event.request_id or "", None)
            if result is not None:
                _close(result.span, event)
        elif event.kind == "ended":
            for result in call.results.values():
                _close(result.span, event)
            _close(call.span, event)

    def _exchange(self, call: _OpenCall, event: Event) -> None:
        began = event.at - event.fields["seconds"]
        if not call.sent:
            call.sent = True
            self._child(call, "queue", call.queued, {}).end(_nanoseconds(max(began, call.queued)))
        method, status = event.fields["method"], event.fields["status"]
        attributes: dict[str, Any] = {"http.request.method": method, "http.response.status_code": status}
        if status >= 400:
            attributes["error.type"] = str(status)
        name = f"{method} {event.fields['operation']}".strip()
        attributes |= _server(event.fields["server"])
        span = self._child(call, name, began, attributes, trace.SpanKind.CLIENT)
        if status >= 400:
            span.set_status(trace.StatusCode.ERROR)
        span.end(_nanoseconds(event.at))

    def _child(
        self,
        call: _OpenCall,
        name: str,
        began: float,
        attributes: Mapping[str, Any],
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    ) -> "Span":
        context = trace.set_span_in_context(call.span)
        return self._tracer.start_span(name, context, kind, attributes, start_time=_nanoseconds(began))


def _tell_state(call: _OpenCall, event: Event) -> None:
    """Put a change of the queue's state on the result that waits; a thousand polls that say the same are none."""
    result = call.results.get(event.request_id or "")
    state = event.fields.get("queue_state")
    if result is None or state is None or state == result.state:
        return
    result.state = state
    attributes = {"tinker.queue_state": state}
    if event.fields.get("reason"):
        attributes["tinker.queue_state_reason"] = str(event.fields["reason"])
    result.span.add_event("queue_state", attributes, _nanoseconds(event.at))


def _close(span: "Span", event: Event) -> None:
    """End a span as its event says: an error where there was one, and no word where nobody waits any more."""
    cancelled = event.kind == "cancelled" or event.fields.get("outcome") == "cancelled"
    if cancelled:
        span.set_attribute("tinker.cancelled", True)
    elif "error_type" in event.fields:
        span.set_attribute("error.type", event.fields["error_type"])
        span.set_status(trace.StatusCode.ERROR, event.detail or None)
    span.end(_nanoseconds(event.at))


def _request(event: Event) -> dict[str, Any]:
    return {"tinker.request_id": event.request_id}


@lru_cache(maxsize=64)
def _server(base_url: str) -> Mapping[str, Any]:
    parts = urlsplit(base_url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return {"server.address": parts.hostname or base_url, **({"server.port": port} if port else {})}


def _nanoseconds(at: float) -> int:
    return int(at * NANOSECONDS)
