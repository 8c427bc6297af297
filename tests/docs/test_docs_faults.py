"""The faults of the official SDK, 1 to 50: each has a test named for it, or a reason why it cannot be had here."""

import re
from pathlib import Path

import pytest

from scripts import compatibility
from scripts.compatibility import PAGE, fault_tests
from scripts.compatibility_reasons import FAULTS, FAULTS_THAT_CANNOT_BE

NUMBERS = range(1, 51)


def test_every_number_is_listed_once_and_in_order() -> None:
    assert list(FAULTS) == [*NUMBERS]
    rows = re.findall(r"^\| (\d+) \|", PAGE.read_text("utf-8").partition("## Faults")[2], re.MULTILINE)
    assert rows == [str(number) for number in NUMBERS]


@pytest.mark.parametrize("number", NUMBERS)
def test_each_is_tested_or_explained_and_the_page_says_which(number: int) -> None:
    (row,) = re.findall(rf"^\| {number} \| .*$", PAGE.read_text("utf-8").partition("## Faults")[2], re.MULTILINE)
    tests = fault_tests().get(number, [])
    assert bool(tests) != (number in FAULTS_THAT_CANNOT_BE)
    for told in tests or [FAULTS_THAT_CANNOT_BE[number]]:
        assert told in row, "run make compatibility"


def test_a_page_that_lacks_a_test_is_told_without_any_official_sdk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text("utf-8")
    monkeypatch.setattr(compatibility, "look", None)
    assert compatibility.main(["--check", "--faults"]) == 0
    other = tmp_path / "compatibility.md"
    other.write_text(text.replace("test_fault_09_a_hash", "test_fault_09_an_older_hash"), encoding="utf-8")
    monkeypatch.setattr(compatibility, "PAGE", other)
    assert compatibility.main(["--check", "--faults"]) == 1
    assert "run make compatibility" in capsys.readouterr().out
    assert compatibility.main(["--faults"]) == 0
    assert other.read_text("utf-8") == text


def test_a_number_without_a_test_is_missed(tmp_path: pytest.TempPathFactory) -> None:
    assert fault_tests(tmp_path) == {}  # type: ignore[arg-type]
