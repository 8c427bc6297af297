"""The canonical document, read once."""

import copy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def canonical() -> dict[str, Any]:
    """`openapi.yaml`, shared: tests that change it take `spec`."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    return document


@pytest.fixture
def spec(canonical: dict[str, Any]) -> dict[str, Any]:
    """A copy of `openapi.yaml` that a test may spoil."""
    return copy.deepcopy(canonical)


@pytest.fixture(scope="session")
def faults(canonical: dict[str, Any]) -> Any:
    """`faults(type_name, value)`: where a value does not fit a type of the spec, as `member/index: message`."""
    validators: dict[str, Any] = {}

    def find(name: str, value: object) -> list[str]:
        if name not in validators:
            schema = {"$ref": f"#/components/schemas/{name}", "components": canonical["components"]}
            validators[name] = jsonschema_rs.Draft202012Validator(schema)
        found = validators[name].iter_errors(value)
        return [f"{'/'.join(str(part) for part in error.instance_path)}: {error.message}" for error in found]

    return find
