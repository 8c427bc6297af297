"""Trackers beside the file: the real libraries, offline; one that fails disturbs nobody."""

import contextlib
import json
import logging
import math
import os
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinker_hl
from tinker_hl.run_metrics import MlflowSink, RunMetrics, TensorboardSink, TrackioSink, WandbSink, read_records

pytestmark = [
    # These libraries warn of what they import themselves.
    pytest.mark.filterwarnings("ignore:::(?!tinker_hl)"),
]


class Kept:
    """A tracker of a test's."""

    def __init__(self, fails_at: int = -1) -> None:
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.closed = 0
        self._fails_at = fails_at

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step == self._fails_at:
            raise ConnectionError("the tracker's server is gone")
        self.logged.append((step, dict(values)))

    def close(self) -> None:
        self.closed += 1
        if self._fails_at >= 0:
            raise ConnectionError("still gone")


def test_the_file_has_everything_and_trackers_the_finite_numbers(tmp_path: Path) -> None:
    import torch

    one, other = Kept(), Kept()
    with RunMetrics(tmp_path / "run", [one, other]) as metrics:
        metrics.log({"loss": np.float32(0.5), "norm": math.nan, "note": "warm-up", "best": True}, step=1)
        metrics.log({"loss": torch.tensor(0.25), "counts": [1, 2]}, step=np.int64(2))  # type: ignore[arg-type]
    assert one.logged == other.logged == [(1, {"loss": 0.5}), (2, {"loss": 0.25})]
    assert one.closed == 1
    first, second = read_records(metrics.path).records
    assert {**first, "time": 0} == {"step": 1, "time": 0, "loss": 0.5, "norm": None, "note": "warm-up", "best": True}
    assert second["counts"] == [1, 2]
    assert second["time"] >= first["time"] > 1.7e9


def test_a_tracker_that_fails_is_told_of_once_and_disturbs_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = Kept(fails_at=1), Kept()
    metrics = RunMetrics(tmp_path, [broken, sound])
    with caplog.at_level(logging.WARNING, "tinker_hl"):
        for step in range(4):
            metrics.log({"loss": 1.0}, step=step)
    assert [step for step, _ in sound.logged] == [0, 1, 2, 3]
    assert [step for step, _ in broken.logged] == [0]
    assert [record.message for record in caplog.records] == [
        "Kept failed and gets no further metrics; the file has all"
    ]
    assert len(read_records(metrics.path).records) == 4
    failing_end = RunMetrics(tmp_path, [Kept(fails_at=9)])
    failing_end.close()
    failing_end.close()


@pytest.mark.parametrize("name", ["step", "time"])
def test_names_that_each_record_has_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        RunMetrics(tmp_path).log({name: 1}, step=1)


def test_tensorboard_reads_what_was_logged(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with RunMetrics(tmp_path, [TensorboardSink(tmp_path / "tb")]) as metrics:
        metrics.log({"loss": 2.0, "eval/exact_match": 0.5}, step=10)
        metrics.log({"loss": 1.0}, step=20)
    read = EventAccumulator(str(tmp_path / "tb"))
    read.Reload()
    assert _tensorboard_values(read, "loss") == [(10, 2.0), (20, 1.0)]
    assert _tensorboard_values(read, "eval/exact_match") == [(10, 0.5)]


def _tensorboard_values(read: Any, tag: str) -> list[tuple[int, float]]:
    from tensorboard.util.tensor_util import make_ndarray

    return [(event.step, float(make_ndarray(event.tensor_proto))) for event in read.Tensors(tag)]


@pytest.mark.timeout(180)
def test_wandb_keeps_what_was_logged_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CONSOLE", "off")
    sink = WandbSink(project="p", dir=str(tmp_path), mode="offline", config={"rank": 8})
    with RunMetrics(tmp_path, [sink]) as metrics:
        metrics.log({"loss": 2.0}, step=10)
        metrics.log({"loss": 1.0}, step=20)
    (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    ends = time.monotonic() + 30
    while len(found := list(_wandb_history(log))) < 2 and time.monotonic() < ends:
        pass  # wandb's own process writes the file, and not always before the run's end returns
    assert found == [(10, 2.0), (20, 1.0)]


def _wandb_history(path: Path) -> Iterator[tuple[int, float]]:
    from wandb.proto import wandb_internal_pb2

    for content in _log_records(path.read_bytes()[7:], 7):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            yield items["_step"], items["loss"]


def _log_records(content: bytes, offset: int) -> Iterator[bytes]:
    """Records of a log in LevelDB's format: blocks of 32 KiB, each piece with checksum, length and kind."""
    whole, at = b"", 0
    while at < len(content):
        if (left := 32768 - (at + offset) % 32768) < 7:
            at += left
            continue
        if len(content) < at + 7:
            return  # it is being written
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        if len(content) < at + 7 + length:
            return
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a full one, or the last piece of one
            yield whole
            whole = b""


def test_mlflow_keeps_what_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # no database is needed for two numbers
    uri = (tmp_path / "mlruns").as_uri()
    sinks = [MlflowSink(uri, experiment="pig latin", run_name=name, params={"rank": 8}) for name in ("a", "b")]
    with RunMetrics(tmp_path, sinks) as metrics:
        metrics.log({"loss": 2.0}, step=10)
        metrics.log({"loss": 1.0}, step=20)
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    for sink in sinks:
        history = client.get_metric_history(sink.run_id, "loss")
        assert [(metric.step, metric.value) for metric in history] == [(10, 2.0), (20, 1.0)]
        run = client.get_run(sink.run_id)
        assert (run.info.status, run.data.params) == ("FINISHED", {"rank": "8"})


# A program of its own: trackio reads its folder from the environment once, and its threads outlive a run.
OF_TRACKIO = """
import sys
from tinker_hl.run_metrics import RunMetrics, TrackioSink
sinks = [TrackioSink(project="pig latin", name=name, auto_log_cpu=False, auto_log_gpu=False) for name in ("a", "b")]
with RunMetrics(sys.argv[1], sinks) as metrics:
    metrics.log({"loss": 2.0}, step=10)
    metrics.log({"loss": 1.0}, step=20)
"""


def test_trackio_keeps_what_was_logged(tmp_path: Path) -> None:
    home = {"TRACKIO_DIR": str(tmp_path / "kept"), "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", OF_TRACKIO, str(tmp_path)]
    done = subprocess.run(command, env=os.environ | home, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (kept,) = (tmp_path / "kept").glob("*.db")
    with contextlib.closing(sqlite3.connect(kept)) as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY run_name, step").fetchall()
    assert [(run, step, json.loads(values)) for run, step, values in rows] == [
        (run, step, {"loss": loss}) for run in ("a", "b") for step, loss in ((10, 2.0), (20, 1.0))
    ]


@pytest.mark.parametrize(
    ("make", "module"),
    [
        (lambda: TensorboardSink("x"), "tensorboard.summary"),
        (WandbSink, "wandb"),
        (TrackioSink, "trackio"),
        (MlflowSink, "mlflow"),
    ],
)
def test_a_library_that_is_not_there_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, make: Any, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(tinker_hl.ConfigurationError, match=rf"pip install 'tinker-hl\[{module.partition('.')[0]}\]'"):
        make()
