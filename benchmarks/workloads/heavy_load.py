"""Samples and large training bodies all at once, and the heartbeats beside them.

    python -m benchmarks.workloads.heavy_load MODEL SAMPLES BODIES MEGABYTES protobuf|json

The service is the one that TINKER_BASE_URL and TINKER_API_KEY name. Heartbeats are sent and timed by a process of their
own, ten a second, so that what this one is busy with is not taken for the service's doing.
"""

import asyncio
import json
import multiprocessing
import sys
import time
from multiprocessing.synchronize import Event
from typing import Any

import numpy as np
from tinker_proto import tinker_public_pb2 as pb

from benchmarks.plain_requests import Requests, requests, sample_body

VOCABULARY = 256
CANDIDATES = 1024
"""Targets a position: most of a body's bytes, and little to compute, so that the load is on the way in."""
BYTES_EACH = {"protobuf": 12.0, "json": 7.6}
"""Of one target and its weight."""
PAUSE = 0.1


def body(model_id: str, seq_id: int, megabytes: float, kind: str) -> bytes:
    """A pass of about that size, of one datum."""
    generator = np.random.default_rng(seq_id)
    shape = [max(1, round(megabytes * 1e6 / CANDIDATES / BYTES_EACH[kind])), CANDIDATES]
    tokens = generator.integers(0, VOCABULARY, shape[0])
    targets = generator.integers(0, VOCABULARY, shape)
    weights = np.full(shape, 0.5, np.float32)
    if kind == "protobuf":
        target = pb.Tensor(dtype=pb.DTYPE_INT64, shape=shape, dense=targets.astype("<i8").tobytes())
        weight = pb.Tensor(dtype=pb.DTYPE_FLOAT32, shape=shape, dense=weights.tobytes())
        chunk = pb.Chunk(encoded_text=pb.EncodedTextChunk(tokens=tokens.astype("<i4").tobytes()))
        datum = pb.Datum(model_input=[chunk], loss_fn_inputs={"target_tokens": target, "weights": weight})
        request = pb.ForwardBackwardRequest(model_id=model_id, seq_id=seq_id, loss_fn="cross_entropy", data=[datum])
        return request.SerializeToString()
    inputs = {
        "target_tokens": {"data": targets.ravel().tolist(), "dtype": "int64", "shape": shape},
        "weights": {"data": weights.ravel().tolist(), "dtype": "float32", "shape": shape},
    }
    given = {
        "data": [{"model_input": {"chunks": [{"tokens": tokens.tolist()}]}, "loss_fn_inputs": inputs}],
        "loss_fn": "cross_entropy",
    }
    text = json.dumps({"model_id": model_id, "seq_id": seq_id, "forward_backward_input": given}, separators=(",", ":"))
    return text.encode()


async def beat(session_id: str, over: Event) -> list[float]:
    """Milliseconds of each heartbeat until the load is over."""
    taken = []
    async with requests() as service:
        while not over.is_set():
            began = time.perf_counter()
            await service.post("session_heartbeat", {"session_id": session_id})
            taken.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(PAUSE)
    return taken


def beating(session_id: str, over: Event, found: Any) -> None:
    """The process of the heartbeats."""
    found.put(asyncio.run(beat(session_id, over)))


async def trained(service: Requests, content: bytes, kind: str) -> None:
    media_type = "application/x-protobuf" if kind == "protobuf" else "application/json"
    url, headers = "/api/v1/forward_backward", {"content-type": media_type}
    async with service.session.post(url, data=content, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        submitted = await answer.json()
    await service.outcome(submitted["request_id"])


async def main() -> dict[str, float]:
    model, samples, count, megabytes, kind = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:6]
    spawn = multiprocessing.get_context("spawn")
    over, found = spawn.Event(), spawn.Queue()
    async with requests() as service:
        session_id = await service.new_session()
        model_id = await service.new_model(session_id, 0, model)
        sampler_id = await service.new_sampler(session_id, 0, model)
        contents = [body(model_id, seq_id, float(megabytes), kind) for seq_id in range(1, count + 1)]
        hearts = spawn.Process(target=beating, args=(session_id, over, found))
        hearts.start()
        began = time.perf_counter()
        works = [
            *(service.result("asample", sample_body(sampler_id, n, list(range(32)), 32)) for n in range(samples)),
            *(trained(service, content, kind) for content in contents),
        ]
        outcomes = await asyncio.gather(*works, return_exceptions=True)
        seconds = time.perf_counter() - began
    over.set()
    beats = await asyncio.to_thread(found.get, True, 60)
    hearts.join()
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for error in errors[:3]:
        print(repr(error)[:500], file=sys.stderr)
    p50, p95, most = np.percentile(beats, [50, 95, 100])
    return {
        "errors": len(errors),
        "heartbeats": len(beats),
        "p50 ms": float(p50),
        "p95 ms": float(p95),
        "max ms": float(most),
        "body MB": len(contents[0]) / 1e6,
        "seconds": seconds,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
