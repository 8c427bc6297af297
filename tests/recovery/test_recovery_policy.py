"""The policy and the schedule: defaults, limits, formulas."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.errors import ConfigurationError
from tinker_hl.recovery import CheckpointSchedule, RecoveryPolicy


def test_t090_the_defaults() -> None:
    """T-090."""
    policy = RecoveryPolicy()
    assert policy.enabled is False
    assert policy.max_attempts == 3
    assert (policy.backoff, policy.max_backoff, policy.poll_interval) == (5.0, 60.0, 30.0)
    assert policy.checkpoint_strategy == "latest"
    assert policy.restore_optimizer is True
    assert (policy.on_recovery, policy.on_failure) == (None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": True},
        {"backoff": 0},
        {"backoff": "5"},
        {"max_backoff": -1.0},
        {"poll_interval": float("nan")},
        {"checkpoint_strategy": "newest"},
        {"checkpoint_strategy": "tinker://run/sampler_weights/x"},
        {"best_mode": "most"},
        {"stuck_after": 0},
        {"loss_spike": -2},
        {"on_recovery": 3},
    ],
)
def test_t090_bad_values_are_refused_by_name(wrong: dict[str, Any]) -> None:
    """T-090, where the port falls back to defaults without a word."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RecoveryPolicy(**wrong)


def test_t090_the_strategies() -> None:
    """T-090: latest, a path, and best, which the port only reserves."""
    for strategy in ("latest", "best", "tinker://run/weights/step-1"):
        assert RecoveryPolicy(checkpoint_strategy=strategy).checkpoint_strategy == strategy


@given(attempt=st.integers(1, 10_000), backoff=st.floats(0.001, 1e6), most=st.floats(0.001, 1e6))
def test_t093_the_delay(attempt: int, backoff: float, most: float) -> None:
    """T-093: min(backoff * 2**(attempt - 1), max_backoff)."""
    expected = min(backoff * 2.0 ** min(attempt - 1, 60), most)
    assert RecoveryPolicy(backoff=backoff, max_backoff=most).delay(attempt) == expected


def test_t093_the_delays_by_default() -> None:
    """T-093."""
    assert [RecoveryPolicy().delay(attempt) for attempt in range(1, 7)] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_the_schedules_defaults_and_limits() -> None:
    schedule = CheckpointSchedule()
    assert (schedule.steps, schedule.seconds, schedule.tokens) == (50, None, None)
    assert (schedule.ttl_seconds, schedule.keep, schedule.final_name) == (604_800, 1, "final")
    for wrong in (
        {"steps": 0},
        {"seconds": -1},
        {"tokens": 0},
        {"ttl_seconds": 60},
        {"ttl_seconds": 10**9},
        {"keep": 0},
    ):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            CheckpointSchedule(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schedule", "since", "is_due"),
    [
        ({"steps": 3}, {"steps": 2, "seconds": 1e9, "tokens": 10**9}, False),
        ({"steps": 3}, {"steps": 3, "seconds": 0.0, "tokens": 0}, True),
        ({"steps": None, "seconds": 10.0}, {"steps": 1, "seconds": 10.0, "tokens": 0}, True),
        ({"steps": None, "seconds": 10.0}, {"steps": 0, "seconds": 10.0, "tokens": 0}, False),
        ({"steps": None, "tokens": 100}, {"steps": 1, "seconds": 0.0, "tokens": 100}, True),
        ({"steps": None, "tokens": 100}, {"steps": 1, "seconds": 0.0, "tokens": 99}, False),
        ({"steps": None}, {"steps": 10**6, "seconds": 1e9, "tokens": 10**9}, False),
    ],
)
def test_whichever_comes_first(schedule: dict[str, Any], since: dict[str, Any], is_due: bool) -> None:
    assert CheckpointSchedule(**schedule).is_due(**since) is is_due
