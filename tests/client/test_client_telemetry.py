"""Reports: to the hosted service or where asked for, never waited for, bounded, without what is the user's own."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_bench import MODEL, MakeClient, SocketService
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient, loop
from tinker_hl.clients.rest import RestClient
from tinker_hl.connection import Connection
from tinker_hl.errors import ResponseInfo, status_error
from tinker_hl.retry import InstantClock, LoopClock
from tinker_hl.telemetry import BATCH, FLUSH_SECONDS, QUEUE, Telemetry, is_user_error
from tinker_hl.transport import Request, Response

KEY = "tml-recognisable-key"
DATUM = Datum(ModelInput.from_ints([11, 12]), {"target_tokens": [12, 13]})


class ReportedServer(ScriptedServer):
    """A scripted server that takes telemetry."""

    def on_telemetry(self, request: Seen) -> Any:
        return {"status": "accepted"}

    def bodies(self) -> list[dict[str, Any]]:
        return [request.json for request in self.paths("/telemetry")]

    def events(self) -> list[dict[str, Any]]:
        return [event for body in self.bodies() for event in body["events"]]

    def names(self) -> list[str]:
        return [event.get("event_name", event["event"]) for event in self.events()]


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_TELEMETRY", "1")


@pytest.fixture
def server() -> ReportedServer:
    return ReportedServer(config={})


def rest(server: ScriptedServer, **options: Any) -> RestClient:
    options = {"clock": InstantClock()} | options
    return RestClient(Connection("http://scripted.test", KEY, transport=server.transport(), **options))


def reports(client: Any) -> Telemetry:
    telemetry = client.get_telemetry()
    assert isinstance(telemetry, Telemetry)
    return telemetry


def wait_for(condition: Callable[[], bool]) -> None:
    """Until the loop thread has done what it does in the background."""
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        loop.run(asyncio.sleep(0)).result(10)


# Off and on.


HOSTED = "https://tinker.thinkingmachines.dev/services/tinker-prod"
OTHER = "http://scripted.test"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TINKER_TELEMETRY", "TINKER_TELEMETRY_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("value", [None, "", "0", "false", "no", "2"])
def test_fault_27_nothing_is_reported_to_a_server_of_ones_own_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, server: ReportedServer, value: str | None
) -> None:
    """The official client reports to whatever server it talks to."""
    if value is not None:
        monkeypatch.setenv("TINKER_TELEMETRY", value)
    server.faults["get_info"] = [Reply(400, {"detail": "no"})]
    with server.client() as service:
        assert service.get_telemetry() is None
        assert service.create_rest_client().get_telemetry() is None
        with pytest.raises(tinker_hl.BadRequestError):
            service.create_lora_training_client("base").result(10)
    assert server.bodies() == []


@pytest.mark.parametrize(
    ("base_url", "argument", "variable", "on"),
    [
        (HOSTED, None, None, True),
        (HOSTED, None, "", True),
        (HOSTED, None, "0", False),
        (HOSTED, None, "off", False),
        (HOSTED, False, None, False),
        (HOSTED, False, "1", False),
        (HOSTED, True, "0", False),
        (HOSTED.replace("tinker.", "tinker.evil."), None, None, False),
        ("local", None, None, False),
        (OTHER, None, None, False),
        (OTHER, None, "1", True),
        (OTHER, True, None, True),
        (OTHER, True, "0", False),
    ],
)
def test_fault_27_the_hosted_service_is_told_by_default_and_each_no_is_obeyed(
    monkeypatch: pytest.MonkeyPatch, base_url: str, argument: bool | None, variable: str | None, on: bool
) -> None:
    if variable is not None:
        monkeypatch.setenv("TINKER_TELEMETRY", variable)
    service = ServiceClient(base_url=base_url, api_key=KEY, telemetry=argument)
    assert (service.get_telemetry() is not None) is on


def test_fault_27_by_default_the_hosted_service_is_told_no_message_and_no_trace(server: ReportedServer) -> None:
    """The official client sends the messages and stack traces of all errors. Ours says in the log that it reports."""
    client = RestClient(Connection(HOSTED, KEY, transport=server.transport(), clock=InstantClock()))
    for status in (404, 501):
        server.faults["get_server_capabilities"] = [Reply(status, {"detail": "private words"})]
        with pytest.raises(tinker_hl.APIStatusError):
            client.get_server_capabilities().result(10)
    wait_for(lambda: len(server.events()) == 2)
    assert "private words" not in str(server.bodies())
    assert not any("traceback" in event for event in server.events())


def test_fault_27_the_log_says_that_reports_are_sent_and_how_to_end_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "tinker_hl"):
        ServiceClient(base_url=HOSTED, api_key=KEY)
    assert "reports of errors go to https://tinker.thinkingmachines.dev" in caplog.text
    assert "TINKER_TELEMETRY=0" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", "tinker_hl"):
        ServiceClient(base_url=OTHER, api_key=KEY)
        ServiceClient(base_url=HOSTED, api_key=KEY, telemetry=True)
    assert "reports" not in caplog.text


def test_fault_27_what_would_be_sent_can_be_looked_at(wanted: None, server: ReportedServer) -> None:
    client = rest(server, clock=LoopClock())
    client.get_server_capabilities().result(10)
    telemetry = reports(client)
    assert telemetry.preview() == []
    for number in range(BATCH + 1):
        telemetry.log("mine", {"number": number, "own": KEY})
    shown = telemetry.preview()
    assert [len(body["events"]) for body in shown] == [BATCH, 1]
    assert server.bodies() == []
    loop.run(telemetry.aclose()).result(10)
    assert server.bodies() == shown
    assert shown[0]["events"][0]["event_data"] == {"number": 0, "own": "***"}


def test_fault_27_reports_go_into_a_file_instead(
    monkeypatch: pytest.MonkeyPatch, server: ReportedServer, tmp_path: Path
) -> None:
    path = tmp_path / "reports.jsonl"
    monkeypatch.setenv("TINKER_TELEMETRY_FILE", str(path))
    with server.client(api_key=KEY) as service:
        service.create_lora_training_client("base").result(10)
        reports(service).log("mine", {"own": KEY})
    assert server.bodies() == []
    lines = path.read_text().splitlines()
    names = [event.get("event_name", event["event"]) for line in lines for event in json.loads(line)["events"]]
    assert names == ["SESSION_START", "mine", "SESSION_END"]
    assert KEY not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("TINKER_TELEMETRY", "0")
    assert server.client().get_telemetry() is None


def test_a_file_that_cannot_be_written_disturbs_nobody(
    monkeypatch: pytest.MonkeyPatch, server: ReportedServer, tmp_path: Path
) -> None:
    monkeypatch.setenv("TINKER_TELEMETRY_FILE", str(tmp_path))
    with server.client() as service:
        service.create_lora_training_client("base").result(10)
    assert reports(service).dropped == 2


@pytest.mark.parametrize("value", ["1", "true", "YES", "On"])
def test_all_clients_of_a_connection_report_together(
    monkeypatch: pytest.MonkeyPatch, server: ReportedServer, value: str
) -> None:
    monkeypatch.setenv("TINKER_TELEMETRY", value)
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        sampling = service.create_sampling_client(base_model="base").result(10)
        found = [client.get_telemetry() for client in (service, training, sampling, service.create_rest_client())]
        assert isinstance(found[0], Telemetry)
        assert all(telemetry is found[0] for telemetry in found)


# What is sent.


def test_a_session_is_reported_from_its_start_to_its_end(wanted: None, server: ReportedServer) -> None:
    with server.client() as service:
        service.create_lora_training_client("base").result(10)
    assert server.names() == ["SESSION_START", "SESSION_END"]
    start, end = server.events()
    assert end["duration"].startswith("0:00:")
    assert [start["event_session_index"], end["event_session_index"]] == [0, 1]
    assert start["event_id"] != end["event_id"]
    for body in server.bodies():
        assert body["session_id"] == "S"
        assert body["platform"]
        assert body["sdk_version"]
        assert body["process_uuid"] == server.bodies()[0]["process_uuid"]
    assert server.seen[-1].path.endswith("/telemetry")
    assert not any("x-sdk-method" in request.headers for request in server.paths("/telemetry"))


def test_the_real_service_takes_every_kind_of_event(wanted: None, make_client: MakeClient) -> None:
    with make_client() as service:
        telemetry = reports(service)
        service.create_lora_training_client(MODEL).result(60)
        assert telemetry.log("epoch", {"number": 3, "names": ["a"]}, "DEBUG")
        telemetry.log_exception_sync(KeyError("x"))
        with pytest.raises(tinker_hl.NotFoundError):
            service.create_rest_client().get_training_run("no-such-run").result(60)
    assert telemetry.dropped == 0


def test_a_user_error_and_another_are_told_apart(wanted: None, server: ReportedServer) -> None:
    client = rest(server)
    for status in (404, 501):
        server.faults["get_server_capabilities"] = [Reply(status, {"detail": "private words"})]
        with pytest.raises(tinker_hl.APIStatusError):
            client.get_server_capabilities().result(10)
    wait_for(lambda: len(server.events()) == 2)
    user_error, unhandled = server.events()
    call = "RestClient.get_server_capabilities"
    assert user_error["event_name"] == "user_error"
    assert user_error["event_data"] == {
        "call": call,
        "request_id": None,
        "error_type": "NotFoundError",
        "status_code": 404,
    }
    assert unhandled["event"] == "UNHANDLED_EXCEPTION"
    assert unhandled["error_message"] == f"InternalServerError 501 in {call}"
    assert "private words" not in str(server.bodies())


def test_results_that_failed_and_retries_are_reported(wanted: None, server: ReportedServer) -> None:
    server.results["ForwardBackward"] = {"error": "token 4711 is private", "category": "user"}
    server.faults["optim_step"] = [Reply(503)]
    with server.client() as service:
        training = service.create_lora_training_client("base")
        with pytest.raises(tinker_hl.RequestFailedError):
            training.forward_backward([DATUM], "cross_entropy").result(10)
        training.optim_step(AdamParams()).result(10)
    found = {event["event_name"]: event["event_data"] for event in server.events() if "event_name" in event}
    assert found["user_error"]["category"] == "user"
    assert found["user_error"]["call"] == "TrainingClient.forward_backward"
    assert found["user_error"]["request_id"]
    assert found["retried"]["attempt"] == 1
    assert found["retried"]["call"] == "TrainingClient.optim_step"
    assert "4711" not in str(server.bodies())


def test_a_sample_that_is_pushed_back_is_reported_when_it_is_given_up(wanted: None, server: ReportedServer) -> None:
    with server.client() as service:
        for patience, reported in ((False, 1), (True, 1)):
            config = tinker_hl.RetryConfig(enable_retry_logic=patience)
            sampler = service.create_sampling_client(base_model="base", retry_config=config)
            server.faults["asample"] = [Reply(429)]
            future = sampler.sample(ModelInput.from_ints([1, 2]), 1, SamplingParams(max_tokens=1))
            assert isinstance(future.exception(10), tinker_hl.RateLimitError) is not patience
            wait_for(lambda reported=reported: server.names().count("user_error") == reported)


def test_an_exception_of_the_users_is_sent_without_message_and_paths(wanted: None, server: ReportedServer) -> None:
    client = rest(server)
    client.get_server_capabilities().result(10)
    telemetry = reports(client)

    def prepare(secret: str) -> None:
        raise ValueError(f"the data was {secret}")

    with pytest.raises(ValueError, match="data-4711"), telemetry.capture_exceptions(fatal=True, severity="CRITICAL"):
        prepare("data-4711")

    async def also() -> None:
        async with telemetry.acapture_exceptions():
            prepare("data-4711")

    with pytest.raises(ValueError, match="data-4711"):
        asyncio.run(also())
    assert asyncio.run(telemetry.log_fatal_exception(OSError("data-4711")))
    wait_for(lambda: len(server.events()) == 3)
    first = server.events()[0]
    assert (first["error_type"], first["severity"]) == ("ValueError", "CRITICAL")
    assert first["traceback"].splitlines()[-1].startswith(f"{__name__}.test_an_exception")
    assert ".prepare:" in first["traceback"]
    assert "/" not in first["traceback"]
    assert "data-4711" not in str(server.bodies())
    assert "SESSION_END" not in server.names()


def test_what_a_user_logs_is_sent_but_for_keys_and_tokens(wanted: None, server: ReportedServer) -> None:
    client = rest(server)
    client.get_server_capabilities().result(10)
    telemetry = reports(client)
    token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"
    assert telemetry.log("mine", {"own": KEY, "other": f"{token} tml-somebody-elses", "number": 5})
    assert not telemetry.log("large", {"text": "x" * 20_000})
    assert not telemetry.log("strange", {"object": object()})
    wait_for(lambda: bool(server.events()))
    assert server.events()[0]["event_data"] == {"own": "***", "other": "*** ***", "number": 5}


def test_fault_25_no_report_holds_a_header_or_a_key(wanted: None, server: ReportedServer) -> None:
    """The official client sends all request headers when a result is asked for and refused."""
    with server.client(api_key=KEY, default_headers_overrides={"X-Other": "private-value"}) as service:
        training = service.create_lora_training_client("base").result(10)
        for status in (400, 401, 403, 404):
            server.faults["retrieve_future"] = [Reply(status, {"detail": f"no {KEY}"})] * 5
            error = training.forward([DATUM], "cross_entropy").exception(10)
            assert isinstance(error, tinker_hl.TinkerError)
            assert KEY not in f"{error} {error!r} {vars(error)}"
    assert server.names().count("user_error") == 4
    sent = b"".join(request.body for request in server.paths("/telemetry"))
    assert KEY.encode() not in sent
    assert b"private-value" not in sent
    assert b"eaders" not in sent


# When it is sent.


def test_fault_14_an_error_waits_for_no_report(
    wanted: None, server: ReportedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The official client holds an error back until the report is delivered, up to 30 s."""
    monkeypatch.setattr("tinker_hl.telemetry.FLUSH_SECONDS", 0.0)
    hanging = threading.Event()

    async def never(request: Seen) -> Reply:
        hanging.set()
        await asyncio.get_running_loop().create_future()
        return Reply()

    server.faults["telemetry"] = [never] * 100
    client = rest(server, clock=LoopClock())
    reports(client).log("first")
    client.get_server_capabilities().result(10)
    reports(client).log("second")
    assert hanging.wait(10), "a report is under way, and will not be answered"
    times = []
    for _ in range(5):
        server.faults["get_server_capabilities"] = [Reply(400, {"detail": "no"})]
        started = time.perf_counter()
        with pytest.raises(tinker_hl.BadRequestError):
            client.get_server_capabilities().result(10)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05, times


def test_the_end_waits_for_the_last_report_for_a_moment_only(
    wanted: None, server: ReportedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinker_hl.telemetry.CLOSE_SECONDS", 0.1)
    monkeypatch.setattr("tinker_hl.connection.TELEMETRY_TIMEOUT", 60.0)

    async def never(request: Seen) -> Reply:
        await asyncio.get_running_loop().create_future()
        return Reply()

    server.faults["telemetry"] = [never] * 100
    service = server.client(clock=LoopClock())
    service.create_lora_training_client("base").result(10)
    service.close().result(10)
    assert reports(service).dropped > 0
    assert not reports(service).log("too late")


def test_the_numbers_are_those_of_the_official_reporter() -> None:
    """S2-06, T-134: the tests below count in these."""
    assert (BATCH, QUEUE, FLUSH_SECONDS) == (100, 10_000, 10.0)


def test_a_report_is_given_up_after_five_seconds(server: ReportedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """S2-06, T-134: what a report waits for its answer, while other calls have their minute."""
    waits: dict[str, float] = {}
    transport = server.transport()
    send = transport.send

    async def noted(request: Request) -> Response:
        waits[request.url.rsplit("/", 1)[-1]] = request.timeout
        return await send(request)

    monkeypatch.setattr(transport, "send", noted)
    with ServiceClient(
        base_url="http://scripted.test", api_key="tml-x", transport=transport, telemetry=True
    ) as service:
        service.create_lora_training_client("base").result(10)
    assert (waits["telemetry"], waits["create_model"]) == (5.0, 60.0)


def test_events_are_sent_together_after_ten_seconds(wanted: None, server: ReportedServer) -> None:
    gate = threading.Event()

    class Gate(InstantClock):
        async def sleep(self, seconds: float) -> None:
            if seconds == FLUSH_SECONDS:
                await asyncio.to_thread(gate.wait, 20)
            await super().sleep(seconds)

    clock = Gate()
    client = rest(server, clock=clock)
    client.get_server_capabilities().result(10)
    for number in range(2 * BATCH + 50):
        reports(client).log("event", {"number": number})
    assert server.bodies() == []
    gate.set()
    wait_for(lambda: len(server.events()) == 2 * BATCH + 50)
    assert [len(body["events"]) for body in server.bodies()] == [BATCH, BATCH, 50]
    assert [event["event_data"]["number"] for event in server.events()] == list(range(2 * BATCH + 50))
    assert clock.slept.count(10.0) == 1


def test_the_queue_is_bounded_and_what_is_dropped_is_counted(
    wanted: None, server: ReportedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = server.client(clock=LoopClock())
    told: list[tinker_hl.Event] = []
    service.subscribe(told.append)
    telemetry = reports(service)
    taken = [telemetry.log("event") for _ in range(QUEUE + 5)]
    assert taken == [True] * QUEUE + [False] * 5
    assert telemetry.dropped == 5
    assert [event.fields["level"] for event in told] == [30, 10, 10, 10, 10], "one warning"
    telemetry.stop()
    assert telemetry.dropped == QUEUE + 5
    service.close().result(10)


@pytest.mark.parametrize("fault", [Reply(503), Reply(429), None])
def test_a_batch_that_is_not_taken_is_dropped_and_the_next_one_sent(
    wanted: None, server: ReportedServer, fault: Reply | None
) -> None:
    client = rest(server)
    client.get_server_capabilities().result(10)
    telemetry = reports(client)
    server.faults["telemetry"] = [fault]
    telemetry.log("first")
    wait_for(lambda: telemetry.dropped == 1)
    telemetry.log("second")
    wait_for(lambda: len(server.bodies()) == 2)
    assert server.names() == ["first", "second"]
    assert telemetry.dropped == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_fault_22_a_service_that_refuses_reports_gets_one(wanted: None, status: int) -> None:
    """Without a session, earlier official clients were refused, and tried for ever."""
    server = ReportedServer(config={})
    server.faults["telemetry"] = [Reply(status, {"detail": "no such session"})] * 100
    client = rest(server)
    client.get_server_capabilities().result(10)
    telemetry = reports(client)
    assert telemetry.session_id.startswith("sessionless-")
    for _ in range(10):
        telemetry.log("event")
        client.get_server_capabilities().result(10)
    wait_for(lambda: telemetry.dropped > 0)
    assert not telemetry.log("later")
    client.get_server_capabilities().result(10)
    assert len(server.bodies()) == 1
    assert server.bodies()[0]["session_id"] == telemetry.session_id


def test_nothing_is_sent_while_the_server_cannot_be_reached(wanted: None, server: ReportedServer) -> None:
    server.faults["config"] = [Reply(403, {"detail": "not you"})]
    client = rest(server)
    with pytest.raises(tinker_hl.PermissionDeniedError):
        client.get_server_capabilities().result(10)
    wait_for(lambda: reports(client).dropped == 1)
    assert server.bodies() == []


# The end of a session.


def test_fault_21_a_session_ends_when_it_ends_and_not_at_an_error(wanted: None, server: ReportedServer) -> None:
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        for _ in range(3):
            server.faults["optim_step"] = [Reply(400, {"detail": "no"})]
            assert isinstance(training.optim_step(AdamParams()).exception(10), tinker_hl.BadRequestError)
        training.optim_step(AdamParams()).result(10)
        assert "SESSION_END" not in server.names()
    assert server.names().count("user_error") == 3
    assert server.names().count("SESSION_END") == 1
    assert server.names()[-1] == "SESSION_END"


def test_fault_21_a_session_that_is_dropped_has_ended(wanted: None, server: ReportedServer) -> None:
    service = server.client()
    service.create_lora_training_client("base").result(10)
    del service
    gc.collect()
    wait_for(lambda: "SESSION_END" in server.names())


EXIT = """
import tinker_hl
service = tinker_hl.ServiceClient()
service.create_lora_training_client("base").result(60)
print("made", flush=True)
"""


@pytest.mark.parametrize("ending", ["", "raise SystemExit(3)", "raise ValueError('x')"])
def test_fault_21_the_end_of_the_program_is_the_end_of_the_session(ending: str) -> None:
    server = ReportedServer(config={})
    over_socket = SocketService(with_lifespan(server))
    try:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TINKER_")}
        environment |= {"TINKER_BASE_URL": over_socket.base_url, "TINKER_TELEMETRY": "1"}
        ended = subprocess.run(
            [sys.executable, "-c", EXIT + ending], env=environment, capture_output=True, text=True, timeout=60
        )
        assert ended.stdout == "made\n", ended.stderr
    finally:
        over_socket.close()
    assert server.names() == ["SESSION_START", "SESSION_END"]


def with_lifespan(server: ScriptedServer) -> Callable[..., Any]:
    """The scripted server as an app that a real one can serve."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await server(scope, receive, send)
            return
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})

    return app


# Other processes, and whose fault an error is.


def test_a_fork_reports_for_itself(wanted: None, server: ReportedServer) -> None:
    early = rest(server)
    early.get_server_capabilities().result(10)
    reports(early).log("before")
    wait_for(lambda: server.names() == ["before"])
    client = rest(server, clock=LoopClock())
    client.get_server_capabilities().result(10)
    telemetry = reports(client)
    telemetry.log("of the parent")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            telemetry.log("of the child")
            loop.run(telemetry.aclose()).result(10)
            os.write(write, repr((server.names(), server.bodies()[-1]["process_uuid"])).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        names, uuid = eval(answer.read())
    os.waitpid(child, 0)
    loop.run(telemetry.aclose()).result(10)
    assert names == ["before", "of the child"]
    assert server.names() == ["before", "of the parent"]
    assert {body["process_uuid"] for body in server.bodies()} == {server.bodies()[0]["process_uuid"]}
    assert server.bodies()[0]["process_uuid"] != uuid


def test_a_copy_of_a_sampling_client_reports_for_its_session(
    wanted: None, socket_service: SocketService, monkeypatch: pytest.MonkeyPatch
) -> None:
    from client_bench import KEY as SERVICE_KEY

    with ServiceClient(base_url=socket_service.base_url, api_key=SERVICE_KEY) as service:
        handle = service.create_sampling_client(base_model=MODEL).result(60).get_sampler_handle()
        copy = tinker_hl.SamplingClient.from_sampler_handle(handle, api_key=SERVICE_KEY)
        copy.sample(ModelInput.from_ints([1, 2]), 1, SamplingParams(max_tokens=1)).result(60)
        assert reports(copy).session_id == reports(service).session_id
        assert reports(copy) is not reports(service)
        loop.run(copy._sampler.session.aclose()).result(10)


def test_an_error_behind_an_error_counts() -> None:
    def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
        error.__cause__ = cause
        return error

    refused = status_error(ResponseInfo(404))
    timeout = status_error(ResponseInfo(408))
    failed = tinker_hl.RequestFailedError("x", "r1", "user")
    assert is_user_error(refused)
    assert is_user_error(failed)
    assert is_user_error(raised(ValueError(), refused))
    assert not is_user_error(timeout)
    assert not is_user_error(status_error(ResponseInfo(500)))
    assert not is_user_error(tinker_hl.RequestFailedError("x", "r1", "server"))
    ring = ValueError()
    ring.__cause__ = KeyError()
    ring.__cause__.__context__ = ring
    assert not is_user_error(ring)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_data_of_the_users_is_an_error(data: Any) -> None:
    telemetry = rest_telemetry()
    assert telemetry.log("event", {"value": data}) in (True, False)
    telemetry.stop()


def rest_telemetry() -> Telemetry:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_TELEMETRY", "1")
        return reports(rest(ReportedServer()))
