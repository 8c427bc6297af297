"""R15: a user error reaches the caller at once, within 50 ms of the response, whether reports are sent or not."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from client_bench import KEY, SocketService
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, ModelInput, SamplingParams, ServiceClient, loop
from tinker_hl.retry import InstantClock
from tinker_hl.telemetry import CLOSE_SECONDS, FLUSH_SECONDS
from tinker_hl.transport import AsgiTransport, NetworkTransport, Request, Response

LIMIT = 0.050
TRIES = 12
STATUSES = {400: "BadRequestError", 401: "AuthenticationError", 402: "BillingError", 403: "PermissionDeniedError"}
STATUSES |= {404: "NotFoundError", 409: "ConflictError", 422: "UnprocessableEntityError"}


class SilentReports(ScriptedServer):
    """Takes reports and never answers them."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/telemetry"):
            self.seen.append(Seen("POST", scope["path"], {}, b""))
            await asyncio.Event().wait()
        await super().__call__(scope, receive, send)


class Stamped(AsgiTransport):
    """Notes when the last answer but those of reports arrived."""

    answered = 0.0

    async def send(self, request: Request) -> Response:
        response = await super().send(request)
        if not request.url.endswith("/telemetry"):
            self.answered = time.monotonic()
        return response


class StampedSocket(NetworkTransport):
    """The same on a socket."""

    answered = 0.0

    async def send(self, request: Request) -> Response:
        response = await super().send(request)
        self.answered = time.monotonic()
        return response


@pytest.fixture(params=["no reports", "reports that nobody answers"])
def reports(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    wanted = request.param != "no reports"
    monkeypatch.setenv("TINKER_TELEMETRY", "1" if wanted else "0")
    return wanted


def delay_of(call: Callable[[], Any], transport: Any, kind: type[BaseException]) -> float:
    """Seconds from the answer to the caller's error. The least of some tries: a busy machine says nothing about us."""
    delays = []
    for _ in range(TRIES):
        future = call()
        told: list[float] = []
        future.add_done_callback(lambda _, told=told: told.append(time.monotonic()))
        with pytest.raises(kind):
            future.result(10)
        delays.append(told[0] - transport.answered)
    return min(delays)


@pytest.mark.parametrize("path", ["optim_step", "asample", "retrieve_future", "training_runs"])
def test_r15_a_refusal_reaches_the_caller_at_once_and_without_a_wait(reports: bool, path: str) -> None:
    server, clock = SilentReports(), InstantClock()
    transport = Stamped(server, lifespan=False)
    service = ServiceClient(base_url="http://r15.test", api_key="tml-x", transport=transport, clock=clock)
    assert (service.get_telemetry() is not None) is reports
    training = service.create_lora_training_client("base").result(10)
    sampling = service.create_sampling_client(base_model="base").result(10)
    calls: dict[str, Callable[[], Any]] = {
        "asample": lambda: sampling.sample(ModelInput.from_ints([1]), 1, SamplingParams()),
        "training_runs": lambda: service.create_rest_client().list_training_runs(),
    }
    call = calls.get(path, lambda: training.optim_step(AdamParams()))
    for status, name in STATUSES.items():
        # A poll is asked again thrice after a 400, which proxies send for no reason.
        repeats = 4 if (path, status) == ("retrieve_future", 400) else 1
        server.faults[path] = [Reply(status, {"detail": "your mistake"})] * (repeats * TRIES)
        before = len(clock.slept)
        with tinker_hl.call_options(retry_policy=tinker_hl.RetryPolicy(pause_for_billing=False)):
            delay = delay_of(call, transport, getattr(tinker_hl, name))
        assert delay <= LIMIT, name
        # Nothing was waited for in between, on a clock on which waits are free and all noted.
        waits = [seconds for seconds in clock.slept[before:] if seconds not in (CLOSE_SECONDS, FLUSH_SECONDS)]
        assert len(waits) == (repeats - 1) * TRIES, name
        assert server.faults[path] == [], name
    service.close().result(10)


def test_r15_a_request_that_failed_by_the_users_fault_is_told_at_once(reports: bool) -> None:
    server = SilentReports()
    transport = Stamped(server, lifespan=False)
    service = ServiceClient(base_url="http://r15.test", api_key="tml-x", transport=transport, clock=InstantClock())
    training = service.create_lora_training_client("base").result(10)
    server.faults["retrieve_future"] = [Reply(body={"error": "your mistake", "category": "user"})] * TRIES
    delay = delay_of(lambda: training.optim_step(AdamParams()), transport, tinker_hl.RequestFailedError)
    assert delay <= LIMIT
    service.close().result(10)


@pytest.mark.timeout(60)
def test_r15_against_the_real_service_on_a_socket(reports: bool, socket_service: SocketService) -> None:
    transport = StampedSocket()
    service = ServiceClient(base_url=socket_service.base_url, api_key=KEY, transport=transport)
    rest = service.create_rest_client()
    delay = delay_of(lambda: rest.get_training_run("no-such-run"), transport, tinker_hl.APIStatusError)
    assert delay <= LIMIT
    service.close().result(10)
    loop.run(transport.aclose()).result(10)


def test_r15_what_is_wrong_at_the_call_is_raised_by_the_call(reports: bool) -> None:
    server = SilentReports()
    service = ServiceClient(base_url="http://r15.test", api_key="tml-x", transport=server.transport())
    training = service.create_lora_training_client("base").result(10)
    before = len(server.seen)
    with pytest.raises(ValueError, match="datum"):
        training.forward_backward([], "cross_entropy")
    assert len(server.seen) == before
    service.close().result(10)
