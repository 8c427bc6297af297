"""The two references are what the spec and the code say, and leave nothing out."""

import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import tinker_hl
from scripts import api_reference, names_reference

PAGES = [api_reference, names_reference]


@pytest.mark.parametrize("script", PAGES, ids=lambda script: script.PAGE.name)
def test_each_page_is_what_would_be_written(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("script", PAGES, ids=lambda script: script.PAGE.name)
def test_another_page_is_told(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / script.PAGE.name
    monkeypatch.setattr(script, "PAGE", other)
    assert script.main(["--check"]) == 1
    other.write_text("an older one", encoding="utf-8")
    assert script.main(["--check"]) == 1
    assert "run make reference" in capsys.readouterr().err
    assert script.main([]) == 0
    assert script.main(["--check"]) == 0


def test_every_operation_and_every_type_of_the_spec_has_a_section() -> None:
    spec = yaml.safe_load(api_reference.SPEC.read_text(encoding="utf-8"))
    page = api_reference.PAGE.read_text(encoding="utf-8")
    operations = [
        found["operationId"] for item in spec["paths"].values() for found in item.values() if "operationId" in found
    ]
    headings = re.findall(r"^### `(\w+)`$", page, re.MULTILINE)
    assert sorted(headings) == sorted([*operations, *spec["components"]["schemas"]])
    anchors = {heading.lower() for heading in headings}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= anchors
    for name, schema in spec["components"]["schemas"].items():
        section = page.partition(f"### `{name}`\n")[2].partition("\n### ")[0]
        assert re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE) == list(schema.get("properties", {}))


def test_an_operation_is_told_with_what_it_takes_and_gives() -> None:
    page = api_reference.PAGE.read_text(encoding="utf-8")
    section = page.partition("### `forward_backward`\n")[2].partition("\n### ")[0]
    assert "`POST /api/v1/forward_backward`" in section
    assert "[`ForwardBackwardRequest`](#forwardbackwardrequest)" in section
    assert "protobuf `ForwardBackwardRequest`" in section
    assert "promises [`ForwardBackwardOutput`](#forwardbackwardoutput)" in section


@pytest.mark.parametrize("room", names_reference.ROOMS)
def test_every_public_name_of_a_room_says_what_it_is(room: str) -> None:
    page = names_reference.PAGE.read_text(encoding="utf-8")
    section = page.partition(f"## `{room}`\n")[2].partition("\n## ")[0]
    told = re.findall(r"^- `(\w+)", section, re.MULTILINE)
    assert len(told) == len(set(told))
    assert [line for line in section.splitlines() if line.endswith((":", ": "))] == []
    if room == "tinker_hl":
        modules = {"auth", "types"}
        assert set(told) == {name for name in tinker_hl.__all__ if not name.startswith("__")} - modules


def test_methods_stand_below_their_class_once_and_without_their_twins() -> None:
    page = names_reference.PAGE.read_text(encoding="utf-8")
    training = page.partition("\n- `TrainingClient(")[2].partition("\n- ")[0]
    methods = re.findall(r"^  - `\.(\w+)", training, re.MULTILINE)
    assert {"forward_backward", "optim_step", "save_state", "model_id"} <= set(methods)
    assert len(methods) == len(set(methods))
    assert "optim_step_async" not in methods
    assert "`.optim_step(" in training
