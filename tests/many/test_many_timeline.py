"""A run as a trace that Perfetto opens; the row "Timeline" of 4.8."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from client_bench import MODEL
from jsonschema_rs import Draft202012Validator

from tinker_hl import AdamParams, Datum, Event, ModelInput, SamplingClient, SamplingParams, ServiceClient
from tinker_hl.many import Timeline, sample_many

COMMON = {"name": {"type": "string"}, "ts": {"type": "integer", "minimum": 0}, "pid": {"type": "integer"}}
MORE = {"tid": {"type": "integer"}, "args": {"type": "object"}, "cat": {"type": "string"}}


def phase(letters: list[str], required: list[str], **properties: Any) -> dict[str, Any]:
    names = ["name", "ph", "pid", "tid", *required]
    return {"properties": {**COMMON, **MORE, "ph": {"enum": letters}, **properties}, "required": names}


# The phases that are used, as the Trace Event Format defines them.
SCHEMA = {
    "type": "object",
    "required": ["traceEvents"],
    "properties": {
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "otherData": {"type": "object", "additionalProperties": {"type": "string"}},
        "traceEvents": {
            "type": "array",
            "items": {
                "type": "object",
                "oneOf": [
                    phase(["b", "e", "n"], ["ts", "cat", "id"], id={"type": "integer"}),
                    phase(["i"], ["ts", "s"], s={"enum": ["g", "p", "t"]}),
                    phase(["C"], ["ts", "args"], args={"type": "object", "additionalProperties": {"type": "number"}}),
                    phase(["M"], ["args"], name={"enum": ["process_name", "thread_name"]}),
                ],
            },
        },
    },
}
VALID = Draft202012Validator(SCHEMA)


def balanced(events: list[dict[str, Any]]) -> bool:
    """Bars of one call are closed in the reverse order in which they were opened."""
    open_bars: dict[int, list[str]] = {}
    for event in events:
        if event["ph"] == "b":
            open_bars.setdefault(event["id"], []).append(event["name"])
        elif event["ph"] == "e" and (not open_bars.get(event["id"]) or open_bars[event["id"]].pop() != event["name"]):
            return False
    return not any(open_bars.values())


def test_a_run_is_a_valid_trace(service: ServiceClient, sampler: SamplingClient, tmp_path: Path) -> None:
    timeline = Timeline()
    stop = service.subscribe(timeline.hear)
    training = service.create_lora_training_client(MODEL, rank=2)
    training.forward_backward([Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3]})], "cross_entropy")
    training.optim_step(AdamParams()).result(30)
    list(sample_many(sampler, [[1], [2], [3]], SamplingParams(max_tokens=1)))
    stop()
    trace = json.loads(timeline.write(tmp_path / "deep" / "run.json").read_bytes())
    assert VALID.is_valid(trace), [str(fault) for fault in VALID.iter_errors(trace)]
    events = trace["traceEvents"]
    begun = Counter(event["name"] for event in events if event["ph"] == "b")
    assert begun["SamplingClient.sample"] == 3
    assert begun["sample at the server"] == 3
    assert begun["TrainingClient.forward_backward"] == 1
    assert balanced(events)
    times = [event["ts"] for event in events if "ts" in event]
    assert times == sorted(times)
    assert times[0] == 0
    assert events[-1]["args"]["calls"] == 0 if events[-1]["ph"] == "C" else True


def event(kind: Any, at: float, **more: Any) -> Event:
    return Event(kind=kind, call="A.b", at=at, **more)


def test_what_has_not_ended_ends_with_the_trace_and_marks_stand_where_they_belong() -> None:
    timeline = Timeline()
    told = [
        event("queued", 10.0, call_id=1),
        event("sent", 10.5, call_id=1, request_id="r"),
        event("retried", 10.6, call_id=1, detail="busy", fields={"attempt": 2, "odd": object()}),
        event("polled", 10.7, call_id=1, request_id="r"),
        event("notice", 10.8, detail="read me"),
        event("queued", 11.0, call_id=2),
    ]
    for one in told:
        timeline.hear(one)
    trace = timeline.trace()
    assert VALID.is_valid(trace)
    events = trace["traceEvents"]
    assert balanced(events)
    marks = {one["name"]: one for one in events if one["ph"] in "ni"}
    assert marks["retried"]["id"] == 1
    assert marks["retried"]["args"] == {"call": "A.b", "attempt": 2, "detail": "busy"}
    assert marks["retried"]["ts"] == 600_000
    assert marks["notice"]["s"] == "p"
    assert [one["args"]["outcome"] for one in events if one["ph"] == "e"] == ["not ended"] * 3


def test_a_request_that_outlives_its_call_and_one_that_comes_late() -> None:
    timeline = Timeline()
    told = [
        event("queued", 1.0, call_id=1),
        event("sent", 1.1, call_id=1, request_id="r"),
        event("ended", 1.2, call_id=1, fields={"outcome": "cancelled"}),
        event("done", 1.3, request_id="r"),
        event("ended", 1.4, call_id=9),
    ]
    for one in told:
        timeline.hear(one)
    events = timeline.trace()["traceEvents"]
    assert balanced(events)
    assert len([one for one in events if one["ph"] == "e"]) == 2


def test_memory_is_bounded_and_an_empty_trace_is_valid() -> None:
    assert VALID.is_valid(Timeline().trace())
    timeline = Timeline(most_events=3)
    for number in range(5):
        timeline.hear(event("queued", float(number), call_id=number))
    assert timeline.dropped == 2
    assert timeline.trace()["otherData"] == {"dropped_events": "2"}
    assert len([one for one in timeline.trace()["traceEvents"] if one["ph"] == "b"]) == 3
