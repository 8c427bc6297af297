"""`tinker-hl train` and `demo`, against a real service, as a user would call them."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinker_hl import ExperimentalWarning, ServiceClient
from tinker_hl.cli import entry
from tinker_hl.run_metrics import read_manifest
from tinker_hl.types import SessionSearchRequest

WORDS = ["apple", "lemon", "cherry", "plum", "grape", "melon", "orange", "banana", "peach", "pear", "fig", "lime"]
RESULT_KEYS = ["exact_match_before", "exact_match_after", "steps", "train_seconds", "tokens_per_second", "run_dir"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve words, four of them held out, whose completion is always the same."""
    path = tmp_path / "same.jsonl"
    records = [
        {"prompt": f"say: {word} ->", "completion": " moo", "split": "test" if index % 3 == 0 else "train"}
        for index, word in enumerate(WORDS)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def train(data: Path, *more: str) -> int:
    folder = str(data.parent / "runs")
    return entry.run(["train", str(data), "--model", "tinker-hl/tiny", "--runs-dir", folder, "--name", "one", *more])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_model_learns_a_users_own_file(reached: str, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(data, "--steps", "25", "--batch-size", "8", "--learning-rate", "3e-3", "--rank", "8") == 0
    captured = capfd.readouterr()
    result = json.loads(captured.out.splitlines()[-1])
    run = data.parent / "runs" / "one"
    assert list(result) == RESULT_KEYS
    assert (result["exact_match_before"], result["exact_match_after"], result["steps"]) == (0.0, 1.0, 25)
    assert result["run_dir"] == str(run)
    assert result["tokens_per_second"] > 0
    assert captured.out.count("before: ") == 4
    assert "plain peft loads it" in captured.err

    metrics = lines(run / "metrics.jsonl")
    steps = [record for record in metrics if "loss" in record]
    assert [record["step"] for record in steps] == list(range(1, 26))
    assert steps[-1]["loss"] < steps[0]["loss"] / 10
    assert all(record["grad_norm"] > 0 for record in steps[:5])
    assert [record["step"] for record in metrics if "exact_match" in record] == [0, 5, 10, 15, 20, 25]
    assert [record["step"] for record in lines(run / "checkpoints.jsonl")] == [5, 10, 15, 20, 25]
    assert (run / "curve.png").stat().st_size > 10_000
    manifests = [read_manifest(path) for path in (run, *sorted((run / "manifests").iterdir()), run / "adapter")]
    assert len({manifest.config_sha256 for manifest in manifests}) == 1
    assert [manifest.checkpoint for manifest in manifests[1:-1]] == [
        r["path"] for r in lines(run / "checkpoints.jsonl")
    ]
    assert manifests[-1].checkpoint == manifests[-2].checkpoint, "the adapter is the last one's"
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in (run / "adapter").iterdir()}


def test_the_same_seed_is_the_same_training(reached: str, data: Path) -> None:
    runs = data.parent / "runs"
    for name in ("a", "b", "c"):
        seed = "2" if name == "c" else "1"
        assert train(data, "--steps", "3", "--batch-size", "4", "--seed", seed, "--name", name) == 0
    losses = {name: [r["loss"] for r in lines(runs / name / "metrics.jsonl") if "loss" in r] for name in "abc"}
    assert losses["a"] == pytest.approx(losses["b"], rel=1e-5)
    assert losses["a"] != pytest.approx(losses["c"], rel=1e-5)


def test_a_faulty_line_stops_before_any_request(
    data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:9")  # nobody answers here
    with data.open("a") as file:
        file.write('{"prompt": "x", "completion": 5}\n')
    assert train(data) == entry.USAGE
    error = capfd.readouterr().err
    assert 'line 13: the field "completion" is a number, not a string' in error
    assert not (data.parent / "runs").exists()


def test_a_pair_that_the_model_cannot_read_is_named_before_training(
    reached: str, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with data.open("a") as file:
        file.write(json.dumps({"prompt": "x" * 600, "completion": "y"}) + "\n")
    assert train(data) == entry.USAGE
    assert "line 13: 601 tokens, and tinker-hl/tiny reads at most 512" in capfd.readouterr().err


def test_an_unknown_model_is_one_clear_line(reached: str, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(data, "--model", "no/such") == entry.FAILED
    errors = capfd.readouterr().err.splitlines()
    assert any(line.startswith("Error: ") and "no/such" in line for line in errors)
    assert not any("Traceback" in line for line in errors)
    assert not (data.parent / "runs" / "one").exists(), "the name is free for the next try"


def test_nobody_there_is_told_soon(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert train(data, "--base-url", f"http://127.0.0.1:{port}") == entry.FAILED
    told = capfd.readouterr().err
    assert f"Error: no connection to http://127.0.0.1:{port}: connection refused\nHint: Check --base-url" in told
    assert told.count("Warning: ") == 1, "the same is said once, however often it is tried"


def test_steps_and_epochs_exclude_each_other(data: Path) -> None:
    assert train(data, "--steps", "1", "--epochs", "1") == entry.USAGE


def test_epochs_say_how_many_steps(reached: str, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(data, "--epochs", "1.5", "--batch-size", "4", "--save-every", "0") == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["steps"] == 3
    assert len(lines(data.parent / "runs" / "one" / "checkpoints.jsonl")) == 1


def test_ctrl_c_names_what_was_saved_and_finishes_the_session(reached: str, data: Path) -> None:
    command = [sys.executable, "-c", "from tinker_hl.cli.entry import main; main()", "train", str(data)]
    options = [
        "--model",
        "tinker-hl/tiny",
        "--steps",
        "100000",
        "--save-every",
        "3",
        "--runs-dir",
        str(data.parent),
        "--name",
        "cut",
    ]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if "saved tinker://" in line:
            process.send_signal(signal.SIGINT)
            break
    rest, code = process.stderr.read(), process.wait(60)
    process.stderr.close()
    saved = lines(data.parent / "cut" / "checkpoints.jsonl")
    assert code == entry.INTERRUPTED, "".join(said) + rest
    assert "Interrupted; the session is finished." in rest
    assert saved
    assert all(f"saved: {record['path']}" in rest for record in saved)
    assert "Traceback" not in rest
    with ServiceClient() as service:
        client = service.create_rest_client()
        run = saved[0]["path"].removeprefix("tinker://").split("/")[0]
        assert client.list_checkpoints(run).result().checkpoints
        with pytest.warns(ExperimentalWarning):
            finished = client.search_sessions(SessionSearchRequest(user_metadata={"run": "cut"})).result()
        assert [session.status.reason.type for session in finished.sessions] == ["interrupted"]


def test_the_demo_is_the_same_job_on_its_own_data(
    reached: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["demo", "--steps", "2", "--batch-size", "8", "--runs-dir", str(tmp_path), "--name", "d"]
    assert entry.run([*words, "--format", "json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert list(result) == [*RESULT_KEYS, "examples"]
    assert result["exact_match_before"] <= 0.05
    assert [list(example) for example in result["examples"]] == [["prompt", "before", "after", "right"]] * 10
