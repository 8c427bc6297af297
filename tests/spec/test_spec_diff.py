"""What changed between two documents, and what of it breaks whom."""

import copy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import spec_diff
from scripts.spec_diff import main, report, spec_changes

Json = dict[str, Any]


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def small() -> Json:
    """One operation: it takes a `Request` with a `Kind`, and answers with an `Answer`."""
    request = {
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": "integer", "minimum": 1, "default": 2},
            "b": {"type": "string"},
            "kind": ref("Kind"),
        },
        "additionalProperties": False,
    }
    answer = {"type": "object", "required": ["x"], "properties": {"x": {"type": "string"}, "y": {"type": "number"}}}
    operation = {
        "operationId": "act",
        "parameters": [{"$ref": "#/components/parameters/Limit"}],
        "requestBody": {"content": {"application/json": {"schema": ref("Request")}}},
        "responses": {"200": {"description": "d", "content": {"application/json": {"schema": ref("Answer")}}}},
    }
    return {
        "paths": {"/act": {"post": operation}},
        "components": {
            "parameters": {"Limit": {"name": "limit", "in": "query", "schema": {"type": "integer"}}},
            "schemas": {"Request": request, "Answer": answer, "Kind": {"type": "string", "enum": ["p", "q"]}},
        },
    }


def of(spec: Json, name: str) -> Json:
    found: Json = spec["components"]["schemas"][name]
    return found


def member(spec: Json, name: str, of_it: str) -> Json:
    found: Json = of(spec, name)["properties"][of_it]
    return found


def act(spec: Json) -> Json:
    found: Json = spec["paths"]["/act"]["post"]
    return found


def limit(spec: Json) -> Json:
    found: Json = spec["components"]["parameters"]["Limit"]
    return found


# (change, the only line it makes)
CHANGES: list[tuple[Callable[[Json], object], str | None]] = [
    (lambda s: s["paths"].update({"/new": {"get": {"operationId": "look", "responses": {}}}}), "- `GET /new` (look)"),
    (lambda s: act(s).update(operationId="do"), "- **BREAKING** `POST /act`: operationId act is now do"),
    (lambda s: act(s).update(deprecated=True), "- `POST /act` is deprecated"),
    (lambda s: act(s)["responses"].update({"404": {}}), "- `POST /act`: may answer 404"),
    (lambda s: limit(s).update(required=True), "- **BREAKING** `POST /act`: query parameter `limit` is required now"),
    (lambda s: act(s).pop("parameters"), "- **BREAKING** `POST /act`: query parameter `limit`"),
    (lambda s: act(s)["requestBody"]["content"].update({"a/b": {}}), "- `POST /act` request: a/b"),
    (lambda s: of(s, "Request")["properties"].update(c={"type": "string"}), "- `Request.c`"),
    (lambda s: of(s, "Request")["properties"].pop("b"), "- **BREAKING** `Request.b`"),
    (lambda s: of(s, "Request")["required"].append("b"), "- **BREAKING** `Request.b` is required now"),
    (lambda s: of(s, "Request").update(required=[]), None),
    (lambda s: of(s, "Request").pop("additionalProperties"), None),
    (lambda s: member(s, "Request", "a").update(minimum=0), "- `Request.a`: minimum 1 is now 0"),
    (lambda s: member(s, "Request", "a").update(minimum=3), "- **BREAKING** `Request.a`: minimum 1 is now 3"),
    (lambda s: member(s, "Request", "a").update(maximum=3), "- **BREAKING** `Request.a`: maximum None is now 3"),
    (lambda s: member(s, "Request", "a").update(default=3), "- **BREAKING** `Request.a`: default 2 is now 3"),
    (lambda s: member(s, "Request", "b").update(type=["string", "null"]), "- `Request.b`: may be null too"),
    (lambda s: member(s, "Request", "b").update(description="text"), None),
    (lambda s: member(s, "Request", "b").update({"x-releases": "9"}), None),
    (lambda s: of(s, "Answer")["properties"].update(z={"type": "string"}), "- `Answer.z`"),
    (lambda s: of(s, "Answer")["properties"].pop("y"), "- `Answer.y`"),
    (lambda s: of(s, "Answer").update(required=[]), "- **BREAKING** `Answer.x` may be absent now"),
    (lambda s: of(s, "Answer")["required"].append("y"), None),
    (lambda s: member(s, "Answer", "x").update(type=["string", "null"]), "- **BREAKING** `Answer.x`: may be null too"),
    (
        lambda s: member(s, "Answer", "y").update(type="integer"),
        "- **BREAKING** `Answer.y`: is integer, no longer number",
    ),
    (lambda s: of(s, "Kind")["enum"].append("r"), "- `Kind`: value `r`"),
    (lambda s: of(s, "Kind")["enum"].remove("p"), "- **BREAKING** `Kind`: value `p`"),
]


@pytest.mark.parametrize(("change", "line"), CHANGES, ids=[line or "no change" for _, line in CHANGES])
def test_a_change_makes_its_line(change: Callable[[Json], object], line: str | None) -> None:
    new = small()
    change(new)
    assert [str(found) for found in spec_changes(small(), new)] == ([line] if line else [])


def test_nothing_changed() -> None:
    assert report([*spec_changes(small(), small())], since="v1").endswith("None.")


def test_a_tagged_union_may_grow() -> None:
    old = small()
    old["components"]["schemas"]["Answer"] = {"oneOf": [ref("Kind")], "discriminator": {"propertyName": "t"}}
    new = copy.deepcopy(old)
    of(new, "Answer")["oneOf"].append({"$ref": "#/components/schemas/Other"})
    new["components"]["schemas"]["Other"] = {"type": "object"}
    assert [str(found) for found in spec_changes(old, new)] == ["- `Answer`: may be Other too", "- type `Other`"]


def test_the_report_is_in_the_changelogs_sections_breaking_first() -> None:
    new = small()
    of(new, "Request")["properties"].pop("b")
    of(new, "Answer")["properties"] |= {"z": {"type": "string"}}
    act(new)["deprecated"] = True
    of(new, "Kind")["enum"].remove("q")
    of(new, "Answer")["properties"].pop("y")
    assert report([*spec_changes(small(), new)], since="v0.1.0").splitlines() == [
        "Changes of the spec since v0.1.0",
        "",
        "### Added",
        "- `Answer.z`",
        "",
        "### Changed",
        "- `POST /act` is deprecated",
        "",
        "### Removed",
        "- **BREAKING** `Request.b`",
        "- **BREAKING** `Kind`: value `q`",
        "- `Answer.y`",
    ]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with the small document, committed."""
    (tmp_path / "openapi.yaml").write_text(yaml.safe_dump(small()))
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        git(tmp_path, *command)
    monkeypatch.setattr(spec_diff, "ROOT", tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_without_a_tag_and_another_version_everything_is_new(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--fail-on-breaking"]) == 0
    said = capsys.readouterr().out
    assert "there was no other version" in said
    assert "- `POST /act` (act)" in said


def test_without_a_tag_the_last_other_version_is_what_counts(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = small()
    for version, name in (("1.1.0", "more"), ("1.2.0", "first"), ("1.2.0", "second")):
        of(new, "Answer")["properties"] |= {name: {"type": "string"}}
        (repository / "openapi.yaml").write_text(yaml.safe_dump(new | {"info": {"version": version}}))
        git(repository, "commit", "-q", "-a", "-m", name)
    assert main([]) == 0
    first, *_, one, two = capsys.readouterr().out.splitlines()
    assert first.endswith("(version 1.1.0)")
    assert [one, two] == ["- `Answer.first`", "- `Answer.second`"]


def test_the_last_tag_is_what_counts(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(repository, "tag", "v1")
    new = small()
    of(new, "Kind")["enum"].remove("q")
    (repository / "openapi.yaml").write_text(yaml.safe_dump(new))
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("Changes of the spec since v1 ")
    assert main(["--fail-on-breaking"]) == 1
    assert main(["--fail-on-breaking", "--against", "HEAD"]) == 1


def test_an_unknown_revision_is_named(repository: Path) -> None:
    with pytest.raises(SystemExit, match="cannot be read at v9"):
        main(["--against", "v9"])
