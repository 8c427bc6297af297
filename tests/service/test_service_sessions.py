"""Sessions: alive as long as something is heard of them, over for good then, found again by their labels."""

from typing import Any

import pytest
from service_bench import Api, Bench, GatedEngine, pass_body, sample_body

from tinker_local.engine.null import NullEngine

SUCCESS = {"reason": {"type": "success"}}


def finish(api: Api, session_id: str, reason: str = "success", **more: Any) -> None:
    api.ok("finish_session", path={"session_id": session_id}, body={"reason": {"type": reason}, **more})


def beat(api: Api, session_id: str) -> None:
    api.ok("heartbeat_session", body={"session_id": session_id})


def test_heartbeats_keep_a_session(bench: Bench) -> None:
    api = bench.start(session_timeout_seconds=60)
    session_id = api.session()
    for _ in range(3):
        bench.clock.ahead += 59
        beat(api, session_id)
        api.run(api.service.sweep())
    beat(api, session_id)


def test_a_silent_session_ends_and_frees_what_it_had(bench: Bench) -> None:
    """The last session is silent from the start: it never sends a heartbeat, and ends all the same."""
    api = bench.start(session_timeout_seconds=60)
    session_id = api.session()
    model_id = api.model(session_id)
    sampler_id = api.sampler(session_id)
    api.result(api.sample(sampler_id))
    held = api.forward_backward(model_id, 2)
    bench.clock.ahead += 61
    api.run(api.service.sweep())
    assert "nothing was heard" in api.result(held)["error"]
    opening = {"session_id": session_id, "sampling_session_seq_id": 1, "base_model": "null/base"}
    api.refused(410, "heartbeat_session", body={"session_id": session_id})
    api.refused(410, "forward_backward", body=pass_body(model_id, 1))
    api.refused(410, "sample", body=sample_body(sampler_id, 1))
    api.refused(410, "create_sampling_session", body=opening)
    assert api.ok("get_info", body={"model_id": model_id})["lora_rank"] == 4, "it can still be read about"
    assert api.ok("get_sampler", path={"sampler_id": sampler_id})["base_model"] == "null/base"
    engine = api.service.supervision.engine
    assert isinstance(engine, NullEngine)
    assert (engine._adapters, engine._samplers, len(api.service.engine_samplers)) == ({}, set(), 0)


def test_finishing_is_final_and_the_first_reason_stays(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    session_id = api.session()
    model_id = api.model(session_id)
    sampler_id = api.sampler(session_id)
    api.do(engine.gate.clear)
    running, sample = api.forward_backward(model_id, 1), api.sample(sampler_id)
    api.do(lambda: None)
    held = api.forward_backward(model_id, 3)
    finish(api, session_id, "errored", detail="out of ideas")
    finish(api, session_id, "success")
    for promise in (held, sample):
        failure = api.result(promise)
        assert (failure["category"], "was finished" in failure["error"]) == ("user", True)
    api.do(engine.gate.set)
    assert "metrics" in api.result(running)
    api.refused(410, "heartbeat_session", body={"session_id": session_id})
    (summary,) = api.ok("search_sessions", body={})["sessions"]
    assert summary["status"] == {
        "type": "client_finished",
        "reason": {"type": "errored"},
        "detail": "out of ideas",
    }


def test_what_belongs_to_a_session(api: Api) -> None:
    body = {
        "tags": ["a"],
        "sdk_version": "1",
        "user_metadata": {"run": "7", "n": 3, "on": True, "deep": {"x": [1.5, None]}, "none": None},
        "display_name": "First try",
    }
    session_id = api.ok("create_session", body=body)["session_id"]
    model_id, sampler_id = api.model(session_id), api.sampler(session_id)
    assert api.ok("get_session", path={"session_id": session_id}) == {
        "training_run_ids": [model_id],
        "sampler_ids": [sampler_id],
        "user_metadata": {"run": "7", "n": "3", "on": "true", "deep": '{"x":[1.5,null]}', "none": "null"},
        "display_name": "First try",
    }
    api.refused(404, "get_session", path={"session_id": "unknown"})


def test_sessions_are_listed_by_pages_newest_first(api: Api) -> None:
    made = [api.session() for _ in range(5)]
    pages = [api.ok("list_sessions", query={"limit": 2, "offset": offset})["sessions"] for offset in (0, 2, 4)]
    assert [session_id for page in pages for session_id in page] == made[::-1]
    api.refused(422, "list_sessions", query={"limit": "many"})
    api.refused(422, "list_sessions", query={"access_scope": "everything"})


def test_searching(api: Api) -> None:
    titles = ["Pig latin one", "Pig latin two", "Arithmetic", None]
    ids = []
    for number, title in enumerate(titles):
        body = {"tags": [], "sdk_version": "1", "display_name": title, "user_metadata": {"n": str(number)}}
        ids.append(api.ok("create_session", body=body)["session_id"])
    api.ok("assign_session_project", path={"session_id": ids[2]}, body={"project_id": "sums"})
    finish(api, ids[0])

    def found(**query: Any) -> list[str]:
        return [session["session_id"] for session in api.ok("search_sessions", body=query)["sessions"]]

    assert found() == ids[::-1]
    assert found(display_name="LATIN pig") == [ids[1], ids[0]]
    assert found(display_name="latin", session_id=ids[3]) == [ids[3], ids[1], ids[0]]
    assert found(user_metadata={"n": "2"}) == [ids[2]]
    assert found(project_ids=["sums"]) == [ids[2]]
    assert found(statuses=[{"type": "client_finished", "reasons": ["success"]}]) == [ids[0]]
    assert found(statuses=[{"type": "client_finished", "reasons": ["errored"]}, {"type": "failed"}]) == []
    assert found(owner={"type": "user", "owner_urns": ["somebody"]}) == []
    first = api.ok("search_sessions", body={"limit": 3})
    rest = api.ok("search_sessions", body={"limit": 3, "cursor": first["next_cursor"]})
    assert [s["session_id"] for s in first["sessions"] + rest["sessions"]] == ids[::-1]
    assert "next_cursor" not in rest


@pytest.mark.parametrize(("project_id", "status"), [("", 400), (7, 422)])
def test_a_project_needs_a_name(api: Api, project_id: Any, status: int) -> None:
    path = {"session_id": api.session()}
    api.refused(status, "assign_session_project", path=path, body={"project_id": project_id})


def test_sessions_of_others_are_not_found(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-one", "tml-two"))
    api.headers = {"x-api-key": "tml-one"}
    session_id = api.session()
    api.headers = {"x-api-key": "tml-two"}
    api.refused(404, "heartbeat_session", body={"session_id": session_id})
    api.refused(404, "finish_session", path={"session_id": session_id}, body=SUCCESS)
    assert api.ok("list_sessions")["sessions"] == []


def test_sessions_survive_a_restart(bench: Bench) -> None:
    first = bench.start()
    open_one, finished = first.session(), first.session()
    finish(first, finished)
    bench.stop(first)
    second = bench.start()
    beat(second, open_one)
    second.refused(410, "heartbeat_session", body={"session_id": finished})
    assert second.model(open_one) == f"{open_one}:train:0"
