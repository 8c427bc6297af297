"""Training loops as people write them for the official SDK: the same file, unmodified, on that SDK and on our client.

Supervised fine-tuning with checkpoints and a download, reinforcement learning, preferences. The service and the seeds
are the same, so what both see must be the same.
"""

from typing import Any

import pytest
from script_runs import run_script

from tinker_local.embedded import EmbeddedService

pytestmark = [pytest.mark.interop, pytest.mark.timeout(1200)]


def both(script: str, service: EmbeddedService) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the official SDK saw, and what ours did."""
    return run_script("newest", service, script), run_script("ours", service, script)


def test_supervised_fine_tuning_with_checkpoints_a_restart_and_a_download(service: EmbeddedService) -> None:
    theirs, ours = both("supervised_loop.py", service)
    assert ours == theirs, "to the last bit"
    assert ours["losses"][-1] < 0.3 * ours["losses"][0]
    assert ours["newest"] == "weights/000004"
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(ours["files"])
    assert any("lora_A" in name for name in ours["files"]["adapter_model.safetensors"])
    assert ours["left"] == ["weights/000004"]


def test_reinforcement_learning_by_groups(service: EmbeddedService) -> None:
    """What is computed beside a sample changes the last bits of its logprobs, so losses are near and not equal."""
    theirs, ours = both("rl_loop.py", service)
    for name in ("rewards", "sizes", "greedy"):
        assert ours[name] == theirs[name], name
    assert ours["losses"] == pytest.approx(theirs["losses"], abs=1e-4)
    assert ours["scored"][1:] == pytest.approx(theirs["scored"][1:], abs=1e-3)
    assert ours["rewards"][-1] > ours["rewards"][0] + 0.1
    assert max(ours["distances"]) < 1e-3, "what is sampled is what is trained"


def test_direct_preference_optimization_by_a_loss_of_ones_own(service: EmbeddedService) -> None:
    theirs, ours = both("preference_loop.py", service)
    for mine, reference in zip(ours["history"], theirs["history"], strict=True):
        assert mine == pytest.approx(reference, rel=1e-4, abs=1e-6)
    for mine, reference in zip(ours["before"], theirs["before"], strict=True):
        assert mine == pytest.approx(reference, abs=1e-4)
    assert (ours["history"][0]["margin"], ours["after"]["accuracy"]) == (0.0, 1.0)
    assert ours["after"]["loss:sum"] < 0.1 * ours["history"][0]["loss:sum"]
