"""R10: an outage is not made worse: a dead server gets few more requests, a wrong address is told at once."""

import asyncio
import socket
import time
from collections.abc import Callable

import pytest
from scripted_server import Reply, ScriptedServer
from simulated_clock import SimulatedClock

import tinker_hl
from tinker_hl import RetryPolicy, ServiceClient, loop
from tinker_hl.retry import RESERVE, TRICKLE_SECONDS
from tinker_hl.transport import AsgiTransport, Request, Response, TransportFault

CALLERS = 100
OUTAGE = 60.0


class Failing(AsgiTransport):
    """The server is out of order until a moment; counts the requests that it gets meanwhile."""

    def __init__(self, server: ScriptedServer, clock: SimulatedClock, way: str) -> None:
        super().__init__(server, lifespan=False)
        self.clock, self.way = clock, way
        self.dead_until = 0.0
        self.during = 0

    async def send(self, request: Request) -> Response:
        if self.clock.now() >= self.dead_until:
            return await super().send(request)
        self.during += 1
        if self.way == "503":
            return Response(status=503, headers={}, content=b'{"detail": "down"}')
        raise TransportFault(self.way, "down")  # type: ignore[arg-type]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["refused", "lost", "timeout", "503"])
@pytest.mark.parametrize("clients", [1, 4])
def test_r10_a_hundred_callers_of_a_dead_server_make_at_most_ten_more_requests_in_a_minute(
    way: str, clients: int
) -> None:
    server, clock = ScriptedServer(), SimulatedClock(f"r10-{way}-{clients}")
    transport = Failing(server, clock, way)
    services = [
        ServiceClient(base_url="http://r10.test", api_key="tml-x", transport=transport, clock=clock)
        for _ in range(clients)
    ]
    rests = [service.create_rest_client() for service in services]
    page = {"training_runs": [], "cursor": {"offset": 0, "limit": 20, "total_count": 0}}
    server.faults["training_runs"] = [Reply(body=page)] * (CALLERS + clients)
    for rest in rests:
        rest.list_training_runs().result(10)

    async def everybody() -> list[object]:
        transport.dead_until = clock.now() + OUTAGE
        return await asyncio.gather(*(rests[number % clients].list_training_runs() for number in range(CALLERS)))

    answers = loop.run(everybody()).result(100)
    assert len(answers) == CALLERS
    assert transport.during - CALLERS <= CALLERS / 10
    # Retries are paid for and not just few by chance, and the end of the outage is found soon.
    assert transport.during - CALLERS >= RESERVE
    assert clock.now() <= transport.dead_until + 10.0 + 2 * TRICKLE_SECONDS


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", ["refused", "unresolved"])
def test_r10_where_nobody_has_ever_answered_everybody_is_told_within_five_seconds(way: str) -> None:
    server, clock = ScriptedServer(), SimulatedClock(f"r10-never-{way}")
    transport = Failing(server, clock, way)
    transport.dead_until = float("inf")
    service = ServiceClient(base_url="http://r10-never.test", api_key="tml-x", transport=transport, clock=clock)
    training = service.create_lora_training_client("base")
    calls: list[Callable[[], object]] = [
        lambda: training.result(30),
        lambda: service.create_sampling_client(base_model="base").result(30),
        lambda: service.create_rest_client().list_training_runs().result(30),
        lambda: service.get_server_capabilities(),
    ]
    for call in calls:
        began = clock.now()
        with pytest.raises(tinker_hl.APIConnectionError):
            call()
        assert clock.now() - began <= 5.0 + 1e-6


@pytest.mark.timeout(60)
def test_r10_a_refused_connection_is_told_within_five_seconds_of_real_time() -> None:
    with socket.socket() as bound:
        # Bound and not listening: nobody else can answer there.
        bound.bind(("127.0.0.1", 0))
        service = ServiceClient(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", api_key="tml-x")
        began = time.monotonic()
        with pytest.raises(tinker_hl.APIConnectionError):
            service.create_lora_training_client("base").result(30)
        assert time.monotonic() - began <= 5.5


def test_r10_the_numbers_are_those_of_the_policy() -> None:
    assert RESERVE + OUTAGE / TRICKLE_SECONDS <= CALLERS / 10
    assert RetryPolicy().connect_deadline <= 5.0
