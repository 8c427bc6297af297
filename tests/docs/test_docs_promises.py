"""The page of promises names every promise once, and proofs that exist."""

import re
from pathlib import Path

import pytest

from scripts.promises import PROMISES, Promise, outcomes, page

ROOT = Path(__file__).resolve().parents[2]
NAMES = [f"{kind}{number}" for kind, last in (("R", 15), ("P", 13), ("N", 5)) for number in range(1, last + 1)]
TESTS = [proof for promise in PROMISES if not promise.is_measured for proof in promise.proofs]


def test_every_promise_is_there_once_and_in_order() -> None:
    assert [promise.name for promise in PROMISES] == NAMES


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_every_proof_exists(promise: Promise) -> None:
    assert not promise.benchmark or (ROOT / "benchmarks" / f"{promise.benchmark}.py").is_file()
    for proof in promise.proofs:
        if promise.is_measured:
            assert (ROOT / "benchmarks" / f"{proof}.py").is_file()
        else:
            path, _, name = proof.partition("::")
            text = (ROOT / "tests" / path).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), proof


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_what_nothing_proves_names_the_issue_that_will(promise: Promise) -> None:
    assert promise.proofs or promise.benchmark or re.search(r"issue \d", promise.open)


def test_the_committed_page_has_a_row_for_each() -> None:
    rows = re.findall(r"^\| ([RPN]\d+) \|", (ROOT / "docs" / "promises.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == NAMES


def test_a_broken_promise_and_a_missed_goal_are_shown_as_such() -> None:
    passed = dict.fromkeys(TESTS, True) | {TESTS[0]: False}
    goals = [{"goal": "time", "value": 0.5, "met": False}]
    text = page(passed, {"p01_import": {"goals": goals}})
    assert re.search(r"\| R1 \|.*\*\*broken\*\*", text)
    assert re.search(r"\| R8 \|.*\| held \|", text)
    assert re.search(r"\| P1 \|.*\| time: 0.5 \*\*missed\*\* \|", text)
    assert re.search(r"\| P2 \|.*not measured yet", text)
    assert re.search(r"\| R11 \|.*r11_load.*not measured yet", text)
    assert re.search(r"\| R4 \|.*\| held; not measured yet", text), "tests and a benchmark"
    assert re.search(r"\| N5 \|.*not yet: gradients", text)


@pytest.mark.timeout(300)
def test_a_test_that_passes_is_told_from_one_that_is_not_there() -> None:
    real = "docs/test_docs_promises.py::test_every_promise_is_there_once_and_in_order"
    assert outcomes([real]) == {real: True}
    with pytest.raises(RuntimeError, match="could not run"):
        outcomes(["docs/test_docs_promises.py::test_that_nobody_wrote"])
