"""N2: an exported adapter agrees with plain peft, and a merged model with the service. A local service that trains."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from tinker_hl import AdamParams, Datum, ModelInput, ServiceClient
from tinker_hl.checkpoints import (
    Adapter,
    AdapterError,
    CheckpointError,
    LoraPair,
    average,
    download,
    export_merged,
    export_peft,
)
from tinker_hl.errors import ConfigurationError

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

MODEL = "tinker-hl/tiny"
BASE = Path(__file__).parents[2] / "tinker_local" / "models" / "tiny"
TOKENS = [104, 101, 108, 108, 111, 33, 32, 104]


@attrs.frozen
class Trained:
    folder: Path
    logprobs: list[float]
    other: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    work = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_HL_HOME", str(work / "home"))
        patch.setenv("OMP_NUM_THREADS", "1")
        with ServiceClient(base_url="local") as service:
            folders = []
            for seed in (1, 2):
                training = service.create_lora_training_client(MODEL, rank=4, seed=seed)
                inputs = {"target_tokens": TOKENS[1:], "weights": [1.0] * 7}
                for _ in range(4):
                    training.forward_backward([Datum(ModelInput.from_ints(TOKENS[:-1]), inputs)], "cross_entropy")
                    training.optim_step(AdamParams(learning_rate=2e-2))
                saved = training.save_weights_for_sampler("kept").result(60)
                folders.append(download(service, saved.path, work / f"adapter-{seed}").folder)
                if seed == 1:
                    sampler = service.create_sampling_client(saved.path)
                    scored = sampler.compute_logprobs(ModelInput.from_ints(TOKENS)).result(60)
            yield Trained(folders[0], [value for value in scored if value is not None], folders[1])


def logprobs(model: Any) -> list[float]:
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0, :-1].float()
    values = logits.log_softmax(-1)
    return [float(values[place, token]) for place, token in enumerate(TOKENS[1:])]


def base() -> Any:
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)


def test_n2_an_exported_adapter_agrees_with_plain_peft(trained: Trained, tmp_path: Path) -> None:
    """The row "Weights" of 1.11; N2: at most 1e-4 a token."""
    folder = export_peft(trained.folder, tmp_path / "peft", base_model=str(BASE))
    assert {path.name for path in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(BASE)
    assert logprobs(PeftModel.from_pretrained(base(), str(folder))) == pytest.approx(trained.logprobs, abs=1e-4)
    assert logprobs(base()) != pytest.approx(trained.logprobs, abs=1e-2)


def test_a_merged_model_says_what_the_service_says(trained: Trained, tmp_path: Path) -> None:
    folder = export_merged(trained.folder, tmp_path / "merged", base_model=BASE)
    assert not list(folder.glob("*.bin"))
    assert (folder / "model.safetensors").is_file()
    merged = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert logprobs(merged) == pytest.approx(trained.logprobs, abs=1e-4)
    assert AutoTokenizer.from_pretrained(folder).encode("hello") == AutoTokenizer.from_pretrained(BASE).encode("hello")


def test_an_average_is_an_adapter_that_peft_loads(trained: Trained, tmp_path: Path) -> None:
    """What the average does is the mean of what the two do, in peft's own arithmetic."""
    folder = average([trained.folder, trained.other]).write(tmp_path / "mean")
    adapted = PeftModel.from_pretrained(base(), str(folder))
    mean, first, second = Adapter.read(folder), Adapter.read(trained.folder), Adapter.read(trained.other)
    layer = next(iter(first.pairs))
    found = adapted.base_model.model.get_submodule(layer).get_delta_weight("default").detach().numpy()
    expected = (first.update(layer) + second.update(layer)) / 2
    assert found == pytest.approx(expected, abs=1e-6)
    assert mean.served_base_model == MODEL
    assert logprobs(adapted) != pytest.approx(trained.logprobs, abs=1e-3)


def test_tied_embeddings_are_untied_where_the_adapter_is_on_the_output_layer(tmp_path: Path) -> None:
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 8,
    }
    torch.manual_seed(3)
    config = Qwen3Config(vocab_size=200, num_key_value_heads=1, tie_word_embeddings=True, **sizes)
    Qwen3ForCausalLM(config).save_pretrained(tmp_path / "base")
    folder = tmp_path / "adapter"
    random = torch.Generator().manual_seed(4)
    pair = LoraPair(torch.randn(2, 16, generator=random).numpy(), torch.randn(200, 2, generator=random).numpy())
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 2, "target_modules": ["lm_head"]}
    Adapter(config={**settings, "base_model_name_or_path": str(tmp_path / "base")}, pairs={"lm_head": pair}).write(
        folder
    )
    plain = Qwen3ForCausalLM.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        hidden = plain.model(torch.tensor([TOKENS])).last_hidden_state[0]
        expected = plain(torch.tensor([TOKENS])).logits[0] + hidden @ torch.tensor(pair.b @ pair.a).T
        merged = AutoModelForCausalLM.from_pretrained(export_merged(folder, tmp_path / "merged"))
        found = merged(torch.tensor([TOKENS])).logits[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(merged.get_input_embeddings().weight, plain.get_input_embeddings().weight)


def test_what_cannot_be_exported_leaves_nothing(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(CheckpointError, match="exists"):
        export_peft(trained.folder, tmp_path / "there")
    with pytest.raises(AdapterError, match="no adapter_config"):
        export_peft(tmp_path / "there", tmp_path / "a")
    with pytest.raises(AdapterError, match="cannot be loaded"):
        export_merged(trained.folder, tmp_path / "a", base_model=tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="dtype"):
        export_merged(trained.folder, tmp_path / "a", base_model=BASE, dtype="wide")
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 8,
    }
    Qwen3ForCausalLM(Qwen3Config(vocab_size=20, num_key_value_heads=1, **sizes)).save_pretrained(tmp_path / "small")
    with pytest.raises(AdapterError, match="does not fit"):
        export_merged(trained.folder, tmp_path / "a", base_model=tmp_path / "small")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small", "there"]
