"""A base model by its name on the Hugging Face hub: from the hub's cache on this machine, which needs no network."""

import shutil
from pathlib import Path

import pytest
import torch

import tinker_local
from tinker_local.engine.base_model import load_base_model
from tinker_local.engine.protocol import EngineError
from tinker_local.settings import ModelSource

TINY = Path(tinker_local.__file__).parent / "models" / "tiny"


def test_a_cached_model_is_loaded_offline_and_another_one_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-172: what `HF_HOME` holds, with `HF_HUB_OFFLINE=1`."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cached = tmp_path / "models--some--model"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    shutil.copytree(TINY, cached / "snapshots" / "abc")
    model = load_base_model(ModelSource(name="mine", path="some/model"), torch.device("cpu"))
    assert model.info.name == "mine"
    assert model.source == "some/model"
    assert model.info.directory == str(cached / "snapshots" / "abc")
    with pytest.raises(EngineError, match="'other/model' is neither a folder nor a model that a hub could give"):
        load_base_model(ModelSource(name="other", path="other/model"), torch.device("cpu"))
