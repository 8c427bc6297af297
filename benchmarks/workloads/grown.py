"""Fill a service with runs, results and checkpoints, then time calls of each kind one after the other.

    python -m benchmarks.workloads.grown MODEL HELD CALLS

The service, with the null engine, is the one that TINKER_BASE_URL and TINKER_API_KEY name. HELD runs are made, each
with one checkpoint, one finished pass and one step that nobody asks for again; some sessions have many, some few.
"""

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import numpy as np

model = sys.argv[1]
held, calls = map(int, sys.argv[2:4])
AT_ONCE = 16
RUNS_A_SESSION = 50
TOKENS = list(range(10, 26))
DATUM = {
    "model_input": {"chunks": [{"tokens": TOKENS, "type": "encoded_text"}]},
    "loss_fn_inputs": {
        "target_tokens": {"data": TOKENS, "dtype": "int64", "shape": [len(TOKENS)]},
        "weights": {"data": [1.0] * len(TOKENS), "dtype": "float32", "shape": [len(TOKENS)]},
    },
}
PASS = {"data": [DATUM], "loss_fn": "cross_entropy"}


class Service:
    """Plain requests."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, operation: str, body: dict[str, Any]) -> Any:
        """The answer to a POST."""
        async with self._session.post(f"/api/v1/{operation}", json=body) as answer:
            found = await answer.json()
            assert answer.status == 200, found
            return found

    async def get(self, path: str) -> Any:
        """The answer to a GET."""
        async with self._session.get(f"/api/v1/{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def result(self, operation: str, body: dict[str, Any]) -> Any:
        """What the promise of a POST comes to."""
        return await self.post("retrieve_future", {"request_id": (await self.post(operation, body))["request_id"]})

    async def new_session(self) -> str:
        """The id of a new session."""
        made = await self.post("create_session", {"tags": [], "user_metadata": {}, "sdk_version": "0"})
        return str(made["session_id"])

    async def new_model(self, session_id: str, number: int) -> str:
        """The id of a new model."""
        body = {"session_id": session_id, "model_seq_id": number, "base_model": model, "lora_config": {"rank": 8}}
        return str((await self.result("create_model", body))["model_id"])


async def fill(service: Service) -> None:
    """HELD runs, some at once."""
    places = itertools.product(range(-(-held // RUNS_A_SESSION)), range(RUNS_A_SESSION))
    sessions = [await service.new_session() for _ in range(-(-held // RUNS_A_SESSION))]
    left = itertools.islice(places, held)

    async def worker() -> None:
        for session, number in left:
            model_id = await service.new_model(sessions[session], number)
            await service.result("forward_backward", numbered(model_id, 1, forward_backward_input=PASS))
            await service.result("optim_step", numbered(model_id, 2, adam_params={"learning_rate": 1e-4}))
            await service.result("save_weights", numbered(model_id, 3, path="kept"))

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


def numbered(model_id: str, seq_id: int, **more: Any) -> dict[str, Any]:
    return {"model_id": model_id, "seq_id": seq_id, **more}


async def timed(name: str, call: Callable[[], Awaitable[Any]]) -> tuple[str, float]:
    """The median of all calls, in milliseconds, after a few that do not count."""
    for _ in range(calls // 4):
        await call()
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - began)
    return f"{name} ms", float(np.median(seconds)) * 1000


async def main() -> dict[str, float]:
    headers = {"X-API-Key": os.environ["TINKER_API_KEY"]}
    async with aiohttp.ClientSession(os.environ["TINKER_BASE_URL"], headers=headers) as session:
        service = Service(session)
        await fill(service)
        session_id = await service.new_session()
        model_id = await service.new_model(session_id, 0)
        seq_ids, models = itertools.count(1), itertools.count(1)
        sampler = {"session_id": session_id, "sampling_session_seq_id": 0, "base_model": model}
        sampler_id = (await service.post("create_sampling_session", sampler))["sampling_session_id"]
        samples = itertools.count()

        async def forward_backward() -> Any:
            body = numbered(model_id, next(seq_ids), forward_backward_input=PASS)
            return await service.result("forward_backward", body)

        async def optim_step() -> Any:
            return await service.result(
                "optim_step", numbered(model_id, next(seq_ids), adam_params={"learning_rate": 1e-4})
            )

        async def save_weights() -> Any:
            number = next(seq_ids)
            return await service.result("save_weights", numbered(model_id, number, path=f"s{number}"))

        async def sample() -> Any:
            body = {
                "sampling_session_id": sampler_id,
                "seq_id": next(samples),
                "num_samples": 1,
                "prompt": DATUM["model_input"],
                "sampling_params": {"max_tokens": 4},
            }
            return await service.result("asample", body)

        kinds: dict[str, Callable[[], Awaitable[Any]]] = {
            "forward_backward": forward_backward,
            "optim_step": optim_step,
            "save_weights": save_weights,
            "sample": sample,
            "create_model": lambda: service.new_model(session_id, next(models)),
            "heartbeat": lambda: service.post("session_heartbeat", {"session_id": session_id}),
            "get_training_run": lambda: service.get(f"training_runs/{model_id}"),
            "list_checkpoints": lambda: service.get("checkpoints?limit=10"),
        }
        return dict([await timed(name, call) for name, call in kinds.items()])


print(json.dumps(asyncio.run(main())))
