"""A server that speaks the protocol and computes nothing: every result is ready when it is asked for.

Both SDKs are measured against it, so what is measured is the client. It answers in protobuf where the caller accepts it
and in JSON otherwise, and runs in a process of its own: its work is not the client's. It keeps no order, checks no
argument and knows no error.

    python -m benchmarks.stub_server            prints its URL, ends when its stdin does
    python -m benchmarks.stub_server --json     is a server of the 0.7 generation, which has no `client/config`
"""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import orjson
import zstandard
from aiohttp import web
from tinker_proto import tinker_public_pb2 as pb

__all__ = ["SAMPLE_TOKENS", "Stub", "as_json", "running", "serve"]

SAMPLE_TOKENS = 64
"""Tokens of every sample."""
PROTOBUF = "application/x-protobuf"
API = "/api/v1/"
MODEL = "stub/model"


@attrs.frozen
class Result:
    """One finished result in both encodings, each made when it is first asked for."""

    as_json: Callable[[], Any]
    as_protobuf: Callable[[], bytes] | None = None


class Stub:
    """Everything the server remembers: the results that nobody has fetched yet.

    Args:
        only_json: Whether it is one of those that have no `client/config`, to which clients speak JSON.
    """

    def __init__(self, *, only_json: bool = False) -> None:
        self._only_json = only_json
        self._results: dict[str, Result] = {}
        self._numbers = itertools.count()
        self._sample = Result(sample_json, cached(sample_protobuf))
        self._operations: dict[str, Callable[[web.BaseRequest], Awaitable[Any]]] = {
            "retrieve_future": self._retrieve_future,
            "asample": self._asample,
            "forward_backward": self._forward_backward,
            "create_model": self._create_model,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request's answer. Bodies are read from the stream, for `request.read` has a limit of one megabyte."""
        operation = request.path.removeprefix(API)
        handler = self._operations.get(operation)
        if handler is None:
            await request.content.read()
            if operation == "client/config" and self._only_json:
                return web.Response(status=404)
            return as_json(self._plain(operation))
        answered = await handler(request)
        return answered if isinstance(answered, web.StreamResponse) else as_json(answered)

    def _plain(self, operation: str) -> Any:
        """The answers that depend on nothing."""
        if operation.startswith("samplers/"):
            return {"sampler_id": operation.removeprefix("samplers/"), "base_model": MODEL}
        if operation == "optim_step":
            return self._promise(Result(lambda: {"metrics": {"tinker_hl/grad_norm": 1.0}}))
        return {
            "create_session": {"type": "create_session", "session_id": "stub"},
            "create_sampling_session": {
                "type": "create_sampling_session",
                "sampling_session_id": f"stub:sample:{next(self._numbers)}",
            },
            "session_heartbeat": {"type": "session_heartbeat"},
            "telemetry": {"status": "accepted"},
            "get_server_capabilities": {"supported_models": [{"model_name": MODEL}]},
            "get_info": {
                "model_id": "stub:train:0",
                "model_data": {"arch": "stub", "model_name": MODEL, "tokenizer_id": MODEL},
                "is_lora": True,
                "lora_rank": 32,
            },
        }.get(operation, {})

    async def _create_model(self, request: web.BaseRequest) -> Any:
        body = orjson.loads(await request.content.read())
        model_id = f"{body['session_id']}:train:{body['model_seq_id']}"
        return self._promise(Result(lambda: {"type": "create_model", "model_id": model_id}))

    async def _asample(self, request: web.BaseRequest) -> Any:
        body = orjson.loads(await request.content.read())
        promise = self._promise(self._sample)
        ids = [f"{promise['request_id']}-{index}" for index in range(body.get("num_samples") or 1)]
        return {**promise, "sample_sequence_ids": ids}

    async def _forward_backward(self, request: web.BaseRequest) -> Any:
        body = await request.content.read()
        if request.headers.get("Content-Encoding") == "zstd":
            body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
        if request.headers.get("Content-Type") == PROTOBUF:
            lengths = protobuf_lengths(body)
        else:
            data = orjson.loads(body)["forward_backward_input"]["data"]
            lengths = [len(datum["loss_fn_inputs"]["target_tokens"]["data"]) for datum in data]
        return self._promise(Result(lambda: training_json(lengths), lambda: training_protobuf(lengths)))

    async def _retrieve_future(self, request: web.BaseRequest) -> Any:
        result = self._results.pop(orjson.loads(await request.content.read())["request_id"])
        if result.as_protobuf is not None and PROTOBUF in request.headers.get("Accept", ""):
            return web.Response(body=result.as_protobuf(), content_type=PROTOBUF)
        return result.as_json()

    def _promise(self, result: Result) -> dict[str, str]:
        request_id = f"r{next(self._numbers)}"
        self._results[request_id] = result
        return {"request_id": request_id, "model_id": "stub:train:0"}


def as_json(body: Any) -> web.Response:
    return web.Response(body=orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), content_type="application/json")


def cached(make: Callable[[], bytes]) -> Callable[[], bytes]:
    made = make()
    return lambda: made


def sample_protobuf() -> bytes:
    tokens = np.arange(SAMPLE_TOKENS, dtype="<i4")
    logprobs = np.full(SAMPLE_TOKENS, -0.5, dtype="<f4")
    sequence = pb.SampledSequence(
        stop_reason=pb.STOP_REASON_LENGTH, tokens=tokens.tobytes(), logprobs=logprobs.tobytes()
    )
    return bytes(pb.SampleResponse(sequences=[sequence]).SerializeToString())


def sample_json() -> dict[str, Any]:
    sequence = {"stop_reason": "length", "tokens": list(range(SAMPLE_TOKENS)), "logprobs": [-0.5] * SAMPLE_TOKENS}
    return {"type": "sample", "sequences": [sequence]}


def protobuf_lengths(body: bytes) -> list[int]:
    """The number of tokens of each datum; `body` is a whole `ForwardBackwardRequest`."""
    message = pb.ForwardBackwardRequest.FromString(body)
    return [sum(len(chunk.encoded_text.tokens) for chunk in datum.model_input) // 4 for datum in message.data]


def training_protobuf(lengths: Sequence[int]) -> bytes:
    offsets = np.concatenate([[0], np.cumsum(lengths)]) * 4
    field = pb.BatchedTensor(
        data=np.full(sum(lengths), -1.0, dtype="<f4").tobytes(),
        offsets=offsets.astype("<i8").tobytes(),
        dtype=pb.DTYPE_FLOAT32,
    )
    record = pb.ArrayRecord(type_tag="ArrayRecord", fields={"logprobs": field}, num_datums=len(lengths))
    output = pb.ForwardBackwardOutput(
        loss_fn_output_type="ArrayRecord", loss_fn_outputs=[record], metrics={"loss:sum": 1.0}
    )
    return bytes(output.SerializeToString())


def training_json(lengths: Sequence[int]) -> dict[str, Any]:
    outputs = [
        {"logprobs": {"data": np.full(length, -1.0, dtype="<f4"), "dtype": "float32", "shape": [length]}}
        for length in lengths
    ]
    return {"loss_fn_output_type": "ArrayRecord", "loss_fn_outputs": outputs, "metrics": {"loss:sum": 1.0}}


@contextmanager
def running(module: str = "benchmarks.stub_server", *options: str) -> Iterator[str]:
    """A stub in a process of its own, this one or another module's; gives its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parent.parent,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the stub server ended with {process.wait(10)} before it listened")
        yield url
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


async def serve(server: web.Server | None = None) -> None:
    """Answer on a free loopback port until stdin ends."""
    runner = web.ServerRunner(server or web.Server(Stub().answer, access_log=None), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    (address,) = runner.addresses
    print(f"http://{address[0]}:{address[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


async def main() -> None:
    stub = Stub(only_json="--json" in sys.argv[1:])
    await serve(web.Server(stub.answer, access_log=None))


if __name__ == "__main__":
    asyncio.run(main())
