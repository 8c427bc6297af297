"""The way in: routes from the spec, keys, limits, bodies; and a refusal that can be read for whatever is wrong."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import zstandard
from service_bench import OPERATIONS, PROTOBUF, SOURCES, SPEC, Api, Bench

from tinker_local import app as app_module
from tinker_local.app import create_app
from tinker_local.engine.null import NullEngine
from tinker_local.engine.protocol import BaseModelInfo, Engine, EngineError
from tinker_local.handlers import HANDLERS
from tinker_local.handlers.service import LIMITS
from tinker_local.settings import Settings


class SlowEngine(NullEngine):
    """An engine that starts when it is told to, or fails to."""

    def __init__(self, problem: Exception | None = None) -> None:
        super().__init__(SOURCES)
        self.problem = problem
        self.may_start = asyncio.Event()

    async def start(self) -> Sequence[BaseModelInfo]:
        await self.may_start.wait()
        if self.problem is not None:
            raise self.problem
        return await super().start()


def test_there_is_a_handler_for_each_of_the_49_operations() -> None:
    assert set(HANDLERS) == set(OPERATIONS)
    assert len(OPERATIONS) == 50


@pytest.mark.parametrize("change", ["missing", "left over"])
def test_a_handler_that_does_not_match_is_an_error_at_once(
    change: str, monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    handlers = dict(HANDLERS)
    if change == "missing":
        del handlers["sample"]
    else:
        handlers["invented"] = handlers["sample"]
    monkeypatch.setattr(app_module, "HANDLERS", handlers)
    with pytest.raises(ValueError, match="sample" if change == "missing" else "invented"):
        create_app(Settings(data_dir=bench.data_dir, models=SOURCES), NullEngine(SOURCES))


def test_the_null_engine_is_an_engine() -> None:
    assert isinstance(NullEngine(SOURCES), Engine)


def test_the_http_side_never_imports_torch() -> None:
    code = (
        "import sys, tinker_local.app, tinker_local.engine.null, tinker_local.engine.process; "
        "print([name for name in ('torch', 'transformers', 'peft', 'tinker_hl') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_health_means_ready(bench: Bench) -> None:
    engine = SlowEngine()
    api = bench.start(engine, wait=False)
    response = api.answer("get_health")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    api.refused(503, "get_server_capabilities")
    session_id = api.session()
    api.refused(503, "create_model", body={"session_id": session_id, "model_seq_id": 0, "base_model": "null/base"})
    api.do(engine.may_start.set)
    api.run(api.service.supervision.wait_ready())
    assert api.ok("get_health") == {"status": "ok"}


def test_an_engine_that_cannot_start_is_told(bench: Bench) -> None:
    engine = SlowEngine(EngineError("no such model"))
    api = bench.start(engine, wait=False)
    api.do(engine.may_start.set)
    with pytest.raises(EngineError, match="no such model"):
        api.run(api.service.supervision.wait_ready())
    assert "no such model" in api.refused(503, "get_health")["detail"]


def test_what_a_client_is_told_at_the_start(api: Api) -> None:
    config = api.ok("get_client_config", body={"sdk_version": "0.38.0"})
    newer = {"sdk_version": "0.99.0", "platform": {"os": "Plan 9"}}
    assert api.ok("get_client_config", body=newer) == config, "a newer client tells more"
    api.ok("get_client_dynamic_config", body=newer)
    assert config["pjwt_auth_enabled"] is True
    assert config["sample_use_retrieve_futures"] is True
    assert api.ok("get_client_dynamic_config", body={"sdk_version": "0.38.0"})["sample_cancel_enabled"] is True
    models = api.ok("get_server_capabilities")["supported_models"]
    assert [model["model_name"] for model in models] == ["null/base", "null/alias"]
    assert all(model["tokenizer_id"] == "/models/null" and model["trainable"] for model in models)
    assert api.ok("get_api_key")["name"] == "local"
    event = {"event": "SESSION_START", "event_id": "e", "event_session_index": 0, "severity": "INFO"}
    event["timestamp"] = "2026-01-01T00:00:00Z"
    body = {"events": [event], "platform": "Linux", "sdk_version": "1", "session_id": "s"}
    assert api.ok("send_telemetry", body=body) == {"status": "accepted"}


def test_a_key_is_needed_where_there_are_keys(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-secret",))
    for headers in ({}, {"x-api-key": ""}, {"x-api-key": "tml-secre"}, {"authorization": "Bearer tml-secret"}):
        assert api.refused(401, "list_sessions", headers=headers)["code"] == "unauthorized"
    assert api.ok("list_sessions", headers={"x-api-key": "tml-secret"}) == {"sessions": []}
    assert api.ok("get_health") == {"status": "ok"}, "whoever starts a service may ask whether it is ready"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "example.org"])
def test_an_address_for_others_needs_keys(bench: Bench, host: str) -> None:
    with pytest.raises(ValueError, match="keys are needed"):
        create_app(Settings(data_dir=bench.data_dir, models=(), host=host), NullEngine(()))
    create_app(Settings(data_dir=bench.data_dir, models=(), host=host, api_keys=("k",)), NullEngine(()))


@pytest.mark.parametrize("operation_id", sorted(OPERATIONS))
def test_every_operation_is_offered(api: Api, operation_id: str) -> None:
    """Whatever it says to the spec's own example, it is not that there is no such thing."""
    operation = OPERATIONS[operation_id]
    values = {parameter.name: "weights" for parameter in operation.parameters if parameter.location == "path"}
    hour = {"starting_on": "2026-01-01T00:00:00Z", "ending_before": "2026-01-01T01:00:00Z"}
    answer = api.answer(operation_id, path=values, query=hour, body=operation.body and example_of(operation_id))
    assert answer.status_code not in (405, 500, 501)
    assert b"not_offered" not in answer.content
    assert b"no_such_route" not in answer.content


def example_of(operation_id: str) -> Any:
    operation = OPERATIONS[operation_id]
    node = SPEC.document["paths"][operation.path][operation.method.lower()]
    return node["requestBody"]["content"]["application/json"].get("example", {})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/healthz", 405),
        ("GET", "/api/v1/asample", 405),
    ],
)
def test_unknown_paths_and_methods(api: Api, method: str, path: str, status: int) -> None:
    response = api.request(method, path)
    assert (response.status_code, bool(response.json()["detail"])) == (status, True)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"tags": NaN}', {}, 400),
        (b'{"tags": [], "sdk_version": "1", "user_metadata": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}", {}, 400),
        (b"[]", {}, 422),
        (b"null", {}, 422),
        (b"{}", {}, 422),
        (b"<a/>", {"content-type": "application/xml"}, 415),
        (b"\x00", {"content-type": PROTOBUF}, 415),
        (b"{}", {"content-encoding": "zstd"}, 422),
        (b"{}", {"content-encoding": "rot13"}, 422),
        (b" " * 3000, {}, 413),
        (zstandard.compress(b" " * 100_000), {"content-encoding": "zstd"}, 422),
    ],
)
def test_bodies_that_cannot_be_read(bench: Bench, content: bytes, headers: dict[str, str], status: int) -> None:
    api = bench.start(max_body_bytes=2000, max_inflated_bytes=50_000)
    refusal = api.refused(status, "create_session", content=content, headers=headers)
    assert refusal["detail"]


def test_a_422_names_each_field(api: Api) -> None:
    body = {"tags": "none", "sdk_version": 3, "unknown": 1}
    faults = api.refused(422, "create_session", body=body)["detail"]
    assert sorted(fault["loc"] for fault in faults) == [["body", "sdk_version"], ["body", "tags"], ["body", "unknown"]]
    assert all(fault["msg"] and fault["type"] for fault in faults)
    deep = {
        "model_id": "m",
        "forward_backward_input": {
            "loss_fn": "ppo",
            "data": [{"model_input": {"chunks": [{"tokens": [1, "two"]}]}, "loss_fn_inputs": {}}],
        },
    }
    (fault,) = api.refused(422, "forward_backward", body=deep)["detail"]
    assert fault["loc"] == ["body", "forward_backward_input", "data", 0, "model_input", "chunks", 0, "tokens", 1]


def test_a_fault_of_the_program_is_told_in_the_log_only(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(api.service.records, "sessions", fail)
    answer = api.refused(500, "list_sessions")
    assert "secret" not in str(answer)
    assert "secret of the house" in caplog.text


@pytest.mark.parametrize("path", ["/api/v1/healthz/", "/api/v1/training_runs/r/checkpoints/weights/a%2F"])
def test_a_slash_too_many_is_unknown_and_not_redirected(api: Api, path: str) -> None:
    response = api.request("GET" if "healthz" in path else "DELETE", path)
    assert response.status_code == 404
    assert response.json()["detail"]


def test_the_limits_are_in_the_capabilities(api: Api) -> None:
    settings = api.service.settings
    limits = api.ok("get_server_capabilities")["limits"]
    assert limits == {name: getattr(settings, name) for name in LIMITS}
    body = {"session_id": api.session(), "model_seq_id": 0, "base_model": "null/base"}
    refused = api.refused(422, "create_model", body={**body, "lora_config": {"rank": limits["max_lora_rank"] + 1}})
    assert str(limits["max_lora_rank"]) in str(refused)
