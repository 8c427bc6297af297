"""Advantages against loops in plain Python, and what their papers say of them."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tinker_hl import LossOptionError
from tinker_hl.losses import (
    dr_grpo_advantages,
    grpo_advantages,
    reinforce_plus_plus_advantages,
    rloo_advantages,
)

GROUPS = st.lists(st.floats(-10, 10), min_size=2, max_size=6)


@given(rewards=GROUPS)
def test_of_one_group(rewards: list[float]) -> None:
    count = len(rewards)
    mean = sum(rewards) / count
    spread = (sum((r - mean) ** 2 for r in rewards) / (count - 1)) ** 0.5
    assert grpo_advantages(rewards) == pytest.approx([(r - mean) / (spread + 1e-6) for r in rewards], abs=1e-6)
    assert dr_grpo_advantages(rewards) == pytest.approx([r - mean for r in rewards])
    leave_one_out = [r - (sum(rewards) - r) / (count - 1) for r in rewards]
    assert rloo_advantages(rewards) == pytest.approx(leave_one_out, abs=1e-9)


@given(rewards=GROUPS)
def test_rloo_is_dr_grpo_scaled(rewards: list[float]) -> None:
    """Liu et al. 2025, appendix: the two differ by n / (n - 1)."""
    count = len(rewards)
    assert rloo_advantages(rewards) == pytest.approx(dr_grpo_advantages(rewards) * count / (count - 1), abs=1e-9)


def test_groups_are_kept_apart_and_equal_rewards_give_zero() -> None:
    rewards = np.array([[1.0, 0.0, 1.0], [5.0, 5.0, 5.0]])
    for advantages in (grpo_advantages, dr_grpo_advantages, rloo_advantages):
        found = advantages(rewards)
        assert found[0] == pytest.approx(advantages(rewards[0]))
        assert found[1].tolist() == [0.0, 0.0, 0.0]


def test_equal_rewards_give_zero_also_where_their_mean_is_a_rounding_away() -> None:
    """The mean of three times 0.1 is not 0.1, and what is left over is as large as its own spread."""
    rewards = [0.1, 0.1, 0.1]
    assert float(np.mean(rewards)) != 0.1
    for found in (
        grpo_advantages(rewards),
        grpo_advantages(rewards, epsilon=0.0),
        dr_grpo_advantages(rewards),
        rloo_advantages(rewards),
        *reinforce_plus_plus_advantages(rewards, [[-1.0, -2.0], [-3.0], [-1.0]], epsilon=0.0),
    ):
        assert not found.any()


def test_reinforce_plus_plus_token_by_token() -> None:
    rewards, beta = [1.0, 0.0], 0.1
    logprobs = [[-1.0, -2.0, -0.5], [-0.25, -1.0]]
    reference = [[-1.5, -1.0, -0.5], [-0.5, -2.0]]
    returns = []
    for reward, p, q in zip(rewards, logprobs, reference, strict=True):
        returns.append([reward - beta * sum(p[s] - q[s] for s in range(t, len(p))) for t in range(len(p))])
    flat = [x for row in returns for x in row]
    mean = sum(flat) / len(flat)
    spread = (sum((x - mean) ** 2 for x in flat) / len(flat)) ** 0.5
    found = reinforce_plus_plus_advantages(rewards, logprobs, reference, beta=beta)
    for row, expected in zip(found, returns, strict=True):
        assert row == pytest.approx([(x - mean) / (spread + 1e-6) for x in expected])
    joined = np.concatenate(found)
    assert joined.mean() == pytest.approx(0.0, abs=1e-12)
    assert joined.std() == pytest.approx(1.0, rel=1e-4)
    plain = reinforce_plus_plus_advantages(rewards, logprobs)
    assert len(set(plain[0].tolist())) == 1, "without a reference all tokens of an answer have one advantage"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grpo_advantages([1.0]), r"\[n\] or \[groups, n\] with n of 2 or more, got \[1\]"),
        (lambda: rloo_advantages(3.0), r"got \[\]"),
        (lambda: grpo_advantages([[1.0, 0.0], [1.0, 0.0, 1.0]]), "all groups of one size"),
        (lambda: dr_grpo_advantages([1.0, float("nan")]), "must be finite"),
        (lambda: reinforce_plus_plus_advantages([1.0], [[-1.0], [-2.0]]), "for 2 answers"),
        (lambda: reinforce_plus_plus_advantages([1.0], [[-1.0]], [[-1.0, -2.0]]), "shapes of logprobs"),
        (lambda: reinforce_plus_plus_advantages([float("inf")], [[-1.0]]), "must be finite"),
        (lambda: reinforce_plus_plus_advantages([], []), "no tokens"),
        (lambda: reinforce_plus_plus_advantages([1.0], [[]]), "no tokens"),
    ],
)
def test_what_cannot_be_compared_is_refused(call: Any, message: str) -> None:
    with pytest.raises(LossOptionError, match=message):
        call()
