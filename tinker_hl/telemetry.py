"""Reports to the service of what went wrong: to the hosted one unless switched off, to others only if asked for.

A report names things and counts them: the public method, the type of an error, its status, the attempt. It holds no
message, no header, no key, no data and no path of a file; what a user logs with `Telemetry.log` is sent as it is, but
for keys and tokens. Nothing waits for a report: events go into a bounded queue, and what cannot be sent is dropped and
counted.

`Telemetry.preview` shows what waits to be sent; with `TINKER_TELEMETRY_FILE` it goes into a file instead.

It listens to the event bus, and does not know how requests travel.
"""

import asyncio
import contextlib
import itertools
import os
import platform
import threading
import time
import traceback
import uuid
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tinker_hl import loop
from tinker_hl.errors import APIStatusError, RequestErrorCategory, RequestFailedError
from tinker_hl.events import Event, EventKind
from tinker_hl.retry import Clock, status_refuses
from tinker_hl.types.telemetry import Severity
from tinker_hl.version import SDK_VERSION

__all__ = ["VARIABLE", "Telemetry", "is_reported", "is_user_error"]

VARIABLE = "TINKER_TELEMETRY"

BATCH = 100
"""Events of one request."""
FLUSH_SECONDS = 10.0
"""From the first event in an empty queue to its request."""
QUEUE = 10_000
"""Events that wait; more are dropped."""
CLOSE_SECONDS = 1.0
"""That the end of a client may wait for its last reports."""
MAX_EVENT = 16 * 1024
"""Bytes of the data of one event of the user's."""
NOT_SENT = "(messages are not sent)"
FAILURE_FIELDS = ("error_type", "status_code", "category")
_REPORTED = frozenset({"session_started", "session_ended", "failed", "retried"})

Send = Callable[[bytes], Awaitable[None]]


Clean = Callable[[bytes], bytes]


def is_reported(kind: EventKind, fields: Mapping[str, Any]) -> bool:
    """Whether `Telemetry` has a use for an event."""
    return kind in _REPORTED


class Telemetry:
    """The reports of one connection.

    Invariant: whoever tells it something goes on at once, and gets no error from it.

    Args:
        send: Sends one batch, encoded; raises if it was not taken. Held weakly, but for the time of sending.
        clock: The time between batches.
        told: Hears of reports that are lost, with a level of `logging`.
        clean: Takes secrets out of an encoded batch, as `send` does; held weakly, too.
    """

    def __init__(
        self,
        send: "weakref.WeakMethod[Send]",
        clock: Clock,
        told: Callable[[str, int], None],
        clean: "weakref.WeakMethod[Clean] | None" = None,
    ) -> None:
        self._send = send
        self._clean = clean
        self._clock = clock
        self._told = told
        self._lock = threading.Lock()
        self._queue: deque[dict[str, Any]] = deque()
        self._numbers = itertools.count()
        self._session_id: str | None = None
        self._anonymous_id = f"sessionless-{uuid.uuid4()}"
        self._began = time.monotonic()
        self._flushing = False
        self._stopped = False
        self._turn = asyncio.Lock()
        self.dropped = 0
        """Events that were lost: the queue was full, or the service did not take them."""
        loop.reset_after_fork(self)

    @property
    def session_id(self) -> str:
        """What the reports are counted under: the session, or a name of their own while there is none."""
        return self._session_id or self._anonymous_id

    # What users call.

    def log(self, event_name: str, event_data: Mapping[str, Any] | None = None, severity: Severity = "INFO") -> bool:
        """Report something by name.

        Args:
            event_name: One of few; what varies belongs in the data.
            event_data: JSON values, at most 16 KiB.
            severity: How much it matters.

        Returns:
            Whether it will be sent, if the service takes it.
        """
        data = dict(event_data or {})
        try:
            if len(orjson.dumps(data)) > MAX_EVENT:
                return False
        except TypeError:
            return False
        return self._push(self._generic(event_name, data, severity))

    def log_exception_sync(self, exception: BaseException, severity: Severity = "ERROR") -> bool:
        """Report an error: its type and where it was raised, not its message. See `log` for what is returned."""
        return self._push(self._of_exception(exception, severity))

    async def log_exception(self, exception: BaseException, severity: Severity = "ERROR") -> bool:
        """See `log_exception_sync`."""
        return self.log_exception_sync(exception, severity)

    def log_fatal_exception_sync(self, exception: BaseException, severity: Severity = "ERROR") -> bool:
        """The same: an error does not end the session, so nothing else is reported, and nothing waits."""
        return self.log_exception_sync(exception, severity)

    async def log_fatal_exception(self, exception: BaseException, severity: Severity = "ERROR") -> bool:
        """See `log_fatal_exception_sync`."""
        return self.log_exception_sync(exception, severity)

    @contextlib.contextmanager
    def capture_exceptions(self, fatal: bool = False, severity: Severity = "ERROR") -> Iterator[None]:
        """Report an exception that leaves the `with` block, and let it go on.

        Args:
            fatal: Accepted for compatibility.
            severity: How much it matters.
        """
        try:
            yield
        except Exception as error:
            self.log_exception_sync(error, severity)
            raise

    @contextlib.asynccontextmanager
    async def acapture_exceptions(self, fatal: bool = False, severity: Severity = "ERROR") -> AsyncIterator[None]:
        """See `capture_exceptions`."""
        with self.capture_exceptions(fatal, severity):
            yield

    def preview(self) -> list[dict[str, Any]]:
        """What would be sent now: the requests' bodies, in order. Nothing is sent by this, nor taken away."""
        with self._lock:
            waiting = list(self._queue)
        clean = self._clean() if self._clean is not None else None
        bodies = (self._envelope(waiting[start : start + BATCH]) for start in range(0, len(waiting), BATCH))
        return [orjson.loads(clean(body) if clean is not None else body) for body in bodies]

    def stop(self) -> None:
        """Report nothing more; what waits is dropped."""
        with self._lock:
            self._stopped = True
            self.dropped += len(self._queue)
            self._queue.clear()

    # What the client calls.

    def hear(self, event: Event) -> None:
        """The listener of the event bus."""
        if event.kind == "session_started":
            self.join(str(event.fields["session_id"]))
            self._push(self._event("SESSION_START", "INFO"))
        elif event.kind == "session_ended":
            duration = timedelta(seconds=time.monotonic() - self._began)
            self._push(self._event("SESSION_END", "INFO", duration=str(duration)))
        elif event.kind == "failed":
            self._push(self._of_failure(event))
        elif event.kind == "retried":
            data = {"call": event.call, "attempt": event.fields.get("attempt"), "wait_s": event.fields.get("wait_s")}
            self._push(self._generic("retried", data, "WARNING"))

    def join(self, session_id: str) -> None:
        """From now on count reports under this session."""
        self._session_id = session_id
        self._began = time.monotonic()

    async def aclose(self) -> None:
        """Send what waits, for a second at most, and stop."""
        send = self._send()
        if send is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._flush(send), CLOSE_SECONDS)
        self.stop()

    def after_fork(self) -> None:
        """What waits is the parent's to send."""
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()
        self._queue.clear()
        self._flushing = False

    # Events.

    def _of_failure(self, event: Event) -> dict[str, Any]:
        fields = {name: event.fields[name] for name in FAILURE_FIELDS if name in event.fields}
        data = {"call": event.call, "request_id": event.request_id, **fields}
        if event.fields.get("user_error"):
            return self._generic("user_error", data, "WARNING")
        kind = str(fields.get("error_type", "TinkerError"))
        status = f" {fields['status_code']}" if "status_code" in fields else ""
        message = f"{kind}{status} in {event.call}"
        return self._event("UNHANDLED_EXCEPTION", "ERROR", error_type=kind, error_message=message)

    def _of_exception(self, exception: BaseException, severity: Severity) -> dict[str, Any]:
        kind = type(exception).__name__
        if is_user_error(exception):
            status = getattr(exception, "status_code", None)
            return self._generic("user_error", {"error_type": kind, "status_code": status}, "WARNING")
        return self._event(
            "UNHANDLED_EXCEPTION",
            severity,
            error_type=kind,
            error_message=NOT_SENT,
            traceback=_places(exception),
        )

    def _generic(self, name: str, data: Mapping[str, Any], severity: Severity) -> dict[str, Any]:
        return self._event("GENERIC_EVENT", severity, event_name=name, event_data=dict(data))

    def _event(self, kind: str, severity: Severity, **fields: Any) -> dict[str, Any]:
        return {
            "event": kind,
            "event_id": str(uuid.uuid4()),
            "event_session_index": next(self._numbers),
            "severity": severity,
            "timestamp": datetime.now(UTC).isoformat(),
            **fields,
        }

    # The queue.

    def _push(self, event: dict[str, Any]) -> bool:
        with self._lock:
            if self._stopped:
                return False
            full = len(self._queue) >= QUEUE
            if not full:
                self._queue.append(event)
            starts, self._flushing = not (full or self._flushing), True
        if full:
            self._overflow()
        elif starts:
            loop.event_loop().call_soon_threadsafe(self._start)
        return not full

    def _overflow(self) -> None:
        self.dropped += 1
        self._told(f"the queue of {QUEUE} events is full: {self.dropped} dropped", 30 if self.dropped == 1 else 10)

    def _start(self) -> None:
        send = self._send()
        if send is not None:
            loop.spawn(self._flush_later(send), name="tinker-hl-telemetry", own_context=True)

    async def _flush_later(self, send: Send) -> None:
        await self._clock.sleep(FLUSH_SECONDS)
        await self._flush(send)

    async def _flush(self, send: Send) -> None:
        async with self._turn:
            while batch := self._take():
                try:
                    await send(self._envelope(batch))
                except asyncio.CancelledError:
                    self.dropped += len(batch)
                    raise
                except Exception as error:
                    # Whatever it is: a report must never be what fails.
                    self._lost(batch, error)

    def _take(self) -> list[dict[str, Any]]:
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            self._flushing = bool(batch)
            return batch

    def _lost(self, batch: list[dict[str, Any]], error: Exception) -> None:
        self.dropped += len(batch)
        if isinstance(error, APIStatusError) and status_refuses(error.status_code):
            # The next one would be refused, too.
            self.stop()
            self._told(f"the service takes no telemetry ({error.status_code}); no more is sent", 10)
        else:
            self._told(f"{len(batch)} events were not sent: {type(error).__name__}", 10)

    def _envelope(self, events: list[dict[str, Any]]) -> bytes:
        return orjson.dumps(
            {
                "events": events,
                "platform": platform.system(),
                "sdk_version": SDK_VERSION,
                "session_id": self.session_id,
                "process_uuid": _process_uuid(),
            }
        )


def is_user_error(exception: BaseException) -> bool:
    """Whether the user can mend it: an error, or one behind it, that the service refused as the caller's mistake."""
    waiting: list[BaseException | None] = [exception]
    seen: set[int] = set()
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        if isinstance(error, RequestFailedError) and error.category is RequestErrorCategory.User:
            return True
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and 400 <= status < 500 and status != 408:
            return True
        waiting += [error.__cause__, error.__context__]
    return False


def _places(exception: BaseException) -> str:
    """Where an error went through: modules, functions and lines, without paths, source or values."""
    steps = traceback.walk_tb(exception.__traceback__)
    return "\n".join(
        f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}:{line}" for frame, line in steps
    )


_process: tuple[int, str] = (0, "")


def _process_uuid() -> str:
    """A name of this process; a forked child has one of its own."""
    global _process
    if _process[0] != os.getpid():
        _process = (os.getpid(), str(uuid.uuid4()))
    return _process[1]
