"""A stub whose results are not ready at once: it holds polls as a real service does.

An optimizer step is ready some milliseconds after it was taken, and its metric `ready_at` says when, on the clock that
all processes of a machine share. A sample is never ready. `state` tells how many samples wait, and over how many
connections.

    python -m benchmarks.holding_server announces|plain

`announces` offers to announce finished samples in batches, `plain` does not.
"""

import asyncio
import itertools
import sys
import time
from typing import Any

import orjson
from aiohttp import web

from benchmarks.stub_server import Stub, as_json, serve

__all__ = ["DELAYS", "HoldingStub"]

DELAYS = (0.011, 0.023, 0.017, 0.029)
"""Seconds until a step is ready, in turns."""
HOLD = 40.0
MANY = 1_000_000


class HoldingStub(Stub):
    """A stub that lets callers wait.

    Args:
        announces: Whether it offers batched announcements.
    """

    def __init__(self, *, announces: bool) -> None:
        super().__init__()
        self._announces = announces
        self._delays = itertools.cycle(DELAYS)
        self._ready: dict[str, asyncio.Event] = {}
        self._metrics: dict[str, dict[str, float]] = {}
        self._samples = 0
        self.server: web.Server | None = None
        self._operations |= {
            "client/config": self._config,
            "optim_step": self._step,
            "retrieve_futures": self._announcements,
            "state": self._state,
        }

    async def _config(self, request: web.BaseRequest) -> Any:
        await request.content.read()
        return {"sample_use_retrieve_futures": self._announces, "sample_max_concurrent_requests": MANY}

    async def _step(self, request: web.BaseRequest) -> Any:
        await request.content.read()
        request_id = f"r{next(self._numbers)}"
        self._ready[request_id] = asyncio.Event()
        asyncio.get_running_loop().call_later(next(self._delays), self._finish, request_id)
        return {"request_id": request_id, "model_id": "stub:train:0"}

    def _finish(self, request_id: str) -> None:
        self._metrics[request_id] = {"ready_at": time.monotonic()}
        self._ready[request_id].set()

    async def _asample(self, request: web.BaseRequest) -> Any:
        answer = await super()._asample(request)
        self._results.clear()
        self._samples += 1
        return answer

    async def _retrieve_future(self, request: web.BaseRequest) -> Any:
        request_id = orjson.loads(await request.content.read())["request_id"]
        if request_id in self._results:
            return self._results.pop(request_id).as_json()
        try:
            await asyncio.wait_for(self._ready.get(request_id, asyncio.Event()).wait(), HOLD)
        except TimeoutError:
            return web.Response(status=408, body=b'{"type":"try_again"}', content_type="application/json")
        return as_json({"metrics": self._metrics[request_id]})

    async def _announcements(self, request: web.BaseRequest) -> Any:
        body = orjson.loads(await request.content.read())
        await asyncio.sleep(0 if body.get("timeout") == 0 else HOLD)
        return {"completions": [], "cursor": 0}

    async def _state(self, request: web.BaseRequest) -> Any:
        assert self.server is not None
        return {"samples": self._samples, "connections": len(self.server.connections)}


async def main() -> None:
    stub = HoldingStub(announces=sys.argv[1] == "announces")
    stub.server = web.Server(stub.answer, access_log=None)
    await serve(stub.server)


if __name__ == "__main__":
    asyncio.run(main())
