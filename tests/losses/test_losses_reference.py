"""The numpy references of the protocol's losses against loops, and against the service's own torch formulas (4.4)."""

import math
import subprocess
import sys
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from loss_rows import datum, numbers, rows

from tinker_hl import InvalidDatumError, LossOptionError, losses
from tinker_hl.types import TensorData
from tinker_local.engine.losses import LOSSES, parse_loss

CASES: list[tuple[str, dict[str, float]]] = [
    ("cross_entropy", {}),
    ("importance_sampling", {}),
    ("ppo", {}),
    ("ppo", {"clip_low_threshold": 0.5, "clip_high_threshold": 1.0}),
    ("cispo", {}),
    ("cispo", {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}),
    ("dro", {}),
    ("dro", {"beta": 0.7}),
    ("gspo", {}),
    ("gspo", {"clip_low_threshold": 0.5, "clip_high_threshold": 2.0}),
]


@pytest.mark.parametrize(("name", "config"), CASES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_each_loss_is_the_services(name: str, config: dict[str, float], data: st.DataObject) -> None:
    """Position by position, with and without weights and bounds of the datum's own."""
    (p,) = data.draw(rows([data.draw(st.integers(1, 6))]))
    size = len(p)
    inputs = {"logprobs": data.draw(rows([size]))[0], "advantages": np.array(data.draw(numbers(size, -3, 3)))}
    inputs["sequence_ratio_mask"] = np.array(data.draw(numbers(size, 0, 1))).round()
    if data.draw(st.booleans()):
        inputs["weights"] = np.array(data.draw(numbers(size, -2, 2)))
    if data.draw(st.booleans()):
        inputs["clip_low_threshold"] = np.array(data.draw(numbers(size, 0.125, 0.875)))
        inputs["clip_high_threshold"] = np.array(data.draw(numbers(size, 1.125, 3)))
    loss = parse_loss(name, config)
    given_ = {key: torch.from_numpy(inputs[key]) for key in loss.reads if key in inputs}
    expected = loss.terms(torch.from_numpy(p), given_, torch.zeros(size, dtype=torch.int64))
    found = losses.elementwise_loss(name, p, inputs, config)
    assert found == pytest.approx(expected.numpy(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["importance_sampling", "ppo", "cispo"])
def test_a_position_without_weight_counts_for_nothing_whatever_stands_in_for_its_logprob(name: str) -> None:
    """Here and at the service: e^998 times a weight of 0 is not a number."""
    p, advantages = np.array([-2.0, -1.0]), np.array([1.0, 1.0])
    inputs = {"logprobs": np.array([-1000.0, -1.0]), "advantages": advantages, "weights": np.array([0.0, 1.0])}
    leaf = torch.tensor(p, requires_grad=True)
    loss = parse_loss(name, {})
    given_ = {key: torch.from_numpy(value) for key, value in inputs.items()}
    terms = loss.terms(leaf, given_, torch.zeros(2, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(terms.sum(), leaf)
    assert gradient[0] == 0
    assert gradient[1] != 0
    for found in (terms.detach().numpy(), losses.elementwise_loss(name, p, inputs)):
        assert found[0] == 0
        assert math.isfinite(found[1])


def test_every_loss_of_the_service_has_a_reference_with_its_defaults() -> None:
    assert dict(losses.REFERENCE_DEFAULTS) == {name: dict(kind.settings) for name, kind in LOSSES.items()}


def test_the_torch_losses_are_the_references() -> None:
    """`PPO()` in a pipeline is what `forward_backward(data, "ppo")` is."""
    generator = np.random.default_rng(3)
    sizes = (3, 5)
    data = [
        datum(
            size,
            logprobs=-generator.uniform(0.1, 3, size),
            advantages=generator.normal(size=size),
            weights=generator.uniform(0, 2, size),
        )
        for size in sizes
    ]
    logprobs = [-generator.uniform(0.1, 3, size) for size in sizes]
    pairs: dict[str, Any] = {
        "cross_entropy": losses.CrossEntropy(),
        "importance_sampling": losses.ImportanceSampling(),
        "ppo": losses.PPO(),
        "cispo": losses.CISPO(),
        "dro": losses.DRO(),
    }
    for name, loss in pairs.items():
        found = loss(data, [torch.tensor(row, requires_grad=True) for row in logprobs])[0].item()
        assert found == pytest.approx(losses.reference_loss(name, data, logprobs)), name


def test_rows_of_candidates() -> None:
    p, weights = np.log(np.array([[0.5, 0.25], [0.125, 0.5]])), np.array([[1.0, 0.0], [0.5, 2.0]])
    assert losses.elementwise_loss("cross_entropy", p, {"weights": weights}) == pytest.approx(-p * weights)
    assert losses.elementwise_loss("cross_entropy", p, {}) == pytest.approx(-p)


def test_a_stand_in_where_the_advantage_is_zero_overflows_nowhere() -> None:
    inputs = {"logprobs": np.array([-2000.0, -1.0]), "advantages": np.array([0.0, 1.0])}
    for name in ("importance_sampling", "ppo", "cispo"):
        assert losses.elementwise_loss(name, np.array([-1.0, -1.0]), inputs)[0] == 0.0


def test_tensor_data_as_the_server_sends_it() -> None:
    row = TensorData.from_numpy(np.array([-1.0, -2.0], dtype=np.float32))
    assert losses.reference_loss("cross_entropy", [datum(2, weights=[1.0, 0.5])], [row]) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("loss_fn", "inputs", "config", "error", "message"),
    [
        ("stable_reinforce", {}, {}, LossOptionError, "no reference for the loss 'stable_reinforce', only for"),
        ("dro", {}, {"gamma": 1.0}, LossOptionError, r"loss_fn_config\['gamma'\] = 1.0 is none of dro's: beta"),
        ("cross_entropy", {}, {"x": 1.0}, LossOptionError, "it has none"),
        ("ppo", {"advantages": [1.0]}, {}, InvalidDatumError, r"loss_fn_inputs\['logprobs'\]: ppo needs it"),
        ("ppo", {"advantages": [1.0, 2.0]}, {}, InvalidDatumError, r"shape \[2\] does not fit the logprobs"),
    ],
)
def test_what_has_no_reference_is_refused(
    loss_fn: str, inputs: Any, config: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        losses.elementwise_loss(loss_fn, [-1.0], inputs, config)


def test_a_call_names_the_datum_that_does_not_fit() -> None:
    data = [datum(2), datum(2, weights=[1.0, math.pi])]
    with pytest.raises(InvalidDatumError, match=r"^datum 1 loss_fn_inputs\['weights'\]: shape \[2\] does not fit"):
        losses.reference_loss("cross_entropy", data, [np.zeros(2), np.zeros(3)])


def test_references_advantages_and_schedules_work_without_torch() -> None:
    names = (
        "elementwise_loss, reference_loss, grpo_advantages, rloo_advantages, AdaptiveKL, Linear, Cosine, WarmUp, "
        "CustomLossOutput, RegularizerOutput, reference_logprobs, with_reference"
    )
    program = f"import sys; sys.modules['torch'] = None; from tinker_hl.losses import {names}; print(elementwise_loss('cross_entropy', [-2.0], {{}}))"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[2.]"


def test_each_public_name_is_there_and_listed() -> None:
    for name in losses.__all__:
        assert getattr(losses, name) is not None
        assert name in dir(losses)
    with pytest.raises(AttributeError, match="Nonsense"):
        losses.Nonsense  # noqa: B018  # reading it is the test
