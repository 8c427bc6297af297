"""Requests to an ASGI application in this process, without sockets: for tests and for embedding.

The application runs on the client's loop. Long polls work: an answer is awaited like any other, and a request that the
client gives up on is told so (`http.disconnect`). Its lifespan is started by the first request and ended by `aclose`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

from tinker_hl import loop
from tinker_hl.transport.base import Request, Response, TransportFault

__all__ = ["AsgiTransport"]

logger = logging.getLogger("tinker_hl")

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


class AsgiTransport:
    """A transport to one application.

    Args:
        app: The ASGI application.
        lifespan: Whether to start and stop the application; False where somebody else does.
    """

    def __init__(self, app: AsgiApp, *, lifespan: bool = True) -> None:
        self._app = app
        self._lifespan = _Lifespan(app) if lifespan else None

    async def send(self, request: Request) -> Response:
        """Call the application once; see `Transport.send`."""
        if self._lifespan is not None:
            await self._lifespan.start()
        exchange = _Exchange(request, self._lifespan.state if self._lifespan else {})
        try:
            await asyncio.wait_for(self._app(exchange.scope, exchange.receive, exchange.send), request.timeout)
        except TimeoutError as error:
            raise TransportFault("timeout", f"no answer from the application within {request.timeout:g} s") from error
        except Exception as error:
            # A server would report it and, if no answer was begun, drop the connection.
            logger.warning("the application failed: %r", error)
            if exchange.status is None:
                raise TransportFault("lost", f"the application failed: {error!r}") from error
        if exchange.status is None:
            raise TransportFault("lost", "the application ended without an answer")
        return Response(status=exchange.status, headers=exchange.headers, content=b"".join(exchange.body))

    async def aclose(self) -> None:
        """End the application's lifespan, if this transport started it."""
        if self._lifespan is not None:
            await self._lifespan.stop()


class _Exchange:
    """One request and its answer, as ASGI messages."""

    def __init__(self, request: Request, state: dict[str, Any]) -> None:
        parts = urlsplit(request.url)
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()]
        content = request.content or b""
        headers.append((b"host", parts.netloc.encode("ascii")))
        headers.append((b"content-length", str(len(content)).encode("ascii")))
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method.upper(),
            "scheme": parts.scheme,
            "path": unquote(parts.path),
            "raw_path": parts.path.encode("ascii"),
            "query_string": parts.query.encode("ascii"),
            "root_path": "",
            "headers": headers,
            "state": dict(state),
            "client": ("127.0.0.1", 0),
            "server": (parts.hostname or "localhost", parts.port or 80),
        }
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body: list[bytes] = []
        self._content: bytes | None = content
        self._over = asyncio.Event()

    async def receive(self) -> Message:
        content, self._content = self._content, None
        if content is not None:
            return {"type": "http.request", "body": content, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            pairs = message.get("headers", ())
            self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}
        elif message["type"] == "http.response.body":
            self.body.append(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                self._over.set()


class _Lifespan:
    """The application's start and end, each once."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self.state: dict[str, Any] = {}
        self._started: asyncio.Future[None] | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._task = loop.spawn(self._run(self._started), name="tinker-hl-asgi-lifespan")
        await asyncio.shield(self._started)

    async def stop(self) -> None:
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _run(self, started: "asyncio.Future[None]") -> None:
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        inbox.put_nowait({"type": "lifespan.startup"})

        async def send(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                started.set_result(None)
                await self._stopping.wait()
                inbox.put_nowait({"type": "lifespan.shutdown"})
            elif message["type"] == "lifespan.startup.failed":
                started.set_exception(RuntimeError(f"the application did not start: {message.get('message', '')}"))

        try:
            await self._app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}, inbox.get, send)
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            if not started.done():
                # The ASGI specification: an application that does not know lifespans simply returns.
                started.set_result(None)
