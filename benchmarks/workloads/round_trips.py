"""Training calls against the null engine, many in flight: how long each takes from the call to its result.

    python -m benchmarks.workloads.round_trips raw|client MODEL CALLS IN_FLIGHT

The service is the one that TINKER_BASE_URL and TINKER_API_KEY name.

`raw` is the least that a client can do: one POST that submits, one that fetches, over plain connections. `client` is
ours.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from benchmarks.lean_http import connected

side, model = sys.argv[1], sys.argv[2]
calls, in_flight = map(int, sys.argv[3:5])
TOKENS = list(range(10, 26))
WARM_UP = 64


async def timed(call: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    """A call begins when one of those in flight has ended."""
    seconds: list[float] = []
    left = iter(range(WARM_UP + calls))

    async def caller() -> None:
        for _ in left:
            began = time.perf_counter()
            await call()
            seconds.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    total = time.perf_counter() - began
    milliseconds = np.array(seconds[WARM_UP:]) * 1000
    return {
        "p50 ms": float(np.percentile(milliseconds, 50)),
        "p99 ms": float(np.percentile(milliseconds, 99)),
        "calls/s": (WARM_UP + calls) / total,
    }


async def raw() -> dict[str, float]:
    connections = await connected(os.environ["TINKER_BASE_URL"], os.environ["TINKER_API_KEY"], in_flight)
    free = list(connections)

    async def post(operation: str, body: dict[str, Any]) -> Any:
        connection = free.pop()
        try:
            return await connection.post(operation, body)
        finally:
            free.append(connection)

    async def future_of(operation: str, body: dict[str, Any]) -> Any:
        return await post("retrieve_future", {"request_id": (await post(operation, body))["request_id"]})

    created = await post("create_session", {"tags": [], "user_metadata": {}, "sdk_version": "0"})
    lora = {"rank": 32}
    made = await future_of(
        "create_model",
        {"session_id": created["session_id"], "model_seq_id": 0, "base_model": model, "lora_config": lora},
    )
    numbers = iter(range(1, 10**9))
    inputs = {
        "target_tokens": {"data": TOKENS, "dtype": "int64", "shape": [len(TOKENS)]},
        "weights": {"data": [1.0] * len(TOKENS), "dtype": "float32", "shape": [len(TOKENS)]},
    }
    datum = {"model_input": {"chunks": [{"tokens": TOKENS, "type": "encoded_text"}]}, "loss_fn_inputs": inputs}
    passed = {"data": [datum], "loss_fn": "cross_entropy"}

    async def call() -> None:
        body = {"model_id": made["model_id"], "seq_id": next(numbers), "forward_backward_input": passed}
        output = await future_of("forward_backward", body)
        assert "loss_fn_outputs" in output, output

    measured = await timed(call)
    for connection in connections:
        connection.close()
    return measured


async def client() -> dict[str, float]:
    import tinker_hl
    from tinker_hl import types

    training = await tinker_hl.ServiceClient().create_lora_training_client_async(model, rank=32)
    inputs = {
        "target_tokens": types.TensorData.from_numpy(np.array(TOKENS)),
        "weights": types.TensorData.from_numpy(np.ones(len(TOKENS), dtype=np.float32)),
    }
    data = [types.Datum(model_input=types.ModelInput.from_ints(TOKENS), loss_fn_inputs=inputs)]

    async def call() -> None:
        await training.forward_backward(data, "cross_entropy")

    return await timed(call)


print(json.dumps(asyncio.run({"raw": raw, "client": client}[side]())))
