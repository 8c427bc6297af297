"""Every environment variable that the official client reads, and what this one does with it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from client_bench import KEY, MODEL, SocketService
from scripted_server import ScriptedServer

import tinker_hl
from tinker_hl import SamplingParams, loop
from tinker_hl.credentials import COMMAND_SECONDS
from tinker_hl.telemetry import BATCH, FLUSH_SECONDS, QUEUE
from tinker_hl.transport import NetworkTransport
from tinker_hl.transport.base import Request, TransportFault

DOCS = Path(__file__).parents[2] / "docs" / "client.md"
VARIABLES = (
    "CLOUDFLARE_ACCESS_CLIENT_ID",
    "CLOUDFLARE_ACCESS_CLIENT_SECRET",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "TINKER_API_KEY",
    "TINKER_BASE_URL",
    "TINKER_CREDENTIAL_CMD",
    "TINKER_FEATURE_GATES",
    "TINKER_LOG",
    "TINKER_PROJECT_ID",
    "TINKER_TAGS",
    "TINKER_TELEMETRY",
)


def created(server: ScriptedServer, **options: Any) -> dict[str, Any]:
    """What a session is opened with."""
    with server.client(**options) as service:
        service.create_lora_training_client("base").result(10)
    body: dict[str, Any] = server.paths("create_session")[0].json
    return body


def test_each_variable_stands_in_the_documentation() -> None:
    table = set(re.findall(r"`([A-Z][A-Z_]+)`", DOCS.read_text()))
    assert set(VARIABLES) <= table


def test_the_numbers_of_the_documentation_are_the_codes() -> None:
    page = " ".join(DOCS.read_text().split())
    assert f"for at most {COMMAND_SECONDS:g} seconds" in page
    assert f"up to {QUEUE:,} events queue, go out in batches of {BATCH} every {FLUSH_SECONDS:g} seconds" in page


def test_tags_and_project_label_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_TAGS", " one, two,one,,three ")
    monkeypatch.setenv("TINKER_PROJECT_ID", "p7")
    body = created(ScriptedServer())
    assert body["tags"] == ["one", "two", "three"], "in order, each once"
    assert body["project_id"] == "p7"
    assert created(ScriptedServer(), project_id="mine")["project_id"] == "mine"


def test_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    server = ScriptedServer()
    body = created(server)
    assert body["tags"] == []
    assert "project_id" not in body
    assert not any(name.startswith("cf-") for request in server.seen for name in request.headers)
    assert server.paths("telemetry") == []
    assert server.client(api_key=None)._session.connection.credential.secrets == ("tml-local",)


def test_cloudflare_access_headers_go_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDFLARE_ACCESS_CLIENT_ID", "an-id")
    monkeypatch.setenv("CLOUDFLARE_ACCESS_CLIENT_SECRET", "a-secret")
    server = ScriptedServer(config={})
    created(server)
    for request in server.seen:
        assert request.headers["cf-access-client-id"] == "an-id"
        assert request.headers["cf-access-client-secret"] == "a-secret"


def test_a_proxy_of_the_environment_is_used_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch, socket_service: SocketService
) -> None:
    """The service stands in for the proxy: it is asked for a host that does not exist."""
    for variable in ("http_proxy", "https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HTTP_PROXY", socket_service.base_url)
    request = Request(method="GET", url="http://there-is-no-such-host.invalid/api/v1/healthz")
    assert loop.run(_send(request)).result(30) < 500
    monkeypatch.setenv("NO_PROXY", "there-is-no-such-host.invalid")
    with pytest.raises(TransportFault) as caught:
        loop.run(_send(request)).result(30)
    assert caught.value.kind == "unresolved"


async def _send(request: Request) -> int:
    transport = NetworkTransport()
    try:
        return (await transport.send(request)).status
    finally:
        await transport.aclose()


def test_feature_gates_change_nothing(monkeypatch: pytest.MonkeyPatch, socket_service: SocketService) -> None:
    tokens = []
    for gates in ("async_sampling", "", "whatever,else"):
        monkeypatch.setenv("TINKER_FEATURE_GATES", gates)
        with tinker_hl.ServiceClient(base_url=socket_service.base_url, api_key=KEY) as service:
            sampler = service.create_sampling_client(base_model=MODEL)
            params = SamplingParams(max_tokens=2, seed=1)
            tokens.append(sampler.sample(tinker_hl.ModelInput.from_ints([1]), 1, params).result(30).sequences[0].tokens)
    assert tokens[0] == tokens[1] == tokens[2]


LOGGED = """
import logging
before = {name: (logger.level, list(logger.handlers)) for name, logger in logging.root.manager.loggerDict.items()
          if isinstance(logger, logging.Logger)}
%s
import tinker_hl
service = tinker_hl.ServiceClient(base_url="http://127.0.0.1:9", api_key="tml-secret-key", retry_policy=NEVER)
try:
    service.get_server_capabilities()
except tinker_hl.APIConnectionError:
    pass
others = [name for name, logger in logging.root.manager.loggerDict.items() if isinstance(logger, logging.Logger)
          and name.partition(".")[0] != "tinker_hl" and (logger.level or logger.handlers)]
print(others, logging.root.level, len(logging.root.handlers))
logging.getLogger("tinker_hl").debug("for whoever looks closely")
logging.getLogger("tinker_hl").info("said in passing")
""".replace("NEVER", "tinker_hl.RetryPolicy(enabled=False)")


def logged(value: str, setup: str = "") -> tuple[str, list[str]]:
    ended = subprocess.run(
        [sys.executable, "-c", LOGGED % setup],
        env=os.environ | {"TINKER_LOG": value},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout.strip(), ended.stderr.splitlines()


@pytest.mark.parametrize(
    ("value", "shown"),
    [("", ()), ("loud", ()), ("info", ("passing",)), ("debug", ("closely", "passing")), ("DEBUG", ("closely",))],
)
def test_the_log_is_shown_on_demand_and_no_other_logger_is_touched(value: str, shown: tuple[str, ...]) -> None:
    state, lines = logged(value)
    assert state == "[] 30 0"
    for word in ("closely", "passing"):
        assert any(word in line for line in lines) == (word in shown or (value.lower() == "debug")), lines
    for line in lines:
        assert re.match(r"\[\d{4}-.* - tinker_hl:\d+ - (DEBUG|INFO|WARNING)\] ", line), line
    assert not any("secret-key" in line for line in lines)


def test_a_program_with_logging_of_its_own_sees_each_line_once() -> None:
    _, lines = logged("info", "logging.basicConfig(format='own %(message)s')")
    assert [line for line in lines if "passing" in line] == ["own said in passing"]
