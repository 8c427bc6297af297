"""Advantages of sampled answers, from their rewards: plain numpy, no torch.

The answers of one prompt are a group. What needs a spread or a baseline of others needs groups of two or more; a group
in which all rewards are equal has the advantage 0 throughout, exactly.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinker_hl.errors import LossOptionError

__all__ = [
    "dr_grpo_advantages",
    "grpo_advantages",
    "reinforce_plus_plus_advantages",
    "rloo_advantages",
]

Floats = NDArray[np.float64]
LEAST_SPREAD: Final = 1e-6


def grpo_advantages(rewards: ArrayLike, *, epsilon: float = LEAST_SPREAD) -> Floats:
    """(r_i - mean) / (std + epsilon) within each group (Shao et al. 2024); std is the sample's, over n - 1.

    Args:
        rewards: [n], one group, or [groups, n].
        epsilon: What keeps a small spread from being divided by.

    Returns:
        float64, shaped as the rewards.

    Raises:
        LossOptionError: Rewards of another shape, not finite, or a group of one.
    """
    found = _rewards(rewards)
    return _scaled(_centred(found), found.std(axis=-1, ddof=1, keepdims=True) + epsilon)


def dr_grpo_advantages(rewards: ArrayLike) -> Floats:
    """r_i - mean within each group (Liu et al. 2025): without the division by the spread, which favours easy prompts.

    Args:
        rewards: [n], one group, or [groups, n].

    Returns:
        float64, shaped as the rewards.

    Raises:
        LossOptionError: Rewards of another shape, not finite, or a group of one.
    """
    return _centred(_rewards(rewards))


def rloo_advantages(rewards: ArrayLike) -> Floats:
    """r_i minus the mean of the others of its group (Kool et al. 2019; Ahmadian et al. 2024).

    Args:
        rewards: [n], one group, or [groups, n].

    Returns:
        float64, shaped as the rewards.

    Raises:
        LossOptionError: Rewards of another shape, not finite, or a group of one.
    """
    found = _rewards(rewards)
    count = found.shape[-1]
    # r - (sum - r) / (n - 1) = (r - mean) n / (n - 1)
    advantages: Floats = _centred(found) * (count / (count - 1))
    return advantages


def reinforce_plus_plus_advantages(
    rewards: ArrayLike,
    logprobs: Sequence[ArrayLike],
    reference: Sequence[ArrayLike] | None = None,
    *,
    beta: float = 0.01,
    epsilon: float = LEAST_SPREAD,
) -> list[Floats]:
    """Token by token, normalised over the whole call (Hu 2025, REINFORCE++).

    A_it = r_i - beta * sum_(s >= t) (p_is - ref_is), then (A - mean) / (std + epsilon) over all tokens of all answers.

    Args:
        rewards: [n], one an answer.
        logprobs: Of each answer's tokens under the model that sampled them, n times [T].
        reference: Of the same under the reference; None for no divergence.
        beta: Of the divergence.
        epsilon: What keeps a small spread from being divided by.

    Returns:
        n arrays, float64 [T].

    Raises:
        LossOptionError: The lengths do not fit, a number is not finite, or there is no token.
    """
    answers = [np.asarray(each, dtype=np.float64) for each in logprobs]
    given = np.asarray(rewards, dtype=np.float64)
    if given.shape != (len(answers),):
        raise LossOptionError(f"rewards have shape {list(given.shape)} for {len(answers)} answers", field="rewards")
    others = answers if reference is None else [np.asarray(each, dtype=np.float64) for each in reference]
    if [each.shape for each in others] != [each.shape for each in answers]:
        raise LossOptionError("reference must have the shapes of logprobs", field="reference")
    apart = [beta * (p - q) for p, q in zip(answers, others, strict=True)]
    returns = [reward - np.cumsum(each[::-1])[::-1] for reward, each in zip(given, apart, strict=True)]
    flat = np.concatenate([np.empty(0), *returns])
    if not flat.size:
        raise LossOptionError("the answers have no tokens", field="logprobs")
    if not np.isfinite(flat).all():
        raise LossOptionError("rewards, logprobs and reference must be finite", field="rewards")
    advantages = _scaled(_centred(flat), flat.std() + epsilon)
    return np.split(advantages, np.cumsum([each.size for each in returns])[:-1])


def _centred(values: Floats) -> Floats:
    """What each is above the mean of its row. Of equal values the mean may be a rounding away: they are 0 above it."""
    equal = values.min(axis=-1, keepdims=True) == values.max(axis=-1, keepdims=True)
    centred: Floats = np.where(equal, 0.0, values - values.mean(axis=-1, keepdims=True))
    return centred


def _scaled(centred: Floats, spread: Any) -> Floats:
    """Divided by the spread, which may be 0 where nothing is to be divided."""
    scaled: Floats = np.divide(centred, spread, out=np.zeros_like(centred), where=centred != 0)
    return scaled


def _rewards(rewards: Any) -> Floats:
    try:
        found = np.asarray(rewards, dtype=np.float64)
    except ValueError:
        raise LossOptionError(
            "rewards must be numbers, [n] or [groups, n], and all groups of one size",
            field="rewards",
            hint="Call it once a group where groups differ in size.",
        ) from None
    if found.ndim not in (1, 2) or found.shape[-1] < 2:
        raise LossOptionError(
            f"rewards must be [n] or [groups, n] with n of 2 or more, got {list(found.shape)}",
            field="rewards",
            hint="One answer has nothing to be compared with: sample more than one a prompt.",
        )
    if not np.isfinite(found).all():
        raise LossOptionError("rewards must be finite", field="rewards")
    return found
