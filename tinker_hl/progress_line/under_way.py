"""What the requests of one connection are doing, as its events tell: a listener of them. It knows no screen."""

import threading
from collections import Counter
from collections.abc import Iterable

import attrs

from tinker_hl import loop
from tinker_hl.events import Event

__all__ = ["UnderWay", "sentence"]

SHOWN_METHODS = 3


@attrs.frozen
class _Standing:
    """How one request stands."""

    method: str
    paused: str = ""
    """Why it does not go on, as the service says; empty while it does."""


class UnderWay:
    """Invariant: has each request that the server accepted and that has not ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[str, _Standing] = {}
        self._trouble: dict[str, str] = {}
        loop.reset_after_fork(self)

    def hear(self, event: Event) -> None:
        """A listener of events."""
        method = event.call.rpartition(".")[2]
        with self._lock:
            if event.kind == "retried":
                self._trouble[method] = f"trying {method} again: {event.detail}"
                return
            request = event.request_id
            if request is None:
                if event.kind == "failed":
                    self._trouble.pop(method, None)
                return
            self._trouble.pop(method, None)
            if event.kind in ("sent", "polled"):
                self._requests[request] = _Standing(method)
            elif event.kind == "queue_state":
                state, reason = event.fields.get("queue_state", "paused"), event.fields.get("reason")
                self._requests[request] = _Standing(method, f"{state}: {reason}" if reason else str(state))
            elif event.kind in ("done", "failed", "cancelled"):
                self._requests.pop(request, None)

    def methods(self) -> Counter[str]:
        """How many requests of which method."""
        with self._lock:
            return Counter(standing.method for standing in self._requests.values())

    def pauses(self) -> Counter[str]:
        """How many requests wait for which reason."""
        with self._lock:
            return Counter(standing.paused for standing in self._requests.values() if standing.paused)

    def troubles(self) -> list[str]:
        """What is being tried again, and why."""
        with self._lock:
            return list(self._trouble.values())

    def after_fork(self) -> None:
        """They are the parent's."""
        self._lock = threading.Lock()
        self._requests, self._trouble = {}, {}


def sentence(waited: float, connections: Iterable[UnderWay]) -> str:
    """What is waited for, in one line without control characters.

    Args:
        waited: Seconds.
        connections: Those of the process.
    """
    methods: Counter[str] = Counter()
    pauses: Counter[str] = Counter()
    troubles: list[str] = []
    for connection in connections:
        methods += connection.methods()
        pauses += connection.pauses()
        troubles += connection.troubles()
    line = f"waiting {waited:.0f} s"
    if methods:
        named = [f"{count} {name}" if count > 1 else name for name, count in methods.most_common(SHOWN_METHODS)]
        line += f" for {', '.join(named)}{' and others' if len(methods) > SHOWN_METHODS else ''}"
    if pauses:
        ((why, count),) = pauses.most_common(1)
        line += f" | {why}" + ("" if count == methods.total() else f" ({count} of {methods.total()})")
    elif troubles:
        line += f" | {troubles[-1]}"
    return "".join(letter if letter.isprintable() else " " for letter in line)
