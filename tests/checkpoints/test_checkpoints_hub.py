"""Publishing to a hub that the test runs, by the real library; T-175, the row "Push to Hugging Face" of 4.7."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_hub import FakeHub, running_hub

from tinker_hl.checkpoints import Adapter, AdapterError, LoraPair, PublishError, push, repository_name
from tinker_hl.checkpoints.hub import require_token

# huggingface_hub uploads in a way that httpx will take away; it pins the httpx that it works with.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

PATH = "tinker://0b2c:train:0/sampler_weights/final"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with running_hub() as hub:
        yield hub


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    config = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q"],
        "base_model_name_or_path": "/srv/base",
    }
    pair = LoraPair(np.ones((2, 3), np.float32), np.ones((4, 2), np.float32))
    folder = Adapter(config=config, pairs={"a.q": pair}).write(tmp_path / "adapter")
    (folder / "optimizer.safetensors").write_bytes(b"large, and of no use to others")
    return folder


def pushed(hub: FakeHub, adapter: Path, repository: str = "me/tuned", **more: Any) -> Any:
    arguments = {"tinker_path": PATH, "base_model": "Qwen/Qwen3-8B", "token": hub.token, "endpoint": hub.url}
    return push(adapter, repository, **(arguments | more))


def test_the_adapter_and_a_card_are_published(hub: FakeHub, adapter: Path) -> None:
    """The weights travel by Git LFS; optimizer state stays here."""
    done = pushed(hub, adapter, "tuned")
    assert done.repository == "me/tuned"
    assert done.commit_url
    files = hub.repositories["me/tuned"]
    assert set(files) - {".gitattributes"} == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert files["adapter_model.safetensors"] == (adapter / "adapter_model.safetensors").read_bytes()
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "Qwen/Qwen3-8B"
    card = files["README.md"].decode()
    assert f"tinker_path: {PATH}" in card
    assert "base_model: Qwen/Qwen3-8B" in card
    assert hub.private["me/tuned"]
    assert hub.messages == [f"Adapter {PATH}"]


def test_a_dry_run_changes_nothing(hub: FakeHub, adapter: Path) -> None:
    plan = pushed(hub, adapter, dry_run=True)
    assert set(plan.files) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert plan.commit_url is None
    assert PATH in plan.card
    assert hub.writes == 0


def test_a_dry_run_needs_no_token_and_asks_nothing(
    hub: FakeHub, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    plan = pushed(hub, adapter, "somebody/else", token=None, dry_run=True)
    assert (plan.asked_hub, hub.writes) == (False, 0)
    assert pushed(hub, adapter, dry_run=True).asked_hub
    with pytest.raises(PublishError, match="no token"):
        require_token(None)
    require_token("hf_x")


def test_a_repository_with_another_checkpoint_is_refused_and_the_same_one_is_updated(
    hub: FakeHub, adapter: Path
) -> None:
    pushed(hub, adapter)
    pushed(hub, adapter, commit_message="again")
    assert hub.messages[-1] == "again"
    writes = hub.writes
    for more in ({"tinker_path": PATH + "-2"}, {"tinker_path": None}, {"tinker_path": PATH + "-2", "dry_run": True}):
        with pytest.raises(PublishError, match="holds tinker"):
            pushed(hub, adapter, **more)
    assert hub.writes == writes


def test_a_repository_that_cannot_be_looked_at_is_left_alone(
    hub: FakeHub, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that fails for a moment says nothing of what the repository holds; `HF_HUB_OFFLINE=1` is obeyed."""
    pushed(hub, adapter)
    writes = hub.writes
    hub.card_status = 501
    with pytest.raises(PublishError, match="could not be looked at"):
        pushed(hub, adapter, tinker_path=PATH + "-2")
    hub.card_status = 0
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PublishError):
        pushed(hub, adapter, "me/new")
    assert hub.writes == writes


def test_patterns_cards_and_pull_requests(hub: FakeHub, adapter: Path) -> None:
    done = pushed(hub, adapter, model_card=False, ignore_patterns=["*.json"], create_pr=True, private=False)
    assert list(done.files) == ["adapter_model.safetensors"]
    assert done.card is None
    assert done.pull_request_url
    assert not hub.private["me/tuned"]
    with pytest.raises(PublishError, match="no file is left"):
        pushed(hub, adapter, allow_patterns=["*.bin"])


def test_a_folder_of_this_machine_is_not_named_in_the_card(hub: FakeHub, adapter: Path) -> None:
    assert "/srv" not in pushed(hub, adapter, base_model=None, dry_run=True).card


def test_refusals_are_typed_and_hold_no_token(hub: FakeHub, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="refused") as caught:
        pushed(hub, adapter, token="hf_of_somebody_else")
    assert "hf_of_somebody_else" not in str(caught.value)
    with pytest.raises(PublishError):
        pushed(hub, adapter, "me/not a name!")
    with pytest.raises(AdapterError):
        pushed(hub, tmp_path)


def test_a_name_for_the_repository() -> None:
    assert repository_name(PATH, "Qwen/Qwen3-8B") == "tinker-Qwen3-8B-0b2c-final"
    assert len(repository_name("tinker://r/weights/" + "x" * 250, "a/b")) <= 96
