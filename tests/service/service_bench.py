"""A service in this process, without a socket; every answer is held against the spec. For the tests of the service."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import orjson
from jsonschema_rs import Draft202012Validator

import tinker_local
from tinker_local.app import create_app
from tinker_local.clock import Clock
from tinker_local.engine.null import NullEngine
from tinker_local.engine.protocol import (
    AdamSettings,
    Engine,
    EngineDiedError,
    OnHold,
    SampleJob,
    SampleOutput,
    TrainingDatum,
    TrainingOutput,
)
from tinker_local.service import Service
from tinker_local.settings import ModelSource, Settings
from tinker_local.spec import Operation, load_spec

T = TypeVar("T")

SOURCES = (ModelSource(name="null/base", path="/models/null", aliases=("null/alias",)),)
TINY = ModelSource(name="tinker-hl/tiny", path=str(Path(tinker_local.__file__).parent / "models" / "tiny"))
SPEC = load_spec()
OPERATIONS: Mapping[str, Operation] = {operation.operation_id: operation for operation in SPEC.operations}
PROTOBUF = "application/x-protobuf"


class MovedClock(Clock):
    """The time, and as much more as a test says."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def wall(self) -> float:
        return super().wall() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class GatedEngine(NullEngine):
    """A null engine that notes what it is told, and works only while its gate is open."""

    def __init__(self, models: Sequence[ModelSource] = SOURCES) -> None:
        super().__init__(models)
        self.gate = asyncio.Event()
        self.gate.set()
        self.told: list[tuple[str, Any]] = []
        self._deaths = 0

    async def forward_backward(
        self,
        model_id: str,
        data: Sequence[TrainingDatum],
        loss_fn: str,
        loss_fn_config: Mapping[str, float | str],
        *,
        backward: bool,
    ) -> TrainingOutput:
        self.told.append(("pass", int(data[0].tokens[0])))
        await self._through()
        return await super().forward_backward(model_id, data, loss_fn, loss_fn_config, backward=backward)

    async def optim_step(self, model_id: str, settings: AdamSettings) -> Mapping[str, float]:
        self.told.append(("step", settings.learning_rate))
        await self._through()
        return await super().optim_step(model_id, settings)

    async def unload_adapter(self, model_id: str) -> None:
        await self._through()  # the calls for one model keep their order
        await super().unload_adapter(model_id)

    def die(self) -> None:
        """What waits at the gate dies with it."""
        self._deaths += 1
        super().die()
        self.gate.set()

    async def _through(self) -> None:
        deaths = self._deaths
        await self.gate.wait()
        if self._deaths != deaths:
            raise EngineDiedError("it died at the gate")

    async def sample(self, job: SampleJob, on_hold: OnHold | None = None) -> SampleOutput:
        self.told.append(("sample", job.job_id))
        await self._through()
        return await super().sample(job, on_hold)


class Api:
    """A client of one service in this process. Calls may come from several threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: httpx.AsyncClient, service: Service) -> None:
        self._loop = loop
        self._client = client
        self.service = service
        self.headers: dict[str, str] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine where the service runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def do(self, function: Callable[..., T], *values: Any) -> T:
        """Call a function where the service runs."""

        async def called() -> T:
            return function(*values)

        return self.run(called())

    def later(self, operation_id: str, **arguments: Any) -> "Future[httpx.Response]":
        """`answer`, without waiting for it."""
        return asyncio.run_coroutine_threadsafe(self._send(operation_id, **arguments), self._loop)

    def answer(self, operation_id: str, **arguments: Any) -> httpx.Response:
        """Call an operation; its answer is one that the spec allows."""
        return self.later(operation_id, **arguments).result(60)

    def get(self, url: str) -> httpx.Response:
        """Fetch a link."""
        return self.run(self._client.get(url))

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send anything at all."""
        return self.run(self._client.request(method, path, **arguments))

    def ok(self, operation_id: str, **arguments: Any) -> Any:
        """The JSON of a successful call."""
        response = self.answer(operation_id, **arguments)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def refused(self, status: int, operation_id: str, **arguments: Any) -> Any:
        """The JSON of a refusal with this status."""
        response = self.answer(operation_id, **arguments)
        assert response.status_code == status, response.text
        assert int(response.headers["content-length"]) > 0
        return response.json()

    def result(self, submitted: Mapping[str, Any]) -> Any:
        """What a promise comes to, as JSON."""
        while True:
            answer = self.ok("retrieve_future", body={"request_id": submitted["request_id"]})
            if answer.get("type") != "try_again":
                return answer

    def session(self) -> str:
        """A new session."""
        return str(self.ok("create_session", body={"tags": [], "sdk_version": "1"})["session_id"])

    def model(self, session_id: str | None = None, number: int = 0) -> str:
        """A new model."""
        body = {"session_id": session_id or self.session(), "model_seq_id": number, "base_model": "null/base"}
        return str(self.result(self.ok("create_model", body={**body, "lora_config": {"rank": 4}}))["model_id"])

    def forward_backward(self, model_id: str, seq_id: int | None, token: int = 1) -> Any:
        """Submit a pass over one datum."""
        return self.ok("forward_backward", body=pass_body(model_id, seq_id, token))

    def save(self, model_id: str, seq_id: int, name: str, **more: Any) -> str:
        """Save, and wait for it."""
        body = {"model_id": model_id, "seq_id": seq_id, "path": name, **more}
        return str(self.result(self.ok("save_weights", body=body))["path"])

    def sampler(self, session_id: str, number: int = 0, **on: Any) -> str:
        """A new sampling session."""
        body = {"session_id": session_id, "sampling_session_seq_id": number, **(on or {"base_model": "null/base"})}
        return str(self.ok("create_sampling_session", body=body)["sampling_session_id"])

    def sample(self, sampler_id: str, seq_id: int = 0, **more: Any) -> Any:
        """Submit a sample."""
        return self.ok("sample", body=sample_body(sampler_id, seq_id, **more))

    async def _send(
        self,
        operation_id: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        operation = OPERATIONS[operation_id]
        values = {name: quote(value, safe=":") for name, value in (path or {}).items()}
        if body is not None:
            content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        all_headers = {"content-type": "application/json", **self.headers, **(headers or {})}
        response = await self._client.request(
            operation.method, operation.path.format(**values), params=query, content=content, headers=all_headers
        )
        check(operation, response)
        return response


def pass_body(model_id: str, seq_id: int | None, token: int = 1) -> dict[str, Any]:
    """A JSON forward_backward of one datum."""
    targets = {"data": [token, token], "dtype": "int64", "shape": [2]}
    datum = {"model_input": {"chunks": [{"tokens": [token, 2]}]}, "loss_fn_inputs": {"target_tokens": targets}}
    inputs = {"data": [datum], "loss_fn": "cross_entropy"}
    return {"model_id": model_id, "seq_id": seq_id, "forward_backward_input": inputs}


def sample_body(sampler_id: str, seq_id: int, **more: Any) -> dict[str, Any]:
    """A sample of two tokens."""
    prompt = {"chunks": [{"type": "encoded_text", "tokens": [5, 6, 7]}]}
    body = {"sampling_session_id": sampler_id, "seq_id": seq_id, "prompt": prompt}
    return {**body, "sampling_params": {"max_tokens": 2}, **more}


def check(operation: Operation, response: httpx.Response) -> None:
    """The answer has a status, a content type and a body that the spec gives the operation."""
    declared = operation.responses.get(str(response.status_code))
    assert declared is not None, f"{operation.operation_id} answered {response.status_code}: {response.text}"
    contents = SPEC.resolve(declared).get("content")
    if not contents:
        assert not response.content
        return
    kind = response.headers["content-type"].partition(";")[0]
    assert kind in contents
    if kind == "application/json":
        checks = compiled(operation.operation_id, response.status_code)
        faults = [str(fault) for fault in checks.iter_errors(response.json())]
        assert not faults, f"{operation.operation_id}: {faults}"


@cache
def compiled(operation_id: str, status: int) -> Draft202012Validator:
    """The schema of an answer."""
    declared = SPEC.resolve(OPERATIONS[operation_id].responses[str(status)])
    return Draft202012Validator(SPEC.standalone(declared["content"]["application/json"]["schema"]))


class Bench:
    """Starts services on one event loop in a thread, and ends them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, data_dir: Path) -> None:
        self._loop = loop
        self._stacks: dict[Api, AsyncExitStack] = {}
        self.data_dir = data_dir
        self.clock = MovedClock()

    def start(self, engine: Engine | None = None, *, wait: bool = True, **settings: Any) -> Api:
        """A service on the test's data folder, ready unless told otherwise."""
        api = self._run(self._start(engine or NullEngine(SOURCES), settings))
        if wait:
            api.run(api.service.supervision.wait_ready())
        return api

    def stop(self, api: Api) -> None:
        """End a service."""
        self._run(self._stacks.pop(api).aclose())

    def close(self) -> None:
        """End them all."""
        for api in list(self._stacks):
            self.stop(api)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self, engine: Engine, settings: Mapping[str, Any]) -> Api:
        given = {"data_dir": self.data_dir, "models": SOURCES, "long_poll_seconds": 5.0, **settings}
        app = create_app(Settings(**given), engine, clock=self.clock)
        stack = AsyncExitStack()
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60)
        )
        api = Api(self._loop, client, app.state.service)
        self._stacks[api] = stack
        return api
