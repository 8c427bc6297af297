"""A proxy between any client and any server, in which requests fare as a plan says, over real sockets.

A cut really cuts the connection: the client sees what a broken network shows it. It listens on the loopback address
only, follows no redirects, and passes on bodies as they are. It runs in a thread of its own, so that a test may use it
around a client of whatever kind, also one in another process.
"""

import asyncio
import io
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from tinker_hl.testing.fault import Fault, InjectedKind
from tinker_hl.testing.plan import FaultPlan, FaultSchedule
from tinker_hl.testing.recorded_call import RecordedCall
from tinker_hl.transport.base import Request, Response

__all__ = ["FaultProxy"]

HOST = "127.0.0.1"
START_SECONDS = 10.0
LARGEST_BODY = 2**30
GRACE = 0.05
"""Seconds for what is under way when it ends; to the library none means for ever."""
PIECES = 10
"""A slow body comes in so many pieces."""
UNTOLD: frozenset[InjectedKind] = frozenset({"refused", "unresolved"})
"""What a proxy that is there cannot show for one request and not for another."""
# What is between two neighbours and not between the ends (RFC 9110, 7.6.1), and what is made anew for the next hop.
_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
)


class FaultProxy:
    """See the module. A context manager: leaving it ends it. `calls` has every request so far.

    Args:
        upstream: Where the server is.
        plan: What goes wrong; None only keeps the calls.
        port: Where to listen; 0 takes a free one.
        told: Called with each call when it has ended, in the proxy's thread.

    Raises:
        ValueError: The plan holds `refused` or `unresolved`, or the upstream is no address.
    """

    def __init__(
        self,
        upstream: str,
        plan: FaultPlan | None = None,
        *,
        port: int = 0,
        told: Callable[[RecordedCall], None] | None = None,
    ) -> None:
        self.plan = plan or FaultPlan()
        if untold := UNTOLD & self.plan.kinds:
            raise ValueError(f"a proxy cannot inject {', '.join(sorted(untold))}: it is there; use FaultTransport")
        if urlsplit(upstream).scheme not in ("http", "https"):
            raise ValueError(f"upstream {upstream!r} is no address; give one that starts with http:// or https://")
        self.calls: list[RecordedCall] = []
        self._upstream = upstream.rstrip("/")
        self._schedule = FaultSchedule(self.plan)
        self._told = told or (lambda call: None)
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tinker-hl-fault-proxy", daemon=True)

    @property
    def base_url(self) -> str:
        """Where clients reach it, once it was started."""
        return f"http://{HOST}:{self._port}"

    @property
    def faults(self) -> list[RecordedCall]:
        """The calls that met a fault."""
        return [call for call in self.calls if call.fault is not None]

    def start(self) -> Self:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            raise TimeoutError(f"the proxy did not start within {START_SECONDS:g} s")
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def close(self) -> None:
        """End, and cut what is under way; safe to repeat."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # told by `start`, in the thread that asked
            self._failure = error
        finally:
            self._loop.close()
            self._started.set()

    async def _serve(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        # No limit of time: long polls are the client's business.
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            door = _Door(self._upstream, session)

            async def answer(request: web.Request) -> web.StreamResponse:
                return await self._answer(request, door)

            application = web.Application(client_max_size=LARGEST_BODY)
            application.router.add_route("*", "/{path:.*}", answer)
            # A client that goes away takes its request with it, as it would without a proxy.
            runner = web.AppRunner(
                application, handler_cancellation=True, auto_decompress=False, shutdown_timeout=GRACE
            )
            await runner.setup()
            try:
                site = web.TCPSite(runner, HOST, self._port)
                await site.start()
                self._port = runner.addresses[0][1]
                self._started.set()
                await self._end.wait()
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.Request, door: "_Door") -> web.StreamResponse:
        asked = Request(
            method=request.method,
            url=str(request.rel_url),
            headers=_end_to_end(request.headers),
            content=await request.read(),
        )
        call = RecordedCall.of(asked, *self._schedule.next(asked.url))
        self.calls.append(call)
        try:
            return await self._fare(request, asked, call, door)
        finally:
            self._told(call)

    async def _fare(
        self, request: web.Request, asked: Request, call: RecordedCall, door: "_Door"
    ) -> web.StreamResponse:
        fault = call.fault
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        answer = Response(status=0)
        for _ in range(_deliveries(fault)):
            call.delivered += 1
            try:
                answer = await door.send(asked)
            except aiohttp.ClientError:
                # What the upstream does not answer is not answered here.
                return _cut(request, call)
        if fault is not None and fault.status is not None:
            answer = fault.answer()
        if fault is not None and fault.kind in ("cut_before_send", "cut_after_commit"):
            return _cut(request, call)
        if fault is not None and fault.kind == "cut_during_response":
            return await _cut_within(request, call, answer)
        pause = fault.seconds if fault is not None and fault.kind == "slow_body" else 0.0
        call.status = answer.status
        return await _written(request, answer, pause)


class _Door:
    """The way to the server."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._session = session

    async def send(self, asked: Request) -> Response:
        """Deliver once and read the whole answer, its content encoding left as it is."""
        async with self._session.request(
            asked.method,
            URL(self._upstream + asked.url, encoded=True),
            headers=asked.headers,
            data=io.BytesIO(asked.content) if asked.content else None,
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),
        ) as answer:
            headers = _end_to_end(answer.headers)
            return Response(status=answer.status, headers=headers, content=await answer.read())


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP and name.lower() != "host"}


def _deliveries(fault: Fault | None) -> int:
    if fault is None:
        return 1
    return 2 if fault.kind == "duplicate" else int(fault.reaches_server)


def _cut(request: web.Request, call: RecordedCall) -> web.StreamResponse:
    """Cut the connection without an answer."""
    call.error = "lost"
    if request.transport is not None:
        request.transport.abort()
    # Nobody reads it any more; the server's code wants one.
    return web.Response()


async def _cut_within(request: web.Request, call: RecordedCall, answer: Response) -> web.StreamResponse:
    """Send the head and the first half of the body, and cut. An answer without a body is cut before its head."""
    if not answer.content:
        return _cut(request, call)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.content)
    await response.prepare(request)
    await response.write(answer.content[: len(answer.content) // 2])
    call.error = "lost"
    if request.transport is not None:
        # Closed and not aborted: what was written is to arrive first.
        request.transport.close()
    return response


async def _written(request: web.Request, answer: Response, pause: float) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.content)
    await response.prepare(request)
    size = max(1, -(-len(answer.content) // PIECES)) if pause else max(1, len(answer.content))
    for start in range(0, len(answer.content), size):
        await asyncio.sleep(pause / PIECES)
        await response.write(answer.content[start : start + size])
    await response.write_eof()
    return response
