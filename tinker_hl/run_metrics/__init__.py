"""What a run measured, kept: a file always, trackers beside it, pictures of it, and what it takes to repeat the run."""

from tinker_hl.run_metrics.journal import METRICS_FILE, Records, append_record, read_records
from tinker_hl.run_metrics.manifest import (
    MANIFEST_FILE,
    Manifest,
    config_hash,
    data_hash,
    gather_manifest,
    read_manifest,
    write_manifest,
)
from tinker_hl.run_metrics.metrics import RunMetrics
from tinker_hl.run_metrics.sinks import MetricSink, MlflowSink, TensorboardSink, TrackioSink, WandbSink

__all__ = [
    "MANIFEST_FILE",
    "METRICS_FILE",
    "Manifest",
    "MetricSink",
    "MlflowSink",
    "Records",
    "RunMetrics",
    "TensorboardSink",
    "TrackioSink",
    "WandbSink",
    "append_record",
    "config_hash",
    "data_hash",
    "gather_manifest",
    "read_manifest",
    "read_records",
    "write_manifest",
]
