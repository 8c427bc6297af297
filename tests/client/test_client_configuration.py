"""What a client is told: every argument and variable, where each value comes from, and names that mean nothing."""

import contextlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import Reply, ScriptedServer

import tinker_hl
from tinker_hl import RetryPolicy, ServiceClient
from tinker_hl.configuration import Origin, configuration_here, values, variables
from tinker_hl.configuration.origin import masked_key, without_user
from tinker_hl.configuration.settings import SPECS, ClientSettings, read_settings
from tinker_hl.configuration.variables import KNOWN, WITHOUT_EFFECT, notes_on, warn_of_unknown
from tinker_hl.credentials import CredentialStore, StoredKey
from tinker_hl.retry import InstantClock
from tinker_hl.transport import AsgiTransport

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")
KEY = "tml-a-key-that-is-long-enough-wxyz"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in {*KNOWN, *WITHOUT_EFFECT, "SSL_CERT_FILE", "SSL_CERT_DIR"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def told(environ: Mapping[str, str], **arguments: Any) -> ClientSettings:
    return read_settings(arguments, environ=environ)


ROWS: list[tuple[str, str, str, Any]] = [
    ("TINKER_PROJECT_ID", "p7", "project_id", "p7"),
    ("TINKER_TAGS", " one, two,one", "tags", ("one", "two")),
    ("TINKER_FEATURE_GATES", "async_sampling,b", "feature_gates", ("async_sampling", "b")),
    ("TINKER_TELEMETRY", "on", "telemetry", True),
    ("TINKER_TELEMETRY", "2", "telemetry", False),
    ("TINKER_TELEMETRY_FILE", "reports.jsonl", "telemetry_file", "reports.jsonl"),
    ("TINKER_PROGRESS", "off", "progress", False),
    ("TINKER_PROGRESS", "2", "progress", True),
    ("TINKER_OTEL_PROPAGATE", "true", "otel_propagate", True),
    ("TINKEX_OTEL_PROPAGATE", "true", "otel_propagate", True),
    ("TINKER_TRUST_REMOTE_CODE", "yes", "trust_remote_code", True),
    ("TINKER_LOG", "debug", "log", "debug"),
    ("TINKER_TIMEOUT", "12.5", "timeout", 12.5),
    ("TINKEX_TIMEOUT", "12500", "timeout", 12.5),
    ("TINKER_MAX_RETRIES", "3", "max_retries", 3),
    ("TINKEX_MAX_RETRIES", "0", "max_retries", 0),
    ("TINKER_MAX_CONNECTIONS", "7", "max_connections", 7),
    ("TINKER_PARITY", "Beam", "parity", "tinkex-beam"),
    ("TINKEX_PARITY", "python", "parity", "official-0.38"),
    ("TINKER_POLL_BACKOFF", "exponential:0.5:8", "poll_backoff", (0.5, 8.0)),
    ("TINKEX_POLL_BACKOFF", "exponential:500:8000", "poll_backoff", (0.5, 8.0)),
    ("TINKER_POLL_BACKOFF", "exponential", "poll_backoff", (1.0, 30.0)),
    ("TINKEX_POLL_BACKOFF", "none", "poll_backoff", None),
    ("TINKER_PROXY", "http://p.test:1", "proxy", "http://p.test:1"),
    ("TINKEX_PROXY", "http://p.test:1", "proxy", "http://p.test:1"),
    ("TINKER_PROXY_HEADERS", '{"A": "b"}', "proxy_headers", {"A": "b"}),
    ("TINKEX_PROXY_HEADERS", '[["A", "b"]]', "proxy_headers", {"A": "b"}),
    ("TINKER_DEFAULT_HEADERS", '{"X-A": "b"}', "default_headers", {"X-A": "b"}),
    ("TINKEX_DEFAULT_HEADERS", '{"X-A": "b"}', "default_headers", {"X-A": "b"}),
    ("TINKER_DEFAULT_QUERY", '{"team": 7}', "default_query", {"team": "7"}),
    ("TINKEX_DEFAULT_QUERY", '{"team": "7"}', "default_query", {"team": "7"}),
    ("TINKER_DUMP_HEADERS", "yes", "dump_headers", True),
    ("TINKEX_DUMP_HEADERS", "off", "dump_headers", False),
    ("CLOUDFLARE_ACCESS_CLIENT_ID", "an-id", "cloudflare_access_client_id", "an-id"),
    ("CLOUDFLARE_ACCESS_CLIENT_SECRET", "s", "cloudflare_access_client_secret", "s"),
    ("SSL_CERT_FILE", "/a.pem", "certificates", "/a.pem"),
]


@pytest.mark.parametrize(("variable", "text", "setting", "value"), ROWS, ids=lambda part: str(part)[:40])
def test_each_variable_sets_its_value(variable: str, text: str, setting: str, value: Any) -> None:
    """T-006, T-007, T-012, S3-24: read from an injected map; an empty variable is an unset one; an argument wins."""
    settings = told({variable: text})
    assert settings[setting] == value
    assert settings.all[setting].origin == Origin("environment", variable)
    empty = told({variable: "  "})
    assert empty.all[setting].origin.kind == "default"
    assert empty[setting] == told({})[setting]
    assert f"`{variable}`" in PAGE


def test_the_table_has_every_variable_and_alias() -> None:
    """T-007: a TINKER_ name wins over the port's name of the same setting."""
    named = {variable for spec in SPECS for variable, _ in spec.variables} | {"TINKER_PARITY", "TINKEX_PARITY"}
    assert named - {row[0] for row in ROWS} == {"SSL_CERT_DIR"}
    both = {"TINKER_TIMEOUT": "5", "TINKEX_TIMEOUT": "7000", "TINKER_PARITY": "default", "TINKEX_PARITY": "beam"}
    assert told(both)["timeout"] == 5.0
    assert told(both).profile.name == "default"


def test_the_ports_pools_are_connections() -> None:
    """T-007, T-020: TINKEX_POOL_SIZE and TINKEX_POOL_COUNT."""
    assert told({"TINKEX_POOL_SIZE": "50", "TINKEX_POOL_COUNT": "20"}).profile.max_connections == 1000
    alone = told({"TINKEX_POOL_SIZE": "50"})
    assert alone["max_connections"] == 50
    assert alone.all["max_connections"].origin == Origin("environment", "TINKEX_POOL_SIZE")
    assert told({"TINKEX_POOL_SIZE": "50"}, max_connections=3).profile.max_connections == 3
    assert told({"TINKEX_POOL_SIZE": "50", "TINKER_MAX_CONNECTIONS": "4"})["max_connections"] == 4
    with pytest.raises(tinker_hl.ConfigurationError, match="TINKEX_POOL_COUNT must be a whole number"):
        told({"TINKEX_POOL_COUNT": "0"})


def test_arguments_win_over_the_environment_and_that_over_the_profile() -> None:
    """T-002: options > environment > profile > defaults."""
    environ = {"TINKER_PARITY": "beam", "TINKER_TIMEOUT": "5", "TINKER_MAX_RETRIES": "4"}
    settings = told(environ, timeout=7)
    assert (settings.profile.timeout, settings.profile.max_retries, settings.profile.delay_base) == (7.0, 4, 0.5)
    kinds = [settings.all[name].origin.kind for name in ("timeout", "max_retries", "delay_base", "project_id")]
    assert kinds == ["argument", "environment", "profile", "default"]
    assert settings.policy.max_retries == 4
    policy = RetryPolicy(delay_base=9.0)
    explicit = read_settings({"max_retries": 1}, policy=policy, environ=environ)
    assert (explicit.policy.delay_base, explicit.policy.max_retries) == (9.0, 1)
    assert read_settings({}, policy=policy, environ=environ).policy == policy
    assert read_settings({}, policy=policy, environ=environ).all["max_retries"].value is None
    assert read_settings({"timeout": httpx.Timeout(9.0)}, environ={})["timeout"] == 9.0


@pytest.mark.parametrize("setting", ["telemetry", "progress"])
def test_what_a_user_switches_off_no_program_switches_on(setting: str) -> None:
    variable = f"TINKER_{setting.upper()}"
    off = told({variable: "0"}, **{setting: True})
    assert (off[setting], off.all[setting].origin) == (False, Origin("environment", variable))
    for text in ("", "1"):
        settings = told({variable: text}, **{setting: False})
        assert (settings[setting], settings.all[setting].origin) == (False, Origin("argument", f"{setting}="))


@pytest.mark.parametrize(
    ("environ", "arguments", "hosted", "origin"),
    [
        ({}, {}, True, Origin("default")),
        ({"TINKER_TELEMETRY": "1"}, {}, True, Origin("environment", "TINKER_TELEMETRY")),
        ({"TINKER_TELEMETRY_FILE": "/f"}, {}, True, Origin("environment", "TINKER_TELEMETRY_FILE")),
        ({"TINKER_TELEMETRY_FILE": "/f"}, {"telemetry": False}, False, Origin("argument", "telemetry=")),
        (
            {"TINKER_TELEMETRY_FILE": "/f", "TINKER_TELEMETRY": "0"},
            {},
            False,
            Origin("environment", "TINKER_TELEMETRY"),
        ),
    ],
)
def test_whether_there_are_reports_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    arguments: dict[str, bool],
    hosted: bool,
    origin: Origin,
) -> None:
    """The hosted service is told unless somebody says no; any other one if somebody says yes."""
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    service = ServiceClient(base_url="http://s.test", **arguments)  # type: ignore[arg-type]
    assert service.config["telemetry"] is (service.get_telemetry() is not None)
    assert service.config["telemetry"] is (hosted and origin.kind != "default")
    assert service.config.origin("telemetry") == origin
    service = ServiceClient(api_key=KEY, **arguments)  # type: ignore[arg-type]
    assert service.config["telemetry"] is (service.get_telemetry() is not None) is hosted
    if not arguments:
        assert configuration_here()["telemetry"] is hosted


WRONG = [
    ("TINKER_TIMEOUT", "soon", "a number of seconds above 0"),
    ("TINKER_TIMEOUT", "-1", "a number of seconds above 0"),
    ("TINKEX_TIMEOUT", "inf", "a number of milliseconds above 0"),
    ("TINKER_MAX_RETRIES", "1.5", "a whole number, 0 or above"),
    ("TINKER_MAX_CONNECTIONS", "0", "a whole number, 1 or above"),
    ("TINKEX_OTEL_PROPAGATE", "perhaps", "one of 1, true, yes, on, or of 0, false, no, off"),
    ("TINKER_DUMP_HEADERS", "perhaps", "one of 1, true, yes, on, or of 0, false, no, off"),
    ("TINKER_DEFAULT_HEADERS", "tml-a-secret", "a JSON object"),
    ("TINKER_PROXY_HEADERS", '[["a"]]', "a JSON object"),
    ("TINKER_DEFAULT_QUERY", '{"a": [1]}', "texts or numbers"),
    ("TINKER_POLL_BACKOFF", "exponential:9:1", "none, exponential"),
    ("TINKER_POLL_BACKOFF", "linear", "none, exponential"),
    ("TINKER_PARITY", "ruby", "there is no parity profile 'ruby'"),
]


@pytest.mark.parametrize(("variable", "text", "said"), WRONG)
def test_what_cannot_be_meant_is_refused_by_name(variable: str, text: str, said: str) -> None:
    """T-003: bad values raise when a client is made, and are not shown, for one may be a key in the wrong place."""
    with pytest.raises(tinker_hl.ConfigurationError, match=re.escape(said)) as caught:
        told({variable: text})
    assert str(caught.value).startswith(variable)
    assert "tml-a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("timeout", 0), ("timeout", "x"), ("max_retries", -1), ("max_connections", 0), ("default_query", 7)],
)
def test_wrong_arguments_are_refused_by_name(argument: str, value: Any) -> None:
    with pytest.raises(tinker_hl.ConfigurationError, match=f"^{argument}= must be"):
        ServiceClient(base_url="http://x.test", **{argument: value})


@given(st.text())
def test_no_text_does_more_than_be_refused(text: str) -> None:
    readers = (values.truth, values.seconds, values.count, values.headers, values.poll_delays, values.names)
    for reader in readers:
        with contextlib.suppress(ValueError):
            reader(text)


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_objects_and_pairs_are_read_alike(pairs: dict[str, str]) -> None:
    assert values.headers(json.dumps(pairs)) == values.headers(json.dumps(list(pairs.items()))) == pairs


def test_headers_and_query_go_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """T-009, T-011: merged into each request; the argument wins over the environment, and a call's own over both."""
    monkeypatch.setenv("TINKER_DEFAULT_HEADERS", '{"X-Team": "seven", "X-Both": "environment"}')
    monkeypatch.setenv("TINKER_DEFAULT_QUERY", '{"tenant": "a b", "limit": "3"}')
    queries: list[str] = []
    server = ScriptedServer(config={})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            queries.append(scope["query_string"].decode())
        await server(scope, receive, send)

    transport = AsgiTransport(app, lifespan=False)
    own = {"X-Both": "argument"}
    with ServiceClient(base_url="http://s.test", transport=transport, default_headers_overrides=own) as service:
        service.get_server_capabilities()
        with pytest.raises(tinker_hl.NotFoundError):
            service.create_rest_client().list_training_runs(limit=9).result(10)
    assert {seen.headers["x-team"] for seen in server.seen} == {"seven"}
    assert {seen.headers["x-both"] for seen in server.seen} == {"argument"}
    assert all("tenant=a+b" in query for query in queries)
    assert "limit=3" in queries[0]
    assert "limit=9" in queries[-1]
    assert "limit=3" not in queries[-1]
    assert service.config.origin("default_headers") == Origin("argument", "default_headers= and TINKER_DEFAULT_HEADERS")


def test_timeout_and_retries_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3-24: TINKEX_TIMEOUT and TINKEX_MAX_RETRIES; `timeout=` and `max_retries=` as release 0.7 has them."""
    for arguments, environ, attempts in (({"max_retries": 2}, {}, 3), ({}, {"TINKEX_MAX_RETRIES": "1"}, 2)):
        for name, text in environ.items():
            monkeypatch.setenv(name, text)
        server = ScriptedServer()
        server.faults["get_server_capabilities"] = [Reply(503)] * 100
        service = ServiceClient(
            base_url="http://s.test",
            transport=server.transport(),
            clock=InstantClock(f"retries {attempts}"),
            **arguments,
        )
        with service, pytest.raises(tinker_hl.InternalServerError):
            service.get_server_capabilities()
        assert len(server.paths("get_server_capabilities")) == attempts
    monkeypatch.setenv("TINKEX_TIMEOUT", "30000")
    connection = ServiceClient(base_url="http://s.test")._session.connection
    assert connection.call("ServiceClient.x").timeout == 30.0
    with tinker_hl.call_options(timeout=3.0):
        assert connection.call("ServiceClient.x").timeout == 3.0


def test_headers_are_dumped_on_demand_and_hold_no_key(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """T-008, T-027: TINKEX_DUMP_HEADERS logs method, URL and headers with secrets hidden."""
    monkeypatch.setenv("CLOUDFLARE_ACCESS_CLIENT_SECRET", "the-access-secret")
    monkeypatch.setenv("TINKEX_DUMP_HEADERS", "1")
    copied = {"X-Copied-By-Hand": f"the key is {KEY}"}
    server = ScriptedServer()
    with (
        caplog.at_level(logging.DEBUG, "tinker_hl"),
        server.client(api_key=KEY, default_headers_overrides=copied) as service,
    ):
        service.get_server_capabilities()
    assert KEY in server.paths("get_server_capabilities")[0].headers["x-copied-by-hand"]
    (line,) = [line for line in caplog.messages if "get_server_capabilities 0 bytes" in line]
    assert line.startswith("GET http://scripted.test/api/v1/get_server_capabilities 0 bytes [")
    assert "user-agent: tinker-hl/" in line
    assert "x-api-key: ***" in line
    assert "cf-access-client-secret: ***" in line
    assert not any(secret in caplog.text for secret in (KEY, "the-access-secret"))


def test_every_origin_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """T-001, T-006, S3-24: `service.config` names argument, variable, server, profile or default for each value."""
    monkeypatch.setenv("TINKER_TAGS", "a,b")
    monkeypatch.setenv("TINKER_PARITY", "official-0.38")
    server = ScriptedServer(config={"fwdbwd_max_chunk_len": 7})
    with server.client(api_key=KEY, timeout=9, retry_policy=None) as service:
        before = service.config
        assert before.origin("chunk_items") == Origin("default")
        service.get_server_capabilities()
        config = service.config
    assert str(config.origin("base_url")) == "argument base_url="
    assert str(config.origin("api_key")) == "argument api_key="
    assert str(config.origin("timeout")) == "argument timeout="
    assert str(config.origin("tags")) == "environment TINKER_TAGS"
    assert str(config.origin("parity")) == "environment TINKER_PARITY"
    assert str(config.origin("max_retries")) == "profile official-0.38"
    assert str(config.origin("chunk_items")) == "server client/config"
    assert str(config.origin("chunk_size")) == "default"
    assert str(config.origin("project_id")) == "default"
    assert (config["timeout"], config["max_retries"], config["chunk_items"], config["tags"]) == (9.0, 10, 7, ("a", "b"))
    assert config["api_key"] == "tml-a-...wxyz"
    for shown in (str(config), repr(config), repr(dict(config)), json.dumps(config.to_json())):
        assert KEY not in shown
    assert re.search(r"^tags +a, b +environment TINKER_TAGS$", str(config), re.MULTILINE)
    with pytest.raises(KeyError):
        config.origin("no_such_setting")


def test_where_the_key_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """T-002, T-003, T-006: argument, variable, command, file or none, told without running the command."""
    monkeypatch.setenv("TINKER_BASE_URL", "http://s.test")
    assert configuration_here().origin("api_key") == Origin("default")
    assert str(configuration_here().origin("base_url")) == "environment TINKER_BASE_URL"
    marker = tmp_path / "ran"
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", f"touch {marker}; echo tml-x")
    assert configuration_here().origin("api_key") == Origin("environment", "TINKER_CREDENTIAL_CMD")
    monkeypatch.setenv("TINKER_API_KEY", KEY)
    assert configuration_here().origin("api_key") == Origin("environment", "TINKER_API_KEY")
    assert configuration_here()["api_key"] == "tml-a-...wxyz"
    assert ServiceClient(api_key="own-key").config.origin("api_key") == Origin("argument", "api_key=")
    monkeypatch.delenv("TINKER_BASE_URL")
    monkeypatch.delenv("TINKER_API_KEY")
    monkeypatch.delenv("TINKER_CREDENTIAL_CMD")
    assert configuration_here()["api_key"] == "", "the hosted service wants one, and there is none to show"
    assert not marker.exists()


def test_a_stored_login_is_a_file() -> None:
    """T-002: the last place that is looked at."""
    store = CredentialStore()
    store.add("mine", StoredKey(key=KEY, name="mine"), default=True)
    assert configuration_here().origin("api_key") == Origin("file", str(store.path))
    assert KEY not in str(configuration_here())


@pytest.mark.parametrize(
    ("key", "shown"),
    [("", ""), ("abcd", "****"), ("tml-short-key", "*************"), (KEY, "tml-a-...wxyz"), ("x" * 23, "*" * 23)],
)
def test_a_key_is_masked(key: str, shown: str) -> None:
    """T-008: six characters, dots and four; of a key so short that this would be much of it, only stars."""
    assert masked_key(key) == shown


def test_an_address_is_shown_without_its_user() -> None:
    assert without_user("http://u:p@h.test:1/x") == "http://***@h.test:1/x"
    assert without_user("http://h.test:1") == "http://h.test:1"
    assert without_user("http://u:p@q@h.test") == "http://***@h.test"
    assert without_user("http://h.test/a@b") == "http://h.test/a@b"


def test_a_proxy_without_a_scheme_shows_no_password_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken for an HTTP proxy, and so its user name and password are, too."""
    monkeypatch.setenv("TINKER_PROXY", "user:secret-word@proxy.test:3128")
    shown = configuration_here()
    assert shown["proxy"] == "***@proxy.test:3128"
    assert "secret-word" not in str(shown)


def test_what_stands_in_the_middle_of_a_value_is_hidden_too() -> None:
    headers = {"Authorization": "Basic c2VjcmV0", "X-Team": "seven"}
    config = ServiceClient(
        base_url="http://s.test", default_headers_overrides=headers, default_query={"token": "q7"}
    ).config
    assert config["default_headers"] == {"Authorization": "***", "X-Team": "seven"}
    assert "c2VjcmV0" not in str(config)
    assert "q7" not in str(config) + repr(dict(config))


def test_an_unknown_variable_is_warned_about_once_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(variables, "_told", set())
    monkeypatch.setenv("TINKER_APIKEY", "x")
    monkeypatch.setenv("TINKEX_HTTP_POOL", "mine")
    monkeypatch.setenv("TINKER_HL_HOME", "/somewhere")
    with caplog.at_level(logging.WARNING, "tinker_hl"):
        for _ in range(3):
            service = ServiceClient(base_url="http://s.test")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "the environment variable TINKER_APIKEY has no effect: did you mean TINKER_API_KEY?",
        "the environment variable TINKEX_HTTP_POOL has no effect: "
        "ServiceClient(transport=...) is how requests travel another way",
    ]
    assert set(service.config.notes) == {"TINKER_APIKEY", "TINKEX_HTTP_POOL"}
    assert "TINKER_APIKEY has no effect: did you mean TINKER_API_KEY?" in str(service.config)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("TINKER_BASEURL", "did you mean TINKER_BASE_URL?"),
        ("TINKER_PROJECT", "did you mean TINKER_PROJECT_ID?"),
        ("TINKER_TELEMETERY", "did you mean TINKER_TELEMETRY?"),
        ("TINKEX_PARTY", "did you mean TINKEX_PARITY?"),
        ("TINKER_ZZZZZZZZZZ", "no setting has this name"),
        *WITHOUT_EFFECT.items(),
    ],
)
def test_the_suggestions(name: str, note: str) -> None:
    """T-007: TINKEX_HTTP_CLIENT and TINKEX_HTTP_POOL do not apply, and say what to use instead."""
    assert notes_on([name, "TINKER_API_KEY", "TINKER_HL_ANYTHING", "PATH"]) == {name: note}
    if name in WITHOUT_EFFECT:
        assert f"`{name}`" in PAGE


def test_every_variable_that_the_client_names_is_known_and_documented() -> None:
    """A variable that is added anywhere in the client must be in `KNOWN`, or its users would be warned of it."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tinker_hl").rglob("*.py"))
    named = set(re.findall(r"\bTINKER_(?!HL_)[A-Z_]+[A-Z]\b", sources))
    assert named - KNOWN - set(WITHOUT_EFFECT) == set()
    pages = PAGE + (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    assert [name for name in sorted(KNOWN) if f"`{name}`" not in pages] == []


def test_unknown_names_cost_nothing_to_clients_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variables, "_told", set())
    warn_of_unknown(["TINKER_A_B_C"])
    assert variables._told == {"TINKER_A_B_C"}
