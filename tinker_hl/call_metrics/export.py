"""A snapshot in the text format that Prometheus scrapes (exposition format 0.0.4). It does not know who scrapes.

`prometheus_client` would bring a registry of the process, which a library must not fill; the format is a page long.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tinker_hl.call_metrics.histogram import BOUNDS, Latency

if TYPE_CHECKING:
    from tinker_hl.call_metrics.recorder import CallCounts, MetricsSnapshot

__all__ = ["to_prometheus"]

Samples = Iterator[tuple[Mapping[str, object], float]]


def to_prometheus(snapshot: "MetricsSnapshot") -> str:
    """The exposition text, with its end of line; empty for an empty snapshot."""
    return "".join(f"{line}\n" for line in _lines(snapshot.calls))


def _lines(calls: Mapping[str, "CallCounts"]) -> Iterator[str]:
    if not calls:
        return
    each = calls.items()
    yield from _family("requests_sent", "Requests that the server accepted.", (({"call": n}, c.sent) for n, c in each))
    yield from _family("requests_done", "Requests whose result came.", (({"call": n}, c.done) for n, c in each))
    yield from _family(
        "requests_failed",
        "Requests that ended in an error.",
        (({"call": name, "error": kind}, count) for name, c in each for kind, count in c.failed.items()),
    )
    yield "# HELP tinker_requests_pending Requests that were accepted and have not ended."
    yield "# TYPE tinker_requests_pending gauge"
    for name, counts in each:
        yield f"tinker_requests_pending{_labels({'call': name})} {counts.pending}"
    yield from _family("retries", "Attempts followed by another.", (({"call": n}, c.retried) for n, c in each))
    yield from _family("polls", "Polls that found no result yet.", (({"call": n}, c.polled) for n, c in each))
    yield from _family("paused_polls", "Polls of paused requests.", (({"call": n}, c.paused) for n, c in each))
    yield from _family(
        "http_answers",
        "HTTP answers.",
        (({"call": name, "status": status}, count) for name, c in each for status, count in c.answers.items()),
    )
    yield from _histograms("http_seconds", "Duration of an HTTP exchange.", ((n, c.exchanges) for n, c in each))
    yield from _histograms("result_seconds", "From submission to result.", ((n, c.results) for n, c in each))


def _family(name: str, about: str, samples: Samples) -> Iterator[str]:
    yield f"# HELP tinker_{name}_total {about}"
    yield f"# TYPE tinker_{name}_total counter"
    for labels, value in samples:
        yield f"tinker_{name}_total{_labels(labels)} {value}"


def _histograms(name: str, about: str, latencies: Iterator[tuple[str, Latency]]) -> Iterator[str]:
    yield f"# HELP tinker_{name} {about}"
    yield f"# TYPE tinker_{name} histogram"
    for call, latency in latencies:
        below = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), latency.buckets, strict=True):
            below += count
            yield f"tinker_{name}_bucket{_labels({'call': call, 'le': bound})} {below}"
        yield f"tinker_{name}_sum{_labels({'call': call})} {latency.sum!r}"
        yield f"tinker_{name}_count{_labels({'call': call})} {latency.count}"


def _labels(labels: Mapping[str, object]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
