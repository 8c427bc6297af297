"""Headers that carry the current span of OpenTelemetry with every call, for who set `TINKER_OTEL_PROPAGATE`.

It knows neither calls nor spans. OpenTelemetry is optional: without it there are no such headers, which is said once.
"""

import logging
from collections.abc import Callable, Mapping

from tinker_hl.errors import ConfigurationError

__all__ = ["span_headers"]

logger = logging.getLogger("tinker_hl")
_told: set[str] = set()


def span_headers() -> Callable[[], Mapping[str, str]] | None:
    """What gives the headers of the span that is current where it is called; None where OpenTelemetry is missing."""
    try:
        from tinker_hl.tracing import trace_headers
    except ConfigurationError as error:
        if not _told:
            _told.add(error.message)
            logger.warning("no spans are told to the service: %s (%s)", error.message, error.hint)
        return None
    return trace_headers
