"""What a term of a pipeline is multiplied with: a number, a schedule over steps, or a controller that seeks a target.

A schedule is any function of the step, counted from 0. A controller has a state: it is told the value that its term
had. The module knows nothing of losses. Neither torch nor numpy is imported here.
"""

import math
from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import attrs

from tinker_hl.losses.options import at_least, between, positive, refused, whole

__all__ = ["AdaptiveKL", "Coefficient", "Controller", "Cosine", "Linear", "WarmUp"]


@runtime_checkable
class Controller(Protocol):
    """A coefficient with a state."""

    value: float
    """The coefficient of the next evaluation; what is saved and restored with a pipeline."""

    def observe(self, value: float) -> None:
        """Learn the value that the term just had, before its coefficient."""


Schedule: TypeAlias = Callable[[int], float]
"""The coefficient at a step, counted from 0."""
Coefficient: TypeAlias = float | Schedule | Controller


@attrs.frozen
class Linear:
    """From `start` to `end` in equal parts: start + (end - start) * min(step / steps, 1); `end` from then on."""

    start: float = attrs.field(validator=at_least(0))
    end: float = attrs.field(validator=at_least(0))
    steps: int = attrs.field(validator=whole(1))

    def __call__(self, step: int) -> float:
        """The coefficient at a step."""
        return self.start + (self.end - self.start) * min(step / self.steps, 1.0)


@attrs.frozen
class Cosine:
    """From `start` to `end` along half a cosine: end + (start - end) * (1 + cos(pi * min(step / steps, 1))) / 2.

    Loshchilov and Hutter, 2017, without restarts.
    """

    start: float = attrs.field(validator=at_least(0))
    end: float = attrs.field(validator=at_least(0))
    steps: int = attrs.field(validator=whole(1))

    def __call__(self, step: int) -> float:
        """The coefficient at a step."""
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * min(step / self.steps, 1.0))) / 2


@attrs.frozen
class WarmUp:
    """From 0 up to another coefficient: `then` * (step + 1) / steps during the first `steps` steps, `then` after them.

    Args:
        steps: How many; the first has one part of `steps`, so that no step is without the term.
        then: A number, or a schedule, which is asked for the step that is left after the warm-up, 0 during it.
    """

    steps: int = attrs.field(validator=whole(1))
    then: float | Schedule = 1.0

    def __attrs_post_init__(self) -> None:
        if not callable(self.then):
            at_least(0)(self, attrs.fields(WarmUp).then, self.then)

    def __call__(self, step: int) -> float:
        """The coefficient at a step."""
        then = self.then(max(0, step - self.steps)) if callable(self.then) else self.then
        return then * min(1.0, (step + 1) / self.steps)


@attrs.define
class AdaptiveKL:
    """Seeks a target for a term's value, a KL divergence as a rule; the controller of Ziegler et al. 2019, section 2.2.

    After each evaluation, with the value v that the term had:

        error = clip(v / target - 1, -clip, clip)
        coefficient = clip(coefficient * (1 + gain * error), lowest, highest)

    The target is in the term's own unit: with `reduction="mean"` nats a token, whatever the batch's size.

    Args:
        target: What the value should be.
        value: The coefficient to begin with; afterwards the present one.
        gain: The paper's K_beta.
        clip: The most that the error counts.
        lowest: The coefficient is never below; above 0, since it could not grow from there again.
        highest: Never above.
    """

    target: float = attrs.field(validator=positive)
    value: float = attrs.field(default=0.2, validator=positive)
    gain: float = attrs.field(default=0.1, validator=between(0, 1), kw_only=True)
    clip: float = attrs.field(default=0.2, validator=between(0, 1), kw_only=True)
    lowest: float = attrs.field(default=1e-6, validator=positive, kw_only=True)
    highest: float = attrs.field(default=1e3, validator=positive, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not self.lowest <= self.value <= self.highest:
            raise refused(self, "value", f"must be between lowest, {self.lowest:g}, and highest, {self.highest:g}")

    def observe(self, value: float) -> None:
        """Change the coefficient by what the term's value was."""
        error = max(-self.clip, min(self.clip, value / self.target - 1))
        self.value = max(self.lowest, min(self.highest, self.value * (1 + self.gain * error)))
