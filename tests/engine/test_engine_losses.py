"""N4: each loss against a slow twin that follows the protocol's formula token by token, in float64."""

import math
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from tinker_local.engine.losses import LOSSES, parse_loss
from tinker_local.engine.protocol import UserFaultError

Twin = Callable[[torch.Tensor, dict[str, torch.Tensor], dict[str, float], int], torch.Tensor]


def clipped(r: torch.Tensor, given_: dict[str, torch.Tensor], config: dict[str, float], t: int) -> torch.Tensor:
    low = given_["clip_low_threshold"][t] if "clip_low_threshold" in given_ else config["clip_low_threshold"]
    high = given_["clip_high_threshold"][t] if "clip_high_threshold" in given_ else config["clip_high_threshold"]
    return max(min(r, torch.as_tensor(high)), torch.as_tensor(low))


def cross_entropy(p: torch.Tensor, d: dict[str, torch.Tensor], c: dict[str, float], t: int) -> torch.Tensor:
    return -p[t]


def importance_sampling(p: torch.Tensor, d: dict[str, torch.Tensor], c: dict[str, float], t: int) -> torch.Tensor:
    return -(p[t] - d["logprobs"][t]).exp() * d["advantages"][t]


def ppo(p: torch.Tensor, d: dict[str, torch.Tensor], c: dict[str, float], t: int) -> torch.Tensor:
    r, a = (p[t] - d["logprobs"][t]).exp(), d["advantages"][t]
    return -min(r * a, clipped(r, d, c, t) * a)


def cispo(p: torch.Tensor, d: dict[str, torch.Tensor], c: dict[str, float], t: int) -> torch.Tensor:
    r = (p[t] - d["logprobs"][t]).exp().detach()
    return -clipped(r, d, c, t) * p[t] * d["advantages"][t]


def dro(p: torch.Tensor, d: dict[str, torch.Tensor], c: dict[str, float], t: int) -> torch.Tensor:
    return -(p[t] * d["advantages"][t] - 0.5 * c["beta"] * (p[t] - d["logprobs"][t]) ** 2)


def gspo(p: torch.Tensor, d: dict[str, torch.Tensor], c: dict[str, float], t: int) -> torch.Tensor:
    masked = [i for i in range(len(p)) if d["sequence_ratio_mask"][i] != 0]
    mean = sum(p[i].item() - d["logprobs"][i].item() for i in masked) / len(masked) if masked else 0.0
    s, a = torch.exp(mean + p[t] - p[t].detach()), d["advantages"][t]
    return -min(s * a, clipped(s, d, c, t) * a)


TWINS: dict[str, Twin] = {
    "cross_entropy": cross_entropy,
    "importance_sampling": importance_sampling,
    "ppo": ppo,
    "cispo": cispo,
    "dro": dro,
    "gspo": gspo,
}
CONFIGS: dict[str, list[dict[str, float]]] = {
    "ppo": [{}, {"clip_low_threshold": 0.5}, {"clip_low_threshold": 0.9, "clip_high_threshold": 1.0}],
    "cispo": [{}, {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}],
    "dro": [{}, {"beta": 0.7}],
    "gspo": [{}, {"clip_low_threshold": 0.7, "clip_high_threshold": 1.3}],
}
DEFAULTS: dict[str, dict[str, float]] = {
    "ppo": {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2},
    "cispo": {"clip_low_threshold": 0.0, "clip_high_threshold": 4.0},
    "dro": {"beta": 0.05},
    "gspo": {"clip_low_threshold": 0.9997, "clip_high_threshold": 1.0004},
}
CASES = [(name, config) for name in TWINS for config in CONFIGS.get(name, [{}])]


def test_every_loss_has_a_twin() -> None:
    assert set(LOSSES) == set(TWINS)


@pytest.mark.parametrize(("name", "config"), CASES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_n04_value_and_gradient(name: str, config: dict[str, float], data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 6))

    def tensor(low: float, high: float) -> torch.Tensor:
        values = data.draw(st.lists(st.floats(low, high, width=32), min_size=size, max_size=size))
        return torch.tensor(values, dtype=torch.float64)

    inputs: dict[str, torch.Tensor] = {"logprobs": tensor(-6, 0), "advantages": tensor(-3, 3)}
    if data.draw(st.booleans()):
        inputs["weights"] = tensor(-2, 2)
    if name == "gspo":
        inputs["sequence_ratio_mask"] = tensor(0, 1).round()
    if name in ("ppo", "cispo", "gspo") and data.draw(st.booleans()):
        inputs["clip_low_threshold"], inputs["clip_high_threshold"] = tensor(0.125, 0.875), tensor(1.125, 3)
    p = tensor(-6, 0)
    fast, slow = p.clone().requires_grad_(), p.clone().requires_grad_()
    read = {key: value for key, value in inputs.items() if key in parse_loss(name, config).reads}
    terms = parse_loss(name, config).terms(fast, read, torch.zeros(size, dtype=torch.int64))
    complete = {**DEFAULTS.get(name, {}), **config}
    weights = inputs.get("weights", torch.ones(size, dtype=torch.float64))
    expected = torch.stack([weights[t] * TWINS[name](slow, inputs, complete, t) for t in range(size)])
    torch.autograd.backward(terms.sum())
    torch.autograd.backward(expected.sum() + 0 * slow.sum())  # a clipped token alone has no gradient at all
    torch.testing.assert_close(terms, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(fast.grad, slow.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("value", ["0.8", None, math.nan, math.inf, True])
def test_a_setting_is_a_finite_number(value: Any) -> None:
    with pytest.raises(UserFaultError, match=r"loss_fn_config\['beta'\] is .*; it must be a finite number"):
        parse_loss("dro", {"beta": value})


def test_gspo_keeps_sequences_apart() -> None:
    """The terms of two data together are the terms of each alone."""
    loss = parse_loss("gspo", {"clip_low_threshold": 0.5, "clip_high_threshold": 2.0})
    generator = torch.Generator().manual_seed(1)
    p = torch.randn(7, generator=generator, dtype=torch.float64)
    given_ = {name: torch.randn(7, generator=generator, dtype=torch.float64) for name in ("logprobs", "advantages")}
    given_["sequence_ratio_mask"] = torch.tensor([0.0, 1, 1, 1, 0, 1, 1], dtype=torch.float64)
    together = loss.terms(p, given_, torch.tensor([0, 0, 0, 1, 1, 1, 1]))
    cuts = (slice(0, 3), slice(3, 7))
    alone = [
        loss.terms(p[cut], {name: value[cut] for name, value in given_.items()}, torch.zeros(len(p[cut]), dtype=int))
        for cut in cuts
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_loss_without_a_published_formula_is_refused_with_what_to_use() -> None:
    with pytest.raises(UserFaultError, match=r"stable_reinforce.*not published; use importance_sampling"):
        parse_loss("stable_reinforce", {"kl_coeff": 0.1})
