"""What recovery may do, as values: when it tries, how often, from which checkpoint, and whom it tells. It does nothing.

The defaults are those of the port whose recovery this follows; a test holds each of them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import attrs

from tinker_hl.errors import ConfigurationError
from tinker_hl.types import ParsedCheckpointTinkerPath

if TYPE_CHECKING:
    from tinker_hl.clients.training import TrainingClient

__all__ = ["OnFailure", "OnRecovery", "RecoveryPolicy"]

OnRecovery = Callable[["TrainingClient | None", "TrainingClient", str], Any]
"""Called with the old client (None where there was none), the new one, and the path of the checkpoint."""
OnFailure = Callable[[str, str], Any]
"""Called with the id of the training run and the reason, in words."""


def _positive(_policy: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ConfigurationError(f"RecoveryPolicy.{attribute.name} must be a number above 0, got {value!r}")


def _positive_or_none(policy: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None:
        _positive(policy, attribute, value)


def _count(_policy: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"RecoveryPolicy.{attribute.name} must be a whole number from 1, got {value!r}")


def _strategy(_policy: object, _attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value in ("latest", "best"):
        return
    try:
        kind = ParsedCheckpointTinkerPath.from_tinker_path(str(value)).checkpoint_type
    except ValueError:
        kind = "sampler"
    if kind != "training":
        raise ConfigurationError(
            "RecoveryPolicy.checkpoint_strategy must be 'latest', 'best' or a path like tinker://<run>/weights/<name>, "
            f"got {value!r}"
        )


def _mode(_policy: object, _attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value not in ("min", "max"):
        raise ConfigurationError(f"RecoveryPolicy.best_mode must be 'min' or 'max', got {value!r}")


def _callback(_policy: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not callable(value):
        raise ConfigurationError(f"RecoveryPolicy.{attribute.name} must be a function or None, got {value!r}")


@attrs.frozen(kw_only=True)
class RecoveryPolicy:
    """How a lost model is replaced; all times in seconds. A value that cannot be meant raises `ConfigurationError`.

    Attributes:
        enabled: Whether anything is recovered at all.
        max_attempts: Attempts before it is given up; in a `TrainingRun` also recoveries in a row without a result.
        backoff: Wait after the first failed attempt; it doubles with each further one.
        max_backoff: The longest wait between attempts.
        poll_interval: Seconds between two looks at a training run's record.
        checkpoint_strategy: `latest`; `best` by `best_metric`; or the path of one checkpoint.
        best_metric: The metric that `best` goes by, as a checkpoint's `user_metadata` has it.
        best_mode: Whether the smallest or the largest is the best.
        restore_optimizer: Whether the optimizer's state is loaded too.
        stuck_after: Seconds without an answered call, while one is open, after which a run counts as stuck; None never.
        non_finite: Whether a loss or gradient norm that is no finite number counts as damage.
        loss_spike: Tell of a loss that is this many times the median of the last 20; None does not look.
        on_recovery: Told of each recovery, by (old client, new client, path).
        on_failure: Told when it is given up, by (run id, reason).
    """

    enabled: bool = False
    max_attempts: int = attrs.field(default=3, validator=_count)
    backoff: float = attrs.field(default=5.0, validator=_positive)
    max_backoff: float = attrs.field(default=60.0, validator=_positive)
    poll_interval: float = attrs.field(default=30.0, validator=_positive)
    checkpoint_strategy: str = attrs.field(default="latest", validator=_strategy)
    best_metric: str = "loss:sum"
    best_mode: Literal["min", "max"] = attrs.field(default="min", validator=_mode)
    restore_optimizer: bool = True
    stuck_after: float | None = attrs.field(default=7200.0, validator=_positive_or_none)
    non_finite: bool = True
    loss_spike: float | None = attrs.field(default=None, validator=_positive_or_none)
    on_recovery: OnRecovery | None = attrs.field(default=None, validator=_callback)
    on_failure: OnFailure | None = attrs.field(default=None, validator=_callback)

    def delay(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number `attempt`, from 1: min(backoff * 2**(attempt-1), max_backoff)."""
        return min(self.backoff * 2.0 ** min(attempt - 1, 60), self.max_backoff)
