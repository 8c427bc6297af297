"""`call_options`: how the calls of one block are made, whatever their client says.

The options belong to the context of the calling thread or task, and every call runs in a copy of it. The module knows
nothing of clients or requests.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

from tinker_hl.retry import RetryPolicy

__all__ = ["CallOptions", "call_options", "options_in_force"]

OWN_HEADERS = frozenset(
    {
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "x-api-key",
        "x-idempotency-key",
    }
)
"""Headers that each request sets by itself."""


@attrs.frozen(kw_only=True)
class CallOptions:
    """What `call_options` changes; None and empty leave things as they are."""

    retry_policy: RetryPolicy | None = None
    timeout: float | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)


_NOTHING = CallOptions()
_in_force: ContextVar[CallOptions] = ContextVar("tinker_hl_call_options", default=_NOTHING)


@contextmanager
def call_options(
    *,
    retry_policy: RetryPolicy | None = None,
    timeout: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[CallOptions]:
    """Make every call in the block with these options. Blocks nest: an inner one adds to, and wins over, outer ones.

    A call takes the options of the place where it is made, not of the place where its result is waited for.

    Args:
        retry_policy: How it is retried, its polls included, in place of the client's policy and `RetryConfig`.
        timeout: Seconds for each attempt. A long poll keeps its own time; `result(timeout)` limits a whole wait.
        headers: More headers for each of its requests.

    Raises:
        ValueError: A timeout that is not positive, or a header that a request sets by itself.
    """
    _check(timeout, headers or {})
    outer = _in_force.get()
    token = _in_force.set(
        CallOptions(
            retry_policy=retry_policy or outer.retry_policy,
            timeout=outer.timeout if timeout is None else timeout,
            headers={**outer.headers, **(headers or {})},
        )
    )
    try:
        yield _in_force.get()
    finally:
        _in_force.reset(token)


def options_in_force() -> CallOptions:
    """The options of the running context."""
    return _in_force.get()


def _check(timeout: float | None, headers: Mapping[str, str]) -> None:
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be more than 0 seconds, got {timeout}")
    for name, value in headers.items():
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"each request sets the header {name} by itself; it cannot be an option of a call")
        if any(character in name + value for character in "\r\n\0"):
            raise ValueError(f"the header {name!r} holds a line break or a null byte")
