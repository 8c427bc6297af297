"""What every transport takes and gives: values, and one exception. It knows no HTTP library."""

from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

import attrs

from tinker_hl.codec.pieces import Pieces
from tinker_hl.errors import without_secrets

__all__ = ["Body", "FaultKind", "Request", "Response", "Transport", "TransportFault"]

Body: TypeAlias = bytes | Pieces
"""What a request carries: bytes, or parts of them that are not joined yet, where there are many."""
FaultKind = Literal["refused", "unresolved", "lost", "timeout", "untrusted"]
"""`refused`: nobody listens; `unresolved`: the name is unknown; `lost`: the connection broke; `timeout`;
`untrusted`: the server's certificate is not trusted."""


def _redacted(headers: Mapping[str, str]) -> str:
    return repr(without_secrets(headers))


@attrs.frozen(kw_only=True)
class Request:
    """One HTTP request. Its `repr` shows no secret."""

    method: str
    url: str
    """Absolute, with the query."""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=_redacted)
    body: Body | None = attrs.field(default=None, alias="content", repr=lambda body: f"<{len(body or b'')} bytes>")
    timeout: float = 60.0
    """Seconds from the start to the last byte of the answer."""
    follow_redirects: bool = False

    @property
    def content(self) -> bytes | None:
        """The body in one, for transports that have no use for its parts."""
        return None if self.body is None else bytes(self.body)


@attrs.frozen(kw_only=True)
class Response:
    """One HTTP answer, read completely and with its content encoding undone."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """Names in lower case."""
    content: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")


class TransportFault(Exception):  # noqa: N818 - an internal signal, turned into the public errors one layer up
    """There was no answer.

    Args:
        kind: Which way it failed.
        message: What the library below said.
    """

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind: FaultKind = kind
        self.message = message


class Transport(Protocol):
    """Sends requests; used only on the client's loop thread."""

    async def send(self, request: Request) -> Response:
        """Send one request and read the whole answer.

        Raises:
            TransportFault: There was no answer.
        """
        ...

    async def aclose(self) -> None:
        """Give back what is held; safe to repeat."""
        ...
