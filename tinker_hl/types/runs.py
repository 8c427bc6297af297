"""Training runs and their checkpoints."""

from datetime import datetime
from typing import Final, Literal, TypeAlias

import attrs

from tinker_hl.types.record import Answer
from tinker_hl.types.scalars import moment, moment_or_none

__all__ = [
    "Checkpoint",
    "CheckpointArchiveUrlResponse",
    "CheckpointType",
    "CheckpointsListResponse",
    "Cursor",
    "ParsedCheckpointTinkerPath",
    "TrainingRun",
    "TrainingRunsResponse",
]

CheckpointType: TypeAlias = Literal["training", "sampler", "external"]

_TYPE_OF_SEGMENT: Final[dict[str, CheckpointType]] = {
    "weights": "training",
    "sampler_weights": "sampler",
    "external_weights": "external",
}


@attrs.frozen(kw_only=True)
class Checkpoint(Answer):
    """A saved state of a run. `expires_at` None is never."""

    checkpoint_id: str
    checkpoint_type: CheckpointType
    time: datetime = attrs.field(converter=moment)
    tinker_path: str
    size_bytes: int | None = None
    public: bool = False
    user_metadata: dict[str, str] | None = None
    expires_at: datetime | None = attrs.field(default=None, converter=moment_or_none)


@attrs.frozen(kw_only=True)
class ParsedCheckpointTinkerPath(Answer):
    """The parts of `tinker://<run>/<segment>/<name>`; `checkpoint_id` is `<segment>/<name>`."""

    tinker_path: str
    training_run_id: str
    checkpoint_type: CheckpointType
    checkpoint_id: str

    @classmethod
    def from_tinker_path(cls, tinker_path: str) -> "ParsedCheckpointTinkerPath":
        """Parse a path. Raises `ValueError` if it is none."""
        parts = tinker_path.removeprefix("tinker://").split("/")
        if not tinker_path.startswith("tinker://") or len(parts) != 3 or not all(parts):
            raise ValueError(f"Invalid tinker path: {tinker_path!r}; tinker://<run>/<segment>/<name> is needed")
        run, segment, name = parts
        if segment not in _TYPE_OF_SEGMENT:
            raise ValueError(
                f"Invalid tinker path: {tinker_path!r}; the segment is one of {', '.join(_TYPE_OF_SEGMENT)}"
            )
        return cls(
            tinker_path=tinker_path,
            training_run_id=run,
            checkpoint_type=_TYPE_OF_SEGMENT[segment],
            checkpoint_id=f"{segment}/{name}",
        )


@attrs.frozen(kw_only=True)
class Cursor(Answer):
    """Which page of a list this is."""

    offset: int
    limit: int
    total_count: int


@attrs.frozen(kw_only=True)
class CheckpointsListResponse(Answer):
    """Checkpoints, a page of them if there is a cursor."""

    checkpoints: list[Checkpoint]
    cursor: Cursor | None = None


@attrs.frozen(kw_only=True)
class TrainingRun(Answer):
    """One model's history."""

    training_run_id: str
    base_model: str
    model_owner: str
    is_lora: bool
    corrupted: bool = False
    lora_rank: int | None = None
    last_request_time: datetime = attrs.field(converter=moment)
    last_checkpoint: Checkpoint | None = None
    last_sampler_checkpoint: Checkpoint | None = None
    user_metadata: dict[str, str] | None = None
    started_from: str | None = None
    """The path of the checkpoint that it was made from, where the service tells."""


@attrs.frozen(kw_only=True)
class TrainingRunsResponse(Answer):
    """A page of training runs."""

    training_runs: list[TrainingRun]
    cursor: Cursor


@attrs.frozen(kw_only=True)
class CheckpointArchiveUrlResponse(Answer):
    """Where a checkpoint can be fetched as one archive, until `expires`."""

    url: str
    expires: datetime = attrs.field(converter=moment)
