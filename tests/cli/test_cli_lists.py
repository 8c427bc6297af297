"""`tinker-hl run`, `model`, `session`, `billing`, `version`, `completion` against a real service."""

import csv
import io
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import MODEL, PROGRAM, Line

from tinker_hl import RestClient
from tinker_hl.types import ParsedCheckpointTinkerPath

pytestmark = pytest.mark.usefixtures("reached")


@pytest.fixture
def run_id(line: Line) -> str:
    return ParsedCheckpointTinkerPath.from_tinker_path(line.checkpoint("one")).training_run_id


def test_run_list(line: Line, run_id: str) -> None:
    """T-188: newest first; a table's columns are chosen, and JSON has everything."""
    line.checkpoint("newer")
    out, err = line.both("run", "list", "--limit", "1", "--columns", "id,owner,checkpoint,checkpoint_time")
    assert out.splitlines()[0].split("  ")[0] == "Run ID"
    assert [title for title in ("Owner", "Last Checkpoint", "Saved") if title not in out] == []
    assert "/weights/newer" in out
    assert "not shown" in err
    runs = line.json("run", "list", "--limit", "0", "--access-scope", "accessible")["runs"]
    assert run_id in [run["training_run_id"] for run in runs]
    times = [datetime.fromisoformat(run["last_request_time"]) for run in runs]
    assert times == sorted(times, reverse=True)
    lines = line("run", "list", "--format", "jsonl", "--limit", "2").splitlines()
    assert [json.loads(text) for text in lines] == runs[:2]
    assert line("run", "list", "--project-id", "no-such-project") == ""


@pytest.mark.parametrize("words", [["--columns", "id,nonsense"], ["--limit", "-1"], ["--access-scope", "all"]])
def test_run_list_refuses_what_it_does_not_know(line: Line, words: list[str]) -> None:
    """T-188: exit code 2 and not 1, also for a column."""
    assert words[1].split(",")[-1] in line.both("run", "list", *words, code=2)[1]


def test_runs_are_asked_for_in_the_scope_that_was_named(
    line: Line, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-188: one's own unless told."""
    asked: list[Any] = []

    def noting(name: str) -> Any:
        method = getattr(RestClient, name)

        def noted(self: RestClient, *arguments: Any) -> Any:
            asked.append((name, [each for each in arguments if each in ("owned", "accessible")]))
            return method(self, *arguments)

        return noted

    for name in ("list_training_runs", "get_training_run"):
        monkeypatch.setattr(RestClient, name, noting(name))
    for scope in ([], ["--access-scope", "accessible"]):
        line("run", "list", "--limit", "1", *scope)
        line("run", "info", run_id, *scope)
    assert asked == [
        (name, [scope]) for scope in ("owned", "accessible") for name in ("list_training_runs", "get_training_run")
    ]


def test_run_info_and_diff(line: Line, run_id: str) -> None:
    """T-188."""
    shown = line("run", "info", run_id)
    assert f"Run ID                   {run_id}" in shown
    assert line.json("run", "info", run_id)["base_model"] == MODEL
    other = line.json("checkpoint", "save", "--base-model", MODEL, "--rank", "6")["training_run_id"]
    apart = line.json("run", "diff", run_id, other)["differences"]
    assert {"property": "lora_rank", "first": 2, "second": 6} in apart
    assert "base_model" not in [row["property"] for row in apart]
    times = next(row for row in apart if row["property"] == "last_request_time")
    assert datetime.fromisoformat(times["first"]) < datetime.fromisoformat(times["second"]), "no ages for programs"
    assert ["LoRA", "Rank", "2", "6"] in [text.split() for text in line("run", "diff", run_id, other).splitlines()]
    assert line.both("run", "diff", run_id, run_id) == ("", "They do not differ.\n")
    assert line.both("run", "info", "nobody", code=1)[1].startswith("Error: ")


def test_model_list(line: Line) -> None:
    assert line.json("model", "list")["models"][0]["model_name"] == MODEL
    out = line("model", "list", "TINY")
    assert out.splitlines()[1].split() == [MODEL, "512", "Yes", "Yes"]
    assert "no model has 'nonsense'" in line.both("model", "list", "nonsense", code=1)[1]


def test_sessions(line: Line, run_id: str, tmp_path: Path) -> None:
    session_id = run_id.partition(":")[0]
    listed = line.json("session", "list", "--limit", "0")["sessions"]
    assert session_id in listed
    assert line("session", "list", "--limit", "1").splitlines() == ["Session ID", listed[0]]
    told = line.json("session", "info", session_id)
    assert told["training_run_ids"] == [run_id]
    assert f"Training Run  {run_id}" in line("session", "info", session_id)
    found = line.json("session", "search", "--name", "tinker-hl checkpoint save", "--limit", "200")["sessions"]
    assert session_id in [one["session_id"] for one in found]
    assert "client_finished (success)" in line("session", "search", "--limit", "3")
    assert line.json("session", "search", "--metadata", "no=body") == {"sessions": []}
    line("session", "search", "--metadata", "nobody", code=2)

    trace = tmp_path / "trace.pftrace"
    exported = line.json("session", "export-trace", session_id, "--output", str(trace))
    assert exported == {"path": str(trace), "size_bytes": trace.stat().st_size}
    assert list(tmp_path.iterdir()) == [trace]
    assert line("session", "export-trace", session_id, "--url-only").startswith("http://")


def test_billing(line: Line, run_id: str, tmp_path: Path) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [hour.strftime("%Y-%m-%dT%H"), (hour + timedelta(hours=1)).isoformat()]
    told = line.json("billing", "usage", *hours)
    assert {"data", "sessions", "cost_data_through"} <= set(told)
    assert "checkpoint" in {event["event_info"]["type"] for event in told["data"]}
    out, err = line.both("billing", "usage", *hours)
    assert out.splitlines()[0].split()[:2] == ["Hour", "Kind"]
    assert "Costs are known up to" in err
    rows = list(csv.DictReader(io.StringIO(line("billing", "usage", *hours, "--csv", "-"))))
    assert len(rows) == len(told["data"])
    assert "event_info" not in rows[0]
    sessions = tmp_path / "sessions.csv"
    assert line("billing", "usage", *hours, "--sessions-csv", str(sessions)) == ""
    assert sessions.read_text().startswith("session_id")
    line("billing", "usage", "yesterday", "today", code=2)
    line("billing", "usage", hours[1], hours[0], code=1)

    storage = line.json("billing", "checkpoint-storage")
    assert storage["data"][0]["checkpoint_count"] >= 1
    assert line("billing", "checkpoint-storage").splitlines()[0].split()[0] == "User"
    assert len(line("billing", "checkpoint-storage", "--csv", "-").splitlines()) == len(storage["data"]) + 1


def test_version(line: Line) -> None:
    """T-189: as JSON, and with what it is built on."""
    told = line.json("version", "--deps")
    assert told == json.loads(line("version", "--json", "--deps"))
    assert told["version"].startswith("0.")
    assert told["dependencies"]["numpy"]
    assert "dependencies" not in line.json("version")
    shown = line("version", "--deps").splitlines()
    assert ["numpy", told["dependencies"]["numpy"]] in [text.split() for text in shown]
    assert {"torch", "wandb"} <= told["dependencies"].keys(), "those of extras"
    assert "ruff" not in told["dependencies"], "what only developers need"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(line: Line, shell: str) -> None:
    assert "_TINKER_HL_COMPLETE" in line("completion", shell)


def test_the_completion_completes() -> None:
    asked = {"_TINKER_HL_COMPLETE": "bash_complete", "COMP_WORDS": "tinker-hl checkpoint del", "COMP_CWORD": "2"}
    ended = subprocess.run([PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["plain,delete"]
