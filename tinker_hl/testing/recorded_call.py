"""What a test may look at afterwards: each request that was made, what befell it, and how it was answered."""

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import attrs
import orjson

from tinker_hl.testing.fault import Fault
from tinker_hl.testing.scrubbing import Scrubber
from tinker_hl.transport.base import Request

__all__ = ["RecordedCall"]

LARGEST_BODY = 64 * 1024
"""Bytes above which a body is not kept: a long run makes thousands of calls."""


@attrs.define
class RecordedCall:
    """One request, without secrets. `status` and `error` are both None while it is under way."""

    method: str
    path: str
    endpoint: str
    """As in `optim_step`: the path below `/api/v1/`, with `*` for ids."""
    number: int
    """Which request to its endpoint, from 1."""
    body: Any
    """The JSON; None where there is none, or where it is larger than 64 KiB."""
    size: int
    """Bytes of the body."""
    headers: Mapping[str, str]
    """The harmless ones, in lower case."""
    fault: Fault | None = None
    delivered: int = 0
    """How often the server was sent it."""
    status: int | None = None
    """What its sender was answered."""
    error: str | None = None
    """Why there was no answer: `refused`, `unresolved`, `lost` or `timeout`."""

    @classmethod
    def of(cls, request: Request, endpoint: str, number: int, fault: Fault | None) -> Self:
        """Of a request that is about to be sent."""
        scrubber = Scrubber.of(request)
        content = request.content or b""
        return cls(
            method=request.method,
            path=scrubber.text(urlsplit(request.url).path),
            endpoint=scrubber.text(endpoint),
            number=number,
            body=scrubber.json(_json(content)),
            size=len(content),
            headers=scrubber.headers(request.headers),
            fault=fault,
        )


def _json(content: bytes) -> Any:
    if not content or len(content) > LARGEST_BODY:
        return None
    try:
        return orjson.loads(content)
    except ValueError:
        return None
