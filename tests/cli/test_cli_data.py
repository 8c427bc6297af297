"""`tinker-hl lint` and `plan`: a data file, before any of it is sent."""

import json
from pathlib import Path

import pytest
from command_line import MODEL, Line

PIG_LATIN = Path(__file__).resolve().parents[2] / "examples" / "data" / "pig_latin.jsonl"
TINY = Path(__file__).resolve().parents[2] / "tinker_local" / "models" / "tiny"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server, no key."""
    for name in ("TINKER_BASE_URL", "TINKER_API_KEY", "TINKER_CREDENTIAL_CMD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nowhere")


@pytest.fixture
def faulty(tmp_path: Path) -> str:
    """Twelve lines without a shift, one with weights that are all 0, one that is no JSON."""
    path = tmp_path / "faulty.jsonl"
    tokens = list(range(10, 18))
    same = [{"model_input": [*tokens, n], "loss_fn_inputs": {"target_tokens": [*tokens, n]}} for n in range(30, 42)]
    zero = {"model_input": [1, 2], "loss_fn_inputs": {"target_tokens": [2, 3], "weights": [0, 0]}}
    path.write_text("".join(json.dumps(record) + "\n" for record in [*same, zero]) + "nonsense\n")
    return str(path)


@pytest.mark.usefixtures("offline")
def test_lint_tells_each_fault_with_its_line(line: Line, faulty: str) -> None:
    out, err = line.both("lint", faulty, code=1)
    assert out.splitlines()[0].split() == ["Line", "Severity", "Rule", "What"]
    assert len(out.splitlines()) == 1 + 10 + 2, "the first ten of a rule"
    assert "2 more findings of the rule shift" in err
    assert "14 lines: 13 errors, 1 warning, 0 notes." in err
    assert "give --model or --vocab-size" in err
    told = line.json("lint", faulty, "--vocab-size", "41", code=1)
    assert (told["datums"], told["errors"], told["warnings"]) == (14, 15, 1)
    assert {one["line"] for one in told["findings"] if one["rule"] == "vocabulary"} == {12}
    assert told["findings"][-1]["line"] == 14
    assert len(line("lint", faulty, "--format", "jsonl", code=1).splitlines()) == 14


@pytest.mark.usefixtures("offline")
def test_lint_of_a_good_file_is_quiet(line: Line, tmp_path: Path) -> None:
    good = tmp_path / "good.jsonl"
    good.write_text(json.dumps({"model_input": [1, 2, 3], "loss_fn_inputs": {"target_tokens": [2, 3, 4]}}))
    out, err = line.both("lint", str(good), "--vocab-size", "5", "--strict")
    assert (out, err) == ("", "Nothing is wrong.\n1 line: 0 errors, 0 warnings, 0 notes.\n")
    good.write_text(good.read_text() + "\n" + good.read_text())
    assert "the same as line 1" in line("lint", str(good))
    line("lint", str(good), "--strict", code=1)
    good.write_text("\n")
    assert "nothing in it" in line.both("lint", str(good), code=2)[1]


@pytest.mark.usefixtures("offline")
def test_pairs_are_read_with_a_tokenizer_from_a_folder(line: Line) -> None:
    assert "--model" in line.both("lint", str(PIG_LATIN), code=2)[1]
    out, err = line.both("lint", str(PIG_LATIN), "--model", str(TINY), "--loss-fn", "cross_entropy", "--strict")
    assert out == ""
    assert "2,335 lines: 0 errors" in err
    assert "too-long" in line("lint", str(PIG_LATIN), "--model", str(TINY), "--max-length", "30", code=1)


def test_plan_with_the_servers_model(line: Line, reached: str) -> None:
    shown = line("plan", str(PIG_LATIN), "--model", MODEL, "--batch-size", "64")
    assert "Datums           2,335" in shown
    assert "Steps            37, of 64 datums at most" in shown
    assert "Requests         37, 1 a step at most" in shown
    told = line.json("plan", str(PIG_LATIN), "--model", MODEL, "--batch-size", "64", "--max-items", "16")
    assert (told["steps"], told["most_requests_a_step"], told["requests"]) == (37, 4, 146)


@pytest.mark.usefixtures("offline")
def test_plan_tells_what_is_too_large_and_what_is_faulty(line: Line, faulty: str, tmp_path: Path) -> None:
    large = tmp_path / "large.jsonl"
    large.write_text(json.dumps({"model_input": [1] * 100, "loss_fn_inputs": {"target_tokens": [1] * 100}}))
    assert "may be refused: line 1." in line.both("plan", str(large), "--max-bytes", "500")[1]
    assert "line 14" in line.both("plan", faulty, code=2)[1]
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    assert "nothing in it" in line.both("plan", str(empty), code=2)[1]
