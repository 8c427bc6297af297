"""The executor: which checkpoint, how many attempts, in which order, and what is told."""

import asyncio
import threading
from typing import Any

import pytest
from client_bench import MODEL
from recovery_bench import Bench, history, one_step

import tinker_hl
from tinker_hl import TrainingClient
from tinker_hl.errors import ConfigurationError
from tinker_hl.recovery import (
    MissingCheckpointError,
    RecoveryExecutor,
    RecoveryFailedError,
    RecoveryPendingError,
    RecoveryPolicy,
)
from tinker_hl.transport.base import Response


@pytest.fixture
def client(bench: Bench) -> TrainingClient:
    """A model with three states, whose losses are 3, 1 and 2."""
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    for step, (name, loss) in enumerate({"a": "3.0", "b": "1.0", "c": "2.0"}.items()):
        one_step(client, step)
        client.save_state(name, user_metadata={"loss:sum": loss}).result(30)
    client.save_weights_for_sampler("sampler").result(30)
    return client


def executor(bench: Bench, **policy: Any) -> RecoveryExecutor:
    return RecoveryExecutor(bench.service, RecoveryPolicy(enabled=True, **policy))


def path(client: TrainingClient, name: str) -> str:
    return f"tinker://{client.model_id}/weights/{name}"


def test_t092_the_runs_last_checkpoint(bench: Bench, client: TrainingClient) -> None:
    """T-092: no other is named; a client from it has the steps before it, and takes new ones."""
    bench.kill_engine()
    found = executor(bench).recover(client.model_id, client=client).result(30)
    assert (found.checkpoint, found.attempts, found.run_id) == (path(client, "c"), 1, client.model_id)
    one_step(found.client, 3).result(30)
    assert bench.saved(found.client.save_state("end").result(30).path) == history(4)


def test_t092_the_policys_path_goes_before_the_given_one_and_that_before_the_last(
    bench: Bench, client: TrainingClient
) -> None:
    """T-092: specific > given > last."""
    specific = executor(bench, checkpoint_strategy=path(client, "a"))
    assert specific.recover(client.model_id, checkpoint=path(client, "b")).result(30).checkpoint == path(client, "a")
    given = executor(bench).recover(client.model_id, checkpoint=path(client, "b")).result(30)
    assert given.checkpoint == path(client, "b")


def test_t092_the_list_where_the_record_names_none(bench: Bench, client: TrainingClient) -> None:
    """T-092: the newest state of the list; what samplers load is none."""
    record = bench.service.create_rest_client().get_training_run(client.model_id).result(30)
    body = record.model_copy(update={"last_checkpoint": None}).model_dump_json().encode()
    bench.cable.answers[client.model_id] = [Response(status=200, content=body)]
    assert executor(bench).recover(client.model_id).result(30).checkpoint == path(client, "c")


@pytest.mark.parametrize(("mode", "name"), [("min", "b"), ("max", "a")])
def test_t090_the_best_by_a_metric(bench: Bench, client: TrainingClient, mode: Any, name: str) -> None:
    """T-090: what the port reserves. A checkpoint whose metric is missing or no finite number is not the best."""
    client.save_state("none").result(30)
    client.save_state("odd", user_metadata={"loss:sum": "nan"}).result(30)
    found = executor(bench, checkpoint_strategy="best", best_mode=mode).recover(client.model_id).result(30)
    assert found.checkpoint == path(client, name)
    other = executor(bench, checkpoint_strategy="best", best_metric="accuracy", max_attempts=1)
    with pytest.raises(RecoveryFailedError) as caught:
        other.recover(client.model_id).result(30)
    assert isinstance(caught.value.__cause__, MissingCheckpointError)


def test_t092_without_a_checkpoint(bench: Bench) -> None:
    """T-092: missing_checkpoint."""
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    with pytest.raises(RecoveryFailedError, match="no checkpoint to go on from") as caught:
        executor(bench, max_attempts=1).recover(client.model_id).result(30)
    assert caught.value.attempts == 1


def test_t090_the_optimizer_is_restored_unless_told(bench: Bench, client: TrainingClient) -> None:
    """T-090."""
    asked: list[bool] = []
    load = bench.engine.load_adapter

    async def noted(*args: Any, **options: Any) -> Any:
        asked.append(options["optimizer"])
        return await load(*args, **options)

    bench.engine.load_adapter = noted  # type: ignore[method-assign]
    executor(bench).recover(client.model_id).result(30)
    executor(bench, restore_optimizer=False).recover(client.model_id).result(30)
    assert asked == [True, False]


def test_t093_attempts_and_waits(bench: Bench) -> None:
    """T-093, T-095: 5 s, then 10 s, then it is exhausted, and told so."""
    told: list[Any] = []
    made = RecoveryExecutor(bench.service, RecoveryPolicy(enabled=True, on_failure=lambda *what: told.append(what)))

    async def fails(_path: str) -> TrainingClient:
        raise tinker_hl.APIConnectionError

    with pytest.raises(RecoveryFailedError, match="3 attempts: APIConnectionError") as caught:
        made.recover("run", checkpoint="tinker://run/weights/x", restore=fails).result(30)
    assert isinstance(caught.value.__cause__, tinker_hl.APIConnectionError)
    assert bench.clock.slept == [5.0, 10.0]
    assert told[0][0] == "run"
    assert told[0][1].startswith("APIConnectionError")
    attempt = ["started", "checkpoint_selected", "failed"]
    assert bench.stages() == [*attempt, *attempt, *attempt, "exhausted"]


def test_t095_what_a_recovery_tells(bench: Bench, client: TrainingClient) -> None:
    """T-095."""
    executor(bench).recover(client.model_id).result(30)
    assert bench.stages() == ["started", "checkpoint_selected", "client_created", "completed"]
    assert {event.fields["run_id"] for event in bench.events if event.kind == "recovery"} == {client.model_id}
    assert bench.told("checkpoint_selected")[0].fields["path"] == path(client, "c")


def test_t092_one_at_a_time_in_the_order_of_the_asking(bench: Bench) -> None:
    """T-092: first in, first out, max_concurrent 1, and each run only once at a time."""
    at_work, order, gate = [0], [], threading.Event()

    async def slow(_path: str) -> TrainingClient:
        at_work[0] += 1
        assert at_work[0] == 1
        order.append(_path)
        await asyncio.wait_for(asyncio.to_thread(gate.wait), 20)
        at_work[0] -= 1
        raise ZeroDivisionError

    once = RecoveryExecutor(bench.service, RecoveryPolicy(enabled=True, max_attempts=1))
    names = [f"run-{number}" for number in range(4)]
    futures = [once.recover(name, checkpoint=f"tinker://{name}/weights/x", restore=slow) for name in names]
    with pytest.raises(RecoveryPendingError, match="run-2"):
        once.recover("run-2")
    gate.set()
    for future in futures:
        with pytest.raises(RecoveryFailedError):
            future.result(30)
    assert order == [f"tinker://{name}/weights/x" for name in names]
    with pytest.raises(RecoveryFailedError):
        once.recover("run-2", checkpoint="tinker://run-2/weights/x", restore=slow).result(30)


def test_t092_more_at_a_time(bench: Bench) -> None:
    """T-092."""
    made = RecoveryExecutor(bench.service, RecoveryPolicy(enabled=True, max_attempts=1), max_concurrent=2)
    together = asyncio.Event()
    waiting: list[str] = []

    async def meets(path: str) -> TrainingClient:
        waiting.append(path)
        if len(waiting) == 2:
            together.set()
        await asyncio.wait_for(together.wait(), 10)
        raise ZeroDivisionError

    futures = [made.recover(name, checkpoint="tinker://r/weights/x", restore=meets) for name in ("one", "two")]
    for future in futures:
        with pytest.raises(RecoveryFailedError, match="ZeroDivisionError"):
            future.result(30)
    with pytest.raises(ConfigurationError, match="max_concurrent"):
        RecoveryExecutor(bench.service, RecoveryPolicy(), max_concurrent=0)


def test_t094_callbacks(bench: Bench, client: TrainingClient) -> None:
    """T-094: they get old client, new client and checkpoint; one that raises is logged; one may be async."""
    seen: list[Any] = []

    async def later(*what: Any) -> None:
        await asyncio.sleep(0)
        seen.append(what)

    found = executor(bench, on_recovery=later).recover(client.model_id, client=client).result(30)
    assert seen == [(client, found.client, path(client, "c"))]

    def raises(*what: Any) -> None:
        raise ZeroDivisionError("mine")

    executor(bench, on_recovery=raises).recover(client.model_id).result(30)
    with pytest.raises(RecoveryFailedError):
        executor(bench, on_failure=raises, max_attempts=1).recover("nobody").result(30)
    assert ["mine" in event.detail for event in bench.told("callback_failed")] == [True, True]


def test_t094_a_callback_that_does_not_return_holds_nobody_up(
    bench: Bench, client: TrainingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-094."""
    monkeypatch.setattr("tinker_hl.recovery.executor.CALLBACK_SECONDS", 0.05)
    gate = threading.Event()
    found = executor(bench, on_recovery=lambda *what: gate.wait(20)).recover(client.model_id).result(10)
    gate.set()
    assert found.attempts == 1
    assert bench.told("callback_failed")


def test_t090_an_executor_that_is_off(bench: Bench) -> None:
    """T-090."""
    with pytest.raises(ConfigurationError, match="enabled=True"):
        RecoveryExecutor(bench.service, RecoveryPolicy()).recover("run")
