"""Connections within limits: too many, too long a head, too slow a head; each a typed refusal, and others go on."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from test_service_serving import listener

from tinker_local import connections
from tinker_local.connections import HEAD_BYTES, MOST_CONNECTIONS, BoundedHttp, JoinedWrites, make_room
from tinker_local.serving import Serving

pytestmark = pytest.mark.anyio
GOOD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def hello(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """The port of an app that tells the length of each body."""
    bound = listener()
    app = Starlette(routes=[Route("/", hello, methods=["GET", "POST"])])
    async with Serving(app, bound):
        yield bound.getsockname()[1]


async def answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """The next answer's status and body; JSON is read."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    body = await reader.readexactly(length)
    return int(head.split(" ")[1]), json.loads(body) if "application/json" in head else body.decode()


async def talk(port: int, *pieces: bytes) -> tuple[int, Any, bool]:
    """What comes back to these bytes, and whether the connection is over then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    status, body = await answer(reader)
    over = await asyncio.wait_for(reader.read(1), 10) == b"" if status >= 400 else False
    writer.close()
    return status, body, over


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * HEAD_BYTES + b"\r\n\r\n",
        b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * (HEAD_BYTES // 4) + b"\r\n",
        b"GET / HTTP/1.1\r\nX-Endless: " + b"a" * 4 * HEAD_BYTES,
    ],
    ids=["one header", "the path", "many headers", "no end"],
)
async def test_a_head_that_is_too_long_is_refused(head: bytes) -> None:
    async with served() as port:
        status, body, over = await talk(port, *(head[at : at + 16384] for at in range(0, len(head), 16384)))
        assert (status, body["code"], over) == (431, "head_too_long", True)
        assert str(HEAD_BYTES) in body["detail"]
        assert await talk(port, GOOD) == (200, "0", False), "others go on"


async def test_a_large_body_is_no_head() -> None:
    async with served() as port:
        size = 40 * HEAD_BYTES
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode()
        assert await talk(port, head + bytes(size)) == (200, str(size), False)
        assert await talk(port, head + bytes(size), head + bytes(size), GOOD) == (200, str(size), False)


@pytest.mark.parametrize(
    "pieces", [(), (b"GET / HTTP/1.1\r\nHost: local",), (b"\r\n",), (GOOD, b"GET /"), (GOOD, b"\r\n")], ids=str
)
async def test_a_head_that_does_not_come_ends_the_connection(
    pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            if piece == GOOD:
                assert await answer(reader) == (200, "0")
        status, body = await answer(reader)
        assert (status, body["code"]) == (408, "too_slow")
        assert await asyncio.wait_for(reader.read(1), 10) == b""
        writer.close()


async def test_a_body_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\na")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        writer.write(b"b")
        assert await answer(reader) == (200, "2")
        writer.close()


async def test_too_many_connections_are_turned_away_and_room_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as port:
        monkeypatch.setattr(BoundedHttp, "most_connections", 3)
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for reader, writer in kept:
            writer.write(GOOD)
            assert await answer(reader) == (200, "0")
        reader, fourth = await asyncio.open_connection("127.0.0.1", port)
        status, body = await answer(reader)
        assert (status, body["code"]) == (429, "too_many_connections")
        fourth.close()
        kept[0][1].write(GOOD)
        assert await answer(kept[0][0]) == (200, "0"), "those that are there go on"
        kept[1][1].close()
        await kept[1][1].wait_closed()
        assert await talk(port, GOOD) == (200, "0", False)
        for _, writer in kept:
            writer.close()


@pytest.mark.parametrize(
    "raw", [b"\x16\x03\x01", b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"]
)
async def test_what_is_no_http_is_a_typed_400(raw: bytes) -> None:
    async with served() as port:
        status, body, over = await talk(port, raw)
        assert (status, body["code"], over) == (400, "bad_http", True)


def test_there_is_room_for_the_connections_or_fewer_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    for limits, room in (((1024, 1 << 20), MOST_CONNECTIONS), ((1024, 1024), 768), ((64, 64), 16)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits)
        assert make_room() == room
    assert given[0][0] >= MOST_CONNECTIONS
    assert all(soft <= hard for soft, hard in given)


class NotedTransport(asyncio.Transport):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__({"peername": "somebody"})
        self.told: list[object] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.told.append(bytes(data))

    def write_eof(self) -> None:
        self.told.append("eof")

    def close(self) -> None:
        self.told.append("close")
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing


async def test_writes_of_one_step_go_out_together_and_those_of_another_apart() -> None:
    noted = NotedTransport()
    joined = JoinedWrites(noted, asyncio.get_running_loop())
    joined.write(b"head ")
    joined.write(b"body")
    assert noted.told == []
    await asyncio.sleep(0)
    assert noted.told == [b"head body"]
    joined.write(b"more")
    await asyncio.sleep(0)
    assert noted.told == [b"head body", b"more"]
    assert joined.get_extra_info("peername") == "somebody"


@pytest.mark.parametrize("ending", ["close", "write_eof"])
async def test_what_was_written_goes_out_before_the_end(ending: str) -> None:
    noted = NotedTransport()
    joined = JoinedWrites(noted, asyncio.get_running_loop())
    joined.write(b"last words")
    getattr(joined, ending)()
    await asyncio.sleep(0)
    assert noted.told == [b"last words", ending.removeprefix("write_")]


async def test_nothing_is_written_to_a_connection_that_is_gone() -> None:
    noted = NotedTransport()
    joined = JoinedWrites(noted, asyncio.get_running_loop())
    joined.write(b"too late")
    noted.closing = True
    await asyncio.sleep(0)
    assert noted.told == []
