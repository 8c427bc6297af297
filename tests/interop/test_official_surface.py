"""The public surface, held against the installed official releases by reflection. It makes docs/compatibility.md."""

import copy
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

import tinker_hl
from scripts.compatibility import PAGE, RELEASES, SCRIPT, Findings, fault_tests, look, page, problems
from scripts.compatibility_reasons import REASONS, Reason
from scripts.official_venv import official_python
from scripts.surface_comparison import Difference, compare
from tinker_hl.version import OFFICIAL_VERSION

pytestmark = [pytest.mark.interop, pytest.mark.timeout(1200)]


@pytest.fixture(scope="session")
def findings() -> Findings:
    return look()


@pytest.fixture(scope="session")
def surface() -> dict[str, Any]:
    """That of the newest release."""
    done = subprocess.run(
        [official_python(RELEASES[0]), SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_releases_are_the_ones_that_we_say(findings: Findings) -> None:
    assert list(findings.comparisons) == [OFFICIAL_VERSION, "0.7.0"]


def test_every_exported_name_is_here(findings: Findings) -> None:
    for version, names in findings.exported.items():
        assert len(names) == {OFFICIAL_VERSION: 61, "0.7.0": 45}[version]
        assert [name for name in names if not hasattr(tinker_hl, name)] == []


def test_each_difference_has_a_reason_and_each_reason_a_difference(findings: Findings) -> None:
    assert problems(findings) == []


def test_what_was_compared_is_not_little(findings: Findings) -> None:
    assert findings.comparisons[OFFICIAL_VERSION].same > 1400
    assert findings.comparisons["0.7.0"].same > 700


def test_the_page_is_what_would_be_written(findings: Findings) -> None:
    assert PAGE.read_text("utf-8") == page(findings, fault_tests()), "run make compatibility"


# The comparison itself: it must see what is missing, or it proves nothing.


def test_a_difference_without_a_reason_is_told_and_so_is_a_reason_without_a_difference(findings: Findings) -> None:
    unexplained, *_ = problems(findings, REASONS[1:])
    assert unexplained.startswith("no reason is given for: ")
    idle = Reason("For nothing.", ("tinker.NoSuchThing: *",))
    assert problems(findings, [*REASONS, idle]) == [
        "a reason is given for what is no difference: tinker.NoSuchThing: *"
    ]


def test_a_surface_differs_in_nothing_from_itself(surface: dict[str, Any]) -> None:
    assert compare(surface, surface).differences == []


def removals(surface: dict[str, Any]) -> Iterator[tuple[list[str], str]]:
    """Each thing that can be taken away: the way to it, and where the comparison must miss it."""
    for key, module in (("top", "tinker"), ("types", "tinker.types"), ("auth", "tinker.auth")):
        for name, described in surface[key].items():
            place = f"{module}.{name}"
            if key == "types" and name in surface["top"]:
                continue
            yield [key, name], place
            for member, told in described.get("members", {}).items():
                if told["owner"] == "tinker" and member not in described["fields"] and member != "model_config":
                    yield [key, name, "members", member], f"{place}.{member}"


def test_whatever_is_taken_away_is_missed(surface: dict[str, Any]) -> None:
    taken = list(removals(surface))
    assert len(taken) > 300
    for way, place in taken:
        less = dict(surface)
        inner: dict[str, Any] = less
        for step in way[:-1]:
            inner[step] = dict(inner[step])
            inner = inner[step]
        inner.pop(way[-1])
        if way[0] == "types" and len(way) == 2:
            less["top"] = {name: told for name, told in less["top"].items() if name != way[1]}
        assert place in {difference.place for difference in compare(surface, less).differences}, place


ROW = ["data", "POSITIONAL_OR_KEYWORD", None]


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ([ROW], [ROW], None),
        ([ROW], [["data", "POSITIONAL_OR_KEYWORD", "None"]], None),
        ([ROW], [ROW, ["more", "KEYWORD_ONLY", "None"]], None),
        ([["data", "KEYWORD_ONLY", None]], [ROW], None),
        ([ROW], [], "has no argument `data`"),
        ([ROW], [["data", "KEYWORD_ONLY", None]], "`data` is not argument 1, as it is there"),
        ([ROW], [["other", "POSITIONAL_OR_KEYWORD", "0"], ROW], "`data` is not argument 1, as it is there"),
        ([ROW], [ROW, ["more", "KEYWORD_ONLY", None]], "requires `more`"),
        ([["k", "KEYWORD_ONLY", "0"]], [["k", "KEYWORD_ONLY", None]], "`k` is required"),
        ([["k", "KEYWORD_ONLY", "0"]], [["k", "KEYWORD_ONLY", "1"]], "`k` is 1 by default, 0 there"),
        ([["k", "KEYWORD_ONLY", None]], [["k", "POSITIONAL_ONLY", None]], "`k` cannot be given by name"),
        ([ROW, ["rest", "VAR_KEYWORD", None]], [ROW], "takes no `**rest`"),
    ],
)
def test_signatures_are_compared_as_a_caller_sees_them(
    surface: dict[str, Any], theirs: list[Any], ours: list[Any], expected: str | None
) -> None:
    left, right = copy.deepcopy(surface), copy.deepcopy(surface)
    left["auth"]["get_tinker_token"]["signature"] = theirs
    right["auth"]["get_tinker_token"]["signature"] = ours
    found = compare(left, right).differences
    assert found == ([] if expected is None else [Difference("tinker.auth.get_tinker_token", expected)])
