"""R1: every public wait ends by its deadline, with a result or a typed error, whatever the server does not say.

The waits are found by reflection. The server accepts connections and never answers: from the start, or once it has
given out a session, or with a promise whose result never comes.
"""

import asyncio
import concurrent.futures
import inspect
import json
import selectors
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch  # noqa: F401  # loading it, which the first custom loss does, is no wait for the server

import tinker_hl
from tinker_hl import (
    AdamParams,
    AdminClient,
    APIFuture,
    Datum,
    ModelInput,
    RestClient,
    RetryConfig,
    RetryPolicy,
    SamplingClient,
    SamplingParams,
    ServiceClient,
    TinkerError,
    TrainingClient,
    open_connections,
    session,
    types,
)
from tinker_hl.clients.model_making import TrainedModel
from tinker_hl.clients.sampler import Sampler
from tinker_hl.model_calls import ModelCalls
from tinker_hl.poller import POLL_TIMEOUT
from tinker_hl.retry import InstantClock
from tinker_hl.session import FINISH_POLICY
from tinker_hl.transport.base import Request, Response, TransportFault

CLIENTS = (ServiceClient, TrainingClient, SamplingClient, RestClient, AdminClient)
DEADLINE = 1.0
SLACK = 1.0
PATIENCE = 0.3
PATH = "tinker://M:train:0/weights/x"
SAMPLER_PATH = "tinker://M:train:0/sampler_weights/x"

SESSION: Mapping[str, Any] = {"create_session": {"session_id": "S"}, "session_heartbeat": {}}
PROMISE = {"request_id": "r"}
SUBMISSIONS = ("asample", "create_model", "forward", "forward_backward", "optim_step", "save_weights",
               "save_weights_for_sampler", "save_weights_external", "load_weights")  # fmt: skip


class SilentServer:
    """Listens on a loopback port and answers only what it is told to; configuration it does not know (404)."""

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._received: dict[socket.socket, bytes] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.1):
                if key.fileobj is self._listener:
                    connection, _address = self._listener.accept()
                    self._received[connection] = b""
                    self._selector.register(connection, selectors.EVENT_READ)
                else:
                    self._read(cast(socket.socket, key.fileobj))
        for connection in (*self._received, self._listener):
            connection.close()
        self._selector.close()

    def _read(self, connection: socket.socket) -> None:
        try:
            news = connection.recv(1 << 16)
        except ConnectionError:
            news = b""
        if not news:
            self._selector.unregister(connection)
            del self._received[connection]
            connection.close()
            return
        head, gap, body = (self._received[connection] + news).partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length")), 0)
        if not gap or len(body) < length:
            self._received[connection] += news
            return
        self._received[connection] = b""
        answer = self._answer(head.decode().split(" ", 2)[1].rsplit("/", 1)[-1])
        if answer is not None:
            connection.sendall(answer)

    def _answer(self, name: str) -> bytes | None:
        if self._answers is None:
            return None
        if name in ("config", "dynamic_config"):
            return _http("404 Not Found", {"detail": "no"})
        return _http("200 OK", self._answers[name]) if name in self._answers else None


def _http(status: str, body: Any) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


@pytest.fixture(scope="module", params=["from the start", "after the session"])
def silent(request: pytest.FixtureRequest) -> Iterator[SilentServer]:
    server = SilentServer(None if request.param == "from the start" else SESSION)
    yield server
    server.close()


@pytest.fixture(scope="module")
def promising() -> Iterator[SilentServer]:
    """Accepts every request and has no result of any."""
    server = SilentServer({**SESSION, **dict.fromkeys(SUBMISSIONS, PROMISE)})
    yield server
    server.close()


DATUM = Datum(ModelInput.from_ints([5, 6]), {"target_tokens": [6, 7], "weights": [1.0, 1.0]})

ARGUMENTS: Mapping[str, Any] = {
    "base_model": "base",
    "checkpoint_id": "weights/x",
    "data": [DATUM],
    "ending_before": "2026-01-02T00:00:00Z",
    "fn": lambda logprobs: (-logprobs.sum(), {}),
    "input_ranks": {"logprobs": 1},
    "loss_fn": "cross_entropy",
    "model_path": SAMPLER_PATH,
    "name": "x",
    "num_samples": 1,
    "path": PATH,
    "project_id": "P",
    "prompt": ModelInput.from_ints([1, 2]),
    "request": types.SessionSearchRequest(),
    "sampler_id": "S:sample:0",
    "sampling_params": SamplingParams(max_tokens=2),
    "session_id": "S",
    "starting_on": "2026-01-01T00:00:00Z",
    "tinker_path": PATH,
    "training_run_id": "M:train:0",
    "ttl_seconds": 3600,
}
"""A value for each argument that a method needs, by its name."""
MORE: Mapping[str, Mapping[str, Any]] = {
    "RestClient.copy_weights": {"destination_project_id": "P"},
    "RestClient.copy_weights_async": {"destination_project_id": "P"},
    "RestClient.get_external_weights_urls": {"tinker_path": "tinker://M:train:0/external_weights/x"},
    "RestClient.get_external_weights_urls_async": {"tinker_path": "tinker://M:train:0/external_weights/x"},
    "ServiceClient.create_sampling_client": {"base_model": "base"},
    "ServiceClient.create_sampling_client_async": {"base_model": "base"},
    "TrainingClient.forward_backward_custom": {"loss_fn": lambda data, logprobs: (-logprobs[0].sum(), {})},
    "TrainingClient.forward_backward_custom_async": {"loss_fn": lambda data, logprobs: (-logprobs[0].sum(), {})},
    "TrainingClient.optim_step": {"optim_params": AdamParams()},
    "TrainingClient.optim_step_async": {"optim_params": AdamParams()},
}
"""What some methods need beyond that, or differently."""
BLOCKING = ("ServiceClient.get_server_capabilities", "SamplingClient.get_tokenizer")
"""Public calls that wait for the server and return no future."""


def public_waits() -> dict[str, Callable[..., Any]]:
    """Every public method of every client that returns something to wait for, or waits itself."""
    found = {}
    for client in CLIENTS:
        for name, method in inspect.getmembers(client, callable):
            full = f"{client.__name__}.{name}"
            returned = str(inspect.signature(method).return_annotation) if not name.startswith("_") else ""
            waits = inspect.iscoroutinefunction(method) or "Future" in returned or "Pending" in returned
            if not name.startswith("_") and (waits or full in BLOCKING):
                found[full] = method
    return found


WAITS = public_waits()


def arguments_of(name: str) -> dict[str, Any]:
    """What to call a method with. Raises `KeyError` for an argument that has no fixture."""
    parameters = list(inspect.signature(WAITS[name]).parameters.values())[1:]
    needed = [one.name for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    return {one: ARGUMENTS[one] for one in needed if one not in MORE.get(name, {})} | dict(MORE.get(name, {}))


def client_for(name: str, service: ServiceClient) -> Any:
    """A client of the kind that a method belongs to, made without asking the server."""
    kind = name.split(".")[0]
    session = service._session
    if kind == "TrainingClient":
        calls = ModelCalls(session)
        calls.begin("M:train:0")
        info = {"model_id": "M:train:0", "model_data": {"model_name": "base"}}
        return TrainingClient(TrainedModel(calls, types.GetInfoResponse.model_validate(info)))
    if kind == "SamplingClient":
        return SamplingClient(Sampler(session, sampling_session_id="S:sample:0", base_model="base"))
    if kind == "RestClient":
        return service.create_rest_client()
    return AdminClient(service.create_rest_client()._connection) if kind == "AdminClient" else service


def test_r01_the_reflection_finds_the_waits() -> None:
    kinds = {name.split(".")[0] for name in WAITS}
    assert kinds == {client.__name__ for client in CLIENTS}
    assert {"TrainingClient.recover", "SamplingClient.sample_async", "ServiceClient.close"} <= set(WAITS)
    assert len(WAITS) >= 90


@pytest.mark.parametrize("name", WAITS)
def test_r01_every_wait_has_arguments(name: str) -> None:
    arguments_of(name)


def wait_of(name: str, service: ServiceClient) -> tuple[str, BaseException | None, float]:
    """Make a call and wait for it without any timeout; the error that it ended with, and after how long."""
    started = time.perf_counter()
    error: BaseException | None = None
    try:
        outcome = WAITS[name](client_for(name, service), **arguments_of(name))
        if inspect.iscoroutine(outcome):
            outcome = asyncio.run(outcome)
        if isinstance(outcome, concurrent.futures.Future):
            outcome.result()
    except Exception as caught:
        error = caught
    return name, error, time.perf_counter() - started


@pytest.mark.filterwarnings("ignore:.*search_sessions.*")
def test_r01_every_public_wait_ends_by_the_deadline(silent: SilentServer) -> None:
    policy = RetryPolicy(deadline=DEADLINE)
    services = [
        ServiceClient(base_url=silent.base_url, api_key="tml-k", project_id="P", retry_policy=policy) for _ in WAITS
    ]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        running = [pool.submit(wait_of, name, service) for name, service in zip(WAITS, services, strict=True)]
        ended = [one.result(60) for one in running]
        closed = [pool.submit(_closing, service) for service in services]
        slowest = max(one.result(60) for one in closed)
    late = {name: seconds for name, _, seconds in ended if seconds > DEADLINE + SLACK}
    assert late == {}
    untyped = {name: error for name, error, _ in ended if error is not None and not isinstance(error, TinkerError)}
    assert untyped == {}
    answered_locally = {name for name, error, _ in ended if error is None}
    # A loss that the server knows no way to take is evaluated here.
    assert answered_locally - {"ServiceClient.create_custom_loss"} == {
        "SamplingClient.get_base_model_async",
        "ServiceClient.close",
        "TrainingClient.get_info_async",
    }
    assert slowest <= DEADLINE + SLACK


def _closing(service: ServiceClient) -> float:
    started = time.perf_counter()
    service.close().exception()
    return time.perf_counter() - started


@pytest.mark.filterwarnings("ignore:.*search_sessions.*")
def test_r01_every_timeout_holds(promising: SilentServer) -> None:
    """`result(timeout)`, `result_async(timeout)` and `asyncio.wait_for` on whatever is not answered at once."""
    policy = RetryPolicy(deadline=2.0)
    service = ServiceClient(base_url=promising.base_url, api_key="tml-k", project_id="P", retry_policy=policy)
    names = [name for name in WAITS if name not in BLOCKING and not name.endswith(("_async", ".close"))]

    def limited(name: str) -> tuple[str, float]:
        future = WAITS[name](client_for(name, service), **arguments_of(name))
        assert isinstance(future, APIFuture), name
        return name, max(_timed(lambda: future.result(PATIENCE)), asyncio.run(_timed_in_a_loop(future)))

    try:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            ended = dict(pool.map(limited, names, timeout=100))
    finally:
        service.close().exception(30)
    assert {name: seconds for name, seconds in ended.items() if seconds > PATIENCE + SLACK} == {}
    assert len(ended) > 40


def _timed(wait: Callable[[], Any]) -> float:
    started = time.perf_counter()
    try:
        wait()
    except TimeoutError:
        pass
    except TinkerError:
        # It failed without the server, as a question for what only a token tells.
        pass
    return time.perf_counter() - started


async def _timed_in_a_loop(future: APIFuture[Any]) -> float:
    slowest = 0.0
    for waiting in (future.result_async(PATIENCE), asyncio.wait_for(future, PATIENCE)):
        started = time.perf_counter()
        try:
            await waiting
        except (TimeoutError, TinkerError):
            slowest = max(slowest, time.perf_counter() - started)
    return slowest


class SilentPolls:
    """A transport in virtual time: takes a request, and lets every poll run into its timeout."""

    def __init__(self, clock: InstantClock) -> None:
        self._clock = clock

    async def send(self, request: Request) -> Response:
        name = request.url.rsplit("/", 1)[-1]
        answers = {**SESSION, **dict.fromkeys(SUBMISSIONS, PROMISE)}
        if name in answers:
            return Response(status=200, content=json.dumps(answers[name]).encode())
        if name != "retrieve_future":
            return Response(status=404, content=b"{}")
        await self._clock.sleep(request.timeout)
        raise TransportFault("timeout", f"no answer within {request.timeout} s")

    async def aclose(self) -> None:
        return None


@pytest.mark.parametrize("deadline", [1.0, 30.0, 60.0, 300.0])
def test_r01_a_result_that_never_comes_ends_by_the_deadline_of_silence(deadline: float) -> None:
    clock = InstantClock()
    transport = SilentPolls(clock)
    policy = RetryPolicy(deadline=deadline)
    service = ServiceClient(
        base_url="http://silent.test", api_key="tml-k", transport=transport, clock=clock, retry_policy=policy
    )
    step = client_for("TrainingClient.", service).optim_step(AdamParams())
    with pytest.raises(tinker_hl.APITimeoutError):
        step.result(30)
    assert max(deadline, POLL_TIMEOUT) - 15.0 <= clock.now() <= max(deadline, POLL_TIMEOUT) + SLACK
    service.close().result(30)


@pytest.mark.parametrize("answers", [None, SESSION], ids=["from the start", "after the session"])
def test_r01_the_interpreter_ends_soon_with_calls_under_way(answers: Mapping[str, Any] | None) -> None:
    server = SilentServer(answers)
    program = textwrap.dedent("""
        import sys, time
        from tinker_hl import *
        service = ServiceClient(base_url=sys.argv[1], api_key="tml-k")
        trainer = service.create_lora_training_client("base")
        futures = [trainer.optim_step(AdamParams()) for _ in range(10)]
        try:
            trainer.result(0.5)
        except TimeoutError:
            print(time.time(), flush=True)
    """)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, server.base_url], capture_output=True, text=True, timeout=60, check=False
        )
        ended = time.time()
    finally:
        server.close()
    assert done.returncode == 0, done.stderr
    assert ended - float(done.stdout) <= 3.0 + 2.0 + SLACK


def test_r01_the_documented_deadlines_are_the_codes() -> None:
    text = " ".join((Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8").split())
    assert f"`RetryPolicy(deadline=...)`, {RetryPolicy().deadline:.0f} seconds; " in text
    assert f"{RetryPolicy().connect_deadline:.0f} seconds where nobody has ever answered" in text
    assert f"the {POLL_TIMEOUT:.0f} seconds that one long poll may take" in text
    assert f"`RetryConfig(progress_timeout=...)`, {RetryConfig().progress_timeout:,.0f} seconds" in text
    assert f"| {FINISH_POLICY.deadline:.0f} seconds, or the policy's deadline" in text
    assert f"{session.EXIT_SECONDS:.0f} seconds for finishing sessions, {open_connections.EXIT_SECONDS:.0f} for" in text
