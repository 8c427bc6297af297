"""When a training run is saved, under which names, and for how long. It saves nothing."""

from typing import Any

import attrs

from tinker_hl.errors import ConfigurationError

__all__ = ["CheckpointSchedule"]

HOUR, TEN_YEARS = 3600, 315_360_000
"""What servers allow as a time to live, in seconds."""


def _above_zero(_schedule: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not value > 0:
        raise ConfigurationError(f"CheckpointSchedule.{attribute.name} must be above 0 or None, got {value!r}")


def _lifetime(_schedule: object, _attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not HOUR <= value <= TEN_YEARS:
        raise ConfigurationError(
            f"CheckpointSchedule.ttl_seconds must be from {HOUR} (an hour) to {TEN_YEARS} (ten years), got {value!r}"
        )


def _kept(_schedule: object, _attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value < 1:
        raise ConfigurationError(f"CheckpointSchedule.keep must be 1 or more, got {value!r}")


@attrs.frozen(kw_only=True)
class CheckpointSchedule:
    """After how much a run is saved; whichever comes first. Always at the end of a step that has no gradients waiting.

    The fewer, the more has to be computed again after a loss; nothing else depends on it.

    Attributes:
        steps: Steps since the last checkpoint; None does not count them.
        seconds: Seconds since then.
        tokens: Tokens in passes with gradients since then.
        ttl_seconds: How long the server keeps a rolling checkpoint that is not deleted; None for ever.
        keep: How many rolling checkpoints there are. An older one is deleted when a newer one was acknowledged.
        final_name: Of the checkpoint at the end of the run, which stays for ever.
    """

    steps: int | None = attrs.field(default=50, validator=_above_zero)
    seconds: float | None = attrs.field(default=None, validator=_above_zero)
    tokens: int | None = attrs.field(default=None, validator=_above_zero)
    ttl_seconds: int | None = attrs.field(default=604_800, validator=_lifetime)
    keep: int = attrs.field(default=1, validator=_kept)
    final_name: str = "final"

    def is_due(self, *, steps: int, seconds: float, tokens: int) -> bool:
        """Whether it is time, so much after the last checkpoint."""
        pairs = ((self.steps, steps), (self.seconds, seconds), (self.tokens, tokens))
        return steps > 0 and any(limit is not None and since >= limit for limit, since in pairs)
