"""DPO, IPO, SimPO and KTO against numpy twins, finite differences, and what their papers say of them."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import policy_twins
import pytest
import torch
from hypothesis import given, settings
from loss_rows import datum, rows, some, tensors

from tinker_hl import InvalidDatumError, LossOptionError, losses

PAIR_LOSSES: list[tuple[str, Any, dict[str, Any]]] = [
    ("DPO", policy_twins.dpo, {}),
    ("DPO", policy_twins.dpo, {"beta": 0.5, "label_smoothing": 0.2}),
    ("IPO", policy_twins.ipo, {}),
    ("IPO", policy_twins.ipo, {"tau": 0.5}),
    ("SimPO", policy_twins.simpo, {}),
    ("SimPO", policy_twins.simpo, {"beta": 1.5, "gamma": 0.25}),
]
GOOD = [1.0, 0.0, 0.0, 1.0]


def made(name: str, reference: Any, options: dict[str, Any]) -> Any:
    more = {} if name == "SimPO" else {"reference": reference}
    return getattr(losses, name)(**more, **options)


def masks(sizes: list[int]) -> list[Any]:
    return [np.array([0.0] + [1.0] * (size - 1)) for size in sizes]


@pytest.mark.parametrize(("name", "twin", "options"), PAIR_LOSSES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_pairs_value_is_that_of_the_twin(name: str, twin: Any, options: dict[str, Any], data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(2, 4), min_size=2, max_size=3).map(lambda half: half * 2))
    logprobs, reference = data.draw(rows(sizes)), data.draw(rows(sizes))
    datums = [datum(size, weights=mask) for size, mask in zip(sizes, masks(sizes), strict=True)]
    found, metrics = made(name, reference, options)(datums, tensors(logprobs))
    assert found.item() == pytest.approx(twin(logprobs, masks(sizes), reference, **options), rel=1e-9)
    assert 0 <= metrics["accuracy:mean"] <= 1


@pytest.mark.parametrize(("name", "twin", "options"), PAIR_LOSSES)
def test_pairs_gradient_is_that_of_finite_differences(name: str, twin: Any, options: dict[str, Any]) -> None:
    logprobs, reference = some((3, 2, 4, 3)), some((3, 2, 4, 3), seed=1)
    data = [datum(len(each)) for each in logprobs]
    assert losses.check_gradient(made(name, reference, options), data, logprobs).largest_difference < 1e-6


def test_dpo_of_a_model_that_is_its_reference_is_log_2_and_half_the_gradient() -> None:
    """Rafailov et al.: the gradient is -beta sigmoid(-beta h) (d chosen - d rejected)."""
    logprobs = some((3, 2))
    leaves = tensors(logprobs)
    loss, metrics = losses.DPO(beta=0.3, reference=logprobs)([datum(3), datum(2)], leaves)
    torch.autograd.backward(loss)
    assert loss.item() == pytest.approx(math.log(2))
    assert metrics == {"accuracy:mean": 0.0, "margin:mean": pytest.approx(0.0)}
    gradients = [leaf.grad.tolist() for leaf in leaves if leaf.grad is not None]
    assert gradients == [pytest.approx([-0.15] * 3), pytest.approx([0.15] * 2)]


def test_ipo_is_least_at_its_margin() -> None:
    reference, loss = some((1, 1)), losses.IPO(tau=0.125, reference=some((1, 1)))
    for apart, expected in ((2.0, 0.0), (1.0, 4.0)):
        shifted = [reference[0] + apart, reference[1] - apart]
        assert loss([datum(1), datum(1)], tensors(shifted))[0].item() == pytest.approx(expected, abs=1e-12)


KTO_OPTIONS: list[dict[str, Any]] = [{}, {"divergence": "none"}, {"beta": 0.5, "good_weight": 1.5, "bad_weight": 0.5}]


@pytest.mark.parametrize("options", KTO_OPTIONS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_kto_value_is_that_of_the_twin(options: dict[str, Any], data: st.DataObject) -> None:
    sizes = [2, 3, 4, 2]
    logprobs, reference = data.draw(rows(sizes)), data.draw(rows(sizes))
    good = data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=4, max_size=4))
    datums = [datum(s, weights=m, good=[g]) for s, m, g in zip(sizes, masks(sizes), good, strict=True)]
    expected = policy_twins.kto(logprobs, masks(sizes), reference, good=good, **options)
    for source in ("good", good, [bool(each) for each in good]):
        found, metrics = losses.KTO(good=source, reference=reference, **options)(datums, tensors(logprobs))
        assert found.item() == pytest.approx(expected, rel=1e-9)
        assert metrics["good:mean"] == sum(good) / 4


@pytest.mark.parametrize("options", KTO_OPTIONS)
def test_kto_gradient_takes_the_divergence_as_a_constant(options: dict[str, Any]) -> None:
    logprobs = some((2, 3, 2, 1))
    reference = [each - 0.5 for each in some((2, 3, 2, 1), seed=3)]
    loss = losses.KTO(good=GOOD, reference=reference, weights=None, **options)
    leaves, step = tensors(logprobs), 1e-6
    value, metrics = loss([datum(len(each)) for each in logprobs], leaves)
    torch.autograd.backward(value)
    ones = [np.ones_like(each) for each in logprobs]
    z = metrics["divergence:mean"]
    assert (z > 0.1) == (options.get("divergence") != "none"), "else it would be 0 by the clamp, and a constant anyway"
    for index, leaf in enumerate(leaves):
        assert leaf.grad is not None
        for place in range(len(leaf)):
            at = []
            for offset in (step, -step):
                moved = [each.copy() for each in logprobs]
                moved[index][place] += offset
                at.append(policy_twins.kto(moved, ones, reference, good=GOOD, z=z, **options))
            assert leaf.grad[place].item() == pytest.approx((at[0] - at[1]) / (2 * step), abs=1e-7)


def test_what_cannot_be_a_pair_is_refused() -> None:
    with pytest.raises(InvalidDatumError, match="takes pairs, chosen and rejected in turn, and got 3 datums"):
        losses.DPO()([datum(2)] * 3, tensors(some((2, 2, 2))))
    with pytest.raises(InvalidDatumError, match=r"datum 0 loss_fn_inputs\['reference_logprobs'\]: the loss reads it"):
        losses.IPO()([datum(2)] * 2, tensors(some((2, 2))))
    nothing = [datum(2), datum(2, weights=[0.0, 0.0])]
    with pytest.raises(InvalidDatumError, match="datum 1: nothing of this answer counts"):
        losses.SimPO()(nothing, tensors(some((2, 2))))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: losses.DPO(beta=0), "beta"),
        (lambda: losses.DPO(label_smoothing=0.6), "label_smoothing"),
        (lambda: losses.IPO(tau=-1), "tau"),
        (lambda: losses.SimPO(gamma=math.inf), "gamma"),
        (lambda: losses.KTO(good="good", divergence="pairs"), "divergence"),
    ],
)
def test_options_are_refused_by_name(make: Any, field: str) -> None:
    with pytest.raises(LossOptionError, match=rf"\.{field} "):
        make()
