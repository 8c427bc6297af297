"""What the client tells while the service lets requests wait: the hook at once, the log soon and not often."""

import gc
import logging
from typing import Any

import pytest
from scripted_server import Reply, ScriptedServer

from tinker_hl import AdamParams, ModelInput, SamplingParams, ServiceClient
from tinker_hl.queue_state import PauseNotices, QueueState
from tinker_hl.retry import InstantClock

CAPACITY = Reply(408, {"type": "try_again", "queue_state": "paused_capacity", "queue_state_reason": "all are busy"})
RATE = Reply(body={"type": "try_again", "request_id": "r", "queue_state": "paused_rate_limit"})
ACTIVE = Reply(body={"type": "try_again", "request_id": "r", "queue_state": "active"})
NEW = Reply(body={"type": "try_again", "request_id": "r", "queue_state": "paused_by_the_moon"})


class Held(ScriptedServer):
    """Holds each poll for some of the test clock's seconds."""

    def __init__(self, clock: InstantClock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    async def _reply(self, request: Any) -> Any:
        if request.path.endswith("retrieve_future"):
            self.clock._now += self.seconds
        return await super()._reply(request)


def pauses(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [record.getMessage() for record in lines if "paused" in record.getMessage()]


def bench(seconds: float = 30.0) -> tuple[Held, ServiceClient]:
    server = Held(InstantClock(), seconds)
    return server, server.client(clock=server.clock)


def test_fault_24_a_pause_of_training_is_told_after_seconds_and_then_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, service = bench(seconds=5.0)
    with service, caplog.at_level(logging.WARNING, "tinker_hl"):
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [CAPACITY] * 40
        began = server.clock.now()
        training.optim_step(AdamParams()).result(10)
        lasted = server.clock.now() - began
    told = pauses(caplog)
    assert 190 < lasted < 260
    assert 3 <= len(told) <= 5
    assert "Training is paused for 10 s" in told[0]
    assert "all are busy" in told[0]


def test_a_short_pause_is_not_worth_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    server, service = bench(seconds=2.0)
    with service, caplog.at_level(logging.WARNING, "tinker_hl"):
        training = service.create_lora_training_client("base").result(10)
        for _ in range(5):
            server.faults["retrieve_future"] = [CAPACITY] * 3
            training.optim_step(AdamParams()).result(10)
    assert pauses(caplog) == []


def test_a_pause_of_sampling_is_told_at_once_and_names_the_sampler(caplog: pytest.LogCaptureFixture) -> None:
    server, service = bench(seconds=1.0)
    with service, caplog.at_level(logging.WARNING, "tinker_hl"):
        sampler = service.create_sampling_client(base_model="base").result(10)
        server.faults["retrieve_future"] = [RATE] * 10
        sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=2)).result(10)
    (told,) = pauses(caplog)
    assert "Sampling from S:sample:0 is paused" in told
    assert "limit on concurrent work" in told


def test_the_hook_hears_each_change_once_and_of_the_end() -> None:
    heard: list[tuple[str, str | None]] = []
    server, service = bench()
    with service:
        training = service.create_lora_training_client("base").result(10)
        training.on_queue_state_change = lambda *change: heard.append(change)  # type: ignore[method-assign,assignment]
        server.faults["retrieve_future"] = [CAPACITY, CAPACITY, RATE, ACTIVE, NEW, NEW]
        training.optim_step(AdamParams()).result(10)
        training.optim_step(AdamParams()).result(10)
    assert heard == [
        (QueueState.PAUSED_CAPACITY, "all are busy"),
        (QueueState.PAUSED_RATE_LIMIT, None),
        (QueueState.ACTIVE, None),
        (QueueState.UNKNOWN, None),
        (QueueState.ACTIVE, None),
    ]
    assert heard[0][0] == "paused_capacity"


def test_the_hook_of_a_client_that_was_used_while_it_was_made_is_heard() -> None:
    heard: list[str] = []
    server, service = bench()
    with service:
        sampler = service.create_sampling_client(base_model="base")
        sampler.on_queue_state_change = lambda state, reason: heard.append(state)  # type: ignore[method-assign]
        sampler.result(10)
        server.faults["retrieve_future"] = [RATE]
        sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=2)).result(10)
    assert heard == ["paused_rate_limit", "active"]


def test_the_hook_hears_of_the_end_when_the_request_fails() -> None:
    heard: list[str] = []
    server, service = bench()
    with service:
        sampler = service.create_sampling_client(base_model="base").result(10)
        sampler.on_queue_state_change = lambda state, reason: heard.append(state)  # type: ignore[method-assign]
        server.faults["retrieve_future"] = [RATE, Reply(body={"error": "no", "category": "user"})]
        assert sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=2)).exception(10) is not None
    assert heard == ["paused_rate_limit", "active"]


def test_a_hook_that_fails_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    server, service = bench()
    with service, caplog.at_level(logging.ERROR, "tinker_hl"):
        training = service.create_lora_training_client("base").result(10)
        training.on_queue_state_change = None  # type: ignore[method-assign,assignment]
        server.faults["retrieve_future"] = [CAPACITY]
        assert training.optim_step(AdamParams()).result(10).metrics == {"grad_norm": 1.0}
    assert "on_queue_state_change failed" in caplog.text


def test_several_requests_make_one_pause_and_dropped_observers_are_forgotten() -> None:
    class Observer:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_queue_state_change(self, queue_state: QueueState, reason: str | None = None) -> None:
            self.heard.append(queue_state)

    notices, kept, dropped = PauseNotices("Training", 10.0), Observer(), Observer()
    notices.attach(kept)
    notices.attach(dropped)
    heard = dropped.heard
    del dropped
    gc.collect()
    for request in ("a", "b"):
        notices.told(request, QueueState.PAUSED_CAPACITY, None, 0.0)
    notices.over("a")
    assert kept.heard == ["paused_capacity"]
    notices.told("b", QueueState.ACTIVE, None, 1.0)
    assert kept.heard == ["paused_capacity", "active"]
    assert heard == []
