"""API keys in the store and tokens got with them: made and revoked while the service runs, own runs or all."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from service_bench import Api, Bench

from tinker_local.app import create_app
from tinker_local.engine.null import NullEngine
from tinker_local.keys_cli import keys
from tinker_local.settings import Settings
from tinker_local.tokens import InvalidTokenError, issued, read


def cli(bench: Bench, *arguments: str) -> str:
    result = CliRunner().invoke(keys, [*arguments, "--data-dir", str(bench.data_dir)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def made(bench: Bench, name: str, *options: str) -> str:
    return cli(bench, "create", "--name", name, *options).strip()


def header(key: str) -> dict[str, str]:
    return {"x-api-key": key}


def a_second_passes(bench: Bench) -> None:
    bench.clock.ahead += 1.1


def test_the_first_key_locks_a_running_service(api: Api, bench: Bench) -> None:
    api.headers = header("tml-anything")
    own = api.session()
    key = made(bench, "ann", "--note", "laptop")
    a_second_passes(bench)
    assert "tinker-hl" not in api.refused(401, "list_sessions")["detail"]
    api.headers = header(key)
    assert api.ok("list_sessions")["sessions"] == []
    api.refused(404, "get_session", path={"session_id": own})
    me = api.ok("get_api_key")
    assert (me["key_id"], me["name"], me["note"]) == (1, "ann", "laptop")


def test_keys_are_hashes_at_rest_and_shown_once(bench: Bench) -> None:
    key = made(bench, "ann")
    assert key.startswith("tml-")
    assert all(key.encode() not in file.read_bytes() for file in bench.data_dir.iterdir())
    assert key not in cli(bench, "list")


def test_keys_of_one_name_own_the_same_and_others_see_nothing(bench: Bench) -> None:
    ann, other_ann, bob = made(bench, "ann"), made(bench, "ann"), made(bench, "bob")
    api = bench.start(host="0.0.0.0")
    api.headers = header(ann)
    model_id = api.model()
    path = api.save(model_id, 1, "a")
    for key, seen in ((other_ann, [path]), (bob, [])):
        found = api.ok("list_checkpoints", headers=header(key))["checkpoints"]
        assert [checkpoint["tinker_path"] for checkpoint in found] == seen
    api.refused(404, "get_training_run", path={"training_run_id": model_id}, headers=header(bob))


def test_a_key_for_all_sees_and_manages_everybodys(bench: Bench) -> None:
    ann, boss = made(bench, "ann"), made(bench, "boss", "--scope", "all")
    api = bench.start()
    api.headers = header(ann)
    session_id = api.session()
    model_id = api.model(session_id)
    path = api.save(model_id, 1, "a")
    where = {"training_run_id": model_id, "checkpoint_kind": "weights", "checkpoint_name": "a"}
    api.headers = header(boss)
    assert [found["tinker_path"] for found in api.ok("list_checkpoints")["checkpoints"]] == [path]
    assert [run["model_owner"] for run in api.ok("list_training_runs")["training_runs"]] == ["ann"]
    assert api.ok("list_sessions")["sessions"] == [session_id]
    assert api.ok("get_session", path={"session_id": session_id})["training_run_ids"] == [model_id]
    assert api.ok("get_weights_info", body={"tinker_path": path})["lora_rank"] == 4

    def searched(owner: Any) -> list[str]:
        return [found["owner"] for found in api.ok("search_sessions", body={"owner": owner})["sessions"]]

    assert searched({"type": "own"}) == []
    assert searched({"type": "accessible"}) == ["ann"]
    assert searched({"type": "user", "owner_urns": ["ann", "x"]}) == ["ann"]
    assert searched({"type": "user", "owner_urns": ["x"]}) == []
    api.answer("delete_checkpoint", path=where)
    api.answer("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    api.headers = header(ann)
    assert api.ok("list_checkpoints")["checkpoints"] == []
    api.refused(410, "heartbeat_session", body={"session_id": session_id})


def test_training_with_somebody_elses_model_is_nobodys_right(bench: Bench) -> None:
    ann, boss = made(bench, "ann"), made(bench, "boss", "--scope", "all")
    api = bench.start()
    api.headers = header(ann)
    model_id = api.model()
    api.headers = header(boss)
    api.refused(404, "save_weights", body={"model_id": model_id, "seq_id": 1, "path": "a"})


def test_a_key_deletes_itself_at_once(bench: Bench) -> None:
    key, other = made(bench, "ann"), made(bench, "ann")
    api = bench.start()
    api.headers = header(key)
    jwt = api.ok("exchange_token", body={})["jwt"]
    api.ok("list_sessions", headers=header(jwt))
    assert api.answer("delete_api_key").status_code == 204
    for credential in (key, jwt):
        api.refused(401, "list_sessions", headers=header(credential))
    api.ok("list_sessions", headers=header(other))


def test_a_key_is_revoked_from_the_command_line_within_a_second(bench: Bench) -> None:
    key = made(bench, "ann")
    api = bench.start()
    api.headers = header(key)
    api.ok("list_sessions")
    cli(bench, "revoke", "1")
    a_second_passes(bench)
    api.refused(401, "list_sessions")
    first, _ = cli(bench, "list"), cli(bench, "revoke", "1")
    assert json.loads(cli(bench, "list", "--format", "json"))["keys"][0]["revoked"]
    assert cli(bench, "list") == first


def test_a_folder_whose_keys_are_all_revoked_stays_locked(bench: Bench) -> None:
    made(bench, "ann")
    cli(bench, "revoke", "1")
    api = bench.start()
    api.refused(401, "list_sessions", headers=header("tml-anything"))


def test_a_key_given_at_the_start_cannot_be_deleted(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-a",))
    api.headers = header("tml-a")
    assert api.refused(403, "delete_api_key")["code"] == "not_stored"
    assert api.ok("get_api_key")["key_id"] == 0


def test_others_reach_a_service_only_with_a_key(bench: Bench) -> None:
    settings = Settings(data_dir=bench.data_dir, models=(), host="0.0.0.0")
    with pytest.raises(ValueError, match="keys create"):
        create_app(settings, NullEngine(()))
    made(bench, "ann")
    create_app(settings, NullEngine(()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "--name", "a b"], "1 to 64 letters"),
        (["revoke", "7"], "no key 7"),
        (["share", "x"], "tinker://RUN/KIND/NAME"),
        (["share", "tinker://a/weights/b"], "no checkpoint"),
    ],
)
def test_what_cannot_be_done_is_said(bench: Bench, arguments: list[str], message: str) -> None:
    bench.data_dir.mkdir()
    result = CliRunner().invoke(keys, [*arguments, "--data-dir", str(bench.data_dir)])
    assert result.exit_code != 0
    assert message in result.output


def test_a_folder_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    result = CliRunner().invoke(keys, ["list", "--data-dir", str(tmp_path / "x")])
    assert (result.exit_code, "no data folder" in result.output) == (1, True)
    assert not (tmp_path / "x").exists()


def test_a_share_opens_one_checkpoint_to_another(bench: Bench) -> None:
    ann, bob = made(bench, "ann"), made(bench, "bob")
    api = bench.start()
    api.headers = header(ann)
    path = api.save(api.model(), 1, "a")
    token = cli(bench, "share", path, "--hours", "1").strip()
    api.headers = header(bob)
    body = {"session_id": api.session(), "model_seq_id": 0, "path": path, "optimizer": True}
    api.refused(404, "load_weights", body=body)
    assert api.result(api.ok("load_weights", body={**body, "weights_access_token": token}))["path"] == path


# --- tokens


def claims_of(jwt: str) -> dict[str, Any]:
    payload = jwt.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def test_a_token_stands_for_its_key_until_it_ends(bench: Bench) -> None:
    key = made(bench, "ann")
    api = bench.start(token_lifetime_seconds=100.0)
    api.headers = header(key)
    session_id = api.session()
    jwt = api.ok("exchange_token", body={})["jwt"]
    claims = claims_of(jwt)
    assert claims["exp"] - claims["iat"] == 100
    assert (claims["sub"], claims["org_id"], claims["iss"]) == ("tml:user:ann", "local", "tinker-hl")
    api.headers = header(jwt)
    assert api.ok("list_sessions")["sessions"] == [session_id]
    assert api.refused(403, "exchange_token", body={})["code"] == "key_needed"
    bench.clock.ahead += 101
    refused = api.answer("list_sessions")
    assert (refused.status_code, 'error="invalid_token"' in refused.headers["www-authenticate"]) == (401, True)


def test_a_token_outlives_a_restart_but_not_its_key(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-a",))
    jwt = api.ok("exchange_token", body={}, headers=header("tml-a"))["jwt"]
    bench.stop(api)
    api = bench.start(api_keys=("tml-a",))
    api.ok("list_sessions", headers=header(jwt))
    bench.stop(api)
    api = bench.start(api_keys=("tml-b",))
    api.refused(401, "list_sessions", headers=header(jwt))


def test_a_keyless_service_gives_tokens_too_until_it_is_locked(api: Api, bench: Bench) -> None:
    jwt = api.ok("exchange_token", body={})["jwt"]
    api.ok("list_sessions", headers=header(jwt))
    made(bench, "ann")
    a_second_passes(bench)
    api.refused(401, "list_sessions", headers=header(jwt))


def test_clients_are_told_to_exchange_unless_chosen_otherwise(bench: Bench) -> None:
    body = {"sdk_version": "0.38.0"}
    api = bench.start()
    assert api.ok("get_client_config", body=body)["pjwt_auth_enabled"] is True
    bench.stop(api)
    assert bench.start(token_auth=False).ok("get_client_config", body=body)["pjwt_auth_enabled"] is False


@pytest.mark.parametrize("token", ["eyJ", "eyJ.", "eyJ..", "eyJhbGciOiJub25lIn0.eyJvd25lciI6ImxvY2FsIn0.", "eyJä.b.c"])
def test_a_forged_token_is_refused_even_where_no_key_is_needed(api: Api, token: str) -> None:
    refused = api.request("GET", "/api/v1/sessions", headers={"x-api-key": token.encode()})
    assert (refused.status_code, 'error="invalid_token"' in refused.headers["www-authenticate"]) == (401, True)


def test_a_token_is_read_with_its_own_secret_only() -> None:
    token = issued({"exp": 10, "owner": "a"}, b"s" * 32)
    assert read(token, b"s" * 32, now=9.9)["owner"] == "a"
    with pytest.raises(InvalidTokenError, match="not made"):
        read(token, b"t" * 32, now=0)
    with pytest.raises(InvalidTokenError, match="over"):
        read(token, b"s" * 32, now=10)
