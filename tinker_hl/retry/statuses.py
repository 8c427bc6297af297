"""What an answer's status and headers say about asking again. It knows nothing of HTTP libraries, waits or budgets."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["MAX_NAMED_WAIT", "RETRYABLE_STATUSES", "named_wait", "status_is_retryable", "status_refuses"]

MAX_NAMED_WAIT = 60.0
RETRYABLE_STATUSES = frozenset({408, 425, 429})


def named_wait(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that an answer asks to wait, if it does and they are at most 60. Header names in lower case."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000.0)
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is None and text:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return _bounded(seconds)


def status_is_retryable(status: int, headers: Mapping[str, str]) -> bool:
    """Whether another attempt may fare better. `x-should-retry` decides where the server sends it.

    A 409 is final: it says that the request contradicts an earlier one, and that does not change by asking again.
    """
    said = headers.get("x-should-retry", "").lower()
    if said in ("true", "false"):
        return said == "true"
    return status in RETRYABLE_STATUSES or (status >= 500 and status != 501)


def status_refuses(status: int) -> bool:
    """Whether an answer means that the server certainly did not take the request."""
    return 400 <= status < 500 and status not in RETRYABLE_STATUSES


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _bounded(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0.0 < seconds <= MAX_NAMED_WAIT else None
