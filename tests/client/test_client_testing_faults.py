"""`FaultTransport`: each fault is what its name says, to the sender and to the server; calls are kept, secrets not."""

from typing import Any

import orjson
import pytest
from client_bench import MODEL, MakeClient, service_app
from scripted_server import ScriptedServer

from tinker_hl import AdamParams, BillingError, Datum, ModelInput, ServiceClient, loop
from tinker_hl.retry import InstantClock
from tinker_hl.testing import SURVIVABLE, Fault, FaultPlan, FaultTransport, InjectedKind, no_waiting
from tinker_hl.transport import AsgiTransport, NetworkTransport, Transport
from tinker_hl.transport.base import Request, Response, TransportFault

KEY = "tml-a-key-that-nobody-may-see"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"


def step_request(timeout: float = 60.0) -> Request:
    body = {"model_id": "S:train:0", "seq_id": 1, "note": f"{KEY} and {JWT}", "token": "hidden"}
    headers = {"X-API-Key": KEY, "X-Idempotency-Key": "one", "Cookie": "hidden"}
    return Request(
        method="POST",
        url="http://scripted.test/api/v1/optim_step?sig=hidden",
        headers=headers,
        content=orjson.dumps(body),
        timeout=timeout,
    )


def client_over(transport: Transport) -> ServiceClient:
    return ServiceClient(base_url="http://scripted.test", api_key=KEY, transport=transport)


def sent(kind: InjectedKind | Fault, timeout: float = 60.0) -> tuple[ScriptedServer, FaultTransport, InstantClock, Any]:
    """A request that meets a fault: what the server saw, what was kept, and what came back."""
    server, clock = ScriptedServer(), InstantClock()
    with FaultTransport(server.transport(), FaultPlan.at(("optim_step", 1), kind), clock=clock) as transport:
        try:
            outcome: Any = loop.run(transport.send(step_request(timeout))).result(10)
        except TransportFault as fault:
            outcome = fault
    return server, transport, clock, outcome


@pytest.mark.parametrize(
    ("kind", "deliveries", "outcome"),
    [
        ("refused", 0, "refused"),
        ("unresolved", 0, "unresolved"),
        ("cut_before_send", 0, "lost"),
        ("cut_after_commit", 1, "lost"),
        ("cut_during_response", 1, "lost"),
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
def test_each_fault_is_what_it_says(kind: InjectedKind, deliveries: int, outcome: int | str) -> None:
    server, transport, clock, came = sent(kind)
    assert len(server.paths("optim_step")) == deliveries
    (call,) = transport.calls
    assert (call.delivered, call.fault) == (deliveries, Fault(kind))
    if isinstance(outcome, int):
        assert isinstance(came, Response)
        assert (came.status, call.status, call.error) == (outcome, outcome, None)
    else:
        assert isinstance(came, TransportFault)
        assert (came.kind, call.status, call.error) == (outcome, None, outcome)
        assert "injected" in came.message
    assert clock.slept == ([0.05] if kind in ("delay", "slow_body") else [])


@pytest.mark.parametrize(("kind", "deliveries"), [("delay", 0), ("slow_body", 1)])
def test_what_is_later_than_the_request_waits_is_a_timeout(kind: InjectedKind, deliveries: int) -> None:
    server, _, clock, came = sent(Fault(kind, seconds=90.0), timeout=60.0)
    assert (came.kind, clock.slept) == ("timeout", [60.0])
    assert len(server.paths("optim_step")) == deliveries


def test_a_duplicate_is_answered_as_its_second_delivery() -> None:
    server = ScriptedServer()
    transport = FaultTransport(server.transport(), FaultPlan.at(("optim_step", 1), "duplicate"))
    answer = loop.run(transport.send(step_request())).result(10)
    assert orjson.loads(answer.content) == {"request_id": "r1"}, "the scripted server makes a promise for each"


def test_calls_are_kept_without_secrets() -> None:
    _, transport, _, _ = sent("cut_after_commit")
    (call,) = transport.calls
    assert (call.method, call.path, call.endpoint, call.number) == ("POST", "/api/v1/optim_step", "optim_step", 1)
    assert call.body["seq_id"] == 1
    assert call.size == len(step_request().content or b"")
    assert call.headers["x-idempotency-key"] == "one"
    for secret in (KEY, JWT, "hidden"):
        assert secret not in repr(transport.calls)


def test_without_a_plan_it_only_keeps_the_calls() -> None:
    server = ScriptedServer()
    with FaultTransport(server.transport()) as transport, client_over(transport) as service:
        service.create_lora_training_client("base").result(10)
    assert [call.endpoint for call in transport.calls] == [
        "client/config",
        "create_session",
        "create_model",
        "retrieve_future",
        "get_info",
        "sessions/*/finish",
    ]
    assert {call.status for call in transport.calls} == {200, 404}
    assert transport.faults == []
    assert [call.number for call in transport.calls_to("create_*")] == [1, 1]


def test_a_retry_is_seen_as_one_with_the_same_key_and_body() -> None:
    server = ScriptedServer()
    plan = FaultPlan.at(("optim_step", 1), "cut_after_commit") | FaultPlan.at(("optim_step", 2), "503")
    with (
        no_waiting() as clock,
        FaultTransport(server.transport(), plan) as transport,
        client_over(transport) as service,
    ):
        training = service.create_lora_training_client("base").result(10)
        training.optim_step(AdamParams(learning_rate=1e-4)).result(10)
    first, second, third = transport.calls_to("optim_step")
    assert (first.error, second.status, third.status) == ("lost", 503, 200)
    assert len({call.headers["x-idempotency-key"] for call in (first, second, third)}) == 1
    assert first.body == second.body == third.body
    assert len(clock.slept) >= 2


@pytest.mark.parametrize("seed", range(3))
def test_a_client_gets_over_every_survivable_fault(make_client: MakeClient, seed: int) -> None:
    plan = FaultPlan.random(seed, rate=0.4, seconds=0.01)
    with no_waiting(), make_client() as plain:
        inner = plain._session.connection.transport
        url = plain._session.connection.base_url
        transport = FaultTransport(inner, plan)
        with ServiceClient(base_url=url, api_key="tml-test-key", transport=transport) as service:
            training = service.create_lora_training_client(MODEL, rank=2).result(30)
            datum = Datum(ModelInput.from_ints([1, 2, 3]), {"target_tokens": [2, 3, 4], "weights": [1.0] * 3})
            waiting = []
            for _ in range(12):
                waiting.append(training.forward_backward([datum], "cross_entropy"))
                waiting.append(training.optim_step(AdamParams(learning_rate=1e-4)))
            for future in waiting:
                future.result(60)
    assert {call.fault.kind for call in transport.faults if call.fault} >= set(SURVIVABLE[:3])


def test_no_waiting_gives_up_after_minutes_that_do_not_pass() -> None:
    server = ScriptedServer()
    plan = FaultPlan.random(1, rate=1.0, kinds=["402"], at=("create_session",))
    with (
        no_waiting() as clock,
        client_over(FaultTransport(server.transport(), plan)) as service,
        pytest.raises(BillingError),
    ):
        service.create_lora_training_client("base").result(30)
    assert sum(clock.slept) > 30.0


def test_no_waiting_ends_with_its_block_and_shares_no_limits() -> None:
    server = ScriptedServer()

    with no_waiting() as clock:
        within, other = client_over(server.transport()), client_over(server.transport())
    with no_waiting() as later_clock:
        later = client_over(server.transport())
    after = client_over(server.transport())
    connections = [service._session.connection for service in (within, other, later, after)]
    assert [connection.clock is clock for connection in connections] == [True, True, False, False]
    assert connections[2].clock is later_clock
    assert connections[0].budget is connections[1].budget
    assert len({id(connection.budget) for connection in connections}) == 3
    for service in (within, other, later, after):
        service.close().result(10)


def test_the_real_network_may_be_inside(tmp_path: Any) -> None:
    from client_bench import SocketService

    running = SocketService(service_app(tmp_path))
    try:
        plan = FaultPlan.at(("get_server_capabilities", 1), "cut_during_response")
        with FaultTransport(NetworkTransport(), plan, clock=InstantClock()) as transport:
            options: dict[str, Any] = {"clock": InstantClock(), "transport": transport, "api_key": "tml-test-key"}
            with ServiceClient(base_url=running.base_url, **options) as service:
                assert [model.model_name for model in service.get_server_capabilities().supported_models] == [MODEL]
        assert [call.status for call in transport.calls_to("get_server_capabilities")] == [None, 200]
    finally:
        running.close()


def test_closing_it_closes_the_inner_one() -> None:
    closed = []

    class Inner(AsgiTransport):
        async def aclose(self) -> None:
            closed.append(True)

    with FaultTransport(Inner(ScriptedServer(), lifespan=False)):
        pass
    assert closed == [True]
