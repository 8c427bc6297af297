"""What a service can be watched by: the numbers of `GET /metrics`, for Prometheus. It is told; it decides nothing.

Requests are counted as they are answered. What a service holds is asked for when somebody scrapes, so that it costs
nothing in between. No label names an owner, a session or a run: their number has no bound.

`/metrics` is no operation of the Tinker API and so not in `openapi.yaml`; it stands beside it, as the downloads do.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tinker_local.errors import ApiError

if TYPE_CHECKING:
    from tinker_local.service import Service
from tinker_local.web_pages import check_no_page

__all__ = ["ROUTES", "Metrics"]

_BOUNDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_BEARER = "Bearer "


class Metrics:
    """The numbers of one service, in a registry of their own: several services of one process do not mix."""

    def __init__(self, service: "Service") -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tinker_requests", "Requests answered.", ["operation", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "tinker_request_seconds",
            "Time from a request's arrival to its answer; polls are held for up to 25 s.",
            ["operation"],
            buckets=_BOUNDS,
            registry=self._registry,
        )
        self._of: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        """Those of one operation and status, which takes the registry longer to find than to count."""
        self._registry.register(_Holdings(service))
        ProcessCollector(registry=self._registry)

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """One more request was answered."""
        which = (operation, status)
        if which not in self._of:
            self._of[which] = self._requests.labels(operation, str(status)), self._seconds.labels(operation)
        requests, duration = self._of[which]
        requests.inc()
        duration.observe(seconds)

    def text(self) -> bytes:
        """All numbers as they stand, as Prometheus reads them."""
        return generate_latest(self._registry)


class _Holdings(Collector):
    """What a service holds at the moment of the question."""

    def __init__(self, service: "Service") -> None:
        self._service = service

    def describe(self) -> Iterator[Metric]:
        """Nothing: the names are known by collecting, and a service that is only being made cannot be asked."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        service = self._service
        models = service.models.all()
        for name, about, value in (
            ("tinker_engine_up", "Whether the engine can work now.", float(service.supervision.ready)),
            ("tinker_sessions", "Sessions that are open.", len(service.sessions)),
            ("tinker_models", "Models in training.", len(models)),
            (
                "tinker_samplers",
                "Samplers that the engine holds.",
                len(service.engine_samplers),
            ),
            ("tinker_training_calls_waiting", "Training calls accepted and not begun.", sum(m.waiting for m in models)),
            ("tinker_samples_under_way", "Requests for samples accepted and not done.", len(service.samples)),
            ("tinker_body_bytes", "Bytes of requests under way, in memory.", service.under_way.size),
            ("tinker_spooled_bytes", "Bytes of passes that wait on the disk.", service.spool.size),
            ("tinker_autosave_bytes", "Bytes of automatic saves and the journal.", service.autosaves.room.size),
            ("tinker_results_held", "Requests under way and results that are kept.", len(service.futures)),
        ):
            yield GaugeMetricFamily(name, about, value=value)
        yield CounterMetricFamily(
            "tinker_engine_starts", "Times that the engine was started.", value=service.supervision.life
        )
        tokens = CounterMetricFamily("tinker_tokens", "Tokens worked on since the start.", labels=["work"])
        for kind, amount in service.usage.tokens.items():
            tokens.add_metric([kind], amount)
        yield tokens
        count, size = service.records.checkpoints_held()
        yield GaugeMetricFamily("tinker_checkpoints", "Checkpoints on disk.", value=count)
        yield GaugeMetricFamily("tinker_checkpoint_bytes", "What they take.", value=size)


async def _scraped(request: Request) -> Response:
    """The numbers; where keys are needed, with one that may see what everybody owns.

    Raises:
        ApiError: 401 without a key, 403 with one that sees its own things only, or for a web page.
    """
    service: Service = request.app.state.service
    given = request.headers.get("authorization", "")
    key = given.removeprefix(_BEARER) if given.startswith(_BEARER) else request.headers.get("x-api-key", "")
    caller = service.callers.caller(key)
    if not service.callers.locked:
        check_no_page(request)
    if caller.key is not None and not caller.sees_all:
        raise ApiError(403, "scope", "these numbers are of everybody's work: use a key made with --scope all")
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


ROUTES = (Route("/metrics", _scraped, methods=["GET"]),)
