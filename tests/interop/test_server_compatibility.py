"""Every public method of three releases of the official SDK works against the service, and the page says so."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from scripts.compat_probe import PAGE, RELEASES, faults_of, methods_of, page, served

pytestmark = pytest.mark.timeout(300)

MODEL = "tinker-hl/tiny"


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    with served("local") as reached:
        yield reached


@pytest.fixture(scope="module")
def methods(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {release: methods_of(release, environment, MODEL) for release in RELEASES}


@pytest.fixture(scope="module")
def faults(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    return faults_of(environment, MODEL)


@pytest.mark.parametrize("release", RELEASES)
def test_every_public_method_works(methods: dict[str, dict[str, Any]], release: str) -> None:
    assert [row for row in methods[release]["methods"] if row["outcome"] != "works"] == []
    assert len(methods[release]["methods"]) >= 75


def test_no_fault_is_seen(faults: list[dict[str, Any]]) -> None:
    assert [row for row in faults if row["outcome"] not in ("right", "")] == []
    assert sum(row["outcome"] == "right" for row in faults) >= 12


def test_the_page_says_what_was_found(methods: dict[str, dict[str, Any]], faults: list[dict[str, Any]]) -> None:
    """`make probe` writes it."""
    assert PAGE.read_text() == page("`tinker-hl serve`", MODEL, methods, faults)


def test_a_method_without_a_case_is_told() -> None:
    found = {"release": "9.9", "methods": [{"class": "A", "method": "b", "outcome": "no case", "detail": "new | here"}]}
    assert "| `A.b` | **no case**: new \\| here |" in page("x", "m", {"newest": found}, [])
