"""Spans of calls: made from events, with the real OpenTelemetry SDK, under the span that was current."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from client_bench import MODEL, MakeClient
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, span_headers
from tinker_hl.configuration import Profile
from tinker_hl.tracing import CallSpans, trace_headers

DATUM = Datum(ModelInput.from_ints([11, 12]), {"target_tokens": [12, 13]})


class Spans:
    """A provider that keeps what has ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("a program's own")
        self.listener = CallSpans(self.provider)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def of(self, parent: ReadableSpan) -> list[ReadableSpan]:
        """Its children, by their beginning."""
        found = [s for s in self.exporter.get_finished_spans() if s.parent and s.parent.span_id == _id(parent)]
        return sorted(found, key=lambda span: (span.start_time, span.end_time))


def _id(span: ReadableSpan) -> int:
    context = span.context
    assert context is not None
    return context.span_id


@pytest.fixture
def spans() -> Spans:
    return Spans()


def test_a_call_is_a_span_whose_children_say_where_the_time_went(spans: Spans) -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        service.subscribe(spans.listener)
        server.faults["retrieve_future"] = [
            Reply(body={"type": "try_again", "queue_state": "paused_capacity", "queue_state_reason": "full house"}),
            Reply(body={"type": "try_again", "queue_state": "paused_capacity", "queue_state_reason": "full house"}),
            Reply(body={"type": "try_again", "queue_state": "active"}),
        ]
        with spans.tracer.start_as_current_span("epoch") as epoch:
            future = training.optim_step(AdamParams())
        future.result(10)
    (call,) = spans.named("TrainingClient.optim_step")
    assert call.parent is not None
    assert call.parent.span_id == epoch.get_span_context().span_id
    assert call.attributes == {"code.function.name": "TrainingClient.optim_step"}
    assert call.status.status_code is StatusCode.UNSET
    children = spans.of(call)
    names = [span.name for span in children]
    assert sorted(names) == sorted(["queue", "POST optim_step", *["POST retrieve_future"] * 4, "result"])
    for child in children:
        assert call.start_time is not None
        assert call.end_time is not None
        assert child.start_time is not None
        assert child.end_time is not None
        assert call.start_time <= child.start_time <= child.end_time <= call.end_time
    by_name = dict(zip(names, children, strict=True))
    assert by_name["queue"].start_time == call.start_time
    assert by_name["POST optim_step"].attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "scripted.test",
        "server.port": 80,
    }
    assert by_name["POST optim_step"].kind is trace.SpanKind.CLIENT
    result = by_name["result"]
    assert result.attributes is not None
    assert str(result.attributes["tinker.request_id"]).startswith("r")
    states = [dict(event.attributes or {}) for event in result.events]
    assert states == [
        {"tinker.queue_state": "paused_capacity", "tinker.queue_state_reason": "full house"},
        {"tinker.queue_state": "active"},
    ], "each change once"


def test_calls_of_every_client_have_spans(spans: Spans, make_client: MakeClient) -> None:
    with make_client() as service:
        service.subscribe(spans.listener)
        training = service.create_lora_training_client(MODEL).result(60)
        training.forward_backward([DATUM], "cross_entropy")
        training.optim_step(AdamParams()).result(60)
        sampler = training.save_weights_and_get_sampling_client().result(60)
        sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=1)).result(60)
        service.get_server_capabilities()
        service.create_rest_client().list_training_runs().result(60)
    calls = {span.name: span for span in spans.exporter.get_finished_spans() if span.parent is None}
    assert set(calls) == {
        "ServiceClient.create_lora_training_client",
        "TrainingClient.forward_backward",
        "TrainingClient.optim_step",
        "TrainingClient.save_weights_and_get_sampling_client",
        "SamplingClient.sample",
        "ServiceClient.get_server_capabilities",
        "RestClient.list_training_runs",
        "ServiceClient.close",
    }
    for call in calls.values():
        assert {child.name for child in spans.of(call)} >= {"queue"}
    assert "POST asample" in {child.name for child in spans.of(calls["SamplingClient.sample"])}
    assert "GET" in {child.name for child in spans.of(calls["RestClient.list_training_runs"])}, "no ids in names"
    assert spans.listener._calls == {}


def test_a_chunked_call_is_one_span(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ScriptedServer()
    server.results["ForwardBackward"] = {
        "loss_fn_output_type": "ArrayRecord",
        "loss_fn_outputs": [{"logprobs": {"data": [-1.0, -2.0], "dtype": "float32", "shape": [2]}}] * 1024,
        "metrics": {"loss:sum": 3.0},
    }
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        service.subscribe(spans.listener)
        training.forward_backward([DATUM] * 2048, "cross_entropy").result(30)
    (call,) = spans.named("TrainingClient.forward_backward")
    names = [span.name for span in spans.of(call)]
    assert names.count("POST forward_backward") == names.count("result") == len(server.paths("forward_backward")) > 1
    assert names.count("queue") == 1


def test_errors_retries_and_cancellations_are_on_their_spans(spans: Spans) -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        service.subscribe(spans.listener)
        server.faults["optim_step"] = [Reply(503), Reply(400, {"detail": "no such rate"})]
        assert isinstance(training.optim_step(AdamParams()).exception(10), tinker_hl.BadRequestError)
        server.results["ForwardBackward"] = {"error": "too long", "category": "user"}
        failed = training.forward_backward([DATUM], "cross_entropy")
        assert isinstance(failed.exception(10), tinker_hl.RequestFailedError)
        hanging = asyncio.Event()

        async def never(request: Seen) -> Reply:
            hanging.set()
            await asyncio.get_running_loop().create_future()
            return Reply()

        server.faults["retrieve_future"] = [never]
        cancelled = training.optim_step(AdamParams())
        _until(hanging.is_set)
        assert cancelled.cancel()
    refused, dropped = spans.named("TrainingClient.optim_step")
    assert refused.status.status_code is StatusCode.ERROR
    assert dict(refused.attributes or {})["error.type"] == "BadRequestError"
    (retry,) = (event for event in refused.events if event.name == "retry")
    assert dict(retry.attributes or {})["http.request.resend_count"] == 1
    exchanges = [dict(span.attributes or {}) for span in spans.of(refused) if span.name == "POST optim_step"]
    assert [exchange["error.type"] for exchange in exchanges] == ["503", "400"]
    (broken,) = spans.named("TrainingClient.forward_backward")
    (result,) = (span for span in spans.of(broken) if span.name == "result")
    assert (result.status.status_code, result.status.description) == (StatusCode.ERROR, "too long")
    assert dict(dropped.attributes or {})["tinker.cancelled"] is True
    assert dropped.status.status_code is StatusCode.UNSET
    assert spans.listener._calls == {}


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        tinker_hl.loop.run(asyncio.sleep(0)).result(10)


def test_what_runs_in_the_background_has_no_span(spans: Spans) -> None:
    server = ScriptedServer()
    quick = Profile(name="quick heart", heartbeat_interval=0.01)
    with server.client(parity=quick) as service:
        service.subscribe(spans.listener)
        service.create_lora_training_client("base").result(10)
        _until(lambda: len(server.paths("session_heartbeat")) >= 2)
    assert not any("heartbeat" in span.name for span in spans.exporter.get_finished_spans())


def test_the_current_span_goes_to_the_service_on_request(spans: Spans) -> None:
    """T-140: traceparent, where it is wanted."""
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        assert trace_headers() == {}
        with spans.tracer.start_as_current_span("epoch") as epoch, tinker_hl.call_options(headers=trace_headers()):
            training.optim_step(AdamParams()).result(10)
        training.optim_step(AdamParams()).result(10)
    first, second = server.paths("optim_step")
    assert f"{epoch.get_span_context().trace_id:032x}" in first.headers["traceparent"]
    assert "traceparent" not in second.headers


@pytest.mark.parametrize("variable", ["TINKER_OTEL_PROPAGATE", "TINKEX_OTEL_PROPAGATE"])
def test_the_current_span_goes_to_the_service_with_each_call(
    spans: Spans, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """T-007, T-140: the variable of the port, and ours."""
    monkeypatch.setenv(variable, "1")
    server = ScriptedServer()
    with server.client() as service:
        with spans.tracer.start_as_current_span("epoch") as epoch:
            training = service.create_lora_training_client("base").result(10)
            training.optim_step(AdamParams()).result(10)
            with tinker_hl.call_options(headers={"traceparent": "mine"}):
                training.optim_step(AdamParams()).result(10)
        training.optim_step(AdamParams()).result(10)
    within, own, after = server.paths("optim_step")
    assert f"{epoch.get_span_context().trace_id:032x}" in within.headers["traceparent"]
    assert own.headers["traceparent"] == "mine"
    assert "traceparent" not in after.headers
    assert service.config["otel_propagate"] is True


def test_without_the_extra_no_span_is_told_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TINKER_OTEL_PROPAGATE", "1")
    monkeypatch.setattr(span_headers, "_told", set())
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "tinker_hl.tracing")
    server = ScriptedServer()
    for _ in range(2):
        with server.client() as service:
            service.get_server_capabilities()
    assert "traceparent" not in server.paths("get_server_capabilities")[0].headers
    (line,) = [line for line in caplog.messages if "spans" in line]
    assert "pip install 'tinker-hl[opentelemetry]'" in line


def test_no_key_and_no_content_is_on_a_span(spans: Spans) -> None:
    server = ScriptedServer()
    with server.client(api_key="tml-recognisable") as service:
        service.subscribe(spans.listener)
        training = service.create_lora_training_client("base").result(10)
        server.faults["optim_step"] = [Reply(400, {"detail": "no tml-recognisable"})]
        assert training.optim_step(AdamParams()).exception(10) is not None
    shown = "".join(span.to_json() for span in spans.exporter.get_finished_spans())
    assert "optim_step" in shown
    assert "tml-recognisable" not in shown


def test_without_the_extra_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; import tinker_hl.tracing"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "pip install 'tinker-hl[opentelemetry]'" in ended.stderr


def test_calls_are_numbered_and_end(spans: Spans) -> None:
    server, events = ScriptedServer(), list[Any]()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        service.subscribe(events.append)
        training.optim_step(AdamParams()).result(10)
        training.optim_step(AdamParams()).result(10)
    numbers = [event.call_id for event in events if event.call == "TrainingClient.optim_step"]
    assert len(set(numbers)) == 2
    ends = [event for event in events if event.kind == "ended" and event.call == "TrainingClient.optim_step"]
    assert [event.fields["outcome"] for event in ends] == ["done", "done"]
    assert [event.call_id for event in ends] == sorted(set(numbers))
