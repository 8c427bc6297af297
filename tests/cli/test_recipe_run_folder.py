import json
import math
from pathlib import Path

import pytest

from tinker_hl.errors import ConfigurationError
from tinker_hl.recipes.run_folder import RunFolder, default_run_name
from tinker_hl.run_metrics import gather_manifest, read_manifest


def test_lines_are_on_disk_at_once_and_are_strict_json(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs", "one")
    folder.metrics({"step": 1, "grad_norm": math.nan, "loss": 0.5})
    folder.checkpoint(step=1, path="tinker://x/weights/y")
    folder.metrics({"step": 2, "loss": math.inf})
    lines = (tmp_path / "runs" / "one" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "grad_norm": None, "loss": 0.5},
        {"step": 2, "loss": None},
    ]
    assert json.loads((folder.path / "checkpoints.jsonl").read_text()) == {"step": 1, "path": "tinker://x/weights/y"}


def test_a_described_run_has_a_manifest_for_itself_and_each_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "one")
    folder.checkpoint(step=1, path="tinker://x/weights/before")
    folder.describe(gather_manifest({"rank": 8}, seeds={"run": 3}))
    folder.checkpoint(step=20, path="tinker://x/weights/y")
    assert read_manifest(folder.path).seeds == {"run": 3}
    assert [path.name for path in (folder.path / "manifests").iterdir()] == ["step-000020.json"]
    read = read_manifest(folder.path / "manifests" / "step-000020.json")
    assert (read.step, read.checkpoint, read.config) == (20, "tinker://x/weights/y", {"rank": 8})


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "-rf", "a\0b", "x" * 101])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a run's name"):
        RunFolder(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_run_never_writes_into_another(tmp_path: Path) -> None:
    RunFolder(tmp_path, "one")
    with pytest.raises(ConfigurationError, match="exists"):
        RunFolder(tmp_path, "one")


def test_the_default_name_is_a_fine_one(tmp_path: Path) -> None:
    assert RunFolder(tmp_path, default_run_name("demo")).path.name.startswith("demo-")
