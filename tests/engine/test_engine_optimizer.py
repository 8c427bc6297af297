"""AdamW against torch's own, with settings that change from step to step."""

import attrs
import pytest
import torch

from tinker_local.engine.optimizer import AdamState, adam_step
from tinker_local.engine.protocol import AdamSettings, UserFaultError

SETTINGS = [
    AdamSettings(),
    AdamSettings(learning_rate=1e-2, beta1=0.8, beta2=0.999, eps=1e-8),
    AdamSettings(learning_rate=3e-3, weight_decay=0.1),
    AdamSettings(learning_rate=1e-2, grad_clip_norm=0.3),
    AdamSettings(learning_rate=1e-2, grad_clip_norm=1e6, weight_decay=0.01),
    AdamSettings(learning_rate=0.0),
]


def test_n04_agrees_with_torch_step_by_step() -> None:
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(257, generator=generator)
    theirs = ours.clone().requires_grad_()
    reference = torch.optim.AdamW([theirs])
    state = AdamState.fresh(ours)
    for number in range(24):
        settings = SETTINGS[number % len(SETTINGS)]
        gradient = torch.randn(257, generator=generator)
        theirs.grad = gradient.clone()
        norm = gradient.norm()
        if settings.grad_clip_norm > 0:
            torch.nn.utils.clip_grad_norm_([theirs], settings.grad_clip_norm)
        reference.param_groups[0].update(
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            weight_decay=settings.weight_decay,
        )
        reference.step()
        metrics = adam_step(ours, gradient, state, settings)
        assert metrics == {"grad_norm": pytest.approx(float(norm), rel=1e-6), "learning_rate": settings.learning_rate}
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-6, atol=1e-8)
    assert state.steps == 24


def test_a_step_to_infinity_is_refused_whole() -> None:
    weights, gradient = torch.tensor([3e38, 1.0]), torch.tensor([-1.0, 1.0])
    state = AdamState.fresh(weights)
    with pytest.raises(UserFaultError, match="leads to weights that are not finite"):
        adam_step(weights, gradient, state, AdamSettings(learning_rate=3e38, beta1=0.0))
    assert weights.tolist() == [pytest.approx(3e38), 1.0]
    assert state.steps == 0
    assert not state.mean.any()


def test_eps_0_leaves_weights_without_a_gradient_where_they_are() -> None:
    weights = torch.tensor([0.5, 0.5])
    settings = attrs.evolve(SETTINGS[1], eps=0.0)
    adam_step(weights, torch.tensor([0.0, 1.0]), AdamState.fresh(weights), settings)
    assert weights.tolist() == [0.5, pytest.approx(0.49)]
