"""Events: pushed as they happen, without secrets, and harmless when a listener is not."""

import asyncio
import logging
from typing import Any

import pytest
from scripted_server import Reply, ScriptedServer

import tinker_hl
from tinker_hl import AdamParams, loop
from tinker_hl.events import Event, EventBus, is_logged, log_event


def test_a_call_tells_its_way() -> None:
    server = ScriptedServer()
    events: list[Event] = []
    with server.client() as service:
        unsubscribe = service.subscribe(events.append)
        training = service.create_lora_training_client("base").result(10)
        events.clear()
        server.faults["retrieve_future"] = [
            Reply(body={"type": "try_again", "queue_state": "paused_capacity", "queue_state_reason": "full house"}),
            Reply(body={"type": "try_again", "queue_state": "active"}),
            Reply(503),
        ]
        training.optim_step(AdamParams()).result(10)
        loop.run(asyncio.sleep(0)).result(10)  # the end is told after the result is there
        answers = [event.fields["status"] for event in events if event.kind == "answered"]
        assert answers == [200, 200, 200, 503, 200]
        events[:] = [event for event in events if event.kind != "answered"]
        told = [(event.kind, event.call) for event in events]
        assert told == [
            (kind, "TrainingClient.optim_step")
            for kind in ("queued", "sent", "queue_state", "polled", "retried", "done", "ended")
        ]
        assert "full house" in events[2].detail
        assert events[1].request_id == events[-2].request_id
        assert len({event.call_id for event in events}) == 1
        unsubscribe()
        training.optim_step(AdamParams()).result(10)
        assert len(events) == len(told)


def test_who_ends_a_subscription_ends_no_other_one() -> None:
    bus, seen = EventBus(), []

    def hear(event: Event) -> None:
        seen.append(event.call)

    first, second = bus.subscribe(hear), bus.subscribe(hear)
    bus.emit("notice", "both")
    first()
    first()
    bus.emit("notice", "one")
    second()
    bus.emit("notice", "none")
    assert seen == ["both", "both", "one"]


def test_failures_are_told() -> None:
    server = ScriptedServer()
    server.results["ForwardBackward"] = {"error": "too long", "category": "user"}
    events: list[Event] = []
    with server.client() as service:
        service.subscribe(events.append)
        training = service.create_lora_training_client("base")
        data = [tinker_hl.Datum(tinker_hl.ModelInput.from_ints([1]), {"target_tokens": [1]})]
        assert isinstance(training.forward_backward(data, "cross_entropy").exception(10), tinker_hl.RequestFailedError)
    assert [event.detail for event in events if event.kind == "failed"] == ["too long"]


def test_a_listener_that_raises_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise ValueError("a bug of the listener")

    seen: list[Event] = []
    bus = EventBus((broken, seen.append))
    bus.emit("done", "call")
    assert len(seen) == 1
    assert "a bug of the listener" in caplog.text


def test_a_listener_hears_only_what_it_wants_and_what_nobody_wants_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(**fields: Any) -> Event:
        made.append(fields["kind"])
        return Event(**fields)

    monkeypatch.setattr("tinker_hl.events.Event", make)
    bus, some, every = EventBus(), list[Event](), list[Event]()
    bus.subscribe(some.append, lambda kind, fields: kind == "done" and fields.get("seconds", 0) > 1)
    with bus.call("call"):
        bus.emit("done", "call", seconds=1)
    assert (made, some) == ([], [])
    unsubscribe = bus.subscribe(every.append)
    bus.emit("sent", "call")
    bus.emit("done", "call", seconds=2)
    assert [event.kind for event in every] == made == ["sent", "done"]
    assert some == every[1:]
    unsubscribe()
    bus.emit("sent", "call")
    assert made == ["sent", "done"]


def test_what_is_not_logged_is_not_wanted_by_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tinker_hl"):
        assert not is_logged("sent", {})
        assert is_logged("retried", {})
        assert is_logged("sent", {"level": 40})
    with caplog.at_level(logging.DEBUG, "tinker_hl"):
        assert is_logged("sent", {})


@pytest.mark.parametrize(
    ("kind", "fields", "level"),
    [
        ("retried", {}, logging.WARNING),
        ("sent", {}, logging.DEBUG),
        ("notice", {"level": 40}, logging.ERROR),
        ("session_started", {}, logging.INFO),
    ],
)
def test_events_are_logged_by_their_weight(
    caplog: pytest.LogCaptureFixture, kind: str, fields: dict[str, int], level: int
) -> None:
    with caplog.at_level(logging.DEBUG, "tinker_hl"):
        log_event(Event(kind=kind, call="a call", request_id="r1", detail="why", fields=fields))  # type: ignore[arg-type]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, f"a call {kind} [r1]: why")
