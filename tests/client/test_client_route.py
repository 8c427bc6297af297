"""Proxies that are real processes, and certificates of an authority that nobody knows but those who are told."""

import base64
import json
import logging
import pickle
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_bench import KEY, MODEL, SocketService
from tls_front import TlsFront

import tinker_hl
from tinker_hl import NetworkTransport, ServiceClient, loop
from tinker_hl.configuration import configuration_here
from tinker_hl.transport import Route
from tinker_hl.transport.route import proxy_at

PROGRAM = Path(__file__).parent / "recording_proxy.py"
USER, PASSWORD = "a user", "pass/word-of-proxy"
ADDRESS = "http://service.test"
"""A host that no name server knows: only a proxy leads there."""
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "TINKER_PROXY", "TINKEX_PROXY", "SSL_CERT_FILE")


class ProxyProcess:
    def __init__(self, target: str | int, *more: str) -> None:
        port = str(target).rpartition(":")[2]
        self._process = subprocess.Popen([sys.executable, str(PROGRAM), port, *more], stdout=subprocess.PIPE, text=True)
        self.port = self._line().strip()
        self.url = f"http://127.0.0.1:{self.port}"

    def with_user(self, password: str = PASSWORD) -> str:
        return f"http://a%20user:{password.replace('/', '%2F')}@127.0.0.1:{self.port}"

    def ended(self) -> list[dict[str, Any]]:
        """What it was asked for."""
        self._process.terminate()
        said, _ = self._process.communicate(timeout=30)
        return [json.loads(line) for line in said.splitlines()]

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        if name.endswith("_PROXY"):
            monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def proxy(socket_service: SocketService) -> Iterator[ProxyProcess]:
    process = ProxyProcess(socket_service.base_url, f"{USER}:{PASSWORD}")
    yield process
    process.ended()


@pytest.fixture(scope="module")
def tls(socket_service: SocketService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsFront]:
    port = int(socket_service.base_url.rpartition(":")[2])
    front = TlsFront(port, tmp_path_factory.mktemp("tls"), "service.test", "127.0.0.1")
    yield front
    front.close()


def models(base_url: str = ADDRESS, **options: Any) -> list[str | None]:
    with ServiceClient(base_url=base_url, api_key=KEY, **options) as service:
        return [model.model_name for model in service.get_server_capabilities().supported_models]


def basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def test_a_proxy_of_an_argument_is_told_user_and_headers(proxy: ProxyProcess) -> None:
    """T-010: user:password becomes `Proxy-Authorization: Basic`; extra proxy headers; the server gets neither."""
    assert models(proxy=proxy.with_user(), proxy_headers={"X-Proxy-Team": "seven"}) == [MODEL]
    asked = proxy.ended()
    assert {entry["asked"].partition("/api")[0] for entry in asked} == {ADDRESS}
    for entry in asked:
        assert entry["headers"]["proxy-authorization"] == basic()
        assert entry["headers"]["x-proxy-team"] == "seven"


@pytest.mark.parametrize("name", ["TINKER_PROXY", "TINKEX_PROXY", "HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment(proxy: ProxyProcess, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """T-007, T-010: each variable that names a proxy, with its user."""
    monkeypatch.setenv(name, proxy.with_user())
    assert models() == [MODEL]
    assert proxy.ended()[0]["headers"]["proxy-authorization"] == basic()


@pytest.mark.parametrize("name", ["TINKER_PROXY_HEADERS", "TINKEX_PROXY_HEADERS"])
def test_proxy_headers_of_the_environment(proxy: ProxyProcess, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """T-007: TINKEX_PROXY_HEADERS is a JSON list of pairs."""
    monkeypatch.setenv(name, json.dumps([["Proxy-Authorization", basic()], ["X-Proxy-Team", "nine"]]))
    assert models(proxy=proxy.url) == [MODEL]
    assert proxy.ended()[0]["headers"]["x-proxy-team"] == "nine"


def test_no_proxy_holds_for_the_environment_and_not_for_an_argument(
    socket_service: SocketService, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxies = [ProxyProcess(socket_service.base_url) for _ in range(3)]
    named, general, argument = proxies
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,elsewhere.test")
    monkeypatch.setenv("HTTP_PROXY", general.url)
    assert models(socket_service.base_url) == [MODEL]
    monkeypatch.setenv("TINKER_PROXY", named.url)
    assert models(socket_service.base_url) == [MODEL]
    assert models(socket_service.base_url, proxy=argument.url) == [MODEL]
    assert [len(process.ended()) > 0 for process in proxies] == [False, False, True]


def test_https_goes_through_connect(tls: TlsFront, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy sees a host and no more: the key travels inside TLS."""
    proxy = ProxyProcess(tls.port, f"{USER}:{PASSWORD}")
    monkeypatch.setenv("HTTPS_PROXY", proxy.with_user())
    assert models(f"https://service.test:{tls.port}", certificates=tls.authority) == [MODEL]
    asked = proxy.ended()
    assert asked
    for entry in asked:
        assert (entry["method"], entry["asked"]) == ("CONNECT", f"service.test:{tls.port}")
        assert entry["headers"]["proxy-authorization"] == basic()
        assert "x-api-key" not in entry["headers"]
        assert KEY not in json.dumps(entry)


def test_a_proxy_that_refuses_is_named_and_its_password_is_not(tls: TlsFront, proxy: ProxyProcess) -> None:
    with pytest.raises(tinker_hl.APIStatusError) as refused:
        models(proxy=proxy.with_user("wrong/password"))
    assert refused.value.status_code == 407
    policy = tinker_hl.RetryPolicy(enabled=False)
    with pytest.raises(tinker_hl.APIConnectionError, match=r"the proxy let no request through.*407") as blocked:
        models(f"https://service.test:{tls.port}", proxy=proxy.with_user("wrong/password"), retry_policy=policy)
    for caught in (refused, blocked):
        assert "wrong" not in repr(caught.value) + str(caught.value) + repr(pickle.dumps(caught.value))


def test_a_proxy_that_is_not_there_is_told_within_the_connect_deadline() -> None:
    with pytest.raises(tinker_hl.APIConnectionError, match=r"no connection to the proxy for http://service\.test"):
        models(proxy="http://u:pw@127.0.0.1:9", retry_policy=tinker_hl.RetryPolicy(connect_deadline=0.1))


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", "http://", "http://host:port", "ftp://u:pw-secret@h"])
def test_what_is_no_http_proxy_is_refused_when_the_client_is_made(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(tinker_hl.ConfigurationError, match="proxy=") as caught:
        ServiceClient(base_url=ADDRESS, proxy=address)
    assert "pw-secret" not in str(caught.value)
    monkeypatch.setenv("ALL_PROXY", address)
    with pytest.raises(tinker_hl.ConfigurationError, match="ALL_PROXY"):
        models()


def test_a_proxys_password_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """T-008, T-010: masked when printed."""
    address = "http://somebody:tml-looks-like-nothing@proxy.test:8080"
    monkeypatch.setenv("TINKER_PROXY", address)
    monkeypatch.setenv("TINKER_PROXY_HEADERS", '{"X-Team": "hidden-value"}')
    with caplog.at_level(logging.DEBUG):
        service = ServiceClient(base_url=ADDRESS, api_key=KEY)
        shown = [str(service.config), repr(service.config), repr(configuration_here()), caplog.text]
        shown += [repr(Route(proxy=address, proxy_headers={"X-Team": "hidden-value"})), repr(proxy_at(address))]
        shown += [repr(service._session.connection.settings), json.dumps(service.config.to_json())]
        shown += [repr(dict(service.config))]
    for text in shown:
        assert "looks-like-nothing" not in text
        assert "hidden-value" not in text
        assert base64.b64encode(b"somebody:tml-looks-like-nothing").decode() not in text
    assert "proxy.test:8080" in shown[0]


def test_only_who_is_told_of_an_authority_trusts_it(
    tls: TlsFront, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = f"https://127.0.0.1:{tls.port}"
    with pytest.raises(tinker_hl.APIConnectionError, match="is not trusted") as caught:
        models(address)
    assert "SSL_CERT_FILE" in str(caught.value)
    for given in (
        tls.authority,
        str(tls.authority),
        tls.authority.parent,
        ssl.create_default_context(cafile=tls.authority),
    ):
        assert models(address, certificates=given) == [MODEL]
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    assert models(address) == [MODEL]
    folder = tmp_path / "hashed"
    folder.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    with pytest.raises(tinker_hl.APIConnectionError, match="is not trusted"):
        models(address)


def test_an_authority_that_is_not_trusted_is_not_asked_again(tls: TlsFront) -> None:
    events: list[tinker_hl.Event] = []
    service = ServiceClient(base_url=f"https://127.0.0.1:{tls.port}", api_key=KEY)
    service.subscribe(events.append)
    with pytest.raises(tinker_hl.APIConnectionError):
        service.get_server_capabilities()
    service.close().result(10)
    assert [event for event in events if event.kind == "retried"] == []


def test_certificates_that_are_not_there_are_named(
    tls: TlsFront, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, missing = f"https://127.0.0.1:{tls.port}", tmp_path / "no-such.pem"
    with pytest.raises(tinker_hl.ConfigurationError, match=r"no-such\.pem cannot be used"):
        models(address, certificates=missing)
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    with pytest.raises(tinker_hl.ConfigurationError, match=r"empty\.pem cannot be used"):
        models(address, certificates=empty)
    monkeypatch.setenv("SSL_CERT_FILE", str(missing))
    with pytest.raises(tinker_hl.ConfigurationError, match="SSL_CERT_FILE names"):
        models(address)


def test_a_transport_of_ones_own_takes_the_route(proxy: ProxyProcess) -> None:
    transport = NetworkTransport(max_connections=2, route=Route(proxy=proxy.with_user()))
    assert models(transport=transport) == [MODEL]
    loop.run(transport.aclose()).result(10)
    assert proxy.ended()
    with pytest.raises(tinker_hl.ConfigurationError, match="proxy= has no effect beside transport="):
        ServiceClient(base_url=ADDRESS, transport=transport, proxy="http://127.0.0.1:9")
