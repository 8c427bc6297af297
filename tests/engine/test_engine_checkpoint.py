"""Checkpoints: bit-equal resume, peft's files read, everything else refused, no half-read state."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tinker_local.engine.core import EngineCore
from tinker_local.engine.protocol import AdamSettings, LoraSpec, TrainingDatum, TrainingOutput, UserFaultError

MakeData = Callable[..., list[TrainingDatum]]


def run(core: EngineCore, model_id: str, data: list[TrainingDatum], *, backward: bool = True) -> TrainingOutput:
    passing = core.forward_backward(model_id, data, "cross_entropy", {}, backward)
    while True:
        try:
            next(passing)
        except StopIteration as stop:
            output: TrainingOutput = stop.value
            return output


def steps(core: EngineCore, model_id: str, make_data: MakeData, numbers: range) -> None:
    for number in numbers:
        run(core, model_id, make_data(9, 14, 4, seed=number))
        core.optim_step(model_id, AdamSettings(learning_rate=1e-2, weight_decay=0.01, grad_clip_norm=1.0))


def test_r08_resume_is_bit_equal_with_optimizer_and_not_without(
    core: EngineCore, make_data: MakeData, tmp_path: Path
) -> None:
    """R8."""
    core.create_adapter("m", "qwen", LoraSpec(rank=4, seed=1))
    steps(core, "m", make_data, range(3))
    core.save_adapter("m", str(tmp_path), True)
    steps(core, "m", make_data, range(3, 6))
    for name, optimizer in (("resumed", True), ("weights", False)):
        assert core.load_adapter(name, None, str(tmp_path), optimizer) == LoraSpec(rank=4)
        steps(core, name, make_data, range(3, 6))
    expected = core.adapters["m"].weights.flat
    assert torch.equal(core.adapters["resumed"].weights.flat, expected)
    assert not torch.equal(core.adapters["weights"].weights.flat, expected)


def test_the_files_are_those_of_peft(core: EngineCore, tmp_path: Path) -> None:
    core.create_adapter("m", "llama", LoraSpec(rank=4, alpha=16, train_unembed=False))
    core.save_adapter("m", str(tmp_path), False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = peft.LoraConfig.from_pretrained(str(tmp_path))
    assert (config.r, config.lora_alpha) == (4, 16)
    assert config.target_modules == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"].shape == (4, 32)
    assert len(tensors) == 2 * 2 * 7


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_made_by_peft_is_read(
    core: EngineCore, make_data: MakeData, llama: Path, tmp_path: Path, rslora: bool
) -> None:
    base = transformers.AutoModelForCausalLM.from_pretrained(llama)
    config = peft.LoraConfig(
        r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], init_lora_weights=False, use_rslora=rslora
    )
    model: Any = peft.get_peft_model(base, config)
    model.save_pretrained(tmp_path)
    spec = core.load_adapter("m", "llama", str(tmp_path), False)
    assert (spec.rank, spec.train_attn, spec.train_mlp, spec.train_unembed) == (4, True, False, False)
    data = make_data(12)
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(data[0].tokens.astype(np.int64))[None]).logits[0].log_softmax(-1)
    expected = logits.numpy()[np.arange(12), data[0].target_tokens]
    np.testing.assert_allclose(run(core, "m", data, backward=False).logprobs[0], expected, atol=1e-4)
    core.unload_adapter("m")
    assert core.load_adapter("m", None, str(tmp_path), False) == spec
    run(core, "m", data)
    assert core.optim_step("m", AdamSettings())["grad_norm"] > 0


def spoil(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def spoil_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def describe(folder: Path, spec: str) -> None:
    path = folder / "adapter_model.safetensors"
    save_file(load_file(path), path, metadata={"format": "pt", "tinker_hl.lora": spec})


NAME = "base_model.model.lm_head.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "adapter_model.safetensors").unlink(), "only safetensors adapters are read"),
        (lambda f: (f / "adapter_config.json").write_text("{"), "is not JSON"),
        (lambda f: spoil(f, peft_type="IA3"), "describes no LoRA adapter"),
        (lambda f: spoil(f, use_dora=True), "use_dora=True"),
        (lambda f: spoil(f, rank_pattern={"q_proj": 2}), "rank_pattern"),
        (lambda f: spoil(f, r="4"), "r='4'"),
        (lambda f: spoil(f, r=True), "r=True"),
        (lambda f: spoil(f, lora_alpha=float("nan")), "lora_alpha=nan"),
        (lambda f: spoil(f, lora_alpha=-1), "lora_alpha=-1"),
        (lambda f: describe(f, "{"), "adapter_model.safetensors has .*which is no JSON object"),
        (lambda f: describe(f, "[]"), "which is no JSON object"),
        (lambda f: spoil(f, r=8), r"is of shape \[4, 32\]; for base model 'qwen' it must be \[8, 32\]"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"junk"), "cannot be read"),
        (lambda f: spoil_weights(f, lambda t: t.pop(NAME.replace("_A", "_B"))), "lora_B.weight is missing"),
        (lambda f: spoil_weights(f, lambda t: t[NAME].fill_(float("nan"))), "not finite"),
        (lambda f: spoil_weights(f, lambda t: t.update({"model.x.lora_A.weight": t.pop(NAME)})), "has no place"),
    ],
)
def test_what_is_no_plain_lora_is_refused(
    core: EngineCore, make_data: MakeData, tmp_path: Path, change: Callable[[Path], Any], message: str
) -> None:
    core.create_adapter("m", "qwen", LoraSpec(rank=4, seed=1))
    core.save_adapter("m", str(tmp_path), True)
    change(tmp_path)
    before = core.adapters["m"]
    with pytest.raises(UserFaultError, match=message):
        core.load_adapter("m", "qwen", str(tmp_path), True)
    assert core.adapters["m"] is before
    with pytest.raises(UserFaultError, match=message):
        core.create_sampler("s", "qwen", None, str(tmp_path))


def test_optimizer_state_that_was_not_saved_cannot_be_loaded(core: EngineCore, tmp_path: Path) -> None:
    core.create_adapter("m", "qwen", LoraSpec(rank=4))
    core.save_adapter("m", str(tmp_path), False)
    with pytest.raises(UserFaultError, match="saved without optimizer state"):
        core.load_adapter("n", None, str(tmp_path), True)
    assert "n" not in core.adapters


def test_the_base_is_found_by_what_the_checkpoint_says(core: EngineCore, tmp_path: Path) -> None:
    core.create_adapter("m", "q", LoraSpec(rank=4))
    core.save_adapter("m", str(tmp_path), False)
    core.load_adapter("n", None, str(tmp_path), False)
    assert core.adapters["n"].base is core.base("qwen")
    other = EngineCore()
    other.bases = {"llama": core.base("llama")}
    with pytest.raises(UserFaultError, match="trained on 'qwen', which is not served here; there are llama"):
        other.load_adapter("n", None, str(tmp_path), False)
