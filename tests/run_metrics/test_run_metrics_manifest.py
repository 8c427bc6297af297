"""Manifests: what it takes to repeat a run, found out, written whole, read back, compared."""

import hashlib
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinker_hl
from tinker_hl.run_metrics import (
    Manifest,
    config_hash,
    data_hash,
    gather_manifest,
    read_manifest,
    write_manifest,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CONFIG = st.dictionaries(st.text(max_size=5), JSON, max_size=4)


def git(folder: Path, *words: str) -> str:
    own = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *own, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_it_tells_the_code_the_data_and_the_versions(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    code, data = tmp_path / "train.py", tmp_path / "pairs.jsonl"
    code.write_text("print(1)")
    data.write_bytes(b'{"prompt": "a"}\n')
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-qm", "first")
    manifest = gather_manifest({"rank": 8}, seeds={"adapter": 1}, data=[data], repository=tmp_path)
    assert manifest.git_revision == git(tmp_path, "rev-parse", "HEAD")
    assert manifest.git_dirty is False, "data beside it is no change of the code"
    assert manifest.data_sha256 == {"pairs.jsonl": hashlib.sha256(data.read_bytes()).hexdigest()}
    assert manifest.seeds == {"adapter": 1}
    assert manifest.versions["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert manifest.versions["tinker-hl"] == tinker_hl.__version__
    assert {"numpy", "torch"} <= manifest.versions.keys()
    assert list(manifest.command) == sys.argv
    code.write_text("print(2)")
    assert gather_manifest(repository=tmp_path).git_dirty is True


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    places = [tmp_path / "train" / "pairs.jsonl", tmp_path / "test" / "pairs.jsonl", tmp_path / "words.txt"]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.write_text(str(place))
    found = gather_manifest(data=places, repository=tmp_path).data_sha256
    assert found == {
        str(places[0]): data_hash(places[0]),
        str(places[1]): data_hash(places[1]),
        "words.txt": found["words.txt"],
    }


def test_without_git_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    manifest = gather_manifest({"rank": 8}, repository=tmp_path)
    assert (manifest.git_revision, manifest.git_dirty) == (None, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gather_manifest(repository=tmp_path).git_revision is None
    assert manifest.config == {"rank": 8}


@given(CONFIG)
def test_the_order_of_a_configuration_does_not_matter(config: dict[str, object]) -> None:
    assert config_hash(config) == config_hash(dict(reversed(config.items())))
    assert config_hash(config) != config_hash({**config, "one more setting": 1})


@given(CONFIG)
def test_what_is_written_is_read_back(config: dict[str, object]) -> None:
    import tempfile

    manifest = Manifest(created="2026-01-02T03:04:05+00:00", config=config, seeds={"a": 1}, config_sha256="x")
    with tempfile.TemporaryDirectory() as folder:
        path = write_manifest(folder, manifest)
        assert path.name == "manifest.json"
        assert attrs.asdict(read_manifest(folder)) == {**attrs.asdict(manifest), "command": []}
        assert [file.name for file in Path(folder).iterdir()] == ["manifest.json"]


def test_a_checkpoint_has_the_runs_manifest_and_its_own_step(tmp_path: Path) -> None:
    run = gather_manifest({"rank": 8})
    path = write_manifest(tmp_path / "manifests" / "step-10.json", run.at(10, "tinker://r/weights/step-10"))
    read = read_manifest(path)
    assert (read.step, read.checkpoint) == (10, "tinker://r/weights/step-10")
    assert read.differences(run) == {}


def test_two_runs_are_compared_value_by_value() -> None:
    first = gather_manifest({"rank": 8, "model": {"name": "a", "layers": 2}}, seeds={"adapter": 1})
    second = gather_manifest({"rank": 16, "model": {"name": "a"}, "new": None}, seeds={"adapter": 1})
    differences = first.differences(second)
    assert differences.pop("config_sha256")
    assert differences == {"config.rank": (8, 16), "config.model.layers": (2, None)}


def test_what_is_called_a_secret_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it looks like; and nothing else goes: a token is mostly a piece of text."""
    words = ["train.py", "--api-key", "hunter-2", "--wandb-api-key=hunter-2", "hf_token=hunter-2", "--rank", "8"]
    monkeypatch.setattr(sys, "argv", words)
    config = {"api_key": "hunter-2", "inner": [{"hf_token": "hunter-2", "PASSWORD": "hunter-2"}], "secret": None}
    plain = {"max_tokens": 5, "eos_token": "</s>", "tokenizer": "gpt2", "key": "value"}
    place = write_manifest(tmp_path, gather_manifest({**config, **plain}))
    assert "hunter" not in place.read_text()
    found = read_manifest(place)
    assert list(found.command) == ["train.py", "--api-key", "***", "--wandb-api-key=***", "hf_token=***", "--rank", "8"]
    assert {name: found.config[name] for name in plain} == plain
    assert found.config["inner"] == [{"hf_token": "***", "PASSWORD": "***"}]


def test_no_key_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--key", "tml-recognisable"])
    manifest = gather_manifest({"key": "tml-recognisable", "url": "https://me:secret-word@host/"})
    text = write_manifest(tmp_path, manifest).read_text()
    assert "recognisable" not in text
    assert "secret-word" not in text
    assert '"key": "***"' in text


def test_attrs_classes_and_what_is_no_json_are_configurations_too(tmp_path: Path) -> None:
    @attrs.frozen
    class Options:
        data: Path
        rate: float

    manifest = gather_manifest(Options(Path("a/b.jsonl"), 1e-3))
    assert manifest.config == {"data": "a/b.jsonl", "rate": 1e-3}
    assert read_manifest(write_manifest(tmp_path, manifest)).config_sha256 == config_hash(manifest.config)


def test_a_folder_of_data_has_one_hash_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("1")
    before = data_hash(tmp_path)
    (tmp_path / "in" / "a").rename(tmp_path / "in" / "b")
    renamed = data_hash(tmp_path)
    (tmp_path / "in" / "b").write_text("2")
    assert len({before, renamed, data_hash(tmp_path)}) == 3


def test_what_is_no_manifest_is_refused_and_later_fields_are_left_out(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="manifest"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("[1]")
    with pytest.raises(ValueError, match="no manifest"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"created": "x", "a field of a later version": 1}')
    assert read_manifest(tmp_path).created == "x"
