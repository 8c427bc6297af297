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
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar

import attrs

__all__ = ["Event", "EventBus", "EventKind", "Guard", "Listener", "Wants", "in_call", "is_logged", "log_event"]

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


Listener: TypeAlias = Callable[[Event], None]
Guard: TypeAlias = Callable[[Event], None]
"""Is asked of each call when it is queued, before anything is sent; what it raises is the end of the call."""
Wants: TypeAlias = Callable[[EventKind, Mapping[str, Any]], bool]
"""Whether a listener has a use for an event of this kind with these fields; asked before the event is made."""


_call_id: ContextVar[int | None] = ContextVar("tinker_hl_call_id", default=None)
_call_numbers = itertools.count(1)


def in_call() -> bool:
    """Whether what runs here belongs to a public call that was told of as queued."""
    return _call_id.get() is not None


class EventBus:
    """Tells each event to each listener, in the thread where it happened. Listeners must be quick.

    An event that no listener wants is never made: a sample has six of them, and a thousand samples may be under way.
    """

    def __init__(self, listeners: tuple[Listener, ...] = ()) -> None:
        self._listeners: tuple[tuple[Listener, Wants | None], ...] = tuple((listener, None) for listener in listeners)
        self._guards: tuple[Guard, ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, listener: Listener, wants: Wants | None = None) -> Callable[[], None]:
        """Add a listener; the returned function removes it again, but not what others have subscribed.

        Args:
            listener: Is told.
            wants: Which events; None for all.
        """
        mine = [(listener, wants)]
        with self._lock:
            self._listeners = (*self._listeners, *mine)

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

    def wants(self, kind: EventKind, **fields: Any) -> bool:
        """Whether anybody would hear such an event; for those whose fields take time to find out."""
        return any(wants is None or wants(kind, fields) for _, wants in self._listeners)

    def emit(
        self, kind: EventKind, call: str, *, request_id: str | None = None, detail: str = "", **fields: Any
    ) -> None:
        """Tell an event; nearly free when nobody wants it."""
        told = [listener for listener, wants in self._listeners if wants is None or wants(kind, fields)]
        if not told:
            return
        number = _call_id.get()
        event = Event(kind=kind, call=call, request_id=request_id, detail=detail, fields=fields, call_id=number)
        for listener in told:
            try:
                listener(event)
            except Exception:
                logger.exception("an event listener failed on %s", event.kind)

    def call(self, call: str, detail: str = "", **fields: Any) -> "_PublicCall":
        """A public call, from here to the end of the block. What is told in it, and in its tasks, has its number."""
        return _PublicCall(self, call, detail, fields)

    def call_of_future(self, call: str, detail: str = "", **fields: Any) -> "_CallOfFuture":
        """The same for a call that ends with a future, which the block makes and hands to what it is given.

        A block that raises is the end of its call.
        """
        return _CallOfFuture(self, call, detail, fields)

    def ended(self, call: str, error: BaseException | None) -> None:
        """Tell that the public call of the running context is over."""
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


class _Numbered:
    """One public call's number in the running context. Classes and no generators: every sample goes through one."""

    __slots__ = ("_bus", "_call", "_detail", "_fields", "_number", "_token")

    def __init__(self, bus: EventBus, call: str, detail: str, fields: Mapping[str, Any]) -> None:
        self._bus, self._call, self._detail, self._fields = bus, call, detail, fields
        self._number = next(_call_numbers)

    def _begin(self) -> None:
        self._token: Token[int | None] = _call_id.set(self._number)
        self._bus.emit("queued", self._call, detail=self._detail, **self._fields)
        try:
            self._bus.admit(self._call, **self._fields)
        except BaseException as error:
            # No block is entered, and so none is left.
            self._bus.ended(self._call, error)
            self._leave()
            raise

    def _leave(self) -> None:
        _call_id.reset(self._token)


class _PublicCall(_Numbered):
    """The block of one public call."""

    __slots__ = ()

    def __enter__(self) -> None:
        self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bus.ended(self._call, error)
        self._leave()


class _CallOfFuture(_Numbered):
    """The block that makes the future with which a public call ends."""

    __slots__ = ()

    def __enter__(self) -> Callable[["Future[Any]"], None]:
        self._begin()
        return self._ends_with

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._bus.ended(self._call, error)
        self._leave()

    def _ends_with(self, future: "Future[Any]") -> None:
        future.add_done_callback(self._future_ended)

    def _future_ended(self, future: "Future[Any]") -> None:
        token = _call_id.set(self._number)
        self._bus.ended(self._call, asyncio.CancelledError() if future.cancelled() else future.exception())
        _call_id.reset(token)


def is_logged(kind: EventKind, fields: Mapping[str, Any]) -> bool:
    """Whether the logger takes events of this kind."""
    return logger.isEnabledFor(_level(kind, fields))


def log_event(event: Event) -> None:
    """The listener that every client has: writes the event to the logger `tinker_hl`."""
    level = _level(event.kind, event.fields)
    if logger.isEnabledFor(level):
        request = f" [{event.request_id}]" if event.request_id else ""
        detail = f": {event.detail}" if event.detail else ""
        logger.log(level, "%s %s%s%s", event.call, event.kind, request, detail)


def _level(kind: EventKind, fields: Mapping[str, Any]) -> int:
    level: int = fields.get("level", _LEVELS.get(kind, logging.DEBUG))
    return level
