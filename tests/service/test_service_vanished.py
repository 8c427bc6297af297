"""Clients that go away in the middle: a poll, a download, a body. Nothing is lost, and nothing stays behind."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from service_bench import SOURCES, GatedEngine, pass_body
from test_service_serving import listener

from tinker_local.app import create_app
from tinker_local.service import Service
from tinker_local.serving import Serving
from tinker_local.settings import Settings
from tinker_local.store.paths import CheckpointPath

pytestmark = pytest.mark.anyio
LARGE = 256 * 2**20
"""More than the buffers of a connection hold."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Reached:
    """A service behind a socket, and the least of a client."""

    def __init__(self, port: int, service: Service, engine: GatedEngine, client: httpx.AsyncClient) -> None:
        self.port, self.service, self.engine, self._client = port, service, engine, client

    async def post(self, operation: str, body: dict[str, Any]) -> Any:
        answer = await self._client.post(f"/api/v1/{operation}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def outcome(self, operation: str, body: dict[str, Any]) -> Any:
        return await self.post("retrieve_future", {"request_id": (await self.post(operation, body))["request_id"]})

    async def link(self, path: str) -> str:
        """Where the answer sends its reader."""
        answer = await self._client.get(f"/api/v1/{path}")
        assert answer.status_code == 302, answer.text
        return str(answer.headers["location"])

    async def raw(self, head: str, body: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of its own that has sent this."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**16)
        writer.write(head.replace("\n", "\r\n").encode() + b"Host: localhost\r\n\r\n" + body)
        await writer.drain()
        return reader, writer

    async def model(self) -> str:
        session = await self.post("create_session", {"tags": [], "user_metadata": {}, "sdk_version": "0"})
        body = {"session_id": session["session_id"], "model_seq_id": 0, "base_model": "null/base"}
        return str((await self.outcome("create_model", body))["model_id"])


@asynccontextmanager
async def reached(data_dir: Path, **settings: Any) -> AsyncIterator[Reached]:
    bound, engine = listener(), GatedEngine()
    port = bound.getsockname()[1]
    app = create_app(Settings(data_dir=data_dir, models=SOURCES, long_poll_seconds=20.0, **settings), engine)
    async with (
        Serving(app, bound) as serving,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        assert await serving.ready()
        yield Reached(port, app.state.service, engine, client)


def step(model_id: str, seq_id: int) -> dict[str, Any]:
    return {"model_id": model_id, "seq_id": seq_id, "adam_params": {"learning_rate": 1e-3}}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for is the system's, and rings no bell
            await asyncio.sleep(0.01)


def open_files(folder: Path) -> list[str]:
    """What this process has open of a folder."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


async def test_a_result_outlives_the_poll_that_was_cut(tmp_path: Path) -> None:
    async with reached(tmp_path) as there:
        model_id = await there.model()
        there.engine.gate.clear()
        request_id = (await there.post("optim_step", step(model_id, 1)))["request_id"]
        content = b'{"request_id": "%s"}' % request_id.encode()
        promise = there.service.futures.find(request_id)
        assert promise is not None
        woken_before = len(promise.on_done)
        head = (
            f"POST /api/v1/retrieve_future HTTP/1.1\nContent-Type: application/json\nContent-Length: {len(content)}\n"
        )
        _, writer = await there.raw(head, content)
        await until(lambda: len(promise.on_done) > woken_before)
        writer.transport.abort()
        there.engine.gate.set()
        assert "metrics" in await there.post("retrieve_future", {"request_id": request_id})


async def test_a_download_that_is_cut_leaves_no_file_open(tmp_path: Path) -> None:
    async with reached(tmp_path) as there:
        model_id = await there.model()
        saved = await there.outcome("save_weights", {"model_id": model_id, "seq_id": 1, "path": "large"})
        weights = there.service.folders.at(CheckpointPath.parse(saved["path"])) / "adapter_model.safetensors"
        os.truncate(weights, LARGE)
        address = urlsplit(await there.link(f"training_runs/{model_id}/checkpoints/weights/large/archive"))
        reader, writer = await there.raw(f"GET {address.path}?{address.query} HTTP/1.1\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        await until(lambda: bool(open_files(weights.parent)))
        writer.transport.abort()
        await until(lambda: not open_files(weights.parent))
        assert "metrics" in await there.outcome("optim_step", step(model_id, 2))


async def test_a_body_that_is_cut_is_taken_for_no_request(tmp_path: Path) -> None:
    async with reached(tmp_path) as there:
        model_id = await there.model()
        content = b'{"model_id": "%s", "seq_id": 1, "adam_params": {' % model_id.encode()
        head = "POST /api/v1/optim_step HTTP/1.1\nContent-Type: application/json\nContent-Length: 1000\n"
        _, writer = await there.raw(head, content)
        writer.close()
        await writer.wait_closed()
        assert "metrics" in await there.outcome("optim_step", step(model_id, 1))
        assert [kind for kind, _ in there.engine.told] == ["step"]


async def test_a_body_that_is_refused_unread_leaves_its_connection_usable(tmp_path: Path) -> None:
    """Its bytes are passed over without being kept, and the next request of the connection is answered."""
    async with reached(tmp_path, max_bytes_under_way=1000) as there:
        model_id = await there.model()
        there.engine.gate.clear()
        first = await there.post("forward_backward", pass_body(model_id, 1))
        whole = there.service.under_way.share()
        whole.take(1000)
        reader, writer = await there.raw(
            f"POST /api/v1/forward_backward HTTP/1.1\nContent-Type: application/json\nContent-Length: {2**24}\n"
        )
        writer.write(bytes(2**24) + b"GET /api/v1/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        async with asyncio.timeout(30):
            answers = await reader.readuntil(b"HTTP/1.1 200")
        writer.close()
        assert answers.startswith(b"HTTP/1.1 429")
        whole.release()
        there.engine.gate.set()
        assert "metrics" in await there.post("retrieve_future", {"request_id": first["request_id"]})
        assert there.service.under_way.size == 0
