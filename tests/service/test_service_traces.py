"""Traces: a session's real timeline as trace events; its client's reports, stored and readable."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from service_bench import Api, Bench, GatedEngine, MovedClock

import tinker_local
from tinker_local.engine.process import ProcessEngine
from tinker_local.settings import ModelSource
from tinker_local.telemetry_cli import telemetry
from tinker_local.timeline import Step
from tinker_local.traces import Traces, trace_events

Events = list[dict[str, Any]]


def exported(api: Api, session_id: str) -> Events:
    answer = api.ok("export_session_trace", path={"session_id": session_id})
    assert answer["status"] == "ready"
    file = api.get(answer["url"])
    assert file.headers["content-type"].startswith("application/json")
    events: Events = file.json()["traceEvents"]
    return events


def begun(events: Events, category: str) -> Events:
    return [event for event in events if event["ph"] == "b" and event["cat"] == category]


def report(session_id: str, name: str = "step") -> dict[str, Any]:
    event = {
        "event": "GENERIC_EVENT",
        "event_id": "1",
        "event_session_index": 0,
        "severity": "INFO",
        "timestamp": "2026-07-13T09:30:00Z",
        "event_name": name,
        "event_data": {"loss": 1.5},
    }
    return {"events": [event], "platform": "Linux", "sdk_version": "1", "session_id": session_id}


def check_pairs(events: Events) -> None:
    """Each begin has its end, on the same track and no earlier: what a viewer needs."""
    open_events: dict[tuple[Any, ...], list[float]] = {}
    for event in events:
        key = tuple(event.get(name) for name in ("pid", "tid", "cat", "id", "name"))
        if event["ph"] == "b":
            open_events.setdefault(key, []).append(event["ts"])
        elif event["ph"] == "e":
            assert open_events[key].pop() <= event["ts"]
    assert not any(open_events.values())


def test_each_request_is_there_with_what_became_of_it(api: Api) -> None:
    session_id = api.session()
    model_id = api.model(session_id)
    api.result(api.forward_backward(model_id, 1))
    body = {"model_id": model_id, "seq_id": 2, "adam_params": {"learning_rate": 0.1}}
    api.result(api.ok("optim_step", body=body))
    api.save(model_id, 3, "a")
    api.result(api.sample(api.sampler(session_id)))
    other = api.session()
    api.model(other)
    events = exported(api, session_id)
    check_pairs(events)
    requests = [event for event in begun(events, "request") if event["name"] not in ("queued", "running")]
    names = ["create_model", "forward_backward", "optim_step", "save_weights", "sample"]
    assert [event["name"] for event in requests] == names
    assert {event["args"]["outcome"] for event in requests} == {"done"}
    tracks = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert [tracks[event["tid"]] for event in requests] == [model_id] * 4 + [f"{session_id}:sample:0"]


def test_waiting_running_and_failing_can_be_told_apart(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    session_id = api.session()
    model_id = api.model(session_id)
    api.do(engine.gate.clear)
    held = api.forward_backward(model_id, 1)
    bench.clock.ahead += 5
    out_of_turn = api.forward_backward(model_id, 3)
    by_id = {event["id"]: event for event in begun(exported(api, session_id), "request") if "outcome" in event["args"]}
    assert by_id[held["request_id"]]["args"]["outcome"] == "unfinished"
    running = {event["id"] for event in begun(exported(api, session_id), "request") if event["name"] == "running"}
    assert held["request_id"] in running
    assert out_of_turn["request_id"] not in running
    api.do(engine.gate.set)
    api.result(held)
    answer = api.answer("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    assert answer.status_code == 204
    outcomes = {
        event["id"]: event["args"]["outcome"]
        for event in begun(exported(api, session_id), "request")
        if "outcome" in event["args"]
    }
    assert (outcomes[held["request_id"]], outcomes[out_of_turn["request_id"]]) == ("done", "failed")


def test_the_real_engine_tells_its_time(bench: Bench) -> None:
    tiny = ModelSource(name="null/base", path=str(Path(tinker_local.__file__).parent / "models" / "tiny"))
    api = bench.start(ProcessEngine([tiny], threads=1), models=(tiny,))
    session_id = api.session()
    model_id = api.model(session_id)
    promise = api.forward_backward(model_id, 1)
    api.result(promise)
    events = exported(api, session_id)
    (worked,) = [event for event in begun(events, "engine") if event["id"] == promise["request_id"]]
    (whole,) = [event for event in begun(events, "request") if event["args"].get("request_id") == worked["id"]]
    ends = [event for event in events if event["ph"] == "e" and event["cat"] == "engine"]
    (end,) = [event for event in ends if event["id"] == worked["id"]]
    assert worked["name"] == "forward_backward"
    assert 0 < worked["args"]["busy_seconds"] <= (end["ts"] - worked["ts"]) / 1e6 + 1e-3
    assert whole["ts"] <= worked["ts"]


def test_a_link_to_a_trace_ends_and_so_does_the_file(api: Api, bench: Bench) -> None:
    session_id = api.session()
    url = api.ok("export_session_trace", path={"session_id": session_id})["url"]
    assert api.get(url).status_code == 200
    assert api.get(url.partition("?")[0]).status_code == 403
    assert len(list((bench.data_dir / "traces").iterdir())) == 1
    bench.clock.ahead += 3601
    assert api.get(url).status_code == 403
    api.run(api.service.sweep())
    assert not list((bench.data_dir / "traces").iterdir())


def test_a_timeline_is_lost_with_the_service_and_says_so(bench: Bench) -> None:
    api = bench.start()
    session_id = api.session()
    api.model(session_id)
    bench.stop(api)
    api = bench.start()
    answer = api.ok("export_session_trace", path={"session_id": session_id})
    assert (answer["status"], "started again" in answer["error"]) == ("failed", True)
    api.refused(404, "export_session_trace", path={"session_id": "unknown"})


def test_a_failure_to_write_is_told_and_can_be_tried_again(api: Api, bench: Bench) -> None:
    session_id = api.session()
    folder = bench.data_dir / "traces"
    folder.rmdir()
    answer = api.ok("export_session_trace", path={"session_id": session_id})
    assert (answer["status"], "could not be written" in answer["error"]) == ("failed", True)
    folder.mkdir()
    assert exported(api, session_id)


def test_who_does_not_wait_is_told_to_ask_again(tmp_path: Path) -> None:
    async def ask() -> list[Path | None]:
        traces = Traces(tmp_path / "traces", MovedClock())
        first = await traces.export("s", [], [], wait=0)
        second = await traces.export("s", [], [], wait=30)
        await traces.close()
        return [first, second]

    first, second = asyncio.run(ask())
    assert first is None
    assert second is not None
    assert second.is_file()


def test_memory_is_bounded(api: Api) -> None:
    timeline = api.service.timeline
    sessions = [api.session() for _ in range(40)]
    for session_id in sessions:
        api.model(session_id)
        api.answer("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    kept = [session_id for session_id in sessions if timeline.of(session_id)]
    assert kept == sessions[-32:]


@pytest.mark.parametrize("steps", [[], [Step("sample", "alone", 1.0)], [Step("sample", "s:sample:0:1", 5.0, 6.0, 7.0)]])
def test_any_step_makes_events_that_end(steps: Sequence[Step]) -> None:
    check_pairs(list(trace_events(steps, [], 10.0)))


# --- reports


def test_reports_stand_in_the_trace_and_on_the_command_line(api: Api, bench: Bench) -> None:
    session_id = api.session()
    assert api.ok("send_telemetry", body=report(session_id))["status"] == "accepted"
    api.run(api.service.records.write())
    (instant,) = [event for event in exported(api, session_id) if event["ph"] == "i"]
    assert (instant["name"], instant["args"]["event_data"]) == ("step", {"loss": 1.5})
    assert instant["ts"] == 1783935000e6
    printed = CliRunner().invoke(telemetry, [session_id, "--data-dir", str(bench.data_dir)])
    assert printed.exit_code == 0
    assert [json.loads(line)["event_name"] for line in printed.output.splitlines()] == ["step"]
    whole = CliRunner().invoke(telemetry, [session_id, "--format", "json", "--data-dir", str(bench.data_dir)])
    assert json.loads(whole.output)["events"] == [json.loads(text) for text in printed.output.splitlines()]
    unknown = CliRunner().invoke(telemetry, ["unknown", "--data-dir", str(bench.data_dir)])
    assert (unknown.exit_code, "no reports" in unknown.output) == (1, True)


def test_reports_outlive_a_restart_for_a_week(bench: Bench) -> None:
    api = bench.start()
    session_id = api.session()
    api.ok("send_telemetry", body=report(session_id))
    bench.stop(api)
    api = bench.start()
    assert len(api.do(api.service.records.telemetry_of, session_id)) == 1
    bench.clock.ahead += 8 * 24 * 3600
    api.run(api.service.sweep())
    assert api.do(api.service.records.telemetry_of, session_id) == []


def test_nobody_reports_about_another_s_session(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-a", "tml-b"))
    session_id = api.ok("create_session", body={"tags": [], "sdk_version": "1"}, headers={"x-api-key": "tml-a"})
    body = report(session_id["session_id"])
    api.refused(404, "send_telemetry", body=body, headers={"x-api-key": "tml-b"})
    api.ok("send_telemetry", body=body, headers={"x-api-key": "tml-a"})
    api.ok("send_telemetry", body=report("sessionless-1"), headers={"x-api-key": "tml-b"})
