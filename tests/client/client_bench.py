"""The real service with an engine that computes nothing, in this process and over a socket."""

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from tinker_hl import ServiceClient
from tinker_local.app import create_app
from tinker_local.engine.null import NullEngine
from tinker_local.serving import Serving
from tinker_local.settings import ModelSource, Settings

MODEL = "tinker-hl/tiny"
KEY = "tml-test-key"

MakeClient = Callable[..., ServiceClient]


def service_app(data_dir: Path) -> object:
    folder = Path(__file__).parents[2] / "tinker_local" / "models" / "tiny"
    models = (ModelSource(name=MODEL, path=str(folder)),)
    return create_app(Settings(data_dir=data_dir, models=models, api_keys=(KEY,)), NullEngine(models))


class SocketService:
    """An app on a free loopback port, in a thread with a loop of its own."""

    def __init__(self, app: object) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as `serve` does; else each answer takes 40 ms
        self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(app, listener), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)

    def _run(self, app: object, listener: socket.socket) -> None:
        self._loop.run_until_complete(self._serve(app, listener))
        self._loop.close()

    async def _serve(self, app: object, listener: socket.socket) -> None:
        async with Serving(app, listener):  # type: ignore[arg-type]
            self._ready.set()
            await self._end.wait()
