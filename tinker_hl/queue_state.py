"""What a service says of requests that wait, and who is told: the client's own hook at once, the log now and then.

It does not know how a service is asked.
"""

import logging
import weakref
from enum import StrEnum
from typing import Protocol

import attrs

__all__ = ["Notice", "PauseNotices", "QueueObserver", "QueueState"]

logger = logging.getLogger("tinker_hl")

WARN_EVERY = 60.0
"""Seconds between two log lines of one client."""
FALLBACK_REASONS = {
    "paused_rate_limit": "a limit on concurrent work is reached",
    "paused_capacity": "the service is short of capacity",
}


class QueueState(StrEnum):
    """Whether a request that waits makes progress."""

    ACTIVE = "active"
    PAUSED_RATE_LIMIT = "paused_rate_limit"
    PAUSED_CAPACITY = "paused_capacity"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> "QueueState":
        return cls.UNKNOWN


class QueueObserver(Protocol):
    """Somebody who wants to know."""

    def on_queue_state_change(self, queue_state: QueueState, queue_state_reason: str | None = None) -> None:
        """The service paused the work, or goes on with it."""
        ...


@attrs.frozen
class Notice:
    """A line for the log."""

    level: int
    text: str


class PauseNotices:
    """Of one client. Invariant: observers hear of each change once, and of `ACTIVE` when no request is paused any more.

    Args:
        what: The work that is paused, such as `Training`.
        grace: Seconds that a pause lasts before it is worth a warning.
    """

    def __init__(self, what: str, grace: float) -> None:
        self._what = what
        self._grace = grace
        self._paused: dict[str, tuple[QueueState, str | None]] = {}
        self._state: tuple[QueueState, str | None] = (QueueState.ACTIVE, None)
        self._since = self._logged = float("-inf")
        self._observers: weakref.WeakSet[QueueObserver] = weakref.WeakSet()

    def attach(self, observer: QueueObserver) -> None:
        """Tell an observer for as long as somebody holds it."""
        self._observers.add(observer)

    def told(self, request_id: str, state: QueueState, reason: str | None, now: float) -> Notice:
        """The service said how a request stands.

        Returns:
            What to log, and how loudly: a pause that lasts is a warning, at most once a minute.
        """
        if state is QueueState.ACTIVE:
            self.over(request_id)
            return Notice(logging.DEBUG, "active")
        if not self._paused:
            self._since, self._logged = now, float("-inf")
        self._paused[request_id] = (state, reason)
        self._change(state, reason)
        loud = now - self._since >= self._grace and now - self._logged >= WARN_EVERY
        if loud:
            self._logged = now
        why = reason or FALLBACK_REASONS.get(state, "unknown")
        lasted = f" for {now - self._since:.0f} s" if now > self._since else ""
        return Notice(
            logging.WARNING if loud else logging.DEBUG, f"{self._what} is paused{lasted} ({state}). Reason: {why}"
        )

    def over(self, request_id: str) -> None:
        """A request is not paused any more, or has ended."""
        if self._paused.pop(request_id, None) is not None and not self._paused:
            self._change(QueueState.ACTIVE, None)

    def _change(self, state: QueueState, reason: str | None) -> None:
        if (state, reason) == self._state:
            return
        self._state = (state, reason)
        for observer in list(self._observers):
            try:
                observer.on_queue_state_change(state, reason)
            except Exception:
                logger.exception("on_queue_state_change failed")
