"""Counts and latencies of a client's calls: what happened is what is counted, and each export reads back."""

import asyncio
import math
import re
import statistics
import threading

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, Datum, ModelInput
from tinker_hl.call_metrics import BOUNDS, CallMetrics, Histogram
from tinker_hl.events import Event

STEP = "TrainingClient.optim_step"
PASS = "TrainingClient.forward_backward"
TRY_AGAIN = {"type": "try_again", "queue_state": "active"}
PAUSED = {"type": "try_again", "queue_state": "paused_capacity"}
DATA = [Datum(ModelInput.from_ints([1]), {"target_tokens": [1]})]


def test_what_a_call_went_through_is_counted() -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [Reply(body=TRY_AGAIN), Reply(body=PAUSED), Reply(503)]
        for _ in range(3):
            training.optim_step(AdamParams()).result(10)
        step = service.metrics.snapshot().calls[STEP]
    assert (step.sent, step.done, step.pending, step.cancelled) == (3, 3, 0, 0)
    assert (step.polled, step.paused, step.retried, dict(step.failed)) == (2, 1, 1, {})
    assert dict(step.answers) == {200: 8, 503: 1}
    assert step.exchanges.count == 9
    assert step.results.count == 3
    assert 0 <= step.results.min <= step.results.p50 <= step.results.p99 <= step.results.max
    assert step.exchanges.sum <= step.results.sum + 1e-3, "a result takes all the exchanges that it needed"


def test_failures_are_counted_by_class_and_do_not_stay_pending() -> None:
    server = ScriptedServer()
    server.results["ForwardBackward"] = {"error": "too long", "category": "user"}
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        with pytest.raises(tinker_hl.RequestFailedError):
            training.forward_backward(DATA, "cross_entropy").result(10)
        server.faults["optim_step"] = [Reply(400, {"detail": "no"})]
        with pytest.raises(tinker_hl.BadRequestError):
            training.optim_step(AdamParams()).result(10)
        calls = service.metrics.snapshot().calls
    assert dict(calls[PASS].failed) == {"RequestFailedError": 1}
    assert (calls[PASS].sent, calls[PASS].done, calls[PASS].pending) == (1, 0, 0)
    assert dict(calls[STEP].failed) == {"BadRequestError": 1}, "a refused submission"
    assert (calls[STEP].sent, calls[STEP].pending) == (0, 0)


def test_what_is_under_way_is_pending_until_it_is_cancelled() -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        polled = threading.Event()

        async def held(request: Seen) -> Reply:
            polled.set()
            await asyncio.get_running_loop().create_future()
            raise AssertionError("nobody ends it")

        server.faults["retrieve_future"] = [held]
        step = training.optim_step(AdamParams())
        assert polled.wait(10)
        assert service.metrics.snapshot().calls[STEP].pending == 1
        ended = threading.Event()
        service.subscribe(lambda event: ended.set() if event.kind == "cancelled" else None)
        step.cancel()
        assert ended.wait(10)
        counts = service.metrics.snapshot().calls[STEP]
    assert (counts.pending, counts.cancelled) == (0, 1)


def test_reset_begins_anew_and_a_snapshot_stays() -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        training.optim_step(AdamParams()).result(10)
        before = service.metrics.snapshot()
        service.metrics.reset()
        assert service.metrics.snapshot().calls == {}
        assert service.metrics.export("prometheus") == ""
        training.optim_step(AdamParams()).result(10)
        assert service.metrics.snapshot().calls[STEP].done == 1
    assert before.calls[STEP].done == 1


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=1500))
def test_a_histogram_says_what_its_durations_are(durations: list[float]) -> None:
    histogram = Histogram()
    for seconds in durations:
        histogram.add(seconds)
    latency = histogram.snapshot()
    latest = sorted(durations[-1000:])
    assert (latency.count, latency.min, latency.max) == (len(durations), min(durations), max(durations))
    assert latency.sum == pytest.approx(math.fsum(durations))
    assert latency.mean == pytest.approx(statistics.fmean(durations))
    assert latency.p50 == statistics.median(latest)
    for percentile, value in ((0.95, latency.p95), (0.99, latency.p99)):
        assert sum(other <= value for other in latest) >= percentile * len(latest)
        assert sum(other < value for other in latest) < percentile * len(latest)
    assert sum(latency.buckets) == len(durations)
    for place, bound in enumerate(BOUNDS):
        assert sum(latency.buckets[: place + 1]) == sum(seconds <= bound for seconds in durations)


def test_an_empty_histogram_is_zero() -> None:
    latency = Histogram().snapshot()
    assert (latency.count, latency.mean, latency.min, latency.p50, latency.p99) == (0, 0.0, 0.0, 0.0, 0.0)


def metrics_of_three_calls() -> CallMetrics:
    metrics = CallMetrics()
    for seconds in (0.0015, 0.004, 400.0):
        metrics.hear(Event(kind="sent", call=STEP))
        metrics.hear(Event(kind="answered", call=STEP, fields={"status": 200, "seconds": seconds / 2}))
        metrics.hear(Event(kind="done", call=STEP, fields={"seconds": seconds}))
    metrics.hear(Event(kind="failed", call='odd "name"\n\\', fields={"error_type": "X", "promised": False}))
    metrics.hear(Event(kind="queued", call="TrainingClient.forward"))
    return metrics


def test_the_json_reads_back() -> None:
    metrics = metrics_of_three_calls()
    read = orjson.loads(metrics.export())
    assert sorted(read["calls"]) == [STEP, 'odd "name"\n\\'], "what only waits its turn is no count"
    assert read["calls"][STEP]["results"]["count"] == 3
    assert read["calls"][STEP]["answers"] == {"200": 3}
    with pytest.raises(ValueError, match="json or prometheus"):
        metrics.export("csv")  # type: ignore[arg-type]


def test_the_prometheus_text_is_well_formed_and_cumulative() -> None:
    text = metrics_of_three_calls().export("prometheus")
    line = re.compile(r'[a-z_]+(\{[a-z]+="(\\.|[^"\\\n])*"(,[a-z]+="(\\.|[^"\\\n])*")*\})? [0-9.e+-]+')
    for written in text.splitlines():
        assert written.startswith(("# HELP ", "# TYPE ")) or line.fullmatch(written), written
    assert f'tinker_requests_done_total{{call="{STEP}"}} 3\n' in text
    assert f'tinker_http_answers_total{{call="{STEP}",status="200"}} 3\n' in text
    assert 'call="odd \\"name\\"\\n\\\\",error="X"} 1\n' in text
    assert f'tinker_requests_pending{{call="{STEP}"}} 0\n' in text
    buckets = re.findall(rf'tinker_result_seconds_bucket{{call="{STEP}",le="(.+)"}} (\d+)', text)
    assert buckets[0] == ("0.001", "0")
    assert buckets[1] == ("0.002", "1")
    assert buckets[2] == ("0.005", "2")
    assert buckets[-2:] == [("300.0", "2"), ("+Inf", "3")]
    assert f'tinker_result_seconds_count{{call="{STEP}"}} 3\n' in text


def test_many_threads_count_together() -> None:
    metrics = CallMetrics()

    def count() -> None:
        for _ in range(2_000):
            metrics.hear(Event(kind="sent", call=STEP))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.snapshot().calls[STEP].sent == 16_000
