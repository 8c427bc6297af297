"""The events of recovery: stages of it, told on the connection's bus and in its log."""

import logging
from typing import Any, Literal

from tinker_hl.events import EventBus

__all__ = ["Stage", "tell"]

Stage = Literal[
    "detected",  # something is wrong with a run
    "poll_error",  # a run's record could not be read; it stays watched
    "started",  # an attempt begins
    "checkpoint_selected",  # it has a checkpoint to go on from
    "client_created",  # there is a new client
    "completed",  # the new client is where the old one was
    "failed",  # an attempt failed
    "exhausted",  # there will be no more attempts
    "replayed",  # calls that were lost have been made again
    "replay_differs",  # one of them gave another result than the first time
    "checkpointed",  # a checkpoint was acknowledged
    "checkpoint_failed",  # one was not; the next one will be tried
    "callback_failed",  # a callback raised, or did not return in time
]
_WARNED = frozenset({"detected", "failed", "replay_differs", "checkpoint_failed", "callback_failed"})
CALL = "recovery"


def tell(events: EventBus, stage: Stage, run_id: str, detail: str = "", **fields: Any) -> None:
    """Emit a `recovery` event.

    Args:
        events: The bus.
        stage: What happened; the event's field `stage`.
        run_id: The training run that it happened to; the event's field `run_id`.
        detail: A line for people.
        fields: More, for machines.
    """
    level = logging.ERROR if stage == "exhausted" else logging.WARNING if stage in _WARNED else logging.INFO
    if stage in ("poll_error", "checkpoint_selected", "client_created", "checkpointed"):
        level = logging.DEBUG
    text = f"{stage} {run_id}" + (f": {detail}" if detail else "")
    events.emit("recovery", CALL, detail=text, stage=stage, run_id=run_id, level=level, **fields)
