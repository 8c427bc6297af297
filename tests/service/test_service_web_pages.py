"""A page in the user's browser drives no service that needs no key: not by its own requests, and not by rebinding."""

import pytest
from service_bench import Api, Bench

from tinker_local.web_pages import is_local_name

BODY = b'{"tags": [], "sdk_version": "1"}'
URL = "/api/v1/create_session"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:8787"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example"},
        {"host": "evil.example:8787"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example:80"},
        {"host": ""},
        {"host": "[::1"},
    ],
    ids=str,
)
def test_a_page_is_refused_whatever_it_sends(api: Api, headers: dict[str, str]) -> None:
    """A simple request, as a page may send without asking the browser: no content type, or a text's."""
    for kind in ({}, {"content-type": "text/plain"}, {"content-type": "application/json"}):
        response = api.request("POST", URL, content=BODY, headers={**kind, **headers})
        assert (response.status_code, response.json()["code"]) == (403, "web_page"), kind
        assert "keys create" in response.json()["detail"]
    for path in ("/api/v1/sessions", "/metrics"):
        assert api.request("GET", path, headers=headers).status_code == 403
    assert api.ok("list_sessions") == {"sessions": []}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8787", "localhost", "LOCALHOST:1", "[::1]:8787", "tinker.localhost", "tinker:80", "192.168.1.7", "a."],
)
def test_programs_and_forwarded_ports_are_let_in(api: Api, host: str) -> None:
    assert api.request("GET", "/api/v1/sessions", headers={"host": host}).status_code == 200
    typed = {"host": host, "sec-fetch-site": "none"}
    assert api.request("GET", "/api/v1/sessions", headers=typed).status_code == 200, "an address that somebody typed"


def test_a_page_without_a_preflights_consent_reads_nothing(api: Api) -> None:
    """There is no answer that lets another origin send a header of its own or read an answer."""
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    preflight = api.request("OPTIONS", URL, headers={**asked, "access-control-request-headers": "x-api-key"})
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_a_service_with_keys_asks_for_the_key_alone(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-a",))
    behind_a_proxy = {"host": "tinker.example.org", "origin": "https://lab.example.org"}
    assert api.request("GET", "/api/v1/sessions", headers=behind_a_proxy).status_code == 401
    known = {**behind_a_proxy, "x-api-key": "tml-a"}
    assert api.request("GET", "/api/v1/sessions", headers=known).status_code == 200


@pytest.mark.parametrize("host", ["a.b", "evil.example", "", ":80", "a..b", "1.2.3.4.5", "0x7f.1", "é.example"])
def test_names_of_the_public_web(host: str) -> None:
    assert not is_local_name(host)
