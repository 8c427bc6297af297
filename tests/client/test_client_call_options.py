"""`call_options`: what it changes, for which calls, and for how long."""

import asyncio
import threading
from typing import Any

import pytest
from scripted_server import Reply, ScriptedServer

import tinker_hl
from tinker_hl import AdamParams, ModelInput, RetryConfig, RetryPolicy, SamplingParams, call_options
from tinker_hl.call_settings import options_in_force
from tinker_hl.retry import InstantClock
from tinker_hl.transport import AsgiTransport, Request, Response

ONCE = RetryPolicy(enabled=False)
PROMPT = ModelInput.from_ints([1, 2, 3])


class Listening(AsgiTransport):
    """Keeps the time that each request was given."""

    def __init__(self, server: ScriptedServer) -> None:
        super().__init__(server, lifespan=False)
        self.timeouts: dict[str, float] = {}

    async def send(self, request: Request) -> Response:
        self.timeouts[request.url.rpartition("/")[2]] = request.timeout
        return await super().send(request)


def test_it_holds_for_every_kind_of_call_and_only_in_the_block() -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        sampling = service.create_sampling_client(base_model="base", retry_config=RetryConfig()).result(10)
        rest = service.create_rest_client()
        calls: dict[str, Any] = {
            "optim_step": lambda: training.optim_step(AdamParams()),
            "asample": lambda: sampling.sample(PROMPT, 1, SamplingParams()),
            "training_runs": lambda: rest.list_training_runs(),
            "create_sampling_session": lambda: service.create_sampling_client(base_model="base"),
        }
        for path, call in calls.items():
            server.faults[path] = [Reply(429)]
            with call_options(retry_policy=ONCE, headers={"X-Run": "7"}):
                future = call()
            with pytest.raises(tinker_hl.TinkerError):
                future.result(10)
            assert server.paths(path)[-1].headers["x-run"] == "7", path
            assert len(server.paths(path)) == 1 + (path == "create_sampling_session"), path
        server.faults["asample"] = [Reply(503)]
        assert sampling.sample(PROMPT, 1, SamplingParams()).result(10).sequences
        assert "x-run" not in server.paths("asample")[-1].headers


def test_polls_have_its_headers_and_its_deadline() -> None:
    server, clock = ScriptedServer(), InstantClock()
    with server.client(clock=clock, api_key="tml-polls-obey") as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [Reply(503)] * 1000
        began = clock.now()
        with call_options(retry_policy=RetryPolicy(deadline=20.0), headers={"X-Run": "7"}):
            future = training.optim_step(AdamParams())
        with pytest.raises(tinker_hl.InternalServerError):
            future.result(10)
        assert clock.now() - began <= 20.5
        assert server.paths("retrieve_future")[-1].headers["x-run"] == "7"


def test_a_timeout_is_for_each_attempt_and_not_for_long_polls() -> None:
    server = ScriptedServer()
    transport = Listening(server)
    with tinker_hl.ServiceClient(
        base_url="http://scripted.test", api_key="tml-x", transport=transport, clock=InstantClock()
    ) as service:
        training = service.create_lora_training_client("base").result(10)
        with call_options(timeout=7.5):
            training.optim_step(AdamParams()).result(10)
    assert transport.timeouts["optim_step"] == 7.5
    assert transport.timeouts["retrieve_future"] == 45.0
    assert transport.timeouts["finish"] == 5.0


def test_blocks_nest_and_the_inner_one_wins() -> None:
    with call_options(retry_policy=ONCE, timeout=3.0, headers={"A": "1", "B": "1"}):
        with call_options(timeout=4.0, headers={"B": "2"}):
            inner = options_in_force()
            assert (inner.retry_policy, inner.timeout, inner.headers) == (ONCE, 4.0, {"A": "1", "B": "2"})
        outer = options_in_force()
        assert (outer.retry_policy, outer.timeout, outer.headers) == (ONCE, 3.0, {"A": "1", "B": "1"})
    assert options_in_force() == type(outer)()


def test_it_belongs_to_the_task_and_the_thread_that_made_the_block() -> None:
    seen: list[float | None] = []

    async def task(timeout: float) -> None:
        with call_options(timeout=timeout):
            await asyncio.sleep(0)
            seen.append(options_in_force().timeout)

    async def scene() -> None:
        await asyncio.gather(task(1.0), task(2.0))

    asyncio.run(scene())
    with call_options(timeout=3.0):
        thread = threading.Thread(target=lambda: seen.append(options_in_force().timeout))
        thread.start()
        thread.join()
    assert seen == [1.0, 2.0, None]


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0.0},
        {"timeout": -1.0},
        {"headers": {"X-API-Key": "tml-other"}},
        {"headers": {"X-Idempotency-Key": "mine"}},
        {"headers": {"X-Run": "a\r\nX-API-Key: b"}},
    ],
)
def test_what_makes_no_sense_is_refused_before_any_call(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"timeout|header"), call_options(**wrong):
        raise AssertionError("the block must not run")


def test_the_heartbeat_of_a_session_does_not_keep_the_options_of_the_call_that_opened_it() -> None:
    from tinker_hl import loop

    async def told() -> tuple[float | None, float | None]:
        async def in_force() -> float | None:
            return options_in_force().timeout

        with call_options(timeout=9.0):
            inherited, own = loop.spawn(in_force()), loop.spawn(in_force(), own_context=True)
        return await inherited, await own

    assert loop.run(told()).result(10) == (9.0, None)
