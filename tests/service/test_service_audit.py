"""The audit log: each thing that was done, by whom, to whose; and who may read it."""

from datetime import UTC, datetime
from typing import Any

from click.testing import CliRunner
from service_bench import Api, Bench

from tinker_local.keys_cli import keys


def entries(api: Api, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.ok("get_audit_log", query=query)["entries"]
    return found


def events(api: Api, **query: str) -> list[str]:
    return [entry["event"] for entry in entries(api, **query)]


def where(path: str) -> dict[str, str]:
    run_id, kind, name = path.removeprefix("tinker://").split("/")
    return {"training_run_id": run_id, "checkpoint_kind": kind, "checkpoint_name": name}


def test_a_life_in_events(api: Api, bench: Bench) -> None:
    session_id = api.session()
    model_id = api.model(session_id)
    path = api.save(model_id, 1, "a", ttl_seconds=7200)
    place = where(path)
    api.answer("publish_checkpoint", path=place)
    api.answer("unpublish_checkpoint", path=place)
    api.answer("set_checkpoint_ttl", path=place, body={"ttl_seconds": 3600})
    api.answer("get_checkpoint_archive", path=place)
    body = {"model_id": model_id, "seq_id": 2, "path": path, "optimizer": True}
    api.result(api.ok("load_weights", body=body))
    api.ok("copy_weights", body={"source_path": path, "destination_project_id": "p"})
    api.sampler(session_id, model_path=path)
    api.answer("assign_session_project", path={"session_id": session_id}, body={"project_id": "q"})
    api.result(api.ok("unload_model", body={"model_id": model_id}))
    api.answer("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    bench.clock.ahead += 3601
    api.run(api.service.checkpoints.delete_expired())
    assert events(api) == [
        "session_create",
        "run_create",
        "checkpoint_save",
        "checkpoint_publish",
        "checkpoint_unpublish",
        "checkpoint_set_ttl",
        "checkpoint_read",
        "checkpoint_read",
        "checkpoint_read",
        "checkpoint_save",
        "checkpoint_read",
        "project_assign",
        "run_unload",
        "session_finish",
        "checkpoint_expire",
    ]
    read = [entry for entry in entries(api) if entry["event"] == "checkpoint_read"]
    assert [entry["purpose"] for entry in read] == ["download", "load", "copy", "sample"]
    assert all(entry["tinker_path"] == path and entry["model_id"] == model_id for entry in read)
    assert entries(api)[-1]["event_details"]["actor"] == "service"


def test_events_are_chosen_by_type_and_day(api: Api, bench: Bench) -> None:
    session_id = api.session()
    today = datetime.fromtimestamp(bench.clock.wall(), UTC).date().isoformat()
    bench.clock.ahead += 24 * 3600
    tomorrow = datetime.fromtimestamp(bench.clock.wall(), UTC).date().isoformat()
    api.answer("assign_session_project", path={"session_id": session_id}, body={"project_id": "q"})
    assert (events(api, day=today), events(api, day=tomorrow)) == (["session_create"], ["project_assign"])
    assert events(api, event_type="projects") == ["project_assign"]
    assert events(api, event_type="checkpoints") == events(api, event_type="teams") == []
    api.refused(422, "get_audit_log", query={"day": "today"})
    api.refused(422, "get_audit_log", query={"event_type": "gossip"})


def test_owners_see_who_read_their_things_and_not_what_others_do(bench: Bench) -> None:
    def made(name: str, *more: str) -> dict[str, str]:
        arguments = ["create", "--name", name, "--data-dir", str(bench.data_dir), *more]
        return {"x-api-key": CliRunner().invoke(keys, arguments).output.strip()}

    ann, bob, boss = made("ann"), made("bob"), made("boss", "--scope", "all")
    api = bench.start()
    api.headers = ann
    path = api.save(api.model(), 1, "a")
    api.answer("publish_checkpoint", path=where(path))
    api.headers = bob
    body = {"session_id": api.session(), "model_seq_id": 0, "path": path, "optimizer": False}
    api.result(api.ok("load_weights", body=body))
    assert events(api) == ["key_create", "session_create", "run_create"]
    api.headers = ann
    last = entries(api)[-1]
    assert (last["event"], last["event_details"]["actor"]) == ("checkpoint_read", "bob")
    api.headers = boss
    assert {entry["event_details"]["actor"] for entry in entries(api)} == {"command line", "ann", "bob"}


def test_a_revoked_key_is_told_of(bench: Bench) -> None:
    for arguments in (["create", "--name", "ann"], ["create", "--name", "boss", "--scope", "all"], ["revoke", "1"]):
        result = CliRunner().invoke(keys, [*arguments, "--data-dir", str(bench.data_dir)])
        if "boss" in arguments:
            boss = result.output.strip()
    api = bench.start()
    api.headers = {"x-api-key": boss}
    assert events(api) == ["key_create", "key_create", "key_revoke"]
    api.answer("delete_api_key")
    assert api.run(api.service.audit.between("boss", 0, 9e9, "key_"))[-1].event == "key_revoke"


def test_silence_is_told_of_and_old_events_are_forgotten(api: Api, bench: Bench) -> None:
    api.session()
    bench.clock.ahead += api.service.settings.session_timeout_seconds + 1
    api.run(api.service.sweep())
    assert events(api) == ["session_create", "session_cancel"]
    bench.clock.ahead += 366 * 24 * 3600
    api.run(api.service.sweep())
    assert events(api) == []


def test_events_outlive_a_restart(bench: Bench) -> None:
    api = bench.start()
    api.session()
    bench.stop(api)
    assert events(bench.start()) == ["session_create"]


def test_external_weights_are_told_of(api: Api) -> None:
    body = {"model_id": api.model(), "seq_id": 1, "path": "a"}
    path = api.result(api.ok("save_weights_external", body=body))["path"]
    api.ok("get_external_weights_urls", path=where(path))
    assert events(api, event_type="checkpoints") == ["checkpoint_save", "checkpoint_read"]
    assert entries(api)[-1]["event_details"]["purpose"] == "download"
