"""Names that a pass is called with: those of losses and of their inputs, known ones and ones of a newer server.

A server may offer losses, and take inputs, that this client has not heard of. So an unknown name is sent, and the
server judges it; only what is almost a known name is refused here, as a slip of the keyboard: `crossentropy`,
`Cross-Entropy` and `weigths` are, `grpo`, `ppo_clip` and `cross_entropy_v2` are not.
"""

import difflib
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal, TypeAlias, get_args

__all__ = ["LOSS_NAMES", "LossFnType", "checked_loss", "meant_instead"]

LossFnType: TypeAlias = Literal[
    "cross_entropy", "importance_sampling", "ppo", "cispo", "dro", "gspo", "stable_reinforce", "custom"
]
"""Each is a sum over tokens and datums, never a mean."""

LOSS_NAMES: Final[tuple[str, ...]] = get_args(LossFnType)
LIKENESS: Final = 0.8
"""Ratio of `difflib`; at 0.75 `grpo` would be taken for `gspo`, which it is not."""


@lru_cache(maxsize=256)
def meant_instead(name: str, known: tuple[str, ...]) -> str | None:
    """The known name that an unknown one was probably meant to be; None if it stands for itself."""
    if name in known:
        return None
    names = {_folded(one): one for one in known}
    folded = _folded(name)
    if folded not in names and any(name.startswith(one) for one in known):
        return None
    close = difflib.get_close_matches(folded, names, n=1, cutoff=LIKENESS)
    return names[close[0]] if close else None


def _folded(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def checked_loss(
    loss_fn: str, loss_fn_config: Mapping[str, float | str] | None
) -> tuple[str, dict[str, float | str] | None]:
    """The loss of a pass and a copy of its settings.

    Raises:
        TypeError: `loss_fn` is no name, or a setting is neither a number nor text.
        ValueError: `loss_fn` is almost a known name, or a setting is not finite.
    """
    if not isinstance(loss_fn, str):
        raise TypeError(
            f"loss_fn is the name of a loss, got {type(loss_fn).__name__}: for a function use forward_backward_custom"
        )
    meant = meant_instead(loss_fn, LOSS_NAMES)
    if meant is not None:
        raise ValueError(f"there is no loss {loss_fn!r}; did you mean {meant!r}? Known: {', '.join(LOSS_NAMES)}")
    if loss_fn_config is None:
        return loss_fn, None
    return loss_fn, {str(key): _setting(str(key), value) for key, value in loss_fn_config.items()}


def _setting(key: str, value: object) -> float | str:
    if isinstance(value, str):
        return value
    if not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"loss_fn_config[{key!r}] must be a number or text, got {type(value).__name__}")
    number = float(value)  # type: ignore[arg-type]  # it has one of the two
    if not math.isfinite(number):
        raise ValueError(f"loss_fn_config[{key!r}] must be finite, got {number}")
    return number
