"""Addresses, keys, configuration, tokens, retries of one call, and what never leaves the process."""

import base64
import logging
import pickle
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, RetryPolicy, ServiceClient
from tinker_hl.backpressure import backpressure_of
from tinker_hl.clients.rest import RestClient
from tinker_hl.connection import Connection
from tinker_hl.credentials import DEFAULT_BASE_URL, KEYLESS, resolve_base_url
from tinker_hl.retry import InstantClock

SECRET = "tml-very-secret-key"


def rest(server: ScriptedServer, **options: object) -> RestClient:
    options = {"clock": InstantClock()} | options
    return RestClient(Connection("http://scripted.test", SECRET, transport=server.transport(), **options))  # type: ignore[arg-type]


def test_the_constructor_makes_no_request() -> None:
    server = ScriptedServer()
    service = server.client()
    service.create_rest_client()
    assert service.get_console_url().endswith("/sessions")
    service.close().result(10)
    assert server.seen == []


def test_the_address_is_the_argument_then_the_environment_then_the_hosted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)
    assert resolve_base_url(None) == DEFAULT_BASE_URL
    monkeypatch.setenv("TINKER_BASE_URL", "http://from.environment/prefix/")
    assert resolve_base_url(None) == "http://from.environment/prefix"
    assert resolve_base_url("http://argument/") == "http://argument"
    assert resolve_base_url("local") == "local"
    monkeypatch.setenv("TINKER_BASE_URL", "")
    assert resolve_base_url(None) == DEFAULT_BASE_URL
    with pytest.raises(tinker_hl.ConfigurationError, match="http://"):
        resolve_base_url("localhost:8000")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("HTTP://Service.Test:80/Prefix/", "http://service.test/Prefix"),
        ("https://service.test:443", "https://service.test"),
        ("https://service.test:80", "https://service.test:80"),
        ("http://[::1]:80/", "http://[::1]"),
        ("http://[::1]:8787", "http://[::1]:8787"),
        ("http://service.test:8787/a?b=C", "http://service.test:8787/a?b=C"),
        ("http://[broken/", "http://[broken"),
        ("http://service.test:port", "http://service.test:port"),
    ],
)
def test_an_address_has_one_spelling_so_that_its_limits_are_shared(given: str, address: str) -> None:
    """T-005, T-078, S0-29: scheme and host in lower case, and no port that is the scheme's own."""
    assert resolve_base_url(given) == address
    one, other = (
        ServiceClient(base_url=spelling, api_key="tml-x")._session.connection for spelling in (given, address)
    )
    assert backpressure_of(one.server) is backpressure_of(other.server)


def test_the_hosted_service_needs_a_key_and_others_do_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TINKER_API_KEY", raising=False)
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)
    with pytest.raises(tinker_hl.ConfigurationError, match="TINKER_API_KEY"):
        ServiceClient()
    server = ScriptedServer()
    server.client(api_key=None).get_server_capabilities()
    monkeypatch.setenv("TINKER_API_KEY", "any")
    server.client(api_key=None).get_server_capabilities()
    keys = [request.headers["x-api-key"] for request in server.paths("get_server_capabilities")]
    assert keys == [KEYLESS, "any"]
    with pytest.raises(tinker_hl.ConfigurationError):
        server.client(api_key="two\nlines")


def test_unknown_arguments_are_named() -> None:
    with pytest.warns(FutureWarning, match=r"\['http_client', 'pool'\]"):
        ServiceClient(base_url="http://127.0.0.1:9", pool=3, http_client=None)


def test_configuration_is_read_once_and_its_lack_is_tolerated() -> None:
    for config, asked in ((None, 0), ({"parallel_fwdbwd_chunks": False, "unknown": 1, "fwdbwd_max_chunk_len": 3}, 1)):
        server = ScriptedServer(config=config)
        with server.client() as service:
            training = service.create_lora_training_client("base")
            training.optim_step(AdamParams()).result(10)
            capabilities = service._session.connection.capabilities
        assert len(server.paths("client/config")) == 1
        assert len(server.paths("dynamic_config")) == asked
        assert capabilities.has_config is (config is not None)
        assert capabilities.fwdbwd_max_chunk_len == (1024 if config is None else 3)
        assert not capabilities.parallel_fwdbwd_chunks


def test_a_failed_start_is_tried_anew_by_the_next_call() -> None:
    server = ScriptedServer(config={})
    server.faults["config"] = [Reply(403, {"detail": "not you"})]
    client = rest(server)
    with pytest.raises(tinker_hl.PermissionDeniedError):
        client.get_server_capabilities().result(10)
    assert client.get_server_capabilities().result(10).supported_models


def _token(lifetime: float) -> str:
    claims = {"exp": (datetime.now(UTC) + timedelta(seconds=lifetime)).timestamp()}
    return "eyJh." + base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip("=") + ".sig"


def test_a_key_is_traded_for_a_token_where_the_server_wants_that() -> None:
    server = ScriptedServer(config={"pjwt_auth_enabled": True})
    old, new = _token(3600), _token(7200)
    server.faults["token"] = [Reply(body={"jwt": old}), Reply(body={"jwt": new})]
    expired = Reply(401, {"detail": "expired"}, {"www-authenticate": 'Bearer error="invalid_token"'})
    server.faults["get_server_capabilities"] = [expired]
    client = rest(server)
    client.get_server_capabilities().result(10)
    client.get_server_capabilities().result(10)
    assert server.paths("client/config")[0].headers["x-api-key"] == SECRET
    assert [request.headers["x-api-key"] for request in server.paths("auth/token")] == [SECRET, SECRET]
    keys = [request.headers["x-api-key"] for request in server.paths("get_server_capabilities")]
    assert keys == [old, new, new]


def test_a_token_near_its_end_is_renewed() -> None:
    server = ScriptedServer(config={"pjwt_auth_enabled": True})
    server.faults["token"] = [Reply(body={"jwt": _token(30)}), Reply(body={"jwt": _token(3600)})]
    client = rest(server)
    for _ in range(3):
        client.get_server_capabilities().result(10)
    assert len(server.paths("auth/token")) == 2


def test_a_user_error_is_told_at_once() -> None:
    """Promise R15, and no retry of a conflict."""
    server = ScriptedServer()
    client = rest(server)
    for status in (400, 401, 403, 404, 409, 410, 413, 422, 501):
        server.faults["get_server_capabilities"] = [Reply(status, {"detail": "no"}, {"x-request-id": "id-1"})]
        before = len(server.paths("get_server_capabilities"))
        started = time.monotonic()
        with pytest.raises(tinker_hl.APIStatusError) as caught:
            client.get_server_capabilities().result(10)
        assert time.monotonic() - started < 2
        assert caught.value.status_code == status
        assert caught.value.request_id == "id-1"
        assert len(server.paths("get_server_capabilities")) == before + 1


def test_retries_keep_one_idempotency_key_and_are_told() -> None:
    server = ScriptedServer()
    server.faults["weights_info"] = [Reply(500), None, Reply(503, headers={"retry-after": "1"})]
    client = rest(server)
    events: list[tinker_hl.Event] = []
    client._connection.events.subscribe(events.append)
    assert client.get_weights_info_by_tinker_path("tinker://M/weights/x").result(10).lora_rank == 8
    requests = server.paths("weights_info")
    assert len({request.headers["x-idempotency-key"] for request in requests}) == 1
    assert [request.headers["x-stainless-retry-count"] for request in requests] == ["0", "1", "2", "3"]
    assert [event.kind for event in events].count("retried") == 3
    again = [event.fields["attempt"] for event in events if event.kind == "retried"]
    assert again == [1, 2, 3]


def test_an_empty_400_is_a_proxys_and_retried() -> None:
    server = ScriptedServer()
    server.faults["get_server_capabilities"] = [Reply(400, raw=b"")]
    assert rest(server).get_server_capabilities().result(10).supported_models


@pytest.mark.parametrize(
    "answer", [Reply(raw=b"<html>", content_type="text/html"), Reply(raw=b"not json"), Reply(body={"other": 1})]
)
def test_an_answer_of_the_wrong_shape_is_typed(answer: Reply) -> None:
    server = ScriptedServer()
    server.faults["get_server_capabilities"] = [answer]
    with pytest.raises(tinker_hl.APIResponseValidationError):
        rest(server).get_server_capabilities().result(10)


def test_what_the_server_wants_read_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    server = ScriptedServer()

    async def capabilities(request: Seen) -> Reply:
        return Reply(body=server.on_get_server_capabilities(request), headers={"x-deprecation-note": "upgrade soon"})

    async def create(request: Seen) -> Reply:
        return Reply(body={"session_id": "S", "warning_message": "the disk is nearly full"})

    server.faults["get_server_capabilities"] = [capabilities]
    server.faults["create_session"] = [create]
    with caplog.at_level(logging.WARNING, "tinker_hl"), server.client() as service:
        service.get_server_capabilities()
        service.create_lora_training_client("base").result(10)
    assert "upgrade soon" in caplog.text
    assert "nearly full" in caplog.text


def test_no_secret_leaves_by_another_door(caplog: pytest.LogCaptureFixture) -> None:
    """Promise R14: not by logs, errors, events, pickles or reprs."""
    server = ScriptedServer()
    server.faults["get_server_capabilities"] = [Reply(500), Reply(403, {"detail": "no"})]
    client = rest(server)
    events: list[tinker_hl.Event] = []
    client._connection.events.subscribe(events.append)
    with caplog.at_level(logging.DEBUG), pytest.raises(tinker_hl.PermissionDeniedError) as caught:
        client.get_server_capabilities().result(10)
    shown = [caplog.text, repr(events), repr(caught.value), str(caught.value), repr(caught.value.request)]
    shown += [repr(client._connection.credential), repr(vars(client)), repr(pickle.dumps(caught.value))]
    assert not any(SECRET in text for text in shown)
    assert server.seen[-1].headers["x-api-key"] == SECRET


def test_the_deadline_holds() -> None:
    server, clock = ScriptedServer(), InstantClock()
    server.faults["get_server_capabilities"] = [Reply(503)] * 10_000
    client = rest(server, clock=clock, policy=RetryPolicy(deadline=60.0))
    with pytest.raises(tinker_hl.InternalServerError):
        client.get_server_capabilities().result(20)
    assert clock.now() <= 61
    assert len(server.paths("get_server_capabilities")) <= 12


def test_local_without_the_service_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tinker_local.embedded", None)
    service = ServiceClient(base_url="local")
    with pytest.raises(tinker_hl.ConfigurationError, match=r"tinker-hl\[local\]"):
        service.get_server_capabilities()


def test_no_warning_is_given_for_plain_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        server = ScriptedServer()
        with server.client() as service:
            service.create_lora_training_client("base").result(10)


def test_whoami_reads_the_token() -> None:
    server = ScriptedServer(config={"pjwt_auth_enabled": True})
    claims = orjson.dumps({"sub": "user:1", "org_id": "7", "email": ""})
    token = "eyJh." + base64.urlsafe_b64encode(claims).decode().rstrip("=") + ".sig"
    server.faults["token"] = [Reply(body={"jwt": token})]
    who = rest(server).whoami().result(10)
    assert (who.user_urn, who.org_urn, who.email) == ("user:1", "tml:organization:7", None)
    with pytest.raises(tinker_hl.ConfigurationError, match="plain key"):
        rest(ScriptedServer()).whoami().result(10)


@pytest.mark.parametrize("answer", [Reply(500), Reply(422, {"detail": "no"}), Reply(raw=b"no JSON"), None])
def test_settings_that_may_change_are_asked_for_once_and_can_be_done_without(answer: Reply | None) -> None:
    server = ScriptedServer(config={})
    server.faults["dynamic_config"] = [answer] * 3
    with server.client() as service:
        assert service.get_server_capabilities().supported_models
    assert len(server.paths("dynamic_config")) == 1


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_settings_that_change_is_nothing_to_tell_of(status: int) -> None:
    server = ScriptedServer(config={})
    server.faults["dynamic_config"] = [Reply(status)]
    connection = Connection("http://scripted.test", "tml-key", transport=server.transport())
    events: list[object] = []
    connection.events.subscribe(events.append)
    RestClient(connection).get_server_capabilities().result(10)
    assert len(server.paths("dynamic_config")) == 1
    assert [event for event in events if getattr(event, "kind", "") == "notice"] == []
