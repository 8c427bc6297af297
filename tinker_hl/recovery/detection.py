"""How trouble shows: in an error of a call, in a metric, in a run's record, in silence. It does nothing about it."""

import math
import statistics
from collections import deque
from collections.abc import Mapping
from typing import Literal

import attrs

from tinker_hl.errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    RequestErrorCategory,
    RequestFailedError,
    SessionClosedError,
    SubmissionFailedError,
)

__all__ = ["Detection", "LossSpikes", "Reason", "is_the_callers", "model_may_live", "non_finite_metric", "trouble_of"]

Reason = Literal["lost", "corrupted", "stuck", "non_finite", "unreachable", "loss_spike"]
SPIKE_WINDOW = 20
SPIKE_LEAST = 5
"""Losses that must have been seen before one can stand out."""


@attrs.frozen(kw_only=True)
class Detection:
    """Something is wrong with a training run."""

    run_id: str
    reason: Reason
    detail: str
    """A line for people."""
    error: BaseException | None = None


def trouble_of(run_id: str, error: BaseException) -> Detection:
    """What an error of a call means for its run."""
    reason: Reason = "unreachable" if model_may_live(error) else "lost"
    return Detection(run_id=run_id, reason=reason, detail=f"{type(error).__name__}: {error}", error=error)


def is_the_callers(error: BaseException) -> bool:
    """Whether a call's error is about the call itself, so that a repetition would fail alike and the model is well."""
    if isinstance(error, RequestFailedError):
        return error.category is RequestErrorCategory.User
    if isinstance(error, APIStatusError):
        # 404, 409, 410 are about the model or the session; 408, 425, 429 and above pass. After an attempt that was cut
        # off, only the first four say that it had not been taken.
        return error.status_code in (400, 413, 415, 422) or (
            error.status_code in (401, 402, 403, 405) and not error.after_doubt
        )
    known = (APIConnectionError, APIResponseValidationError, SubmissionFailedError, SessionClosedError)
    return not isinstance(error, known)


def model_may_live(error: BaseException) -> bool:
    """Whether the model may still be there after an error that is not the caller's: then nothing is to be replaced."""
    if isinstance(error, SubmissionFailedError):
        return model_may_live(error.first_failure)
    if isinstance(error, APIStatusError):
        return error.status_code not in (404, 409, 410)
    return isinstance(error, (APIConnectionError, APIResponseValidationError))


def non_finite_metric(metrics: Mapping[str, float]) -> str | None:
    """The name of a loss or gradient norm that is no finite number. Other metrics may be what they like."""
    for name, value in metrics.items():
        if ("loss" in name or "grad_norm" in name) and not math.isfinite(value):
            return name
    return None


class LossSpikes:
    """Finds losses that stand out from those before them.

    Args:
        factor: How many times the median of the last 20 losses one must be.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._losses: deque[float] = deque(maxlen=SPIKE_WINDOW)

    def is_spike(self, loss: float) -> bool:
        """Whether this one stands out; it is remembered if it does not."""
        seen = self._losses
        if len(seen) >= SPIKE_LEAST and loss > self._factor * abs(statistics.median(seen)):
            return True
        if math.isfinite(loss):
            seen.append(loss)
        return False
