"""An adapter that was trained elsewhere, on a local service that trains; N2 the other way round."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tinker_hl import AdamParams, Datum, ModelInput, NotFoundError, ServiceClient
from tinker_hl.checkpoints import (
    Adapter,
    AdapterError,
    CheckpointError,
    download,
    import_adapter,
    import_adapter_async,
)
from tinker_hl.checkpoints import importing as module
from tinker_hl.errors import APIStatusError, ResponseInfo

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

MODEL = "tinker-hl/tiny"
BASE = Path(__file__).parents[2] / "tinker_local" / "models" / "tiny"
TOKENS = [104, 101, 108, 108, 111, 33, 32, 104]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_HL_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("OMP_NUM_THREADS", "1")
        with ServiceClient(base_url="local") as service:
            yield service


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """An adapter that peft made, and the logprobs of the tokens under it."""
    torch.manual_seed(5)
    base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    config = LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("outside") / "adapter"
    model.save_pretrained(folder)
    with torch.no_grad():
        values = model.eval()(torch.tensor([TOKENS])).logits[0, :-1].log_softmax(-1)
    return folder, [float(values[place, token]) for place, token in enumerate(TOKENS[1:])]


def test_n2_an_imported_adapter_says_what_it_said_in_peft(
    service: ServiceClient, outside: tuple[Path, list[float]], tmp_path: Path
) -> None:
    """And it can be trained on, and comes back as it was sent."""
    folder, expected = outside
    path = import_adapter(service, folder, MODEL, name="from-peft")
    sampler = service.create_sampling_client(path)
    scored = sampler.compute_logprobs(ModelInput.from_ints(TOKENS)).result(60)
    assert scored[1:] == pytest.approx(expected, abs=1e-4)
    training = service.create_training_client_from_state(path)
    inputs = {"target_tokens": TOKENS[1:], "weights": [1.0] * 7}
    training.forward_backward([Datum(ModelInput.from_ints(TOKENS[:-1]), inputs)], "cross_entropy")
    assert training.optim_step(AdamParams(learning_rate=1e-3)).result(60).metrics
    back, sent = Adapter.read(download(service, path, tmp_path / "back").folder), Adapter.read(folder)
    assert back.pairs.keys() == sent.pairs.keys()
    for layer in sent.pairs:
        assert back.update(layer) == pytest.approx(sent.update(layer))


def test_the_async_twin(service: ServiceClient, outside: tuple[Path, list[float]]) -> None:
    path = asyncio.run(import_adapter_async(service, outside[0], MODEL, ttl_seconds=3600))
    assert path.endswith("/weights/imported")


def test_what_does_not_fit_is_refused_by_name(
    service: ServiceClient, outside: tuple[Path, list[float]], tmp_path: Path
) -> None:
    folder = outside[0]
    adapter = Adapter.read(folder)
    strange = {name.replace("q_proj", "z_proj"): pair for name, pair in adapter.pairs.items()}
    other = Adapter(config=adapter.config, pairs=strange).write(tmp_path / "other")
    with pytest.raises(AdapterError, match="z_proj"):
        import_adapter(service, other, MODEL)
    wide = adapter.write(tmp_path / "wide")
    config = json.loads((wide / "adapter_config.json").read_text())
    (wide / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    with pytest.raises(AdapterError, match="use_dora"):
        import_adapter(service, wide, MODEL)
    with pytest.raises(AdapterError, match="cannot name a checkpoint"):
        import_adapter(service, folder, MODEL, name="../../etc")
    with pytest.raises((AdapterError, NotFoundError), match="no-such-model"):
        import_adapter(service, folder, "no-such-model")


def test_servers_that_take_none_and_adapters_that_are_too_large(
    service: ServiceClient, outside: tuple[Path, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*arguments: Any) -> str:
        raise NotFoundError("Not Found", ResponseInfo(404), {"detail": "Not Found"})

    with monkeypatch.context() as patch:
        patch.setattr(module, "_send", refuse)
        with pytest.raises(CheckpointError, match="takes no adapters") as caught:
            import_adapter(service, outside[0], MODEL)
        assert isinstance(caught.value.__cause__, APIStatusError)
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    with pytest.raises(AdapterError, match="more than the 100"):
        import_adapter(service, outside[0], MODEL)
