"""The monitor: what it hands over, what it keeps, and how often it looks."""

import asyncio
import threading
from typing import Any

import pytest
from client_bench import MODEL
from recovery_bench import Bench

from tinker_hl import TrainingClient
from tinker_hl.errors import ConfigurationError
from tinker_hl.recovery import Detection, RecoveryExecutor, RecoveryMonitor, RecoveryPolicy
from tinker_hl.transport.base import Response

ON = RecoveryPolicy(enabled=True)


class Taker:
    """Takes what is handed over."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.came = threading.Event()

    def submit(self, detection: Detection, client: TrainingClient | None = None, checkpoint: str | None = None) -> None:
        self.got.append((detection, client, checkpoint))
        self.came.set()


@pytest.fixture
def client(bench: Bench) -> TrainingClient:
    return bench.service.create_lora_training_client(MODEL, rank=4).result(30)


def answer(bench: Bench, client: TrainingClient, *, corrupted: bool) -> None:
    """What the next look at the run's record finds."""
    record = bench.service.create_rest_client().get_training_run(client.model_id).result(30)
    body = record.model_copy(update={"corrupted": corrupted}).model_dump_json().encode()
    bench.cable.answers[client.model_id] = [Response(status=200, content=body)]


def test_t091_a_corrupted_run_is_told_handed_over_and_not_watched_any_more(
    bench: Bench, client: TrainingClient
) -> None:
    """T-091, T-095."""
    taker = Taker()
    monitor = RecoveryMonitor(bench.service.create_rest_client(), ON, taker)
    monitor.watch(client.model_id, client=client, checkpoint="tinker://r/weights/x")
    monitor.poll().result(30)
    assert (taker.got, monitor.watched) == ([], (client.model_id,))
    answer(bench, client, corrupted=True)
    monitor.poll().result(30)
    ((found, old, checkpoint),) = taker.got
    assert (found.run_id, found.reason) == (client.model_id, "corrupted")
    assert (old, checkpoint) == (client, "tinker://r/weights/x")
    assert monitor.watched == ()
    assert [event.fields["reason"] for event in bench.told("detected")] == ["corrupted"]


@pytest.mark.parametrize("status", [404, 410])
def test_a_run_that_the_server_does_not_know_is_lost(bench: Bench, client: TrainingClient, status: int) -> None:
    taker = Taker()
    monitor = RecoveryMonitor(bench.service.create_rest_client(), ON, taker)
    monitor.watch(client.model_id)
    bench.cable.answers[client.model_id] = [Response(status=status, content=b"{}")]
    monitor.poll().result(30)
    assert [found.reason for found, _, _ in taker.got] == ["lost"]


def test_t091_a_look_that_fails_keeps_the_run(bench: Bench, client: TrainingClient) -> None:
    """T-091, T-095: poll_error."""
    taker = Taker()
    monitor = RecoveryMonitor(bench.service.create_rest_client(), ON, taker)
    monitor.watch(client.model_id)
    bench.cable.dead_paths = {client.model_id}
    monitor.poll().result(30)
    assert (taker.got, monitor.watched) == ([], (client.model_id,))
    assert len(bench.told("poll_error")) == 1
    bench.cable.dead_paths = set()
    answer(bench, client, corrupted=True)
    monitor.poll().result(30)
    assert len(taker.got) == 1


def test_t091_what_it_refuses(bench: Bench) -> None:
    """T-091: no registration while it is off, or without an executor."""
    rest = bench.service.create_rest_client()
    with pytest.raises(ConfigurationError, match="enabled=True"):
        RecoveryMonitor(rest, RecoveryPolicy(), Taker()).watch("run")
    with pytest.raises(ConfigurationError, match="executor"):
        RecoveryMonitor(rest, ON).watch("run")


def test_a_probe_is_asked_before_the_server(bench: Bench, client: TrainingClient) -> None:
    taker = Taker()
    monitor = RecoveryMonitor(bench.service.create_rest_client(), ON, taker)
    silent = Detection(run_id=client.model_id, reason="stuck", detail="silence")
    monitor.watch(client.model_id, probe=lambda: silent)
    seen = len(bench.cable.paths)
    monitor.poll().result(30)
    assert taker.got[0][0] is silent
    assert len(bench.cable.paths) == seen


def test_what_a_probe_or_an_executor_raises_ends_no_watch(bench: Bench, client: TrainingClient) -> None:
    """It is told, the run stays watched, and the others are looked at all the same."""
    silent = Detection(run_id=client.model_id, reason="stuck", detail="silence")
    taker, asked = Taker(), []

    def broken() -> Detection | None:
        asked.append("broken")
        raise ValueError("a probe of the user's")

    class Full(Taker):
        def submit(self, detection: Detection, client: Any = None, checkpoint: str | None = None) -> None:
            raise RuntimeError("no more")

    monitor = RecoveryMonitor(bench.service.create_rest_client(), ON, taker)
    monitor.watch("first", probe=broken)
    monitor.watch(client.model_id, probe=lambda: silent)
    monitor.poll().result(30)
    assert [found.run_id for found, _, _ in taker.got] == [client.model_id]
    assert monitor.watched == ("first",)
    full = RecoveryMonitor(bench.service.create_rest_client(), ON, Full())
    full.watch(client.model_id, probe=lambda: silent)
    full.poll().result(30)
    assert full.watched == (client.model_id,), "nobody has it yet"
    assert [event.fields["error"] for event in bench.told("poll_error")] == [
        'ValueError("a probe of the user\'s")',
        "RuntimeError('no more')",
    ]


def test_s4_10_monitor_and_executor_together(bench: Bench, client: TrainingClient) -> None:
    """S4-10: enabled, strategy latest, a monitor started with executor and policy; it finds the run by itself."""
    path = client.save_state("x").result(30).path
    done, replaced = threading.Event(), []

    def on_recovery(old: Any, new: Any, path: str) -> None:
        replaced.append((old, new.resumed_from, new.model_id != old.model_id, path))
        done.set()

    policy = RecoveryPolicy(enabled=True, checkpoint_strategy="latest", poll_interval=0.01, on_recovery=on_recovery)
    executor = RecoveryExecutor(bench.service, policy)
    with RecoveryMonitor(bench.service.create_rest_client(), policy, executor) as monitor:
        monitor.watch(client.model_id, client=client)
        answer(bench, client, corrupted=True)
        assert done.wait(30)
        assert monitor.watched == ()
        monitor.start()  # a second time changes nothing
    assert replaced == [(client, None, True, path)]


def test_it_looks_no_more_often_than_told_and_stops(bench: Bench, client: TrainingClient) -> None:
    taker = Taker()

    async def looked() -> int:
        monitor = RecoveryMonitor(
            bench.service.create_rest_client(), RecoveryPolicy(enabled=True, poll_interval=3600), taker
        )
        async with monitor:
            monitor.watch(client.model_id)
            await asyncio.sleep(0)
            return bench.cable.paths.count(client.model_id)

    assert asyncio.run(looked()) == 0
    monitor = RecoveryMonitor(
        bench.service.create_rest_client(), RecoveryPolicy(enabled=True, poll_interval=0.01), taker
    )
    with monitor:
        monitor.watch(client.model_id)
        answer(bench, client, corrupted=True)
        assert taker.came.wait(30)
        monitor.watch(client.model_id)
    monitor.poll().result(30)  # behind the end on the loop's thread
    seen = bench.cable.paths.count(client.model_id)
    monitor.poll().result(30)
    assert bench.cable.paths.count(client.model_id) == seen + 1, "only what is asked for"
