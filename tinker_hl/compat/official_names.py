"""Names of the official SDK that nothing here needs, and that code written for it compares with or hands on.

They are reached only through `tinker` and its sub-modules. The module knows nothing of how those are found.
"""

import abc
from typing import Final

import httpx

from tinker_hl.clients.sampling import PendingSamplingClient
from tinker_hl.clients.training import PendingTrainingClient
from tinker_hl.retry import status_is_retryable

__all__ = [
    "DEFAULT_CONNECTION_LIMITS",
    "DEFAULT_MAX_RETRIES",
    "DEFAULT_TIMEOUT",
    "BackcompatClientFuture",
    "is_retryable_status_code",
]

DEFAULT_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
"""Seconds that one attempt has in the official SDK; here the retry policy and `call_options(timeout=...)` say."""

DEFAULT_MAX_RETRIES: Final = 10
"""How often the official SDK's HTTP layer tries again; here a `RetryPolicy` has a deadline instead."""

DEFAULT_CONNECTION_LIMITS: Final = httpx.Limits(max_connections=1000, max_keepalive_connections=20)
"""Connections of the official SDK; this client multiplexes over few."""


class BackcompatClientFuture(abc.ABC):  # noqa: B024  # the two registered classes have the methods
    """What a client that is still being made is an instance of, whichever client it is."""


BackcompatClientFuture.register(PendingSamplingClient)
BackcompatClientFuture.register(PendingTrainingClient)


def is_retryable_status_code(status_code: int) -> bool:
    """Whether a call that was answered with this HTTP status is tried again, unless the server says otherwise."""
    return status_is_retryable(status_code, {})
