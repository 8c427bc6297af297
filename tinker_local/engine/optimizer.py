"""AdamW on one flat vector, with clipping by global norm (Loshchilov & Hutter 2019, as `torch.optim.AdamW` has it).

Each step uses only the settings it is given; nothing but the moments and the count of steps is remembered. It knows
nothing of layers: the vector is the whole adapter.
"""

import math
from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from tinker_local.engine.protocol import AdamSettings, UserFaultError

__all__ = ["AdamState", "adam_step", "all_finite", "check_settings", "clip_by_norm"]

_LARGEST = torch.finfo(torch.float32).max
_CLIP_EPSILON = 1e-6
"""As in `torch.nn.utils.clip_grad_norm_`."""


@attrs.define(eq=False)
class AdamState:
    """Moments of the gradient, float32 [size], and how many steps made them."""

    mean: Tensor
    square: Tensor
    steps: int = 0

    @classmethod
    def fresh(cls, like: Tensor) -> "AdamState":
        """Before the first step."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))


def check_settings(settings: AdamSettings) -> None:
    """Refuse settings with which no step makes sense.

    Raises:
        UserFaultError: naming the field and the limit.
    """
    for name in ("learning_rate", "eps", "weight_decay", "grad_clip_norm"):
        value = getattr(settings, name)
        if not _is_finite(value) or value < 0:
            raise UserFaultError(f"adam_params.{name} is {value}; it must be a finite number, 0 or more")
    for name in ("beta1", "beta2"):
        value = getattr(settings, name)
        if not _is_finite(value) or not 0 <= value < 1:
            raise UserFaultError(f"adam_params.{name} is {value}; it must be at least 0 and below 1")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def all_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity, in one pass over it (`isfinite().all()` makes three)."""
    return bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all())


def clip_by_norm(gradient: Tensor, limit: float) -> float:
    """Scale `gradient` in place so that its L2 norm is at most `limit` (0 or less is off); its norm before that."""
    norm = _norm(gradient)
    if limit > 0:
        gradient.mul_(min(1.0, limit / (norm + _CLIP_EPSILON)))
    return norm


def _norm(gradient: Tensor) -> float:
    """L2 norm; in float64 only where the squares are too large for float32."""
    norm = float(torch.linalg.vector_norm(gradient))
    return norm if math.isfinite(norm) else float(torch.linalg.vector_norm(gradient, dtype=torch.float64))


@torch.no_grad()
def adam_step(weights: Tensor, gradient: Tensor, state: AdamState, settings: AdamSettings) -> Mapping[str, float]:
    """Change `weights` and `state` in place, or neither where the step is refused.

    Args:
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
    norm = clip_by_norm(gradient, settings.grad_clip_norm)
    steps = state.steps + 1
    step_size = settings.learning_rate / (1 - settings.beta1**steps)
    shrink = 1 - settings.learning_rate * settings.weight_decay
    if max(step_size, abs(shrink), settings.eps) > _LARGEST:
        raise UserFaultError(f"adam_params.learning_rate is {settings.learning_rate:g}: no float32 holds such a step")
    mean = torch.lerp(state.mean, gradient, 1 - settings.beta1)
    square = (state.square * settings.beta2).addcmul_(gradient, gradient, value=1 - settings.beta2)
    correction = math.sqrt(1 - settings.beta2**steps)
    denominator = square.sqrt().div_(correction).add_(settings.eps)
    changed = weights * shrink
    changed.addcdiv_(mean, denominator, value=-step_size)
    # Padding between the matrices has no gradient: with eps 0 it would be 0/0 and so would a matrix not reached yet.
    if settings.eps == 0:
        changed = torch.where(denominator == 0, weights, changed)
    if not (all_finite(changed) and all_finite(square)):
        raise UserFaultError(
            f"this step leads to weights that are not finite (gradient norm {norm:g}, learning_rate "
            f"{settings.learning_rate:g}); nothing was changed. Lower the learning rate, clip, or raise eps"
        )
    weights.copy_(changed)
    state.mean, state.square, state.steps = mean, square, steps
    return {"grad_norm": norm, "learning_rate": settings.learning_rate}
