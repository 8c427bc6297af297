"""Dimuon, as far as the protocol defines it, and what it leaves open: Muon (Jordan et al. 2024) on LoRA's factors.

The protocol has its settings: `learning_rate`, `beta1` of an exponential mean of the gradient, `grad_clip_norm` by
global norm (0 is off), no weight decay. Its exact update rule is not public; this is ours, for each factor W (A or B of
a site, [m, n]) with gradient G:

    M <- beta1 M + (1 - beta1) G
    W <- W - learning_rate * 0.2 sqrt(max(m, n)) * msign(M)

msign(M) = U V^T of the singular value decomposition M = U S V^T, the nearest semi-orthogonal matrix, computed exactly
and not by Newton-Schulz steps. The factor 0.2 sqrt(max(m, n)) gives an update the root mean square of a typical step of
AdamW (Liu et al. 2025), so that learning rates mean about the same. The learning rate is not corrected for the rank.
"""

import math
from collections.abc import Mapping
from typing import Final

import attrs
import torch
from torch import Tensor

from tinker_local.engine.lora import Layout
from tinker_local.engine.optimizer import all_finite, clip_by_norm
from tinker_local.engine.protocol import DimuonSettings, UserFaultError

__all__ = ["DimuonState", "dimuon_step", "matrix_sign"]

_LIKE_ADAM: Final = 0.2
_LARGEST: Final = torch.finfo(torch.float32).max
_SMALLEST: Final = 1e-7
"""Directions whose singular value is below this part of the largest are rounding, and get no update."""


@attrs.define(eq=False)
class DimuonState:
    """The mean of the gradient, float32 [size], and how many steps made it."""

    momentum: Tensor
    steps: int = 0

    @classmethod
    def fresh(cls, like: Tensor) -> "DimuonState":
        """Before the first step."""
        return cls(torch.zeros_like(like))


def check_settings(settings: DimuonSettings) -> None:
    """Refuse settings with which no step makes sense.

    Raises:
        UserFaultError: naming the field and the limit.
    """
    if not math.isfinite(settings.learning_rate) or settings.learning_rate < 0:
        raise UserFaultError(
            f"optimizer_params.learning_rate is {settings.learning_rate}; it must be a finite number, 0 or more"
        )
    if not math.isfinite(settings.beta1) or not 0 <= settings.beta1 < 1:
        raise UserFaultError(f"optimizer_params.beta1 is {settings.beta1}; it must be at least 0 and below 1")
    if not math.isfinite(settings.grad_clip_norm):
        raise UserFaultError(f"optimizer_params.grad_clip_norm is {settings.grad_clip_norm}; it must be finite")


@torch.no_grad()
def dimuon_step(
    layout: Layout, weights: Tensor, gradient: Tensor, state: DimuonState, settings: DimuonSettings
) -> Mapping[str, float]:
    """Change `weights` and `state` in place, or neither where the step is refused.

    Args:
        layout: where the factors lie in the vectors.
        weights: float32 [size].
        gradient: float32 [size], finite; overwritten.
        state: of the same size.
        settings: of this step only.

    Returns:
        `grad_norm` before clipping (L2, over the whole adapter) and `learning_rate`.

    Raises:
        UserFaultError: the settings make no sense, or the step leads to numbers that float32 cannot hold.
    """
    check_settings(settings)
    if settings.learning_rate > _LARGEST:
        raise UserFaultError(
            f"optimizer_params.learning_rate is {settings.learning_rate:g}: no float32 holds such a step"
        )
    norm = clip_by_norm(gradient, settings.grad_clip_norm)
    momentum = torch.lerp(state.momentum, gradient, 1 - settings.beta1)
    changed = weights.clone()
    for mean, place in zip(_factors(layout, momentum), _factors(layout, changed), strict=True):
        place.sub_(matrix_sign(mean) * (_LIKE_ADAM * math.sqrt(max(mean.shape))), alpha=settings.learning_rate)
    if not all_finite(changed):
        raise UserFaultError(
            f"this step leads to weights that are not finite (gradient norm {norm:g}, learning_rate "
            f"{settings.learning_rate:g}); nothing was changed. Lower the learning rate"
        )
    weights.copy_(changed)
    state.momentum, state.steps = momentum, state.steps + 1
    return {"grad_norm": norm, "learning_rate": settings.learning_rate}


def matrix_sign(matrix: Tensor) -> Tensor:
    """U V^T of `matrix` [m, n] = U S V^T; zero for directions that it does not have.

    By the eigenvectors of the smaller of its two Gram matrices, in float64: a LoRA factor is thin, so that this is a
    few small products, where a singular value decomposition would work on the long side.
    """
    wide = matrix.double() if matrix.shape[0] <= matrix.shape[1] else matrix.double().T
    largest = float(wide.abs().max())
    if largest == 0.0:
        return torch.zeros_like(matrix)
    wide = wide / largest  # squares of tiny gradients would vanish
    values, vectors = torch.linalg.eigh(wide @ wide.T)
    kept = values > values[-1] * _SMALLEST**2
    inverse = torch.where(kept, values.clamp(min=torch.finfo(torch.float64).tiny).rsqrt(), torch.zeros_like(values))
    sign: Tensor = (vectors * inverse) @ (vectors.T @ wide)
    return (sign if matrix.shape[0] <= matrix.shape[1] else sign.T).to(matrix.dtype)


def _factors(layout: Layout, flat: Tensor) -> list[Tensor]:
    return [factor for pair in layout.views(flat) for factor in pair]
