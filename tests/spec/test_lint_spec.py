"""The spec keeps its rules, and the linter sees each breach of one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.lint_spec import main, module_name, style_faults, validity_faults

Json = dict[str, Any]


def heartbeat(spec: Json) -> Json:
    operation: Json = spec["paths"]["/api/v1/session_heartbeat"]["post"]
    return operation


def schema(spec: Json, name: str) -> Json:
    found: Json = spec["components"]["schemas"][name]
    return found


BREACHES: list[tuple[Callable[[Json], object], str]] = [
    (lambda spec: heartbeat(spec).update(operationId="heartbeatSession"), "not snake_case"),
    (lambda spec: heartbeat(spec).update(operationId="sample"), "sample is used 2 times"),
    (lambda spec: heartbeat(spec).update(tags=["sessions", "auth"]), "exactly one declared tag"),
    (lambda spec: heartbeat(spec).update(tags=["invented"]), "exactly one declared tag"),
    (lambda spec: heartbeat(spec).update(summary="Beat."), "without a full stop"),
    (lambda spec: heartbeat(spec).pop("x-releases"), "x-releases"),
    (lambda spec: heartbeat(spec)["responses"].pop("422"), "errors 422 are not described"),
    (lambda spec: heartbeat(spec)["responses"].pop("200"), "nothing of success"),
    (lambda spec: heartbeat(spec)["responses"].update({"404": {"description": "d"}}), "404 wants a shared response"),
    (
        lambda spec: heartbeat(spec)["parameters"].append({"name": "x", "in": "query"}),
        "parameter x wants to be a component",
    ),
    (lambda spec: spec["components"]["parameters"]["Limit"].pop("example"), "parameter Limit"),
    (lambda spec: heartbeat(spec)["requestBody"]["content"]["application/json"].update(example={}), "does not fit"),
    (lambda spec: schema(spec, "Cursor").pop("description"), "schema Cursor: wants a description"),
    (lambda spec: schema(spec, "Cursor")["properties"].update(d={"type": "string"}), "'d' breaks"),
    (
        lambda spec: schema(spec, "LoraConfig")["properties"].update(lora_config={"type": "string"}),
        "'lora_config' breaks",
    ),
    (
        lambda spec: schema(spec, "Cursor")["properties"].update(at={"type": "object"}),
        "Cursor.at: wants a named component",
    ),
    (
        lambda spec: schema(spec, "Cursor")["properties"].update(at={"enum": ["a"]}),
        "Cursor.at: wants a named component",
    ),
    (lambda spec: schema(spec, "Cursor")["required"].append("at"), "requires at"),
    (lambda spec: schema(spec, "StopReason")["enum"].append("STOP"), "case alone"),
    (lambda spec: schema(spec, "Cursor").update(deprecated=True), "does not say who still uses it"),
    (
        lambda spec: schema(spec, "SessionStatus")["discriminator"]["mapping"].update(x="#/x"),
        "maps to what is no variant",
    ),
    (lambda spec: spec["components"]["schemas"].update(Client={"description": "d"}), "schema Client"),
    (lambda spec: spec["components"]["headers"].update(Spare={"description": "d"}), "headers: Spare is not used"),
]


def test_openapi_yaml_is_valid_and_keeps_the_rules(canonical: Json) -> None:
    assert [*validity_faults(canonical)] == []
    assert [*style_faults(canonical)] == []


@pytest.mark.parametrize(("breach", "said"), BREACHES, ids=[said for _, said in BREACHES])
def test_each_breach_is_seen(spec: Json, breach: Callable[[Json], object], said: str) -> None:
    breach(spec)
    faults = [*style_faults(spec)]
    assert any(said in fault for fault in faults), faults


def test_what_is_no_openapi_fails(tmp_path: Path, spec: Json, capsys: pytest.CaptureFixture[str]) -> None:
    del spec["info"]["title"]
    path = tmp_path / "openapi.yaml"
    path.write_text(yaml.safe_dump(spec))
    assert main([str(path)]) == 1
    said = capsys.readouterr().err
    assert "info" in said
    assert "title" in said


def test_module_names_are_those_of_the_generator() -> None:
    assert module_name("LoraConfig") == "lora_config"
    assert module_name("GetServerCapabilitiesResponse") == "get_server_capabilities_response"
