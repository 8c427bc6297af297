"""The seam to the network: sockets, failures, and an application in this process."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

import tinker_hl
from tinker_hl import AsgiTransport, NetworkTransport, ServiceClient, loop
from tinker_hl.codec.pieces import Pieces
from tinker_hl.transport import Request, Response, TransportFault
from tinker_hl.transport.network import MAX_REDIRECTS

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@contextlib.asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


def run(scene: Callable[[NetworkTransport], Any]) -> Any:
    async def inside() -> Any:
        transport = NetworkTransport()
        try:
            return await scene(transport)
        finally:
            await transport.aclose()

    return loop.run(inside()).result(30)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nobody listens, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_request_and_its_answer_go_through_as_they_are() -> None:
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 520 Odd\r\nX-Name: Value\r\nContent-Length: 4\r\n\r\nbody")
        await writer.drain()
        writer.close()

    async def scene(transport: NetworkTransport) -> Response:
        async with listening(answer) as url:
            headers = {"X-API-Key": "secret", "Content-Type": "application/x-protobuf"}
            path = "/api/a%2Fb?q=1%3A2"
            return await transport.send(Request(method="PUT", url=url + path, headers=headers, content=b"\x00\xff"))

    response = run(scene)
    assert (response.status, response.content, response.headers["x-name"]) == (520, b"body", "Value")
    assert seen[0].startswith(b"PUT /api/a%2Fb?q=1%3A2 HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\n\x00\xff")
    assert b"X-API-Key: secret" in seen[0]


def test_redirects_are_followed_only_where_asked() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await read_request(reader)
        if first.startswith(b"GET /there"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthere")
        else:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def scene(transport: NetworkTransport) -> list[Response]:
        async with listening(answer) as url:
            return [
                await transport.send(Request(method="GET", url=url + "/here", follow_redirects=follow))
                for follow in (False, True)
            ]

    kept, followed = run(scene)
    assert (kept.status, kept.headers["location"]) == (302, "/there")
    assert (followed.status, followed.content) == (200, b"there")


def test_a_redirect_to_another_host_takes_no_key_along() -> None:
    seen: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthere")
        await writer.drain()
        writer.close()

    async def scene(transport: NetworkTransport) -> Response:
        async with listening(elsewhere) as other:

            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                seen.append(await read_request(reader))
                # From /here to the same host, from there to another one.
                target = b"/again" if b"GET /here" in seen[-1] else other.encode() + b"/file"
                head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: " + target
                writer.write(head + b"\r\n\r\n")
                await writer.drain()
                writer.close()

            async with listening(answer) as url:
                headers = {"X-API-Key": "secret", "X-My-Token": "private", "Accept": "application/json"}
                return await transport.send(
                    Request(method="GET", url=url + "/here", headers=headers, follow_redirects=True)
                )

    assert run(scene).content == b"there"
    assert [b"secret" in request for request in seen] == [True, True, False]
    assert [b"private" in request for request in seen] == [True, True, False]
    assert b"Accept: application/json" in seen[2]


def test_a_circle_of_redirects_ends() -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await read_request(reader)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def scene(transport: NetworkTransport) -> Response:
        async with listening(answer) as url:
            return await transport.send(Request(method="GET", url=url, follow_redirects=True))

    assert run(scene).status == 302
    assert asked == MAX_REDIRECTS + 1


def test_what_fails_below_is_sorted(closed_port: int) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        await writer.drain()
        writer.close()

    async def kind(transport: NetworkTransport, url: str) -> str:
        with pytest.raises(TransportFault) as caught:
            await transport.send(Request(method="POST", url=url, timeout=0.3, content=b"{}"))
        return caught.value.kind

    async def scene(transport: NetworkTransport) -> list[str]:
        async with listening(never) as silent, listening(cut) as cutting:
            urls = [f"http://127.0.0.1:{closed_port}", silent, cutting, "http://no-such-host.invalid"]
            return [await kind(transport, url) for url in urls[:3]]

    assert run(scene) == ["refused", "timeout", "lost"]


def test_a_wrong_address_is_reported_within_five_seconds(closed_port: int) -> None:
    """Promise R10, in real time."""
    service = ServiceClient(base_url=f"http://127.0.0.1:{closed_port}")
    started = time.monotonic()
    with pytest.raises(tinker_hl.APIConnectionError, match="no connection"):
        service.get_server_capabilities()
    assert time.monotonic() - started < 6


def test_no_wait_is_longer_than_the_caller_says() -> None:
    """Promise R1: a server that accepts and never answers."""

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def start() -> tuple[contextlib.AbstractAsyncContextManager[str], str]:
        manager = listening(never)
        return manager, await manager.__aenter__()

    manager, url = loop.run(start()).result(10)
    service = ServiceClient(base_url=url)
    waits = [
        service.create_lora_training_client("base"),
        service.create_sampling_client(base_model="base"),
        service.create_training_client_from_state("tinker://a/weights/b"),
        service.create_rest_client().list_training_runs(),
    ]
    started = time.monotonic()
    for future in waits:
        with pytest.raises(TimeoutError):
            future.result(0.1)
        with pytest.raises(TimeoutError):
            asyncio.run(future.result_async(0.1))
    assert time.monotonic() - started < 8
    for future in waits:
        future.cancel()
    service.close().result(10)
    loop.run(manager.__aexit__(None, None, None)).result(10)


def test_a_name_that_no_transport_has_is_told() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        tinker_hl.transport.Nonsense  # noqa: B018  # reading it is the test


def test_secrets_are_not_shown() -> None:
    request = Request(method="GET", url="http://x/", headers={"X-API-Key": "tml-secret", "Accept": "all"})
    assert "tml-secret" not in repr(request)
    assert "all" in repr(request)


def test_an_application_in_this_process() -> None:
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                events.append(message["type"])
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 201, "headers": [(b"X-Path", scope["path"].encode())]})
        await send({"type": "http.response.body", "body": body[:2], "more_body": True})
        await send({"type": "http.response.body", "body": body[2:]})

    async def scene() -> Response:
        transport = AsgiTransport(app)
        response = await transport.send(Request(method="POST", url="http://x/a%3Ab?q=1", content=b"hello"))
        await transport.aclose()
        return response

    response = loop.run(scene()).result(10)
    assert (response.status, response.content, response.headers["x-path"]) == (201, b"hello", "/a:b")
    assert events == ["lifespan.startup", "lifespan.shutdown"]


def test_an_application_that_fails_or_is_slow_is_no_answer() -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    async def raises(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("a bug of the application")

    async def kind(app: Any) -> str:
        with pytest.raises(TransportFault) as caught:
            await AsgiTransport(app, lifespan=False).send(Request(method="GET", url="http://x/", timeout=0.05))
        return caught.value.kind

    assert [loop.run(kind(app)).result(10) for app in (silent, slow, raises)] == ["lost", "timeout", "lost"]


def test_a_body_in_pieces_is_joined_for_who_asks_for_its_content() -> None:
    request = Request(method="POST", url="http://x/", content=Pieces([b"ab", b"", memoryview(b"c")]))
    assert request.content == b"abc"
    assert "<3 bytes>" in repr(request)
    assert Request(method="GET", url="http://x/").content is None


@pytest.mark.parametrize(("at_once", "sockets"), [(1, 1), (3, 3), (20, 3)])
def test_sockets_are_kept_for_the_next_request_and_never_more_than_allowed(at_once: int, sockets: int) -> None:
    """T-020, S0-28, S4-09: three are allowed; requests that find none free wait for one."""
    opened = 0
    arrived = asyncio.Event()
    waiting = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened, waiting
        opened += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await read_request(reader):
                waiting += 1
                if waiting == min(at_once, 3):
                    arrived.set()  # from here on all are answered: so many were under way together
                await arrived.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        writer.close()

    async def scene() -> list[Response]:
        transport = NetworkTransport(max_connections=3)
        try:
            async with listening(answer) as url:
                request = Request(method="GET", url=url)
                first = await asyncio.gather(*(transport.send(request) for _ in range(at_once)))
                return [*first, *[await transport.send(request) for _ in range(5)]]
        finally:
            await transport.aclose()

    answers = loop.run(scene()).result(30)
    assert [response.status for response in answers] == [200] * (at_once + 5)
    assert opened == sockets


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "in pieces"])
@pytest.mark.parametrize("size", [1, 512 * 1024, 512 * 1024 + 1, 3_000_001])
def test_bodies_of_any_size_arrive_whole(size: int, in_pieces: bool) -> None:
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    content = bytes(range(256)) * (size // 256 + 1)
    cuts = [0, size // 7, size // 7, size // 2, size]
    pieces = Pieces([content[start:end] for start, end in pairwise(cuts)])

    async def scene(transport: NetworkTransport) -> None:
        async with listening(answer) as url:
            headers = {"Content-Type": "application/x-protobuf"}
            sent = pieces if in_pieces else content[:size]
            await transport.send(Request(method="POST", url=url, headers=headers, content=sent))

    run(scene)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert body == content[:size]
    assert f"content-length: {size}" in head.decode().lower()
    assert head.decode().lower().count("content-type") == 1


def test_closing_ends_a_request_that_is_only_just_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        transport = NetworkTransport()
        session, connecting = transport._open(), asyncio.Event()

        async def never_connected(*arguments: Any, **more: Any) -> Any:
            connecting.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(session.connector, "connect", never_connected)
        request = asyncio.create_task(transport.send(Request(method="GET", url="http://127.0.0.1:9/x")))
        await connecting.wait()
        await transport.aclose()
        await asyncio.wait([request], timeout=5)
        assert request.done()
        with pytest.raises(TransportFault, match="closed") as caught:
            await request
        assert caught.value.kind == "lost"

    asyncio.run(use())


def test_a_task_that_its_owner_cancels_is_cancelled_also_while_the_transport_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use() -> None:
        transport = NetworkTransport()
        session, connecting = transport._open(), asyncio.Event()

        async def never_connected(*arguments: Any, **more: Any) -> Any:
            connecting.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(session.connector, "connect", never_connected)
        request = asyncio.create_task(transport.send(Request(method="GET", url="http://127.0.0.1:9/x")))
        await connecting.wait()
        request.cancel()
        await transport.aclose()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(request, 5)

    asyncio.run(use())
