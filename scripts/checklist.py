"""Write `docs/checklist.md`: each row of the feature checklist, the tests that prove it, and what came of them.

    python scripts/checklist.py RESULTS...  each is what a `pytest --junitxml=RESULTS` wrote (`make checklist`)

The rows stand in `scripts/checklist.toml`, with their tests, or with the reason why they do not apply. Tests name rows
too: by the row's id in the docstring of a test or of its module. This script knows where proofs are, not how they work.
"""

import argparse
import ast
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import attrs

__all__ = ["Row", "WrittenTest", "ids_in", "outcomes", "page", "rows", "written_tests"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "checklist.md"
ROWS = Path(__file__).with_suffix(".toml")
TESTS = ROOT / "tests"
ID = re.compile(r"\b(T-|S\d-|GAP-LIB-)(\d{2,3})\b(?: to \1(\d{2,3})\b)?")
"""A row, or the first and the last of several."""
SHOWN = 4
"""Tests that a row lists; a link to their files comes with each."""
HEADER = """# The feature checklist

What research code expects of an SDK for the Tinker API, row by row, and the tests that prove it here. The numbers are
those of the list that this project began with: `T` are features of an earlier port to another language, `S` and
`GAP-LIB` what reviews of older SDKs asked for. A row that does not apply says why.

This page is written by `make checklist`.
"""
SECTIONS: Mapping[str, str] = {
    "T-0": "Configuration, HTTP, clients, futures, recovery",
    "T-1": "Regularizers, metrics, types, tokenizers, the command line",
    "S0": "Parity report of 2025-11-26",
    "S1": "Summary of 2025-12-03",
    "GAP": "Gaps of the library",
    "S2": "Beside the gaps",
    "S3": "Parity report of 2025-11-27",
    "S4": "Feature mapping of 2025-12-20",
}


@attrs.frozen
class WrittenTest:
    """One test function, with all its cases."""

    module: str
    """As in `client/test_client_retry`."""
    name: str
    """Without `test_`; within a class, `Class.name`."""


@attrs.frozen
class Row:
    """One row, and where its proof is."""

    name: str
    what: str
    tests: tuple[WrittenTest, ...] = ()
    reason: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/checklist.md.")
    parser.add_argument("results", type=Path, nargs="+", help="what pytest --junitxml wrote; a later one counts")
    options = parser.parse_args(arguments)
    passed = {test: well for results in options.results for test, well in outcomes(results).items()}
    PAGE.write_text(page(rows(), passed), encoding="utf-8")
    return 0


def rows() -> list[Row]:
    """All rows in their order, with the tests that the list names and those that name the row."""
    written = written_tests()
    named: dict[str, list[WrittenTest]] = {}
    for test, ids in written.items():
        for name in ids:
            named.setdefault(name, []).append(test)
    found = []
    for name, row in tomllib.loads(ROWS.read_text(encoding="utf-8")).items():
        tests = [test for pattern in row.get("tests", ()) for test in _matching(pattern, written)]
        found.append(
            Row(name, row["what"], tuple(dict.fromkeys([*tests, *named.get(name, ())])), row.get("reason", ""))
        )
    return found


def written_tests() -> dict[WrittenTest, frozenset[str]]:
    """Every test below `tests/`, and the rows that its docstring, or its module's, names."""
    found: dict[WrittenTest, frozenset[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = path.relative_to(TESTS).with_suffix("").as_posix()
        of_module = ids_in(ast.get_docstring(tree) or "")
        for prefix, function in _functions(tree):
            ids = of_module | ids_in(ast.get_docstring(function) or "")
            found[WrittenTest(module, prefix + function.name.removeprefix("test_"))] = ids
    return found


def ids_in(text: str) -> frozenset[str]:
    """The rows that a text names, one by one or as `T-110 to T-116`."""
    found = set()
    for prefix, first, last in ID.findall(text):
        found |= {f"{prefix}{number:0{len(first)}}" for number in range(int(first), int(last or first) + 1)}
    return frozenset(found)


def outcomes(results: Path) -> dict[WrittenTest, bool]:
    """Of each test that ran, whether all its cases passed.

    Args:
        results: a JUnit file of pytest.
    """
    passed: dict[WrittenTest, bool] = {}
    for case in ElementTree.parse(results).iter("testcase"):
        place = case.get("classname", "").split(".")
        class_name = place.pop() if place and not place[-1].startswith("test_") else ""
        name = case.get("name", "").partition("[")[0].removeprefix("test_")
        test = WrittenTest("/".join(place[1:]), f"{class_name}.{name}" if class_name else name)
        well = not any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
        passed[test] = passed.get(test, True) and well
    return passed


def page(listed: Sequence[Row], passed: Mapping[WrittenTest, bool]) -> str:
    """The whole page.

    Args:
        listed: the rows.
        passed: of each test that ran, whether it passed.
    """
    parts = [HEADER]
    held = sum(_state(row, passed) == "held" for row in listed)
    apart = sum(bool(row.reason) for row in listed)
    parts.append(
        f"{len(listed)} rows: {held} held by tests, {apart} do not apply, {len(listed) - held - apart} open.\n"
    )
    for prefix, title in SECTIONS.items():
        mine = [row for row in listed if row.name.startswith(prefix)]
        lines = [f"| {row.name} | {row.what} | {_proof(row)} | {_state(row, passed)} |" for row in mine]
        parts.append("\n".join([f"## {title}\n", "| Row | What | Proof | |", "|---|---|---|---|", *lines]) + "\n")
    return "\n".join(parts)


def _state(row: Row, passed: Mapping[WrittenTest, bool]) -> str:
    if row.reason:
        return "does not apply"
    if not row.tests or not any(test in passed for test in row.tests):
        return "**open**"
    return "held" if all(passed.get(test, False) for test in row.tests) else "**broken**"


def _proof(row: Row) -> str:
    if row.reason:
        return row.reason
    shown = [f"[{test.name.replace('_', ' ')}](../tests/{test.module}.py)" for test in row.tests[:SHOWN]]
    more = len(row.tests) - SHOWN
    return "; ".join([*shown, f"and {more} more"] if more > 0 else shown)


def _matching(pattern: str, written: Mapping[WrittenTest, object]) -> list[WrittenTest]:
    module, _, name = pattern.partition("::")
    found = [test for test in written if test.module == module and name in ("", test.name)]
    if not found:
        raise ValueError(f"there is no test {pattern}")
    return found


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield "", node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name.startswith("test_"):
                    yield f"{node.name}.", inner


if __name__ == "__main__":
    raise SystemExit(main())
