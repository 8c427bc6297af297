"""Training that goes on after a loss: of the connection, of the model, of the service, of the training program itself.

`TrainingRun` is a training loop whose lost steps are made again, to the bit. `RecoveryExecutor` and `RecoveryMonitor`
are its parts for loops that replay nothing: they find a lost model and make a client from a checkpoint.
docs/recovery.md shows both.
"""

from tinker_hl.recovery.detection import Detection
from tinker_hl.recovery.errors import JournalError, MissingCheckpointError, RecoveryFailedError, RecoveryPendingError
from tinker_hl.recovery.executor import Recovered, RecoveryExecutor
from tinker_hl.recovery.monitor import RecoveryMonitor
from tinker_hl.recovery.policy import RecoveryPolicy
from tinker_hl.recovery.run import TrainingRun
from tinker_hl.recovery.schedule import CheckpointSchedule

__all__ = [
    "CheckpointSchedule",
    "Detection",
    "JournalError",
    "MissingCheckpointError",
    "Recovered",
    "RecoveryExecutor",
    "RecoveryFailedError",
    "RecoveryMonitor",
    "RecoveryPendingError",
    "RecoveryPolicy",
    "TrainingRun",
]
