"""Counters and latencies of what a client does: a listener of its events, read by `ServiceClient.metrics`."""

from tinker_hl.call_metrics.export import to_prometheus
from tinker_hl.call_metrics.histogram import BOUNDS, Histogram, Latency
from tinker_hl.call_metrics.recorder import CallCounts, CallMetrics, MetricsSnapshot, is_counted

__all__ = [
    "BOUNDS",
    "CallCounts",
    "CallMetrics",
    "Histogram",
    "Latency",
    "MetricsSnapshot",
    "is_counted",
    "to_prometheus",
]
