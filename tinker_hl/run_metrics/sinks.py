"""Trackers: each a few lines over its own library, which is imported when one is made. They know nothing of files.

Whoever has another tracker writes the two methods of `MetricSink`.
"""

import importlib
import os
from collections.abc import Mapping
from typing import Any, Protocol

from tinker_hl.errors import ConfigurationError

__all__ = ["MetricSink", "MlflowSink", "TensorboardSink", "TrackioSink", "WandbSink"]


class MetricSink(Protocol):
    """Where numbers go beside the file."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take what was measured at a step."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


class TensorboardSink:
    """Event files for `tensorboard --logdir`; needs the extra `tensorboard`, and neither torch nor TensorFlow.

    Args:
        folder: Of this run.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._writer = _imported("tensorboard.summary", "tensorboard").Writer(os.fspath(folder))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `MetricSink`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See `MetricSink`."""
        self._writer.close()


class WandbSink:
    """A run of Weights & Biases; needs the extra `wandb`.

    Args:
        options: Those of `wandb.init`: `project`, `name`, `config`, `dir`, `mode="offline"`, ...
    """

    def __init__(self, **options: Any) -> None:
        self._run = _imported("wandb", "wandb").init(**options)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `MetricSink`."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """See `MetricSink`."""
        self._run.finish()


class TrackioSink:
    """A run of Trackio, which keeps it on this machine; needs the extra `trackio`.

    Args:
        options: Those of `trackio.init`: `project`, `name`, `config`, ...
    """

    def __init__(self, **options: Any) -> None:
        # The run itself, and not `trackio.log`: that finds its run by the thread.
        self._run = _imported("trackio", "trackio").init(**options)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `MetricSink`."""
        self._run.log(metrics=dict(values), step=step)

    def close(self) -> None:
        """See `MetricSink`."""
        self._run.finish()


class MlflowSink:
    """A run of MLflow; needs the extra `mlflow`.

    Args:
        tracking_uri: A server's address, or a database's; None for `MLFLOW_TRACKING_URI`.
        experiment: By name; made if it is not there.
        run_name: For people.
        params: The run's settings; shown as texts.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        experiment: str = "tinker-hl",
        run_name: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self._mlflow = _imported("mlflow", "mlflow")
        # A client, and not `mlflow.start_run`: that is one run for the whole process.
        self._client = self._mlflow.MlflowClient(tracking_uri)
        known = self._client.get_experiment_by_name(experiment)
        where = self._client.create_experiment(experiment) if known is None else known.experiment_id
        self.run_id: str = self._client.create_run(where, run_name=run_name).info.run_id
        for name, value in (params or {}).items():
            self._client.log_param(self.run_id, name, value)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `MetricSink`."""
        for name, value in values.items():
            self._client.log_metric(self.run_id, name, value, step=step)

    def close(self) -> None:
        """See `MetricSink`."""
        self._client.set_terminated(self.run_id)


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(f"{extra} is not installed", hint=f"pip install 'tinker-hl[{extra}]'") from error
