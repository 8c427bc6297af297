"""A server from start to end: ready means that the health check passes, and an end is an end."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tinker_local.serving import Serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Probe:
    """An app that is healthy when told, and keeps requests until let go."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.healthy = False
        self.events: list[str] = []
        self.app = Starlette(
            routes=[Route("/api/v1/healthz", self.health), Route("/held", self.held)], lifespan=self.lifespan
        )

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        if self.fails:
            raise RuntimeError("no model here")
        self.events.append("start")
        yield
        self.events.append("end")

    async def health(self, request: Request) -> Response:
        self.asked.set()
        return PlainTextResponse("", 200 if self.healthy else 503)

    async def held(self, request: Request) -> Response:
        self.asked.set()
        self.events.append("request")
        await self.may_answer.wait()
        self.events.append("answer")
        return PlainTextResponse("late")


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


async def no_longer_open(port: int) -> None:
    """Return when nobody listens any more: the end has begun."""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()


async def test_ready_waits_for_health() -> None:
    probe = Probe()
    async with Serving(probe.app, listener()) as serving:
        ready = asyncio.create_task(serving.ready())
        await probe.asked.wait()
        assert not ready.done()
        probe.healthy = True
        assert await ready
    assert probe.events == ["start", "end"]


async def test_a_request_under_way_is_answered_before_the_end() -> None:
    probe = Probe()
    probe.healthy = True
    with listener() as bound:
        port = bound.getsockname()[1]
        async with Serving(probe.app, bound) as serving, httpx.AsyncClient() as client:
            assert await serving.ready()
            probe.asked.clear()
            answer = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/held"))
            await probe.asked.wait()
            serving.stop()
            await no_longer_open(port)
            assert not answer.done()
            probe.may_answer.set()
            await serving.ended()
            assert (await answer).text == "late"
    assert probe.events == ["start", "request", "answer", "end"]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


async def test_a_failed_start_is_told_and_ends() -> None:
    async with Serving(Probe(fails=True).app, listener()) as serving:
        assert not await serving.ready()
        assert not serving.stopping
        await serving.ended()


async def test_what_is_hopeless_is_not_waited_for() -> None:
    probe = Probe()
    async with Serving(probe.app, listener()) as serving:
        assert not await serving.ready(hopeless=probe.asked.is_set)
        assert not serving.stopping
    assert probe.events == ["start", "end"]


async def test_an_end_before_it_is_ready() -> None:
    probe = Probe()
    async with Serving(probe.app, listener()) as serving:
        ready = asyncio.create_task(serving.ready())
        await probe.asked.wait()
        serving.stop()
        assert not await ready
        assert serving.stopping
