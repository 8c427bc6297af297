"""`tinker-hl checkpoint` against a real service."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import MODEL, PROGRAM, Line
from fake_hub import running_hub

from tinker_hl import ServiceClient
from tinker_hl.cli.checkpoint import deletion
from tinker_hl.types import ParsedCheckpointTinkerPath

pytestmark = pytest.mark.usefixtures("reached")

UNKNOWN = "tinker://no-such-run/weights/none"


def run_of(path: str) -> str:
    return ParsedCheckpointTinkerPath.from_tinker_path(path).training_run_id


def names(line: Line, run_id: str) -> list[str]:
    return [one["checkpoint_id"] for one in line.json("checkpoint", "list", "--run-id", run_id)["checkpoints"]]


@pytest.fixture
def path(line: Line) -> str:
    return line.checkpoint("one")


def test_save_a_fresh_adapter_and_go_on_from_it(line: Line, tmp_path: Path) -> None:
    """T-180, S1-09: a checkpoint without a script, and a file that says what was saved."""
    output = tmp_path / "saved.json"
    words = ["checkpoint", "save", "--base-model", MODEL, "--rank", "4", "--seed", "7", "--no-train-mlp"]
    first = line.json(*words, "--output", str(output))
    assert json.loads(output.read_text()) == first
    assert (first["base_model"], first["lora_rank"], first["seed"]) == (MODEL, 4, 7)
    shape = line.json("checkpoint", "info", first["tinker_path"])
    assert (shape["lora_rank"], shape["train_mlp"], shape["train_attn"]) == (4, False, True)

    again = line.json(
        "checkpoint", "save", "--model-path", first["tinker_path"], "--name", "again", "--kind", "sampler"
    )
    assert again["training_run_id"] != first["training_run_id"]
    assert again["tinker_path"].endswith("/sampler_weights/again")
    assert again["lora_rank"] == 4


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--base-model", MODEL, "--model-path", UNKNOWN],
        ["--base-model", MODEL, "--no-train-mlp", "--no-train-attn", "--no-train-unembed"],
        ["--base-model", MODEL, "--output", "/no/such/folder/x.json"],
        ["--model-path", "tinker://nonsense"],
    ],
)
def test_save_refuses_what_cannot_be_meant(line: Line, words: list[str]) -> None:
    """T-180."""
    assert "Error: " in line.both("checkpoint", "save", *words, code=2)[1]


def test_fault_45_times_are_iso_8601_and_the_form_may_stand_anywhere(line: Line, path: str) -> None:
    run = run_of(path)
    texts = [
        line("--format", "json", "checkpoint", "list", "--run-id", run),
        line("checkpoint", "--format", "json", "list", "--run-id", run),
        line("checkpoint", "list", "--run-id", run, "--format", "json"),
    ]
    assert texts[0] == texts[1] == texts[2]
    (found,) = json.loads(texts[0])["checkpoints"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", found["time"])
    assert "unexpected" not in line.both("run", "list", "--columns", "nonsense", code=2)[1].lower()


def test_list_and_info(line: Line, path: str) -> None:
    """T-181, T-182: ages in the table, ISO times in JSON."""
    run = run_of(path)
    shown = line("checkpoint", "list", "--run-id", run).splitlines()
    assert shown[0].split() == ["Checkpoint", "ID", "Type", "Size", "Public", "Created", "Expires", "Path"]
    assert "training" in shown[1]
    assert "just now" in shown[1]
    assert shown[1].endswith(path)
    told = line.json("checkpoint", "list", "--run-id", run)
    assert told["run_id"] == run
    saved = datetime.fromisoformat(told["checkpoints"][0]["time"])
    assert abs(datetime.now(UTC) - saved) < timedelta(minutes=5)

    about = line("checkpoint", "info", path)
    assert f"Base Model     {MODEL}" in about
    assert "LoRA Rank      2" in about
    record = line.json("checkpoint", "info", path)
    assert record["tinker_path"] == path
    assert (record["is_lora"], record["lora_rank"]) == (True, 2)


def test_list_of_all_is_limited_and_says_so(line: Line, path: str) -> None:
    """T-181."""
    line.checkpoint("another")
    out, err = line.both("checkpoint", "list", "--limit", "1")
    assert len(out.splitlines()) == 2
    assert "more checkpoint" in err
    assert "--limit 0 shows all" in err
    everything = line.json("checkpoint", "list", "--limit", "0")["checkpoints"]
    assert path in [one["tinker_path"] for one in everything]
    rest = line.json("checkpoint", "list", "--limit", "0", "--offset", "1")["checkpoints"]
    assert rest == everything[1:]
    assert "not shown" not in line.both("checkpoint", "list", "--limit", "1", "--format", "json")[1]


def test_what_is_not_there_is_a_line_and_1(line: Line, path: str) -> None:
    assert line.both("checkpoint", "info", UNKNOWN, code=1)[1] == "Error: no training run no-such-run (status 404)\n"
    missing = path.replace("/one", "/two")
    assert "two" in line.both("checkpoint", "info", missing, code=1)[1]
    assert "tinker://<run>/<segment>/<name>" in line.both("checkpoint", "info", "weights/1", code=2)[1]


def test_fault_45_changes_of_a_checkpoint_are_told_in_the_form_that_was_asked_for(line: Line, path: str) -> None:
    """T-182, T-183: a note for people on stderr, a record for programs on stdout."""
    for command, public in (("publish", True), ("unpublish", False)):
        out, err = line.both("checkpoint", command, path)
        assert (out, path in err) == ("", True)
        assert line.json("checkpoint", "info", path)["public"] is public
    for command, public in (("publish", True), ("unpublish", False)):
        assert line.json("checkpoint", command, path) == {"tinker_path": path, "public": public}
    assert line.json("checkpoint", "set-ttl", path, "--ttl", "7200") == {"tinker_path": path, "ttl_seconds": 7200}
    assert line.both("checkpoint", "set-ttl", path, "--remove") == ("", f"{path} is kept for good.\n")


def test_set_ttl(line: Line, path: str) -> None:
    """T-183: seconds, or for good; one of them."""
    line("checkpoint", "set-ttl", path, "--ttl", "7200")
    expires = datetime.fromisoformat(line.json("checkpoint", "info", path)["expires_at"])
    assert timedelta(minutes=110) < expires - datetime.now(UTC) <= timedelta(minutes=120)
    assert "Expires        in 1 hour" in line("checkpoint", "info", path)
    line("checkpoint", "set-ttl", path, "--remove")
    assert line.json("checkpoint", "info", path)["expires_at"] is None
    for words in ([], ["--ttl", "7200", "--remove"], ["--ttl", "0"]):
        line("checkpoint", "set-ttl", path, *words, code=2)


def test_delete_asks_nobody_where_nobody_is(line: Line, path: str) -> None:
    """T-184: without a terminal only `--yes` deletes."""
    assert "--yes" in line.both("checkpoint", "delete", path, code=2)[1]
    assert names(line, run_of(path)) == ["weights/one"]
    out, _ = line.both("checkpoint", "delete", path, "--yes")
    assert out == "Deleted 1 checkpoint.\n"
    assert names(line, run_of(path)) == []


def test_delete_checks_every_path_before_it_deletes_any(line: Line, path: str) -> None:
    """T-184."""
    line("checkpoint", "delete", path, "tinker://nonsense", "--yes", code=2)
    assert names(line, run_of(path)) == ["weights/one"]


def test_fault_45_delete_tells_each_failure_and_ends_with_1(line: Line, path: str) -> None:
    """T-184: one that fails stops no other."""
    out, err = line.both("checkpoint", "delete", UNKNOWN, path, "--yes", code=1)
    assert "Deleted 1 checkpoint" in out
    assert f"Failed: {UNKNOWN}: no checkpoint" in err
    told = line.json("checkpoint", "delete", UNKNOWN, "--yes", code=1)
    assert told["deleted_count"] == 0
    assert told["failed"][0]["tinker_path"] == UNKNOWN


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[str], str]]:
    """Somebody at a terminal who declines; holds what they were shown."""
    asked: list[tuple[Sequence[str], str]] = []

    def confirm(lines: Sequence[str], question: str) -> bool:
        asked.append((lines, question))
        return False

    monkeypatch.setattr(deletion, "refuse_without_terminal", lambda: None)
    monkeypatch.setattr(deletion, "confirm", confirm)
    return asked


def test_delete_shows_what_it_is_about_and_takes_no(
    line: Line, path: str, answering: list[tuple[Sequence[str], str]]
) -> None:
    """T-184: one question for all."""
    assert line.both("checkpoint", "delete", path, UNKNOWN, code=1) == ("", "Nothing was deleted.\n")
    ((lines, question),) = answering
    assert [text.split()[0] for text in lines] == [path, UNKNOWN]
    assert question.startswith("Delete 2 checkpoints (")
    assert names(line, run_of(path)) == ["weights/one"]


def test_delete_by_filter(line: Line) -> None:
    """T-184: all that match every filter; a dry run shows them and deletes none."""
    training = line.checkpoint("one")
    sampler = line.json("checkpoint", "save", "--model-path", training, "--kind", "sampler", "--name", "two")[
        "tinker_path"
    ]
    found = line.json("checkpoint", "delete", "--type", "sampler_weights", "--run-id", run_of(sampler), "--dry-run")
    assert [one["tinker_path"] for one in found["checkpoints"]] == [sampler]
    none = ["--run-id", run_of(sampler), "--type", "weights"]
    assert line.both("checkpoint", "delete", *none, "--yes") == ("", "No checkpoint matches.\n")
    early = ["--run-id", run_of(sampler), "--before", "2020-01-01"]
    assert line.json("checkpoint", "delete", *early, "--yes") == {"deleted_count": 0, "failed": []}
    late = ["--run-id", run_of(sampler), "--type", "sampler", "--after", "2020-01-01T00:00:00Z"]
    assert "Deleted 1 checkpoint (" in line("checkpoint", "delete", *late, "--yes")
    assert names(line, run_of(sampler)) == []
    assert names(line, run_of(training)) == ["weights/one"]
    for words in ([], [training, "--type", "weights"], ["--before", "yesterday"]):
        line("checkpoint", "delete", *words, "--yes", code=2)


def test_delete_with_a_grace_can_be_taken_back(line: Line, path: str) -> None:
    told = line.json("checkpoint", "delete", path, "--yes", "--grace", "24")
    assert told == {"expiring_count": 1, "failed": []}
    assert line.json("checkpoint", "info", path)["expires_at"] is not None
    line("checkpoint", "set-ttl", path, "--remove")
    assert line.json("checkpoint", "info", path)["expires_at"] is None


def test_fault_45_stdout_holds_the_record_of_a_download_and_nothing_else(line: Line, tmp_path: Path) -> None:
    path = line.checkpoint("final", "--kind", "sampler")
    out, err = line.both("checkpoint", "download", path, "--output", str(tmp_path), "--format", "jsonl")
    assert json.loads(out)["tinker_path"] == path, "progress would be no JSON"
    assert path not in err


def test_download(line: Line, tmp_path: Path) -> None:
    """T-185: a folder named after the path, replaced only by force."""
    path = line.checkpoint("final", "--kind", "sampler")
    told = line.json("checkpoint", "download", path, "--output", str(tmp_path))
    folder = tmp_path / path.removeprefix("tinker://").replace("/", "_")
    assert told["folder"] == str(folder)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(told["files"])
    assert {file.name for file in folder.iterdir()} == {*told["files"], "SHA256SUMS"}
    assert "--force" in line.both("checkpoint", "download", path, "-o", str(tmp_path), code=1)[1]
    (folder / "left over").write_text("")
    line("checkpoint", "download", path, "-o", str(tmp_path), "--force")
    assert not (folder / "left over").exists()


def test_prune_by_policy(line: Line) -> None:
    """T-184, by what is to be kept: shown, refused without a terminal, done with `--yes`."""
    with ServiceClient() as service:
        trainer = service.create_lora_training_client(MODEL, rank=2).result()
        paths = [trainer.save_state(f"step-{n}", user_metadata={"loss": str(9 - n)}).result().path for n in range(1, 6)]
    words = ["checkpoint", "prune", "--run-id", run_of(paths[0]), "--keep-last", "1", "--pin", "step-2"]
    out, err = line.both(*words, "--dry-run")
    assert "3 checkpoints would go" in err
    assert "no rule keeps it" in out
    assert "--yes" in line.both(*words, code=2)[1]
    told = line.json(*words, "--yes")["checkpoints"]
    assert [one["checkpoint"]["tinker_path"] for one in told if one["keep"]] == [paths[1], paths[4]]
    assert [one["deleted"] for one in told] == [True, False, True, True, False]
    assert sorted(names(line, run_of(paths[0]))) == ["weights/step-2", "weights/step-5"]
    best = [*words[:4], "--keep-best", "1", "--best-by", "loss", "--dry-run"]
    kept = [one["checkpoint"]["tinker_path"] for one in line.json(*best)["checkpoints"] if one["keep"]]
    assert kept == [paths[4]]
    assert "--keep-last, --keep-every or --keep-best" in line.both("checkpoint", "prune", "--dry-run", code=2)[1]


def test_diff_of_folders_and_checkpoints(line: Line, tmp_path: Path) -> None:
    first = line.checkpoint("first", "--kind", "sampler", "--seed", "1")
    second = line.checkpoint("second", "--kind", "sampler", "--seed", "2")
    folder = line.json("checkpoint", "download", first, "--output", str(tmp_path))["folder"]
    same = line.json("checkpoint", "diff", folder, first)
    assert same["norm_difference"] == 0
    apart = line.json("checkpoint", "diff", first, second, "--limit", "3")
    assert len(apart["layers"]) == 3
    out, err = line.both("checkpoint", "diff", first, second, "--limit", "0")
    assert out.split()[0] == "Layer"
    assert f"{len(out.splitlines()) - 1} layers in all" in err
    line("checkpoint", "diff", first, "/no/such/folder", code=2)


def test_push_to_the_hub(line: Line) -> None:
    """T-186: with a name of its own making, patterns, and a model card or none."""
    path = line.checkpoint("final", "--kind", "sampler")
    with running_hub() as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}

        def pushed(path: str, *more: str) -> subprocess.CompletedProcess[str]:
            words = [PROGRAM, "checkpoint", "push-hf", path, *more, "--format", "json"]
            ended = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, check=False)
            assert hub.token not in ended.stdout + ended.stderr
            return ended

        tried = pushed(path, "--dry-run", "--ignore-pattern", "*.json", "--no-model-card")
        told = json.loads(tried.stdout)
        assert set(told["files"]) == {"adapter_model.safetensors"}
        assert told["repository"].endswith("-final")
        assert told["commit_url"] is None
        assert "Nothing was changed." in tried.stderr
        done = pushed(path, "--repo", "me/tuned", "--commit-message", "first", "--public")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["commit_url"]
        assert path in json.loads(done.stdout)["card"]
        assert (hub.messages, hub.private) == (["first"], {"me/tuned": False})
        refused = pushed(line.checkpoint("other", "--kind", "sampler"), "--repo", "me/tuned")
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr


def test_publishing_without_a_token_stops_before_the_checkpoint_is_fetched(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    nowhere = "tinker://nobody:train:0/sampler_weights/x"
    assert "there is no token for the hub" in line.both("checkpoint", "push-hf", nowhere, code=1)[1]
    out, err = line.both("checkpoint", "push-hf", line.checkpoint("dry", "--kind", "sampler"), "--dry-run")
    assert "adapter_model.safetensors" in out
    assert "without a token nothing was asked" in err


def test_export_as_peft(line: Line, tmp_path: Path) -> None:
    path = line.checkpoint("final", "--kind", "sampler")
    told = line.json("checkpoint", "export", path, str(tmp_path / "peft"), "--base-model", "me/base")
    assert set(told["files"]) == {"adapter_config.json", "adapter_model.safetensors"}
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "me/base"
    assert "exists" in line.both("checkpoint", "export", path, str(tmp_path / "peft"), code=1)[1]
    words = ["checkpoint", "import", str(tmp_path / "peft"), "--base-model", MODEL, "--name", "back"]
    assert line.json(*words)["tinker_path"].endswith("/weights/back")
    assert "Error: " in line.both("checkpoint", "import", str(tmp_path), "--base-model", MODEL, code=1)[1]
    words = ["checkpoint", "import", str(tmp_path / "peft"), "--base-model", "nope"]
    assert "peft: base model 'nope' is not served here" in line.both(*words, code=1)[1]
