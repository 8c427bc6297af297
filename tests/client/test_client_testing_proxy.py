"""The fault proxy: cuts that really cut, between any client and any server; and its command line."""

import http.client
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import orjson
import pytest
import zstandard
from client_bench import KEY, MODEL, SocketService
from scripted_server import Reply, ScriptedServer, Seen

from tinker_hl import AdamParams, Datum, ModelInput, ServiceClient
from tinker_hl.testing import Fault, FaultPlan, FaultProxy, InjectedKind, RecordedCall, no_waiting


async def whole(receive: Any) -> Any:
    """A request's body as one message, however it arrived."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return {"type": "http.request", "body": body, "more_body": False}


class Scripted(ScriptedServer):
    """A scripted server with answers that a proxy could spoil, and with a lifespan, as it is served."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            message = await whole(receive)

            async def received() -> Any:
                return message

            return await super().__call__(scope, received, send)
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return None

    def on_optim_step(self, request: Seen) -> Any:
        return {"request_id": "r" * 1000}

    def on_link(self, request: Seen) -> Any:
        return Reply(302, None, {"location": "/elsewhere"})

    def on_packed(self, request: Seen) -> Any:
        packed = zstandard.ZstdCompressor().compress(b'{"a": 1}')
        return Reply(raw=packed, headers={"content-encoding": "zstd"})


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[Scripted, str]]:
    server = Scripted()
    running = SocketService(server)
    yield server, running.base_url
    running.close()


@attrs.frozen
class Raw:
    """An answer as somebody sees it who knows nothing of us."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def raw(url: str, path: str = "optim_step", body: bytes = b"{}", **headers: str) -> Raw:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        own = {"X-API-Key": KEY, "Content-Type": "application/json", **headers}
        connection.request("POST", f"/api/v1/{path}", body, own)
        answer = connection.getresponse()
        return Raw(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def through(scripted: tuple[Scripted, str], fault: InjectedKind | Fault) -> tuple[FaultProxy, Any, int]:
    """What a request through the proxy comes to, and how often the server saw it."""
    server, url = scripted
    before = len(server.paths("optim_step"))
    with FaultProxy(url, FaultPlan.at(("optim_step", 1), fault)) as proxy:
        try:
            outcome: Any = raw(proxy.base_url)
        except (http.client.HTTPException, ConnectionError) as error:
            outcome = error
    return proxy, outcome, len(server.paths("optim_step")) - before


@pytest.mark.parametrize(
    ("kind", "seen", "status"),
    [
        ("402", 0, 402),
        ("410", 0, 410),
        ("429", 0, 429),
        ("429_retry_after", 0, 429),
        ("500", 0, 500),
        ("503", 0, 503),
        ("503_after_commit", 1, 503),
        ("delay", 1, 200),
        ("duplicate", 2, 200),
        ("slow_body", 1, 200),
    ],
)
def test_faults_that_answer(scripted: tuple[Scripted, str], kind: InjectedKind, seen: int, status: int) -> None:
    proxy, answer, deliveries = through(scripted, kind)
    assert (answer.status, deliveries) == (status, seen)
    assert (proxy.calls[0].status, proxy.calls[0].delivered, proxy.calls[0].error) == (status, seen, None)
    if status == 200:
        assert orjson.loads(answer.content) == {"request_id": "r" * 1000}
    else:
        assert "injected" in orjson.loads(answer.content)["detail"]
        assert ("retry-after" in answer.headers) == (kind == "429_retry_after")


@pytest.mark.parametrize(("kind", "seen"), [("cut_before_send", 0), ("cut_after_commit", 1)])
def test_a_cut_leaves_no_answer(scripted: tuple[Scripted, str], kind: InjectedKind, seen: int) -> None:
    proxy, outcome, deliveries = through(scripted, kind)
    assert isinstance(outcome, ConnectionError)
    assert deliveries == seen
    assert (proxy.calls[0].status, proxy.calls[0].error) == (None, "lost")


def test_a_cut_during_the_response_leaves_half_of_it(scripted: tuple[Scripted, str]) -> None:
    proxy, outcome, deliveries = through(scripted, "cut_during_response")
    assert isinstance(outcome, http.client.IncompleteRead)
    whole = orjson.dumps({"request_id": "r" * 1000})
    assert outcome.partial == whole[: len(whole) // 2]
    assert deliveries == 1
    assert proxy.calls[0].error == "lost"


@pytest.mark.parametrize("kind", ["delay", "slow_body"])
def test_late_is_really_late(scripted: tuple[Scripted, str], kind: InjectedKind) -> None:
    started = time.monotonic()
    through(scripted, Fault(kind, seconds=0.3))
    assert time.monotonic() - started >= 0.3


def test_what_is_no_fault_passes_as_it_is(scripted: tuple[Scripted, str]) -> None:
    server, url = scripted
    told: list[RecordedCall] = []
    large = orjson.dumps({"pad": "x" * 3_000_000})  # more than the default limit of a server
    with FaultProxy(url, told=told.append) as proxy:
        redirect = raw(proxy.base_url, "link")
        assert (redirect.status, redirect.headers["location"]) == (302, "/elsewhere")
        packed = raw(proxy.base_url, "packed")
        assert packed.headers["content-encoding"] == "zstd"
        assert zstandard.ZstdDecompressor().decompress(packed.content) == b'{"a": 1}'
        zipped = zstandard.ZstdCompressor().compress(b"{}")
        assert raw(proxy.base_url, "create_session", zipped, **{"Content-Encoding": "zstd"}).status == 200
        assert server.seen[-1].body == zipped
        assert raw(proxy.base_url, "create_session?a=%2F&b=", large).status == 200
        assert server.seen[-1].body == large
        assert server.seen[-1].headers["x-api-key"] == KEY
        assert raw(proxy.base_url, "nowhere").status == 404
    assert [call.endpoint for call in told] == ["link", "packed", "create_session", "create_session", "nowhere"]
    assert told == proxy.calls
    assert proxy.faults == []
    assert KEY not in repr(proxy.calls)


def test_our_client_trains_through_it(socket_service: SocketService) -> None:
    datum = Datum(ModelInput.from_ints([1, 2, 3]), {"target_tokens": [2, 3, 4], "weights": [1.0] * 3})
    plan = FaultPlan.random(5, rate=0.3, seconds=0.01)
    with (
        no_waiting(),
        FaultProxy(socket_service.base_url, plan) as proxy,
        ServiceClient(base_url=proxy.base_url, api_key=KEY) as service,
    ):
        training = service.create_lora_training_client(MODEL, rank=2).result(30)
        waiting: list[Any] = []
        for _ in range(10):
            waiting += [training.forward_backward([datum], "cross_entropy")]
            waiting += [training.optim_step(AdamParams(learning_rate=1e-4))]
        assert len([future.result(60) for future in waiting]) == 20
    assert len(proxy.faults) >= 10


def test_an_upstream_that_is_not_there_is_a_cut(scripted: tuple[Scripted, str]) -> None:
    with FaultProxy("http://127.0.0.1:9") as proxy, pytest.raises(ConnectionError):
        raw(proxy.base_url)


def test_closing_it_cuts_what_is_under_way(scripted: tuple[Scripted, str]) -> None:
    _, url = scripted
    outcome: list[BaseException] = []
    proxy = FaultProxy(url, FaultPlan.at(("optim_step", 1), Fault("slow_body", seconds=600.0))).start()

    def ask() -> None:
        try:
            raw(proxy.base_url)
        except (http.client.HTTPException, ConnectionError) as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: bool(proxy.calls) and proxy.calls[0].status == 200)
    proxy.close()
    thread.join(20)
    assert outcome
    proxy.close()


@pytest.mark.parametrize("kind", ["refused", "unresolved"])
def test_what_a_proxy_cannot_show_is_refused(kind: InjectedKind) -> None:
    with pytest.raises(ValueError, match=f"cannot inject {kind}"):
        FaultProxy("http://127.0.0.1:1", FaultPlan.random(1, kinds=[kind]))


def test_a_port_that_is_taken_and_an_address_that_is_none_are_told(scripted: tuple[Scripted, str]) -> None:
    port = int(scripted[1].rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        FaultProxy(scripted[1], port=port).start()
    with pytest.raises(ValueError, match="'local' is no address"):
        FaultProxy("local")


def test_the_command_prints_its_address_then_faults_and_ends_on_ctrl_c(scripted: tuple[Scripted, str]) -> None:
    command = [sys.executable, "-W", "error", "-m", "tinker_hl.testing.proxy", "--upstream", scripted[1]]
    options = ["--seed", "7", "--rate", "1", "--kinds", "503,cut_before_send", "--at", "optim_*", "--limit", "1"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        request = urllib.request.Request(f"{address}/api/v1/optim_step", b"{}")
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(request, timeout=20)
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    fault, total = rest.splitlines()
    assert fault in ("optim_step 1: 503", "optim_step 1: cut_before_send")
    assert total == "1 faults in 2 requests"


def test_the_command_refuses_kinds_that_there_are_not() -> None:
    command = [sys.executable, "-m", "tinker_hl.testing.proxy", "--upstream", "http://127.0.0.1:1"]
    ended = subprocess.run([*command, "--kinds", "500,refused,nonsense"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "nonsense, refused; there are 402, 410" in " ".join(ended.stderr.split())
