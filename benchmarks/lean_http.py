"""The least that an HTTP client can do, for measuring a service on the same machine: its own work counts as little as
can be, where a full client would take as long for a request as the service does.

It sends POSTs of JSON, one at a time on each connection, and reads answers that name their length.
"""

import asyncio
from urllib.parse import urlsplit

import orjson

__all__ = ["LeanConnection", "connected"]


class LeanConnection(asyncio.Protocol):
    """One connection, used by one caller at a time."""

    def __init__(self, host: str, api_key: str) -> None:
        self._head = f"HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {api_key}\r\nContent-Type: application/json\r\n"
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what writes."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand the answer over as soon as it is whole."""
        self._came += data
        head, separator, body = self._came.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length or self._answer is None:
            return
        answer, self._answer, self._came = self._answer, None, b""
        if head.startswith(b"HTTP/1.1 200"):
            answer.set_result(body)
        else:
            answer.set_exception(AssertionError((head + separator + body).decode()))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for ever."""
        if self._answer is not None:
            self._answer.set_exception(exc or ConnectionError("the service closed the connection"))

    async def post(self, operation: str, body: object) -> object:
        """The JSON of the answer. Raises `AssertionError` for any status but 200."""
        assert self._transport is not None
        sent = orjson.dumps(body)
        self._answer = asyncio.get_running_loop().create_future()
        head = f"POST /api/v1/{operation} {self._head}Content-Length: {len(sent)}\r\n\r\n"
        self._transport.write(head.encode() + sent)
        return orjson.loads(await self._answer)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()


async def connected(base_url: str, api_key: str, connections: int) -> list[LeanConnection]:
    """As many connections to a service."""
    address = urlsplit(base_url)
    host, port = address.hostname or "localhost", address.port or 80
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(connections):
        _, protocol = await loop.create_connection(lambda: LeanConnection(address.netloc, api_key), host, port)
        made.append(protocol)
    return made
