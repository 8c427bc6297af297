"""The checklist names every row once, each with tests that exist or a reason; what fails or is missing is told."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import checklist
from scripts.checklist import ROOT, Row, WrittenTest, ids_in, outcomes, page, rows, written_tests

NUMBERS = {"S0": 36, "S1": 12, "S2": 12, "S3": 26, "S4": 21}
VERBS = {"get", "put", "post", "delete", "patch"}
PIECEWISE = {"text/event-stream", "application/x-ndjson", "application/jsonl", "application/json-seq"}
LISTED = rows()
HERE = WrittenTest("docs/test_docs_checklist", "every_row_of_the_reviews_is_there_once")


def numbered(prefix: str, last: int, digits: int) -> list[str]:
    return [f"{prefix}-{number:0{digits}}" for number in range(1, last + 1)]


def names(prefix: str, listed: Sequence[Row] = LISTED) -> list[str]:
    return [row.name for row in listed if row.name.startswith(prefix)]


def test_every_row_of_the_reviews_is_there_once() -> None:
    assert names("GAP") == numbered("GAP-LIB", 58, 3)
    for prefix, last in NUMBERS.items():
        assert names(prefix) == numbered(prefix, last, 2)
    features = names("T-")
    assert len(features) == len(set(features)) == 131
    assert features == sorted(features)


@pytest.mark.parametrize("row", LISTED, ids=lambda row: row.name)
def test_each_row_has_a_proof_or_a_reason_and_not_both(row: Row) -> None:
    assert bool(row.tests) != bool(row.reason)


def test_what_does_not_apply_since_the_protocol_lacks_it_is_lacking() -> None:
    """No operation takes multipart bodies, or answers piece by piece: with events, or tokens as they are drawn."""
    spec = yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8"))
    operations = [item[verb] for item in spec["paths"].values() for verb in VERBS & item.keys()]
    kinds = {kind for operation in operations for body in _bodies(operation) for kind in body.get("content", {})}
    assert len(operations) == len(list(_named(spec)))
    assert "application/json" in kinds
    assert not [kind for kind in kinds if kind.startswith("multipart/") or kind in PIECEWISE]


def _bodies(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation.get("requestBody", {}), *operation["responses"].values()]


def _named(node: Any) -> Iterator[str]:
    """Every operationId, wherever it stands."""
    if isinstance(node, dict):
        if isinstance(node.get("operationId"), str) and "responses" in node:
            yield node["operationId"]
        for value in node.values():
            yield from _named(value)


def test_the_page_has_every_row_and_none_is_open_or_broken() -> None:
    text = (ROOT / "docs" / "checklist.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| ([A-Z0-9-]+) \|", text, re.MULTILINE) == [row.name for row in _in_sections(LISTED)]
    assert not re.findall(r"^.*\*\*(?:open|broken)\*\*.*$", text, re.MULTILINE)


def _in_sections(listed: Sequence[Row]) -> list[Row]:
    return [row for prefix in checklist.SECTIONS for row in listed if row.name.startswith(prefix)]


LEFT_OUT = re.compile(
    r"pytest\.(?:skip|xfail|importorskip)\(|mark\.(?:skip\b|xfail)|mark\.skipif\((?!not hasattr\(os|platform\.)"
)


def test_no_test_is_left_out_but_by_what_a_system_cannot_do() -> None:
    """S0-33: neither for a library that is not there, nor because it is known to fail."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if LEFT_OUT.search(line) and path != Path(__file__)
    ]
    assert found == []
    assert LEFT_OUT.search('pytest.importorskip("pyrage")')
    assert not LEFT_OUT.search('pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")')


def test_a_row_that_nothing_names_is_open_and_one_that_fails_is_broken() -> None:
    bad = WrittenTest("docs/test_docs_checklist", "that_fails")
    listed = [
        Row("T-001", "a", (HERE,)),
        Row("T-002", "b", (HERE, bad)),
        Row("T-003", "c"),
        Row("T-004", "d", (), "no"),
    ]
    text = page(listed, {HERE: True, bad: False})
    states = re.findall(r"^\| T-00\d .*\| ([^|]+) \|$", text, re.MULTILINE)
    assert states == ["held", "**broken**", "**open**", "does not apply"]
    assert "4 rows: 1 held by tests, 1 do not apply, 2 open." in text


def test_a_test_names_rows_in_its_docstring() -> None:
    """T-000 is a row of this test alone."""
    mine = WrittenTest("docs/test_docs_checklist", "a_test_names_rows_in_its_docstring")
    assert written_tests()[mine] == {"T-000"}
    assert written_tests()[HERE] == frozenset()


def test_rows_are_named_one_by_one_or_from_the_first_to_the_last() -> None:
    text = "T-110 to T-112, S1-08; GAP-LIB-009 to GAP-LIB-011, and T-1 is none, nor is XT-113 to T-115"
    expected = {"T-110", "T-111", "T-112", "S1-08", "GAP-LIB-009", "GAP-LIB-010", "GAP-LIB-011", "T-115"}
    assert ids_in(text) == expected


def test_results_are_those_of_all_cases(tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    results.write_text(
        '<testsuites><testsuite><testcase classname="tests.docs.test_docs_checklist" name="test_a[1]"/>'
        '<testcase classname="tests.docs.test_docs_checklist" name="test_a[2]"><failure/></testcase>'
        '<testcase classname="tests.docs.test_docs_checklist" name="test_b"/>'
        '<testcase classname="tests.docs.test_docs_checklist.Class" name="test_c"><skipped/></testcase>'
        "</testsuite></testsuites>",
        encoding="utf-8",
    )
    module = "docs/test_docs_checklist"
    assert outcomes(results) == {
        WrittenTest(module, "a"): False,
        WrittenTest(module, "b"): True,
        WrittenTest(module, "Class.c"): False,
    }


def test_a_proof_that_does_not_exist_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = tmp_path / "checklist.toml"
    listing.write_text(
        '[T-001]\nwhat = "a"\ntests = ["docs/test_docs_checklist::that_nobody_wrote"]\n', encoding="utf-8"
    )
    monkeypatch.setattr(checklist, "ROWS", listing)
    with pytest.raises(ValueError, match="there is no test docs/test_docs_checklist::that_nobody_wrote"):
        rows()
