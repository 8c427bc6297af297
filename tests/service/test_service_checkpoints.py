"""Checkpoints: saved under names, listed, published, ended, deleted, downloaded, loaded, copied, kept."""

import io
import json
import tarfile
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from service_bench import Api, Bench

from tinker_local.errors import ApiError
from tinker_local.saving import MAX_TTL_SECONDS, MIN_TTL_SECONDS


def where(path: str) -> dict[str, str]:
    run_id, kind, name = path.removeprefix("tinker://").split("/")
    return {"training_run_id": run_id, "checkpoint_kind": kind, "checkpoint_name": name}


def listed(api: Api) -> dict[str, Any]:
    return {checkpoint["tinker_path"]: checkpoint for checkpoint in api.ok("list_checkpoints")["checkpoints"]}


def test_a_checkpoint_is_a_folder_with_a_name(api: Api, bench: Bench) -> None:
    model_id = api.model()
    path = api.save(model_id, 1, "0001", user_metadata={"accuracy": "0.9"})
    assert path == f"tinker://{model_id}/weights/0001"
    folder = bench.data_dir / "checkpoints" / model_id / "weights" / "0001"
    names = {file.name for file in folder.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "optimizer.safetensors", "run.json"}
    about = json.loads((folder / "run.json").read_text())
    assert (about["path"], about["lora"]["rank"], about["user_metadata"]) == (path, 4, {"accuracy": "0.9"})
    shown = listed(api)[path]
    assert shown["size_bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    assert (shown["checkpoint_id"], shown["checkpoint_type"], shown["public"]) == ("weights/0001", "training", False)
    assert shown["user_metadata"] == {"accuracy": "0.9"}
    assert not list((bench.data_dir / "checkpoints" / ".staging").iterdir())


def test_saving_twice_needs_overwrite_and_is_no_conflict(api: Api) -> None:
    """A 409 would be tried again for minutes, to no avail."""
    model_id = api.model()
    api.save(model_id, 1, "a", user_metadata={"first": "yes"})
    body = {"model_id": model_id, "seq_id": 2, "path": "a"}
    assert api.refused(400, "save_weights", body=body)["code"] == "checkpoint_exists"
    path = api.save(model_id, 2, "a", overwrite=True)
    assert listed(api)[path]["user_metadata"] is None
    together = [api.ok("save_weights", body={"model_id": model_id, "seq_id": seq_id, "path": "b"}) for seq_id in (3, 4)]
    first, second = (api.result(promise) for promise in together)
    assert first["path"].endswith("/b")
    assert (second["category"], "exists already" in second["error"]) == ("user", True)


def test_a_repeated_save_is_one_save(api: Api) -> None:
    model_id = api.model()
    body = {"model_id": model_id, "seq_id": 1, "path": "a"}
    first = api.ok("save_weights", body=body)
    path = api.result(first)["path"]
    assert api.ok("save_weights", body=body) == first
    assert list(listed(api)) == [path]


def test_a_save_without_a_name_gets_one(api: Api) -> None:
    model_id = api.model()
    paths = {api.result(api.ok("save_weights", body={"model_id": model_id, "seq_id": n}))["path"] for n in (1, 2)}
    assert len(paths) == 2


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a b", "ä", "x" * 256, "a\n", "-x"])
@pytest.mark.parametrize("operation_id", ["save_weights", "save_weights_for_sampler"])
def test_names_that_are_no_names_are_refused(api: Api, operation_id: str, name: str) -> None:
    api.refused(400, operation_id, body={"model_id": api.model(), "seq_id": 1, "path": name})


@pytest.mark.parametrize("name", ["a", "0001", "A.b_c-d", "x" * 255])
def test_names_that_are_names(api: Api, name: str) -> None:
    assert api.save(api.model(), 1, name).endswith(f"/{name}")


@pytest.mark.parametrize(
    "path", ["tinker://a/weights/..", "tinker://../../weights/x", "tinker://a/b/c", "tinker://a/weights", "a/weights/b"]
)
def test_paths_that_lead_elsewhere_are_refused(api: Api, path: str) -> None:
    api.refused(400, "get_weights_info", body={"tinker_path": path})
    body = {"session_id": api.session(), "model_seq_id": 0, "path": path, "optimizer": False}
    api.refused(400, "load_weights", body=body)


def test_runs_and_their_checkpoints(api: Api) -> None:
    model_id = api.model()
    api.save(model_id, 1, "a")
    api.save(model_id, 2, "b")
    body = {"model_id": model_id, "seq_id": 3, "path": "s"}
    api.result(api.ok("save_weights_for_sampler", body=body))
    run = api.ok("get_training_run", path={"training_run_id": model_id})
    assert (run["base_model"], run["is_lora"], run["lora_rank"]) == ("null/base", True, 4)
    assert run["last_checkpoint"]["checkpoint_id"] == "weights/b"
    assert run["last_sampler_checkpoint"]["checkpoint_id"] == "sampler_weights/s"
    of_run = api.ok("list_training_run_checkpoints", path={"training_run_id": model_id})["checkpoints"]
    assert [checkpoint["checkpoint_id"] for checkpoint in of_run] == ["weights/a", "weights/b", "sampler_weights/s"]
    page = api.ok("list_checkpoints", query={"limit": 2, "offset": 1})
    assert page["cursor"] == {"offset": 1, "limit": 2, "total_count": 3}
    assert len(page["checkpoints"]) == 2
    usage = api.ok("get_checkpoint_storage_usage")["data"][0]
    assert usage["checkpoint_count"] == 3
    api.refused(404, "get_training_run", path={"training_run_id": "unknown"})


def test_runs_are_listed_the_last_used_first(api: Api) -> None:
    first, second = api.model(), api.model()
    api.result(api.forward_backward(first, 1))
    api.run(api.service.sweep())
    answer = api.ok("list_training_runs")
    assert [run["training_run_id"] for run in answer["training_runs"]] == [first, second]
    assert answer["cursor"]["total_count"] == 2
    assert api.ok("list_training_runs", query={"project_id": "none"})["training_runs"] == []


def test_published_weights_are_everybodys_to_load_and_nobodys_to_change(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-one", "tml-two"))
    one, two = {"x-api-key": "tml-one"}, {"x-api-key": "tml-two"}
    api.headers = one
    path = api.save(api.model(), 1, "a")
    api.headers = two
    session_id = api.session()
    load = {"session_id": session_id, "model_seq_id": 0, "path": path, "optimizer": False}
    api.refused(404, "load_weights", body=load)
    api.headers = one
    api.ok("publish_checkpoint", path=where(path))
    api.refused(400, "publish_checkpoint", path=where(path))
    assert listed(api)[path]["public"] is True
    api.headers = two
    assert api.result(api.ok("load_weights", body=load))["model_id"] == f"{session_id}:train:0"
    assert api.ok("get_weights_info", body={"tinker_path": path})["lora_rank"] == 4
    api.refused(404, "delete_checkpoint", path=where(path))
    api.headers = one
    api.ok("unpublish_checkpoint", path=where(path))
    api.refused(400, "unpublish_checkpoint", path=where(path))
    api.headers = two
    api.refused(404, "get_weights_info", body={"tinker_path": path})


@pytest.mark.parametrize("ttl", [MIN_TTL_SECONDS - 1, MAX_TTL_SECONDS + 1, 0, -1])
def test_a_lifetime_out_of_range_is_refused(api: Api, ttl: int) -> None:
    model_id = api.model()
    api.refused(400, "save_weights", body={"model_id": model_id, "seq_id": 1, "path": "a", "ttl_seconds": ttl})
    path = api.save(model_id, 2, "a")
    api.refused(400, "set_checkpoint_ttl", path=where(path), body={"ttl_seconds": ttl})


def test_what_expired_is_gone_at_once_and_deleted_soon(bench: Bench) -> None:
    api = bench.start(session_timeout_seconds=1e9)
    model_id = api.model()
    short = api.save(model_id, 1, "short", ttl_seconds=MIN_TTL_SECONDS)
    later = api.save(model_id, 2, "later", ttl_seconds=MIN_TTL_SECONDS)
    forever = api.save(model_id, 3, "forever", ttl_seconds=MIN_TTL_SECONDS)
    api.ok("set_checkpoint_ttl", path=where(later), body={"ttl_seconds": 10 * MIN_TTL_SECONDS})
    api.ok("set_checkpoint_ttl", path=where(forever), body={"ttl_seconds": None})
    assert listed(api)[forever]["expires_at"] is None
    bench.clock.ahead += MIN_TTL_SECONDS + 1
    api.refused(404, "get_weights_info", body={"tinker_path": short})
    api.run(api.service.sweep())
    assert set(listed(api)) == {later, forever}
    assert not (bench.data_dir / "checkpoints" / model_id / "weights" / "short").exists()
    assert api.save(model_id, 4, "short") == short


def test_deleting(api: Api, bench: Bench) -> None:
    path = api.save(api.model(), 1, "a")
    api.ok("delete_checkpoint", path=where(path))
    api.refused(404, "delete_checkpoint", path=where(path))
    assert listed(api) == {}
    assert not list(bench.data_dir.glob("checkpoints/*/weights/*"))


def test_an_archive_is_behind_a_link_that_needs_no_key_and_ends(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-one",))
    api.headers = {"x-api-key": "tml-one"}
    path = api.save(api.model(), 1, "a")
    response = api.answer("get_checkpoint_archive", path=where(path))
    assert response.status_code == 302
    assert parsedate_to_datetime(response.headers["expires"]).timestamp() > bench.clock.wall()
    link = response.headers["location"]
    assert "tml-one" not in link
    fetched = api.get(link)
    assert (fetched.status_code, fetched.headers["content-type"]) == (200, "application/gzip")
    with tarfile.open(fileobj=io.BytesIO(fetched.content)) as archive:
        assert {"adapter_config.json", "adapter_model.safetensors"} <= set(archive.getnames())
    other = urlsplit(link)._replace(path=urlsplit(link).path + "x").geturl()
    assert api.get(other).status_code == 403
    bench.clock.ahead += 10_000
    assert api.get(link).status_code == 403


def test_loading_into_a_model_and_as_a_new_one(api: Api) -> None:
    session_id = api.session()
    saved = api.save(api.model(session_id), 1, "a")
    other = api.model(session_id, 1)
    body = {"model_id": other, "seq_id": 1, "path": saved, "optimizer": True}
    assert api.result(api.ok("load_weights", body=body))["path"] == saved
    fresh = {"session_id": session_id, "model_seq_id": 2, "path": saved, "optimizer": True}
    submitted = api.ok("load_weights", body=fresh)
    assert api.result(submitted)["model_id"] == f"{session_id}:train:2"
    assert api.ok("load_weights", body=fresh) == submitted
    api.refused(409, "load_weights", body={**fresh, "optimizer": False})
    assert api.ok("get_info", body={"model_id": f"{session_id}:train:2"})["lora_rank"] == 4
    assert "metrics" in api.result(api.forward_backward(f"{session_id}:train:2", 1))


@pytest.mark.parametrize(
    "who", [{}, {"model_id": "m", "session_id": "s"}, {"session_id": "s"}], ids=["neither", "both", "half"]
)
def test_a_load_needs_one_target(api: Api, who: dict[str, str]) -> None:
    api.refused(422, "load_weights", body={"path": "tinker://r/weights/a", "optimizer": False, **who})


def test_sampler_weights_have_no_optimizer(api: Api) -> None:
    session_id = api.session()
    body = {"model_id": api.model(session_id), "seq_id": 1, "path": "s"}
    path = api.result(api.ok("save_weights_for_sampler", body=body))["path"]
    load = {"session_id": session_id, "model_seq_id": 1, "path": path, "optimizer": True}
    assert api.result(api.ok("load_weights", body=load))["category"] == "user"


def test_copies_are_made_once_and_outlive_their_source(api: Api) -> None:
    path = api.save(api.model(), 1, "a", ttl_seconds=MIN_TTL_SECONDS)
    body = {"source_path": path, "destination_project_id": "p"}
    headers = {"x-idempotency-key": "key-1"}
    copy = api.ok("copy_weights", body=body, headers=headers)["tinker_path"]
    assert api.ok("copy_weights", body=body, headers=headers)["tinker_path"] == copy
    assert copy != path
    assert copy.endswith("/weights/a")
    api.ok("delete_checkpoint", path=where(path))
    assert listed(api)[copy]["expires_at"] is None
    session_id = api.session()
    load = {"session_id": session_id, "model_seq_id": 0, "path": copy, "optimizer": True}
    assert "model_id" in api.result(api.ok("load_weights", body=load))
    into = {"source_path": copy, "session_id": session_id, "model_seq_id": 1}
    assert api.ok("copy_weights", body=into)["tinker_path"] == f"tinker://{session_id}:train:1/weights/a"
    api.refused(409, "copy_weights", body={**into, "model_seq_id": 0})
    create = {"session_id": session_id, "model_seq_id": 1, "base_model": "null/base"}
    api.refused(409, "create_model", body=create)
    api.refused(404, "get_info", body={"model_id": f"{session_id}:train:1"})
    api.refused(422, "copy_weights", body={"source_path": copy})


def test_checkpoints_and_results_of_saves_survive_a_restart(bench: Bench) -> None:
    first = bench.start()
    session_id = first.session()
    model_id = first.model(session_id)
    body = {"model_id": model_id, "seq_id": 1, "path": "a"}
    submitted = first.ok("save_weights", body=body)
    saved = first.result(submitted)
    passed = first.forward_backward(model_id, 2)
    bench.stop(first)
    second = bench.start()
    assert second.result(submitted) == saved
    assert second.ok("save_weights", body=body) == submitted
    assert "metrics" in second.result(passed)
    load = {"session_id": session_id, "model_seq_id": 1, "path": saved["path"], "optimizer": True}
    assert "model_id" in second.result(second.ok("load_weights", body=load))
    lost = second.result(second.forward_backward(model_id, 3))
    assert (lost["category"], saved["path"] in lost["error"]) == ("server", True)


def test_a_record_whose_folder_is_gone_is_dropped_at_the_start(bench: Bench) -> None:
    first = bench.start()
    path = first.save(first.model(), 1, "a")
    bench.stop(first)
    (folder,) = bench.data_dir.glob("checkpoints/*/weights/a")
    folder.rename(bench.data_dir / "elsewhere")
    assert path not in listed(bench.start())


def test_changes_of_one_checkpoint_at_once_are_all_kept(api: Api) -> None:
    path = api.save(api.model(), 1, "a")
    published = api.later("publish_checkpoint", path=where(path))
    ended = api.later("set_checkpoint_ttl", path=where(path), body={"ttl_seconds": MIN_TTL_SECONDS})
    assert (published.result(60).status_code, ended.result(60).status_code) == (204, 204)
    shown = listed(api)[path]
    assert (shown["public"], shown["expires_at"] is not None) == (True, True)


def test_a_change_that_comes_late_does_not_bring_a_deleted_checkpoint_back(api: Api) -> None:
    path = api.save(api.model(), 1, "a")
    deleted = api.later("delete_checkpoint", path=where(path))
    changed = api.later("set_checkpoint_ttl", path=where(path), body={"ttl_seconds": None})
    assert (deleted.result(60).status_code, changed.result(60).status_code) == (204, 404)
    assert path not in listed(api)


def test_what_is_saved_while_its_predecessor_expires_stays(
    api: Api, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep looks once and deletes one after the other; a save may come between."""
    model_id = api.model()
    path = api.save(model_id, 1, "a", ttl_seconds=MIN_TTL_SECONDS)
    bench.clock.ahead += MIN_TTL_SECONDS + 1
    api.ok("heartbeat_session", body={"session_id": model_id.rpartition(":train:")[0]})
    expired = api.do(api.service.records.expired_checkpoints, api.service.clock.wall())
    assert [str(record.path) for record in expired] == [path]
    assert api.save(model_id, 2, "a") == path
    monkeypatch.setattr(api.service.records, "expired_checkpoints", lambda _: expired)
    api.run(api.service.checkpoints.delete_expired())
    assert listed(api)[path]["expires_at"] is None
    assert (bench.data_dir / "checkpoints" / model_id / "weights" / "a" / "adapter_model.safetensors").is_file()
    with pytest.raises(ApiError, match="deleted or replaced"):
        api.run(api.service.checkpoints.delete(expired[0]))
    assert path in listed(api)


def test_a_copy_asked_for_again_before_it_is_made_is_made_once(api: Api) -> None:
    path = api.save(api.model(), 1, "a")
    body = {"source_path": path, "destination_project_id": "p"}
    asked = [api.later("copy_weights", body=body, headers={"x-idempotency-key": "key-1"}) for _ in range(3)]
    assert len({answer.result(60).json()["tinker_path"] for answer in asked}) == 1
    assert len(listed(api)) == 2
