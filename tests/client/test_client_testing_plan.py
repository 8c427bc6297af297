"""Plans: the same faults for the same requests, whatever comes between them."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.testing import KINDS, SURVIVABLE, Fault, FaultPlan
from tinker_hl.testing.endpoint import endpoint_of
from tinker_hl.testing.plan import FaultSchedule

ENDPOINTS = ["optim_step", "forward_backward", "retrieve_future"]


def url(endpoint: str) -> str:
    return f"http://server/base/api/v1/{endpoint}"


def carried_out(plan: FaultPlan, endpoints: list[str]) -> list[tuple[str, int, Fault | None]]:
    schedule = FaultSchedule(plan)
    return [schedule.next(url(endpoint)) for endpoint in endpoints]


def test_a_placed_fault_meets_its_request_and_no_other() -> None:
    plan = FaultPlan.at(("optim_step", 2), "cut_after_commit") | FaultPlan.at(("save_*", 1), Fault("delay", 2.0))
    met = carried_out(plan, ["optim_step", "forward", "optim_step", "optim_step", "save_weights", "save_weights"])
    assert [fault and fault.kind for _, _, fault in met] == [None, None, "cut_after_commit", None, "delay", None]
    assert met[2][:2] == ("optim_step", 2)
    assert met[4][2] == Fault("delay", seconds=2.0)


@given(
    seed=st.integers(0, 2**64),
    rate=st.floats(0, 1),
    order=st.lists(st.sampled_from(ENDPOINTS), max_size=60),
    other=st.randoms(use_true_random=False),
)
def test_faults_depend_on_the_order_at_each_endpoint_only(seed: int, rate: float, order: list[str], other: Any) -> None:
    plan = FaultPlan.random(seed, rate=rate)
    shuffled = list(order)
    other.shuffle(shuffled)
    assert sorted(carried_out(plan, order), key=repr) == sorted(carried_out(plan, shuffled), key=repr)


@given(
    plans=st.lists(
        st.one_of(
            st.builds(
                lambda endpoint, number, kind, seconds: FaultPlan.at((endpoint, number), Fault(kind, seconds)),
                st.sampled_from(ENDPOINTS),
                st.integers(1, 9),
                st.sampled_from(KINDS),
                st.sampled_from([0.05, 1.5]),
            ),
            st.builds(
                lambda seed, rate, kinds, at, limit, seconds: FaultPlan.random(
                    seed, rate=rate, kinds=kinds, at=at, limit=limit, seconds=seconds
                ),
                st.integers(),
                st.floats(0, 1),
                st.one_of(st.just(SURVIVABLE), st.lists(st.sampled_from(KINDS), min_size=1)),
                st.sampled_from([("*",), ("optim_step", "forward*")]),
                st.none() | st.integers(0, 9),
                st.sampled_from([0.05, 1.5]),
            ),
        ),
        max_size=4,
    )
)
def test_the_repr_of_a_plan_makes_it_again(plans: list[FaultPlan]) -> None:
    plan = FaultPlan()
    for more in plans:
        plan |= more
    again = eval(repr(plan))
    assert repr(again) == repr(plan)
    order = [endpoint for _ in range(12) for endpoint in ENDPOINTS]
    assert carried_out(again, order) == carried_out(plan, order)


def test_a_rate_is_the_share_of_requests_and_every_kind_comes() -> None:
    met = carried_out(FaultPlan.random(3, rate=0.25), ["optim_step"] * 4000)
    faults = [fault.kind for _, _, fault in met if fault is not None]
    assert 0.22 < len(faults) / len(met) < 0.28
    assert set(faults) == set(SURVIVABLE)
    assert not any(fault for _, _, fault in carried_out(FaultPlan.random(3, rate=0.0), ["optim_step"] * 100))


def test_another_seed_gives_other_faults() -> None:
    first, second = (carried_out(FaultPlan.random(seed, rate=0.5), ["optim_step"] * 50) for seed in (1, 2))
    assert first != second


def test_a_limit_and_patterns_bound_what_is_injected() -> None:
    plan = FaultPlan.random(1, rate=1.0, at=("forward*",), limit=3)
    met = carried_out(plan, ["optim_step", "forward", "forward_backward", "optim_step", *["forward"] * 5])
    assert [fault is not None for _, _, fault in met] == [False, True, True, False, True, *[False] * 4]


def test_the_first_plan_that_has_a_fault_counts() -> None:
    plan = FaultPlan.at(("optim_step", 1), "402") | FaultPlan.random(1, rate=1.0, kinds=["500"])
    assert [fault.kind for _, _, fault in carried_out(plan, ["optim_step"] * 2) if fault] == ["402", "500"]
    assert plan.kinds == {"402", "500"}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Fault("cut_everything"), "no fault 'cut_everything'; there are refused,"),  # type: ignore[arg-type]
        (lambda: FaultPlan.at(("optim_step", 0), "500"), "numbered from 1, got 0"),
        (lambda: FaultPlan.random(1, rate=10), "from 0 to 1, got 10"),
        (lambda: FaultPlan.random(1, kinds=[]), "at least one fault"),
        (lambda: Fault("delay").answer(), "answers nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()


def test_each_kind_reaches_the_server_or_not_and_answers_or_not() -> None:
    unseen = {kind for kind in KINDS if not Fault(kind).reaches_server}
    assert unseen == {"refused", "unresolved", "cut_before_send", "402", "410", "429", "429_retry_after", "500", "503"}
    statuses = {kind: Fault(kind).answer().status for kind in KINDS if Fault(kind).status is not None}
    assert statuses == {
        "402": 402,
        "410": 410,
        "429": 429,
        "429_retry_after": 429,
        "500": 500,
        "503": 503,
        "503_after_commit": 503,
    }
    assert Fault("429_retry_after", 1.5).answer().headers["retry-after"] == "2"
    assert Fault("429_retry_after", 1.5).answer().headers["retry-after-ms"] == "1500"
    assert "retry-after" not in Fault("429").answer().headers


def spec_paths() -> list[str]:
    from tinker_local.spec import load_spec

    return sorted({operation.path for operation in load_spec().operations})


@pytest.mark.parametrize("path", spec_paths())
def test_an_endpoint_is_named_by_its_path_without_ids(path: str) -> None:
    ids = (f"Id-{number}:0" for number in itertools.count())
    parts = path.removeprefix("/api/v1/").split("/")
    filled = "/".join(next(ids) if part.startswith("{") else part for part in parts)
    expected = "/".join("*" if part.startswith("{") else part for part in parts)
    assert endpoint_of(f"https://host/services/x/api/v1/{filled}?limit=3") == expected


def test_what_is_not_the_api_is_named_by_its_path() -> None:
    assert endpoint_of("https://storage/bucket/archive.tar.gz?sig=1") == "/bucket/archive.tar.gz"
