"""`RunMetrics`: each measurement goes into the run's file, and to the trackers that were asked for. It draws none."""

import logging
import math
import numbers
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tinker_hl.run_metrics.journal import METRICS_FILE, append_record
from tinker_hl.run_metrics.sinks import MetricSink

__all__ = ["RunMetrics"]

logger = logging.getLogger("tinker_hl")


class RunMetrics:
    """The measurements of one run. Safe to use from any thread.

    Invariant: what `log` took is in `metrics.jsonl` when it returns; a tracker that fails is told of once, gets nothing
    more, and disturbs neither the file nor the run.

    Args:
        folder: Of the run; made if it is not there. A run that goes on appends to its file.
        sinks: Trackers beside the file.
    """

    def __init__(self, folder: str | Path, sinks: Sequence[MetricSink] = ()) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._sinks = list(sinks)

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / METRICS_FILE

    def log(self, values: Mapping[str, Any], *, step: int) -> None:
        """Keep what was measured at a step.

        Args:
            values: By name. The file takes any JSON value; trackers get the numbers that are finite.
            step: Of the run; trackers want it not to fall.

        Raises:
            TypeError: A value that is none of JSON's.
            ValueError: A value is called `step` or `time`, which each record has by itself.
        """
        taken = {"step", "time"} & values.keys()
        if taken:
            raise ValueError(f"{sorted(taken)[0]!r} is what each record has by itself; give the step as step=")
        with self._lock:
            append_record(self.path, {"step": int(step), "time": round(time.time(), 3), **values})
            finite = {name: number for name, value in values.items() if (number := _finite(value)) is not None}
            for sink in list(self._sinks):
                self._tell(sink, int(step), finite)

    def close(self) -> None:
        """End the trackers' runs; safe to repeat."""
        with self._lock:
            sinks, self._sinks = self._sinks, []
        for sink in sinks:
            try:
                sink.close()
            except Exception:
                logger.warning("%s could not be closed", type(sink).__name__, exc_info=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, sink: MetricSink, step: int, values: Mapping[str, float]) -> None:
        try:
            sink.log(step, values)
        except Exception:
            # Whatever a tracker's server or disk does: training goes on, and the file has everything.
            self._sinks.remove(sink)
            logger.warning(
                "%s failed and gets no further metrics; the file has all", type(sink).__name__, exc_info=True
            )


def _finite(value: Any) -> float | None:
    """A finite number, or a tensor of one; None for whatever else, truth values among it."""
    if hasattr(value, "item") and not isinstance(value, numbers.Number):
        try:
            value = value.item()
        except (TypeError, ValueError, RuntimeError):
            return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    number = float(value)
    return number if math.isfinite(number) else None
