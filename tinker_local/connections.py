"""Connections within limits, before there is a request: how many, how long their headers, how slow.

It does not know what a request asks for; nobody has shown a key yet. Beyond a limit there is a typed refusal, and the
connection ends.
"""

import asyncio
import resource
from typing import Any, cast

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEAD_BYTES", "HEAD_SECONDS", "MOST_CONNECTIONS", "BoundedHttp", "JoinedWrites", "make_room"]

HEAD_BYTES = 64 * 1024
"""Of the request line and all headers together."""
HEAD_SECONDS = 30.0
"""From the beginning of a connection, or the first byte of a further request, to the end of its headers."""
MOST_CONNECTIONS = 4096
_LINGER_SECONDS = 1.0
"""How long a refused client may go on sending: a connection closed over unread bytes is cut, refusal and all."""
_OTHER_FILES = 256
"""What the service opens besides: the store, checkpoints under way, the engine's socket."""
_REASONS = {408: "Request Timeout", 429: "Too Many Requests", 431: "Request Header Fields Too Large"}


def make_room() -> int:
    """Let the process open as many files as its system allows, up to what is needed.

    Returns:
        How many connections there is room for.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(MOST_CONNECTIONS, soft - _OTHER_FILES))


class JoinedWrites:
    """A transport whose writes of one step of the event loop go out together.

    An answer is written as its head and its body, each of which would be a call of the system and mostly a packet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it at the end of this step."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def write_eof(self) -> None:
        """Send what was written, and no more."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Send what was written, and end the connection."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with the limits that it lacks."""

    most_connections = MOST_CONNECTIONS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes: int | None = 0
        """Seen of a head that is not complete; None from its end until its request is answered and its body is there.

        Below zero: of the piece that is being read, so many bytes belong to what was before.
        """
        self._piece = 0
        self._body_came = True
        self._late: asyncio.TimerHandle | None = None
        self._refusal: tuple[int, str, str] | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse what is too many, and give the rest a while for their first request."""
        super().connection_made(cast("asyncio.Transport", JoinedWrites(transport, self.loop)))
        if len(self.connections) > self.most_connections:
            self.connections.discard(self)
            self._refuse(
                429,
                "too_many_connections",
                f"there are {self.most_connections} connections already; close some, or use them for several requests",
            )
            return
        self._late = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget its alarm."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head that has not ended."""
        if self._refused:
            return
        self._piece = 0 if self._head_bytes is not None else len(data)
        super().data_received(data)
        if self._head_bytes is None or self._refused:
            return
        self._head_bytes += len(data)
        if self._head_bytes <= 0:
            return
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._head_is_late)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(*_too_long())

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head_bytes = -self._piece
        self._body_came = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head that came in one piece is measured here."""
        self._head_came()
        self._head_bytes = None
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._refusal = _too_long()
            raise ValueError("the head is too long")  # the parser stops, and `send_400_response` is called
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of a body came: some requests are answered before that, and the rest of theirs is passed over."""
        super().on_message_complete()
        self._body_came = True
        if self.cycle is not None and self.cycle.response_complete and not self.pipeline:
            self._head_bytes = -self._piece

    def on_response_complete(self) -> None:
        """From now on a further head may begin, if no more of the body is to come."""
        super().on_response_complete()
        if self._head_bytes is None and self._body_came and not self.pipeline:
            self._head_bytes = 0

    def send_400_response(self, msg: str) -> None:
        """A refusal as all of the service's are: JSON, with a code."""
        self._refuse(*(self._refusal or (400, "bad_http", msg)))

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _head_is_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self._refuse(408, "too_slow", f"no whole request head came within {HEAD_SECONDS:g} s")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        body = orjson.dumps({"detail": detail, "code": code})
        head = [
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Bad Request')}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(["Retry-After: 1"] if status == 429 else []),
        ]
        self.transport.write("\r\n".join([*head, "", ""]).encode("ascii") + body)
        self.transport.write_eof()
        self._refused = True
        self._head_came()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)


def _too_long() -> tuple[int, str, str]:
    return 431, "head_too_long", f"the request line and its headers have more than {HEAD_BYTES} bytes together"
