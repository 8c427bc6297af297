"""`TrainingRun`: each call counts once, whatever dies; futures, variables, state, checkpoints are as they should be."""

import asyncio
import contextlib
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from client_bench import MODEL
from recovery_bench import Bench, datum, history, one_step

import tinker_hl
from tinker_hl import AdamParams, TrainingClient
from tinker_hl.errors import ConfigurationError, RequestFailedError, SubmissionFailedError, VerificationError
from tinker_hl.recovery import CheckpointSchedule, JournalError, RecoveryFailedError, RecoveryPolicy, TrainingRun
from tinker_hl.recovery.journal import Journal
from tinker_hl.transport.base import Response

STEPS = 7


def train(run: TrainingRun, steps: int = STEPS, *, waits: bool = False) -> list[float]:
    """The whole loop; the losses."""
    passes = []
    with run:
        client = run.client
        for step in run.steps(steps):
            passes.append(one_step(client, step))
            if waits:
                passes[-1].result(30)
        return [each.result(30).metrics["loss:sum"] for each in passes]


def test_without_any_fault(bench: Bench) -> None:
    run = bench.run()
    assert train(run) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert run.final_path is not None
    assert bench.saved(run.final_path) == history(STEPS)
    assert "detected" not in bench.stages()


@pytest.mark.parametrize("word", ["p1", "s1", "p4", "s4", "p7", "s7"])
def test_t092_the_engine_dies_at_any_call_and_nothing_shows(bench: Bench, word: str) -> None:
    """T-092 and what the port lacks: the calls after the checkpoint are made again, and open futures get results."""
    bench.engine.dies_at = [word]
    run = bench.run()
    assert train(run) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert bench.saved(str(run.final_path)) == history(STEPS)
    assert bench.stages().count("completed") == 1
    assert bench.told("replayed")


def test_results_are_verified_on_every_model_of_a_run_and_in_every_program(bench: Bench) -> None:
    """The engine answers a token's number as loss, and logprobs of 0: only the loss of token 0 is the formula's."""

    def run(service: tinker_hl.ServiceClient) -> TrainingRun:
        def make() -> TrainingClient:
            return service.create_lora_training_client(MODEL, rank=4, verify=True)

        return TrainingRun(service, bench.folder / "verified", make, schedule=CheckpointSchedule(steps=3))

    def held_to_the_formula(client: TrainingClient) -> None:
        assert client.forward_backward([datum(0)], "cross_entropy").result(30).metrics["loss:sum"] == 0.0
        for refused in (
            client.forward_backward([datum(2)], "cross_entropy"),
            client.forward([datum(2)], "cross_entropy"),
            client.forward_backward_custom([datum(2)], lambda _, rows: (rows[0].sum(), {})),
        ):
            assert isinstance(refused.exception(30), VerificationError)

    with contextlib.suppress(InterruptedError), run(bench.service) as first:
        for _ in first.steps(2):
            held_to_the_formula(first.client)
            bench.kill_engine()
            held_to_the_formula(first.client)
        assert bench.stages().count("completed") == 2
        raise InterruptedError
    with run(bench.client()) as second:
        for _ in second.steps(3):
            held_to_the_formula(second.client)
    # Of a custom loss only the forward pass is made, and refused; other refused passes have been made.
    assert bench.saved(str(second.final_path)) == ["p0", "p2"] * 5


def test_the_engine_dies_again_while_the_run_is_replayed(bench: Bench) -> None:
    bench.engine.dies_at = ["s5", "p4", "s5", "p6"]
    run = bench.run()
    assert train(run) == [float(step) for step in range(1, STEPS + 1)]
    assert bench.saved(str(run.final_path)) == history(STEPS)
    assert bench.engine.dies_at == []


def test_the_service_is_restarted_between_steps(bench: Bench) -> None:
    run = bench.run()
    with run:
        client = run.client
        before = client.model_id
        for step in run.steps(STEPS):
            one_step(client, step).result(30)
            if step == 4:
                bench.restart()
        assert client is run.client
        assert client.model_id != before
    assert bench.saved(str(run.final_path)) == history(STEPS)


@pytest.mark.parametrize("where", ["forward_backward", "optim_step", "save_weights"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_call_goes_on_with_the_same_model(bench: Bench, where: str, when: str) -> None:
    """Retries do not come through within the deadline; then the call is submitted again under its number."""
    run = bench.run()
    bench.service.subscribe(lambda event: bench.cable.cuts.clear() if event.fields.get("stage") == "detected" else None)
    with run:
        passes = []
        for step in run.steps(STEPS):
            if step == 2:
                bench.cable.cuts = [(where, when)] * 1000
            passes.append(one_step(run.client, step))
            if step == 2:
                passes[-1].result(30)
        before = bench.told("completed")
    assert [each.result(30).metrics["loss:sum"] for each in passes] == [float(step) for step in range(1, STEPS + 1)]
    assert bench.saved(str(run.final_path)) == history(STEPS)
    assert len(bench.engine.histories) == 1, "there was no other model"
    assert len(before) == 1
    assert bench.cable.cuts == []


def test_a_refused_call_is_the_callers_and_forgotten(bench: Bench) -> None:
    """Refused when it was submitted, or when it was worked on: neither is a reason to replace a model."""
    run = bench.run()
    bench.engine.dies_at, bench.engine.refused = ["s3"], {"p99"}
    with run:
        for step in run.steps(4):
            if step == 1:
                with pytest.raises(RequestFailedError, match="planned refusal"):
                    run.client.forward_backward([datum(99)], "cross_entropy").result(30)
                bench.cable.answers["optim_step"] = [Response(status=422, content=b'{"detail": "no"}')]
                with pytest.raises(tinker_hl.UnprocessableEntityError):
                    run.client.optim_step(AdamParams(learning_rate=98)).result(30)
            one_step(run.client, step)
    assert bench.saved(str(run.final_path)) == history(4)
    assert bench.stages().count("completed") == 1


def test_a_model_that_cannot_be_saved_by_any_attempt_is_given_up_and_can_be_taken_up_again(bench: Bench) -> None:
    """T-093: after the last attempt every call raises; the journal is as it was."""
    told: list[tuple[str, str]] = []
    policy = RecoveryPolicy(
        enabled=True, max_attempts=2, on_failure=lambda run_id, reason: told.append((run_id, reason))
    )
    bench.engine.grudges = {"p5"}
    run = bench.run(policy=policy)
    with pytest.raises(RecoveryFailedError, match="2 attempts") as caught:
        train(run, waits=True)
    ((lost, reason),) = told
    assert lost.endswith(":train:0")
    assert "planned failure" in reason
    assert "open the TrainingRun on the same folder again" in str(caught.value)
    bench.engine.grudges = set()
    again = bench.run()
    assert train(again) == [5.0, 6.0, 7.0]
    assert bench.saved(str(again.final_path)) == history(STEPS)


def test_t090_a_policy_that_is_off_leaves_errors_as_they_are(bench: Bench) -> None:
    """T-090: enabled is off unless told; and the run can be entered again."""
    bench.engine.dies_at = ["s5"]
    run = bench.run(policy=RecoveryPolicy())
    with pytest.raises((RequestFailedError, SubmissionFailedError)):
        train(run)
    again = bench.run(policy=RecoveryPolicy())
    assert train(again) == [], "all steps had been written down before the first result was waited for"
    assert bench.saved(str(again.final_path)) == history(STEPS)


def test_the_program_dies_and_its_successor_goes_on(bench: Bench) -> None:
    """The journal of a run whose program was killed in the middle of step 4: two clients, two sessions."""
    died = bench.client()
    run = bench.run(service=died)
    run.__enter__()
    generator = random.Random(3)
    for step in run.steps(5):
        one_step(run.client, step)
        run.state["cursor"] = step + 1
        generator.random()
        if step == 4:
            break
    run._journal.close()  # what the end of the process does to it
    again = bench.run()
    with again:
        assert again.step == 4
        assert again.state == {"cursor": 4}
        passes = [one_step(again.client, step) for step in again.steps(STEPS)]
        assert [each.result(30).metrics["loss:sum"] for each in passes] == [5.0, 6.0, 7.0]
    assert bench.saved(str(again.final_path)) == history(STEPS)
    assert "finish" in bench.cable.paths, "the session of the dead program was ended"
    with pytest.raises((SubmissionFailedError, JournalError, tinker_hl.TinkerError)):
        run.client.optim_step(AdamParams()).result(30)


def test_a_run_that_has_ended_can_go_further(bench: Bench) -> None:
    train(bench.run(), 4)
    same = bench.run()
    with same:
        assert list(same.steps(4)) == []
    longer = bench.run()
    assert train(longer) == [5.0, 6.0, 7.0]
    assert bench.saved(str(longer.final_path)) == history(STEPS)


def test_one_process_at_a_time(bench: Bench) -> None:
    with bench.run(), pytest.raises(JournalError, match="another process"):
        bench.run().__enter__()


def test_a_run_that_another_one_kept_out_can_be_entered_later(bench: Bench) -> None:
    first, second = bench.run(), bench.run()
    with first:
        with pytest.raises(JournalError), second:
            raise AssertionError
        with pytest.raises(ConfigurationError, match="in a `with`"):
            second.client.get_info()
    with second:
        assert second.final_path == first.final_path


def test_waiting_for_the_journal_holds_up_no_loop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is about to end may have it for two seconds more."""
    let_go = threading.Event()

    def waited_for(folder: Path) -> Journal:
        assert let_go.wait(5), "the loop stood still"
        return Journal(folder)

    monkeypatch.setattr("tinker_hl.recovery.run.Journal", waited_for)

    async def entered() -> None:
        run = bench.run()
        entering = asyncio.create_task(run.__aenter__())
        await asyncio.sleep(0)
        let_go.set()
        await entering
        await run.__aexit__(None, None, None)

    asyncio.run(entered())


def test_seeds_are_restored(bench: Bench) -> None:
    """The draws of a run that was left and entered again are those of one that was not."""

    def draws(name: str, stop: int | None) -> list[float]:
        plain, array, tensor = random.Random(1), np.random.default_rng(2), torch.Generator().manual_seed(3)
        drawn = []
        with bench.run(name, generators={"plain": plain, "array": array, "tensor": tensor}) as run:
            for step in run.steps(6):
                if step == stop:
                    raise KeyError(step)
                drawn.append(plain.random() + array.random() + float(torch.rand(1, generator=tensor)))
                one_step(run.client, step)
        return drawn

    whole = draws("whole", None)
    with pytest.raises(KeyError):
        draws("parts", 3)
    assert draws("parts", None) == whole[3:]


def test_everything_works_in_a_coroutine_too(bench: Bench) -> None:
    bench.engine.dies_at = ["s5"]

    async def trained() -> TrainingRun:
        async with bench.run() as run:
            async for step in run.steps(STEPS):
                await one_step(run.client, step)
                await (await run.client.optim_step_async(AdamParams(learning_rate=1000)))
        return run

    words = bench.saved(str(asyncio.run(trained()).final_path))
    assert [word for word in words if word != "s1000"] == history(STEPS)


def test_a_loss_of_ones_own_is_replayed_by_what_it_came_to(bench: Bench) -> None:
    """It is called once a call, though its pass is made three times; and its second pass is in the journal."""
    bench.engine.dies_at = ["s2", "s2"]
    called: list[int] = []

    def loss(data: Any, logprobs: Any) -> Any:
        called.append(int(data[0].model_input.to_ints()[0]))
        return -sum(row.sum() for row in logprobs) * random.random(), {"mine": 1.0}

    run = bench.run()
    with run:
        for step in run.steps(3):
            passed = run.client.forward_backward_custom([datum(step + 1)], loss)
            run.client.optim_step(AdamParams(learning_rate=step + 1))
            assert passed.result(30).metrics["mine"] == 1.0
    assert called == [1, 2, 3]
    assert bench.saved(str(run.final_path)) == history(3)


def test_a_loss_that_calls_its_own_client_is_told_so(bench: Bench) -> None:
    with bench.run() as run:
        client: TrainingClient = run.client

        def loss(data: Any, logprobs: Any) -> Any:
            client.optim_step(AdamParams())
            raise AssertionError

        with pytest.raises(RuntimeError, match="inside its own custom loss"):
            client.forward_backward_custom([datum(1)], loss).result(30)


def test_sampling_clients_and_saves_of_ones_own(bench: Bench) -> None:
    with bench.run() as run:
        one_step(run.client, 0)
        path = run.client.save_state("mine").result(30).path
        assert bench.saved(path) == history(1)
        assert run.client.save_weights_for_sampler("named").result(30).path.endswith("/sampler_weights/named")
        sampler = run.client.save_weights_and_get_sampling_client().result(30)
        prompt, params = tinker_hl.ModelInput.from_ints([1]), tinker_hl.SamplingParams(max_tokens=2)
        assert len(sampler.sample(prompt, 1, params).result(30).sequences) == 1
        with pytest.raises(tinker_hl.BadRequestError, match="exists already"):
            run.client.save_state("mine").result(30)
        with pytest.raises(ConfigurationError, match="recovers by itself"):
            run.client.recover()
        with pytest.raises(ConfigurationError, match="is the run's"):
            run.client.unload_model()
        with pytest.raises(ConfigurationError, match="does not load"):
            run.client.load_state(path)
        with pytest.raises(TypeError, match="pickled"):
            run.client.__reduce__()
    assert bench.stages().count("completed") == 0


def test_rolling_checkpoints_go_and_the_last_one_stays(bench: Bench) -> None:
    run = bench.run(schedule=CheckpointSchedule(steps=2, ttl_seconds=7200))
    rest = bench.service.create_rest_client()
    with run:
        for step in run.steps(5):
            one_step(run.client, step)
        run.checkpoint().result(30)
        listed = {each.checkpoint_id: each for each in rest.list_user_checkpoints().result(30).checkpoints}
        assert all(each.expires_at is not None for each in listed.values())
    (left,) = rest.list_user_checkpoints().result(30).checkpoints
    assert (left.checkpoint_id, left.expires_at) == ("weights/final", None)
    assert left.user_metadata is not None
    assert left.user_metadata["step"] == "5"
    assert left.user_metadata["loss:sum"] == "5.0"


def test_a_state_is_not_saved_while_gradients_wait(bench: Bench) -> None:
    """A checkpoint has no gradients: two passes a step, and a step of the optimizer every second one."""
    bench.engine.dies_at = ["s4"]
    with bench.run(schedule=CheckpointSchedule(steps=1)) as run:
        for step in run.steps(4):
            run.client.forward_backward([datum(step + 1)], "cross_entropy")
            if step % 2 == 1:
                run.client.optim_step(AdamParams(learning_rate=step + 1)).result(30)
            else:
                with pytest.raises(ConfigurationError, match="between steps"):
                    run.checkpoint().result(30)
    assert bench.saved(str(run.final_path)) == ["p1", "p2", "s2", "p3", "p4", "s4"]


def test_a_checkpoint_that_fails_is_tried_again_later(bench: Bench) -> None:
    refusal = Response(status=403, content=b'{"detail": "no"}')
    with bench.run(schedule=CheckpointSchedule(steps=1)) as run:
        for step in run.steps(3):
            if step == 0:
                bench.cable.answers["save_weights"] = [refusal]
            one_step(run.client, step).result(30)
    assert bench.told("checkpoint_failed")
    assert bench.saved(str(run.final_path)) == history(3)


def test_what_a_run_refuses(bench: Bench) -> None:
    for policy in (RecoveryPolicy(checkpoint_strategy="best"), RecoveryPolicy(restore_optimizer=False)):
        with pytest.raises(ConfigurationError, match="RecoveryExecutor"):
            bench.run(policy=policy)
    with pytest.raises(ConfigurationError, match="`with`"):
        _ = bench.run().client
    with bench.run() as run:
        run.state["odd"] = object()
        with pytest.raises(ConfigurationError, match="JSON"):
            run.end_step()
        del run.state["odd"]
    with pytest.raises(ConfigurationError, match="entered already"):
        run.__enter__()


def test_a_not_finite_loss_is_computed_again_once(bench: Bench) -> None:
    """The first answer was a machine's fault; the replay's is believed, and the checkpoint before is kept."""
    bench.engine.losses = {5: [float("nan"), 5.0]}
    run = bench.run()
    assert train(run) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert [event.fields["reason"] for event in bench.told("detected")] == ["non_finite"]
    assert bench.saved(str(run.final_path)) == history(STEPS)


def test_a_loss_that_is_never_finite_is_the_runs_own(bench: Bench) -> None:
    bench.engine.losses = {5: [float("inf")] * 9}
    with bench.run(schedule=CheckpointSchedule(steps=1)) as run:
        for step in run.steps(5):
            loss = one_step(run.client, step).result(30).metrics["loss:sum"]
    assert loss == float("inf")
    assert bench.stages().count("completed") == 1


def test_a_loss_that_stands_out_is_told(bench: Bench) -> None:
    bench.engine.losses = {7: [1000.0]}
    train(bench.run(policy=RecoveryPolicy(enabled=True, loss_spike=10.0)))
    (told,) = bench.told("detected")
    assert (told.fields["reason"], told.fields["loss"]) == ("loss_spike", 1000.0)
    assert "completed" not in bench.stages()


def test_a_replay_that_computes_something_else_is_told(bench: Bench) -> None:
    bench.engine.losses = {4: [4.0, 4.5]}
    with bench.run() as run:
        for step in run.steps(5):
            one_step(run.client, step).result(30)
            if step == 3:
                bench.kill_engine()
    (told,) = bench.told("replay_differs")
    assert "4.0 then, 4.5 now" in told.detail


def test_t094_callbacks_that_raise_harm_nobody(bench: Bench) -> None:
    """T-094; and unlike the port's, the user's variable goes on by itself."""
    seen: list[Any] = []

    def on_recovery(old: Any, new: Any, path: str) -> None:
        seen.append((old.model_id, new.model_id, path))
        raise ZeroDivisionError

    bench.engine.dies_at = ["s4"]
    run = bench.run(policy=RecoveryPolicy(enabled=True, on_recovery=on_recovery))
    assert len(train(run)) == STEPS
    assert bench.told("callback_failed")
    ((old, new, path),) = seen
    assert old != new
    assert path.startswith(f"tinker://{old}/weights/")


def test_a_closed_service_ends_the_run_at_once(bench: Bench) -> None:
    service = bench.client()
    run = bench.run(service=service)
    run.__enter__()
    service.close().result(30)
    with pytest.raises(tinker_hl.TinkerError, match="closed"):
        one_step(run.client, 0).result(30)
    with pytest.raises(tinker_hl.TinkerError, match="closed"):
        run.__exit__(None, None, None)
    assert bench.clock.slept.count(5.0) == 0


def test_t091_a_corrupted_run_is_replaced(bench: Bench) -> None:
    """T-091: the record says so; the run is watched anew under the id of its new model."""
    with bench.run() as run:
        one_step(run.client, 0).result(30)
        before = run.client.model_id
        record = bench.service.create_rest_client().get_training_run(before).result(30)
        body = record.model_copy(update={"corrupted": True}).model_dump_json().encode()
        bench.cable.answers[before] = [Response(status=200, content=body)]
        run._monitor.poll().result(30)
        list(run.steps(1))
        one_step(run.client, 1).result(30)
        assert run.client.model_id != before
        assert run._monitor.watched == (run.client.model_id,)
    assert bench.saved(str(run.final_path)) == history(2)


def test_a_silent_run_is_stuck(bench: Bench) -> None:
    """No call was answered for so long, and one is open: another model, and the calls again."""
    gate, inside = asyncio.Event(), threading.Event()

    async def held(*args: Any, **options: Any) -> Any:
        inside.set()
        await gate.wait()
        raise AssertionError

    with bench.run(policy=RecoveryPolicy(enabled=True, stuck_after=1e-9)) as run:
        one_step(run.client, 0)
        run.client.save_state("answered").result(30)
        assert run._monitor.watched == (run.client.model_id,)
        real, bench.engine.optim_step = bench.engine.optim_step, held  # type: ignore[method-assign]
        open_step = run.client.optim_step(AdamParams(learning_rate=9))
        run.client.save_state("behind")
        assert inside.wait(30)
        bench.engine.optim_step = real  # type: ignore[method-assign]
        run._monitor.poll().result(30)
        open_step.result(30)
    assert [event.fields["reason"] for event in bench.told("detected")] == ["stuck"]
    assert bench.saved(str(run.final_path)) == [*history(1), "s9"]


def test_the_model_may_be_made_by_a_function_that_waits(bench: Bench) -> None:
    def make() -> TrainingClient:
        return bench.service.create_lora_training_client(MODEL, rank=4).result(30)

    with TrainingRun(bench.service, bench.folder / "waited", make) as run:
        assert run.client.get_info().model_data.model_name == MODEL
        assert repr(run).endswith("step=0)")
