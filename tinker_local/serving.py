"""One app on one socket, from start to a clean end: uvicorn, without its own ideas about signals and exit codes.

It does not know what the app does; "ready" is what its health check says.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Self

import uvicorn

from tinker_local.connections import BoundedHttp, make_room

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["Serving"]

_HEALTH = "/api/v1/healthz"
_POLL_SECONDS = 0.05
_ATTEMPT_SECONDS = 5.0
_GRACE_SECONDS = 5
"""How long requests may go on once the end was asked for; held polls are cut then."""
_KEEP_ALIVE_SECONDS = 75
"""Longer than clients pool idle connections, so that no request meets a connection that is just being closed."""


class _Server(uvicorn.Server):
    """uvicorn's server with its signal handlers left out: whoever runs it decides what a signal means."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Serving:
    """A running server, as an async context manager; leaving it ends the server.

    Args:
        app: the ASGI app; its lifespan is run.
        listener: a bound socket, which is closed at the end.
    """

    def __init__(self, app: "ASGIApp", listener: socket.socket) -> None:
        self._listener = listener
        host, port = listener.getsockname()[:2]
        self._address = ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)
        self._task: asyncio.Task[None] | None = None
        self._asked = False
        BoundedHttp.most_connections = make_room()
        self._server = _Server(
            uvicorn.Config(
                app,
                http=BoundedHttp,
                lifespan="on",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._serve())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        await self.ended()

    async def _serve(self) -> None:
        # A failed start ends uvicorn by SystemExit from within a task, which would tear the event loop down.
        with contextlib.suppress(SystemExit), self._listener:
            await self._server.serve(sockets=[self._listener])

    def stop(self) -> None:
        """Ask it to end; asked twice, it does not wait for requests under way."""
        self._server.force_exit = self._asked
        self._server.should_exit = self._asked = True

    @property
    def stopping(self) -> bool:
        """Whether its end was asked for."""
        return self._asked

    async def ended(self) -> None:
        """Wait until it has ended, for whatever reason."""
        if self._task is not None:
            await asyncio.wait([self._task])
            self._task.result()

    async def ready(self, hopeless: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the health check passes; False if the server ended before that, or cannot get there.

        Args:
            hopeless: asked as long as the app runs and is not ready, whether it is any use to wait on.
        """
        while self._task is not None and not self._task.done():
            if self._server.started:
                if await self._healthy():
                    return True
                if hopeless():
                    return False
            await asyncio.wait([self._task], timeout=_POLL_SECONDS)
        return False

    async def _healthy(self) -> bool:
        """Ask over the socket itself: a check of the whole way, at the cost of one request."""
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                reader, writer = await asyncio.open_connection(*self._address)
                writer.write(f"GET {_HEALTH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                status = (await reader.readline()).split(b" ")[1:2]
                writer.close()
        except (OSError, TimeoutError):
            return False
        return status == [b"200"]
