"""What stays and what goes; the row "Retention policy / GC" of 4.7."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from client_bench import KEY, MODEL, SocketService
from hypothesis import given, settings
from hypothesis import strategies as st

from tinker_hl import Checkpoint, RestClient, ServiceClient
from tinker_hl.checkpoints import PrunePlan, RetentionPolicy, plan_prune, prune, prune_async
from tinker_hl.checkpoints import pruning as module
from tinker_hl.errors import PermissionDeniedError

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def saved(number: int, run: str = "r", kind: str = "weights", name: str | None = None, **more: Any) -> Checkpoint:
    path = f"tinker://{run}/{kind}/{name or f'step-{number}'}"
    kinds = {"weights": "training", "sampler_weights": "sampler"}
    return Checkpoint(
        checkpoint_id=path.partition("r/")[2],
        checkpoint_type=kinds[kind],  # type: ignore[arg-type]
        time=BEGIN + timedelta(hours=number),
        tinker_path=path,
        size_bytes=10,
        **more,
    )


def names(plan: PrunePlan) -> list[str]:
    return [decision.checkpoint.tinker_path.rpartition("/")[2] for decision in plan.kept]


def reason(plan: PrunePlan, name: str) -> tuple[str, ...]:
    return next(one.reasons for one in plan.decisions if one.checkpoint.tinker_path.endswith(f"/{name}"))


def test_the_last_and_every_kth_and_the_best_and_the_pinned_stay() -> None:
    all_of_them = [saved(n, user_metadata={"loss": str(abs(n - 7))}) for n in range(1, 13)]
    policy = RetentionPolicy(keep_last=2, keep_every=4, keep_best=2, best_by="loss", pinned=["step-1", "other"])
    plan = plan_prune(reversed(all_of_them), policy)
    assert names(plan) == ["step-1", "step-4", "step-6", "step-7", "step-8", "step-11", "step-12"]
    assert plan.freed_bytes == 50
    assert plan.dry_run
    assert reason(plan, "step-7") == ("one of the 2 best: loss 0",)
    assert reason(plan, "step-12") == ("one of the last 2", "step 12 is a multiple of 4")
    assert reason(plan, "step-1") == ("pinned",)
    assert reason(plan, "step-2") == ("no rule keeps it",)


def test_the_highest_can_be_the_best_and_metrics_can_be_given() -> None:
    all_of_them = [saved(n) for n in range(5)]
    given_ones = {one.tinker_path: float(n) for n, one in enumerate(all_of_them[:4])}
    policy = RetentionPolicy(keep_best=1, best_by="reward", best_is="highest")
    assert names(plan_prune(all_of_them, policy, metrics=given_ones)) == ["step-3", "step-4"]


def test_each_run_and_each_kind_is_looked_at_by_itself() -> None:
    mixed = [saved(n, run, kind) for n in range(3) for run in ("r", "q") for kind in ("weights", "sampler_weights")]
    plan = plan_prune(mixed, RetentionPolicy(keep_last=1))
    assert len(plan.kept) == 4
    assert all(one.tinker_path.endswith("step-2") for one in (decision.checkpoint for decision in plan.kept))


def test_what_a_rule_cannot_tell_stays() -> None:
    strange = [
        saved(1, name="final"),
        saved(2, user_metadata={"step": "x"}),
        saved(3, user_metadata={"step": "40"}),
        saved(4, name="step-41"),
        saved(5, public=True),
        saved(6, user_metadata={"pinned": "True"}),
        saved(7),
        saved(9),
    ]
    plan = plan_prune(strange, RetentionPolicy(keep_every=10))
    assert names(plan) == ["final", "step-2", "step-3", "step-5", "step-6", "step-9"]
    assert reason(plan, "final") == ("its step is not known",)
    assert reason(plan, "step-9") == ("the newest",)
    losses = [saved(1, user_metadata={"loss": "nan"}), saved(2), saved(3, user_metadata={"loss": "1"}), saved(4)]
    plan = plan_prune(losses, RetentionPolicy(keep_best=1, best_by="loss"))
    assert reason(plan, "step-1") == ("its loss is not known",)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({}, "keeps nothing"),
        ({"pinned": ["a"]}, "keeps nothing"),
        ({"keep_last": -1}, "keep_last"),
        ({"keep_best": 2}, "best_by"),
        ({"keep_last": 1, "best_is": "middle"}, "best_is"),
    ],
)
def test_policies_that_make_no_sense(rules: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RetentionPolicy(**rules)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(-5, 5) | st.none()), unique_by=lambda one: one[0], max_size=15),
    st.integers(0, 4),
    st.integers(0, 6),
    st.integers(0, 3),
)
def test_pruning_twice_is_pruning_once_and_the_newest_is_always_there(
    steps: list[tuple[int, float | None]], last: int, every: int, best: int
) -> None:
    if not last + every + best:
        return
    policy = RetentionPolicy(keep_last=last, keep_every=every, keep_best=best, best_by="loss")
    members = [saved(step, user_metadata={} if loss is None else {"loss": str(loss)}) for step, loss in steps]
    once = plan_prune(members, policy)
    again = plan_prune([decision.checkpoint for decision in once.kept], policy)
    assert again.going == []
    assert len(once.decisions) == len(members)
    if members:
        assert max(members, key=lambda one: one.time) in [decision.checkpoint for decision in once.kept]


@pytest.fixture
def rest(large_service: SocketService) -> Iterator[RestClient]:
    with ServiceClient(base_url=large_service.base_url, api_key=KEY) as service:
        yield service.create_rest_client()


@pytest.fixture
def run_id(large_service: SocketService) -> str:
    with ServiceClient(base_url=large_service.base_url, api_key=KEY) as service:
        training = service.create_lora_training_client(MODEL, rank=4)
        for step in range(1, 5):
            training.save_state(f"s{step}").result(30)
        return str(training.model_id)


def there(rest: RestClient, run_id: str) -> set[str]:
    return {one.checkpoint_id for one in rest.list_checkpoints(run_id).result(30).checkpoints}


def test_a_dry_run_comes_first_and_then_they_are_gone(rest: RestClient, run_id: str) -> None:
    policy = RetentionPolicy(keep_last=1, keep_every=2)
    everything = {f"weights/s{step}" for step in range(1, 5)}
    dry = prune(rest, policy, training_run_id=run_id)
    assert dry.dry_run
    assert len(dry.going) == 2
    assert there(rest, run_id) == everything
    told: list[str] = []
    done = prune(
        rest,
        policy,
        training_run_id=run_id,
        dry_run=False,
        progress=lambda one: told.append(one.checkpoint.checkpoint_id),
    )
    assert [decision.deleted for decision in done.going] == [True, True]
    assert sorted(told) == ["weights/s1", "weights/s3"]
    assert there(rest, run_id) == {"weights/s2", "weights/s4"}
    assert asyncio.run(prune_async(rest, policy, training_run_id=run_id, dry_run=False)).going == []


def test_what_cannot_be_deleted_stops_no_others(rest: RestClient, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RestClient.delete_checkpoint_from_tinker_path

    class Refused:
        def result(self, timeout: float) -> None:
            raise PermissionDeniedError(message="not yours")

    monkeypatch.setattr(
        RestClient,
        "delete_checkpoint_from_tinker_path",
        lambda self, path: Refused() if path.endswith("s1") else real(self, path),
    )
    done = prune(rest, RetentionPolicy(keep_last=1), training_run_id=run_id, dry_run=False)
    assert [one.failure.message for one in done.failures if one.failure] == ["not yours"]
    assert there(rest, run_id) == {"weights/s1", "weights/s4"}


def test_one_that_was_replaced_meanwhile_stays(rest: RestClient, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = module.list_all
    changed = [lambda path: None, lambda path: rest.publish_checkpoint_from_tinker_path(path).result(30)]

    def listing(rest: RestClient, run: str | None, *, timeout: float) -> list[Checkpoint]:
        changed.pop(0)(f"tinker://{run_id}/weights/s2")
        return listed(rest, run, timeout=timeout)

    monkeypatch.setattr(module, "list_all", listing)
    done = prune(rest, RetentionPolicy(keep_last=1), training_run_id=run_id, dry_run=False)
    assert there(rest, run_id) == {"weights/s2", "weights/s4"}
    assert reason(done, "s2") == ("it changed meanwhile",)


def test_all_pages_are_read(rest: RestClient, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    paths = [one.tinker_path for one in module.list_all(rest)]
    assert {f"tinker://{run_id}/weights/s{step}" for step in range(1, 5)} <= set(paths)
    assert len(paths) == len(set(paths)) == rest.list_user_checkpoints().result(30).cursor.total_count  # type: ignore[union-attr]
