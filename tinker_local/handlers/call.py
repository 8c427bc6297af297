"""What a handler is given and may return."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
from starlette.requests import Request
from starlette.responses import Response

from tinker_local.callers import Caller
from tinker_local.service import Service
from tinker_local.under_way import Share

__all__ = ["LARGE", "Call", "Handler", "Result"]

LARGE = 64 * 1024
"""Bytes of a body from which on it is worked on in a thread, so that heartbeats do not wait."""

Result = Mapping[str, Any] | Response | None
"""A JSON object for 200, a whole response, or nothing for 204."""


@attrs.frozen(kw_only=True, eq=False)
class Call:
    """One request, let in and checked."""

    service: Service
    request: Request
    caller: Caller
    share: Share
    """Of the bytes that bodies may have together."""
    parameters: Mapping[str, Any]
    """Of path and query, converted, with the spec's defaults."""
    body: dict[str, Any]
    """The JSON body with the spec's defaults; empty where there is none."""
    protobuf: bytes | None = None
    """The body where it is protobuf."""
    size: int = 0
    """Bytes of the body."""
    replayed: bool = False
    """Whether it was accepted before, and is taken in again."""

    @property
    def idempotency_key(self) -> str | None:
        """The name that the client gave to this logical call; it is the same for each attempt."""
        return self.request.headers.get("x-idempotency-key")

    @property
    def owner(self) -> str:
        """Under which name what the caller makes is owned."""
        return self.caller.owner

    @property
    def whose(self) -> str | None:
        """Whose things the caller may see and manage; None is everybody's."""
        return None if self.caller.sees_all or self.replayed else self.caller.owner


Handler = Callable[[Call], Awaitable[Result]]
