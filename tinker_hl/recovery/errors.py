"""The errors of recovery. They belong to the tree of `tinker_hl.errors`."""

from tinker_hl.errors import TinkerError

__all__ = ["JournalError", "MissingCheckpointError", "RecoveryFailedError", "RecoveryPendingError"]


class RecoveryFailedError(TinkerError):
    """A model could not be replaced. `__cause__` is the last attempt's error, `attempts` how many there were."""

    default_hint = (
        "Nothing is lost that was journalled: once the cause is gone, open the TrainingRun on the same folder again."
    )

    def __init__(self, message: str, *, attempts: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.attempts = attempts


class MissingCheckpointError(TinkerError):
    """There is no checkpoint that a training run could be made again from."""

    default_hint = "Save one with save_state(), or name one: recover(run_id, checkpoint='tinker://...')."


class RecoveryPendingError(TinkerError, RuntimeError):
    """This training run waits for its recovery already, or is being recovered."""

    default_hint = "Wait for the future that the first call gave."


class JournalError(TinkerError, OSError):
    """The journal of a training run cannot be used: another process has it, or it is no journal."""
