"""Dimuon against a slow twin, and through a checkpoint."""

import math
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from tinker_local.engine.core import EngineCore
from tinker_local.engine.dimuon import DimuonState, dimuon_step, matrix_sign
from tinker_local.engine.lora import Site, make_layout
from tinker_local.engine.protocol import AdamSettings, DimuonSettings, LoraSpec, TrainingDatum, UserFaultError

MakeData = Callable[..., list[TrainingDatum]]
SITES = [
    Site(index=0, name="a", part="attn", in_features=6, out_features=10),
    Site(index=1, name="b", part="mlp", in_features=3, out_features=2),
]
LAYOUT = make_layout(SITES, 4)


def sign_by_svd(matrix: torch.Tensor) -> torch.Tensor:
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    kept = s > s[0] * 1e-6
    return ((u * kept) @ v).float()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.floats(1e-20, 1e18), st.integers(0, 1000))
def test_matrix_sign_is_that_of_the_singular_value_decomposition(m: int, n: int, scale: float, seed: int) -> None:
    matrix = torch.randn(m, n, generator=torch.Generator().manual_seed(seed)) * scale
    torch.testing.assert_close(matrix_sign(matrix), sign_by_svd(matrix), rtol=1e-3, atol=1e-4)


def test_a_direction_that_is_not_there_gets_no_update() -> None:
    thin = torch.outer(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(matrix_sign(thin), thin / 5)
    assert not matrix_sign(torch.zeros(2, 3)).any()


def test_agrees_with_its_definition_step_by_step() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(LAYOUT.size, generator=generator)
    expected = [factor.clone() for pair in LAYOUT.views(weights) for factor in pair]
    means = [torch.zeros_like(factor) for factor in expected]
    state = DimuonState.fresh(weights)
    for settings_ in (
        DimuonSettings(learning_rate=1e-2),
        DimuonSettings(learning_rate=3e-3, beta1=0.5, grad_clip_norm=0.7),
        DimuonSettings(learning_rate=0.0, beta1=0.0),
        DimuonSettings(learning_rate=1e-2, grad_clip_norm=-1.0),
    ):
        gradient = torch.zeros(LAYOUT.size)
        for pair in LAYOUT.views(gradient):
            for factor in pair:
                factor.copy_(torch.randn(factor.shape, generator=generator))
        norm = float(gradient.norm())
        clip = min(1.0, settings_.grad_clip_norm / (norm + 1e-6)) if settings_.grad_clip_norm > 0 else 1.0
        parts = [factor.clone() for pair in LAYOUT.views(gradient) for factor in pair]
        metrics = dimuon_step(LAYOUT, weights, gradient, state, settings_)
        for number, part in enumerate(parts):
            means[number] = settings_.beta1 * means[number] + (1 - settings_.beta1) * clip * part
            scale = settings_.learning_rate * 0.2 * math.sqrt(max(part.shape))
            expected[number] = expected[number] - scale * sign_by_svd(means[number])
        assert metrics == {"grad_norm": pytest.approx(norm, rel=1e-6), "learning_rate": settings_.learning_rate}
        found = [factor for pair in LAYOUT.views(weights) for factor in pair]
        for left, right in zip(found, expected, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)
    assert state.steps == 4


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (DimuonSettings(learning_rate=-1.0), "learning_rate is -1.0"),
        (DimuonSettings(learning_rate=math.nan), "learning_rate is nan"),
        (DimuonSettings(learning_rate=1e-3, beta1=1.0), "beta1 is 1.0"),
        (DimuonSettings(learning_rate=1e-3, grad_clip_norm=math.inf), "grad_clip_norm is inf"),
        (DimuonSettings(learning_rate=1e39), "no float32 holds such a step"),
        (DimuonSettings(learning_rate=3.4e38), "leads to weights that are not finite"),
    ],
)
def test_a_step_that_makes_no_sense_changes_nothing(bad: DimuonSettings, message: str) -> None:
    weights, gradient = torch.full((LAYOUT.size,), -3e38), torch.ones(LAYOUT.size)
    state = DimuonState.fresh(weights)
    with pytest.raises(UserFaultError, match=message):
        dimuon_step(LAYOUT, weights, gradient, state, bad)
    assert bool((weights == -3e38).all())
    assert (state.steps, bool(state.momentum.any())) == (0, False)


def step(core: EngineCore, model_id: str, data: list[TrainingDatum]) -> None:
    for _ in core.forward_backward(model_id, data, "cross_entropy", {}, backward=True):
        pass
    core.optim_step(model_id, DimuonSettings(learning_rate=1e-2))


def test_a_resumed_run_goes_on_as_if_never_interrupted(core: EngineCore, make_data: MakeData, tmp_path: Path) -> None:
    core.create_adapter("m", "qwen", LoraSpec(rank=4, seed=1, optimizer="dimuon"))
    data = make_data(8, 12)
    step(core, "m", data)
    core.save_adapter("m", str(tmp_path), optimizer=True)
    assert core.load_adapter("resumed", None, str(tmp_path), True) == LoraSpec(rank=4, optimizer="dimuon")
    core.load_adapter("anew", None, str(tmp_path), False)
    for name in ("m", "resumed", "anew"):
        step(core, name, make_data(10, seed=3))
    flat = {name: core.adapters[name].weights.flat.detach() for name in ("m", "resumed", "anew")}
    assert torch.equal(flat["m"], flat["resumed"])
    assert not torch.equal(flat["m"], flat["anew"])


def test_optimizers_are_not_mixed_up(core: EngineCore, make_data: MakeData, tmp_path: Path) -> None:
    core.create_adapter("m", "qwen", LoraSpec(rank=4, seed=1, optimizer="dimuon"))
    with pytest.raises(UserFaultError, match="the model's optimizer is dimuon, and these are another one's settings"):
        core.optim_step("m", AdamSettings())
    core.save_adapter("m", str(tmp_path), optimizer=True)
    with pytest.raises(UserFaultError, match="the checkpoint's optimizer is dimuon, the model's is adamw"):
        core.load_adapter("n", None, str(tmp_path), True, "adamw")
    assert core.load_adapter("n", None, str(tmp_path), False, "adamw").optimizer == "adamw"
    with pytest.raises(UserFaultError, match="optimizer 'sgd' is not known here; there are adamw, dimuon"):
        core.create_adapter("o", "qwen", LoraSpec(optimizer="sgd"))  # type: ignore[arg-type]
