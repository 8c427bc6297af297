"""Losses of policy gradients against numpy twins and finite differences; distillation, GRPO's divergence."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import policy_twins
import pytest
import torch
from hypothesis import given, settings
from loss_rows import Array, datum, numbers, rows, some, tensors

from tinker_hl import InvalidDatumError, LossOptionError, losses

CASES: list[tuple[str, dict[str, Any]]] = [
    ("CrossEntropy", {}),
    ("CrossEntropy", {"reduction": "mean"}),
    ("ImportanceSampling", {}),
    ("ImportanceSampling", {"reduction": "datum_mean"}),
    ("PPO", {}),
    ("PPO", {"low": 0.5, "high": 1.0, "reduction": "mean"}),
    ("CISPO", {}),
    ("CISPO", {"low": 0.8, "high": 1.2}),
    ("DRO", {}),
    ("DRO", {"beta": 0.7}),
    ("GSPO", {}),
    ("GSPO", {"low": 0.5, "high": 2.0, "reduction": "sum"}),
    ("GRPO", {}),
    ("GRPO", {"reduction": "sum", "low": 0.7}),
    ("ReinforcePlusPlus", {}),
]


def made(name: str, options: dict[str, Any]) -> Any:
    return getattr(losses, name)(**options)


def datums(old: list[Array], advantages: list[Array], weights: list[Array] | None) -> list[Any]:
    rows_ = zip(old, advantages, strict=True)
    data = [datum(len(q), logprobs=q, advantages=a) for q, a in rows_]
    if weights is not None:
        data = [
            datum(len(q), logprobs=q, advantages=a, weights=w) for q, a, w in zip(old, advantages, weights, strict=True)
        ]
    return data


@pytest.mark.parametrize(("name", "options"), CASES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_value_is_that_of_the_twin(name: str, options: dict[str, Any], data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(2, 4), min_size=1, max_size=3))
    logprobs, old = data.draw(rows(sizes)), data.draw(rows(sizes))
    advantages = [np.array(data.draw(numbers(size, -3, 3))) for size in sizes]
    weights = None
    if data.draw(st.booleans()):
        weights = [np.array([0.0] + [1.0] * (size - 1)) for size in sizes]
    found, metrics = made(name, options)(datums(old, advantages, weights), tensors(logprobs))
    ones = [np.ones(size) for size in sizes] if weights is None else weights
    expected = policy_twins.policy(name, logprobs, old, advantages, ones, **options)
    assert found.item() == pytest.approx(expected, rel=1e-5, abs=1e-5), "the datums hold float32"
    assert 0 <= metrics.get("clipped:mean", 0.0) <= 1


def held(name: str, options: dict[str, Any], at: list[Array]) -> Any:
    """The twin as a function of the logprobs, with what the loss takes as a constant held where it is."""
    if name == "CISPO":
        return lambda p, q, a, w: sum(
            float(np.dot(policy_twins.cispo(*each, at=f, **options), each[3]))
            for f, *each in zip(at, p, q, a, w, strict=True)
        )
    return lambda p, q, a, w: policy_twins.policy(name, p, q, a, w, **options)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_gradient_is_that_of_finite_differences(name: str, options: dict[str, Any]) -> None:
    logprobs, old, step = some((3, 4)), some((3, 4), seed=8), 1e-6
    advantages = [each + 1.5 for each in some((3, 4), seed=9)]
    weights = [np.array([0.0, 1, 1]), np.array([1.0, 1, 0, 1])]
    sources = {} if name == "CrossEntropy" else {"advantages": advantages, "old_logprobs": old}
    leaves = tensors(logprobs)
    loss, _ = made(name, {**options, **sources, "weights": weights})([datum(3), datum(4)], leaves)
    torch.autograd.backward(loss)
    twin = held(name, options, logprobs)
    largest = 0.0
    for index, leaf in enumerate(leaves):
        assert leaf.grad is not None
        for place in range(len(leaf)):
            at = []
            for offset in (step, -step):
                moved = [each.copy() for each in logprobs]
                moved[index][place] += offset
                at.append(twin(moved, old, advantages, weights))
            assert leaf.grad[place].item() == pytest.approx((at[0] - at[1]) / (2 * step), abs=1e-6)
            largest = max(largest, abs(leaf.grad[place].item()))
    assert largest > 0.01 or (name, options) == ("GSPO", {}), "the paper's bounds are so narrow that all is clipped"


def test_gspo_has_the_gradient_of_the_protocols_for_one_advantage_a_datum() -> None:
    """Zheng et al.: with one advantage a sequence, the sequence's and the token's variant agree."""
    logprobs, old = some((4,)), some((4,), seed=2)
    options: dict[str, Any] = {"low": 0.01, "high": 100.0, "advantages": [1.5], "old_logprobs": old}
    leaves = tensors(logprobs)
    torch.autograd.backward(losses.GSPO(**options, reduction="sum")([datum(4)], leaves)[0])
    s = math.exp(float(np.mean(logprobs[0] - old[0])))
    assert leaves[0].grad is not None
    assert leaves[0].grad.tolist() == pytest.approx([-s * 1.5] * 4)


def test_the_divergence_of_grpo_is_k3_to_the_reference() -> None:
    logprobs, old, reference = some((3, 4)), some((3, 4), seed=1), some((3, 4), seed=2)
    options: dict[str, Any] = {"advantages": [1.0, -1.0], "old_logprobs": old, "weights": None}
    plain, _ = losses.GRPO(**options)([datum(3), datum(4)], tensors(logprobs))
    loss = losses.GRPO(beta=0.3, reference=reference, **options)
    with_divergence, metrics = loss([datum(3), datum(4)], tensors(logprobs))
    k3 = [np.exp(q - p) - 1 - (q - p) for p, q in zip(logprobs, reference, strict=True)]
    expected = 0.3 * np.mean([each.mean() for each in k3])
    assert (with_divergence - plain).item() == pytest.approx(expected)
    assert metrics["divergence:mean"] == pytest.approx(np.concatenate(k3).mean())
    assert losses.check_gradient(loss, [datum(3), datum(4)], logprobs).largest_difference < 1e-6


def test_distillation_has_the_gradient_of_the_reverse_kl() -> None:
    """Over all tokens, each weighted with the student's probability: sum_k p_k (log p_k - log t_k) d log p_k."""
    p = torch.log_softmax(torch.randn(6, dtype=torch.float64), 0).requires_grad_()
    teacher = torch.log_softmax(torch.randn(6, dtype=torch.float64), 0)
    chances = p.detach().exp()
    loss = losses.OnPolicyDistillation(teacher=[teacher], old_logprobs=[p.detach()], weights=[chances])
    found, metrics = loss([datum(6)], [p])
    (gradient,) = torch.autograd.grad(found, p)
    assert gradient.tolist() == pytest.approx((chances * (p.detach() - teacher)).tolist())
    divergence = (chances * (p.detach() - teacher)).sum().item()
    assert metrics["divergence:mean"] == pytest.approx(divergence)
    assert metrics["ratio:mean"] == pytest.approx(1.0)
    at_hand = [torch.tensor([-1.0, -2.0], dtype=torch.float64), torch.tensor([-0.5, -3.0], dtype=torch.float64)]
    options: dict[str, Any] = {"teacher": [at_hand[0]], "old_logprobs": [at_hand[1]]}
    assert (
        losses.check_gradient(losses.OnPolicyDistillation(**options), [datum(2)], some((2,))).largest_difference < 1e-6
    )


def test_stand_ins_at_prompts_overflow_nowhere() -> None:
    """Old logprobs of 0 at positions that the model finds impossible, without weight or without advantage."""
    for weights, advantages in (([0.0, 1.0], [1.0, 1.0]), ([1.0, 1.0], [0.0, 1.0])):
        data = [datum(2, logprobs=[500.0, -1.0], advantages=advantages, weights=weights)]
        for name in ("ImportanceSampling", "PPO", "CISPO", "GRPO", "ReinforcePlusPlus"):
            leaves = [torch.tensor([1000.0, -1.0], requires_grad=True)]
            loss, _ = made(name, {})(data, leaves)
            torch.autograd.backward(loss)
            assert leaves[0].grad is not None
            assert bool(torch.isfinite(leaves[0].grad).all()), (name, weights)
            assert leaves[0].grad[0] == 0


def test_stand_ins_are_in_no_metric() -> None:
    """A prompt is told apart by its weight or by its advantage: neither its ratio nor its divergence is a number."""
    for weights, advantages in (([0.0, 1.0], [1.0, 1.0]), ([1.0, 1.0], [0.0, 1.0])):
        data = [datum(2, logprobs=[-1000.0, -1.0], advantages=advantages, weights=weights)]
        for name in ("ImportanceSampling", "PPO", "CISPO", "DRO", "GRPO", "ReinforcePlusPlus"):
            _, metrics = made(name, {})(data, tensors([np.array([-2.0, -1.5])]))
            assert metrics["ratio:mean"] == pytest.approx(math.exp(-0.5)), (name, weights)
            assert metrics["clipped:mean"] in (0.0, 1.0), (name, weights)


def test_stand_ins_for_the_reference_of_grpo_overflow_nowhere() -> None:
    data = [datum(2, logprobs=[0.0, -1.0], advantages=[1.0, 1.0], weights=[0.0, 1.0], reference_logprobs=[0.0, -1.0])]
    leaves = [torch.tensor([-200.0, -1.5], requires_grad=True)]
    loss, metrics = losses.GRPO(beta=0.5)(data, leaves)
    torch.autograd.backward(loss)
    assert leaves[0].grad is not None
    assert bool(torch.isfinite(leaves[0].grad).all())
    assert leaves[0].grad[0] == 0
    assert metrics["divergence:mean"] == pytest.approx(math.exp(0.5) - 1 - 0.5)


def test_what_is_missing_or_wrong_is_named() -> None:
    data = [datum(2, logprobs=[0.0, 0.0], advantages=[1.0, 1.0]), datum(2, logprobs=[0.0, 0.0])]
    with pytest.raises(InvalidDatumError, match=r"datum 1 loss_fn_inputs\['advantages'\]: the loss reads it"):
        losses.PPO()(data, tensors(some((2, 2))))
    with pytest.raises(LossOptionError, match=r"PPO.low must be high, 1, or less, got 1.2"):
        losses.PPO(low=1.2, high=1.0)
    with pytest.raises(LossOptionError, match=r"GRPO.beta must be 0 or more"):
        losses.GRPO(beta=-0.1)
    with pytest.raises(LossOptionError, match="cannot be 'none'"):
        losses.CrossEntropy(reduction="none")
