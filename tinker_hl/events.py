"""What happens inside the client, told as it happens: a small bus of structured events.

Logging is one listener of it; metrics, progress bars and traces are others, added with `EventBus.subscribe`. An event
holds no secret: no headers, no bodies. The bus knows nothing of what it carries; a listener that raises is reported and
never disturbs the call it was told about. Only a guard, added with `EventBus.guard`, can refuse a call.
"""

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeVar

import attrs

__all__ = ["Event", "EventBus", "EventKind", "Guard", "Listener", "in_call", "log_event"]

logger = logging.getLogger("tinker_hl")

T = TypeVar("T")

EventKind = Literal[
    "queued",  # a public call was made, and its place in the order reserved
    "sent",  # the server accepted it and named a request
    "polled",  # the result was asked for and is not there yet
    "queue_state",  # the server said why a request waits
    "answered",  # an HTTP exchange came to an answer, whatever its status
    "retried",  # an attempt failed and another will follow
    "done",
    "tokens",  # what a finished request took: `prompt`, `sampled`, `trained`
    "failed",
    "cancelled",  # nobody waits for the result any more
    "ended",  # a public call is over, whatever became of its requests
    "session_started",
    "session_ended",
    "heartbeat_failed",
    "notice",  # something that the server wants the user to read
    "recovery",  # a stage of replacing a lost model; `tinker_hl.recovery` has the stages
]

_LEVELS: Mapping[str, int] = {
    "retried": logging.WARNING,
    "queue_state": logging.WARNING,
    "heartbeat_failed": logging.WARNING,
    "session_started": logging.INFO,
    "session_ended": logging.INFO,
}


@attrs.frozen(kw_only=True)
class Event:
    """One thing that happened."""

    kind: EventKind
    call: str
    """The public method or the background task, such as `TrainingClient.forward_backward`."""
    request_id: str | None = None
    detail: str = ""
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    """Numbers and names for machines: `attempt`, `wait_s`, `status`, `seconds`, `queue_state`, ...

    A queued call that takes tokens has `most_tokens`: how many at most, or None where that is not known.
    """
    at: float = attrs.field(factory=time.time)
    """Seconds since the epoch."""
    call_id: int | None = None
    """A number of the public call that it belongs to, in this process; None for tasks in the background."""


Listener = Callable[[Event], None]
Guard = Callable[[Event], None]
"""Is asked of each call when it is queued, before anything is sent; what it raises is the end of the call."""


_call_id: ContextVar[int | None] = ContextVar("tinker_hl_call_id", default=None)
_call_numbers = itertools.count(1)


def in_call() -> bool:
    """Whether what runs here belongs to a public call that was told of as queued."""
    return _call_id.get() is not None


class EventBus:
    """Tells each event to each listener, in the thread where it happened. Listeners must be quick."""

    def __init__(self, listeners: tuple[Listener, ...] = ()) -> None:
        self._listeners = listeners
        self._guards: tuple[Guard, ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; the returned function removes it again, but not what others have subscribed."""
        mine = [listener]
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                while mine:
                    self._listeners = _without_one(self._listeners, mine.pop())

        return unsubscribe

    def guard(self, guard: Guard) -> Callable[[], None]:
        """Have a guard asked of every call; the returned function ends it."""
        mine = [guard]
        with self._lock:
            self._guards = (*self._guards, guard)

        def unguard() -> None:
            with self._lock:
                while mine:
                    self._guards = _without_one(self._guards, mine.pop())

        return unguard

    def admit(self, call: str, **fields: Any) -> None:
        """Ask the guards of a call, in the thread that makes it. Raises what the first raises that refuses it."""
        if self._guards:
            event = Event(kind="queued", call=call, fields=fields, call_id=_call_id.get())
            for guard in self._guards:
                guard(event)

    def emit(
        self, kind: EventKind, call: str, *, request_id: str | None = None, detail: str = "", **fields: Any
    ) -> None:
        """Tell an event; free when nobody listens."""
        if not self._listeners:
            return
        number = _call_id.get()
        event = Event(kind=kind, call=call, request_id=request_id, detail=detail, fields=fields, call_id=number)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                logger.exception("an event listener failed on %s", event.kind)

    @contextmanager
    def call(self, call: str, detail: str = "", **fields: Any) -> Iterator[None]:
        """A public call, from here to the end of the block. What is told in it, and in its tasks, has its number."""
        with self._numbered(call, detail, fields):
            try:
                self.admit(call, **fields)
                yield
            except BaseException as error:
                self._ended(call, error)
                raise
            self._ended(call, None)

    @contextmanager
    def call_of_future(self, call: str, detail: str = "", **fields: Any) -> Iterator[Callable[[Future[Any]], None]]:
        """The same for a call that ends with a future, which the block makes and hands to what it is given.

        A block that raises is the end of its call.
        """
        with self._numbered(call, detail, fields) as number:

            def ends_with(future: Future[Any]) -> None:
                future.add_done_callback(ended)

            def ended(future: Future[Any]) -> None:
                token = _call_id.set(number)
                error = asyncio.CancelledError() if future.cancelled() else future.exception()
                self._ended(call, error)
                _call_id.reset(token)

            try:
                self.admit(call, **fields)
                yield ends_with
            except BaseException as error:
                self._ended(call, error)
                raise

    @contextmanager
    def _numbered(self, call: str, detail: str, fields: Mapping[str, Any]) -> Iterator[int]:
        number = next(_call_numbers)
        token = _call_id.set(number)
        try:
            self.emit("queued", call, detail=detail, **fields)
            yield number
        finally:
            _call_id.reset(token)

    def _ended(self, call: str, error: BaseException | None) -> None:
        if error is None:
            self.emit("ended", call, outcome="done")
        elif isinstance(error, asyncio.CancelledError):
            self.emit("ended", call, outcome="cancelled")
        else:
            self.emit("ended", call, outcome="failed", error_type=type(error).__name__)


def _without_one(kept: tuple[T, ...], gone: T) -> tuple[T, ...]:
    """The same less the first that is this one; it may have been added more than once."""
    for place, one in enumerate(kept):
        if one is gone:
            return kept[:place] + kept[place + 1 :]
    return kept


def log_event(event: Event) -> None:
    """The listener that every client has: writes the event to the logger `tinker_hl`."""
    level = event.fields.get("level", _LEVELS.get(event.kind, logging.DEBUG))
    if logger.isEnabledFor(level):
        request = f" [{event.request_id}]" if event.request_id else ""
        detail = f": {event.detail}" if event.detail else ""
        logger.log(level, "%s %s%s%s", event.call, event.kind, request, detail)
