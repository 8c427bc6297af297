"""Activation checkpointing and bfloat16: the same training, in less memory."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tinker_local.engine.core import EngineCore
from tinker_local.engine.protocol import EngineError, LoraSpec, SampleJob, SampleOutput, TrainingDatum, TrainingOutput
from tinker_local.engine.recomputation import recompute_layers
from tinker_local.settings import ModelSource

MakeData = Callable[..., list[TrainingDatum]]


def started(folder: Path, *, dtype: str | None = None, activation_checkpointing: bool = False) -> EngineCore:
    core = EngineCore()
    core.start([ModelSource(name="base", path=str(folder))], None, "cpu", dtype, activation_checkpointing)
    core.create_adapter("m", "base", LoraSpec(rank=4, seed=5))
    flat = core.adapters["m"].weights.flat
    with torch.no_grad():
        flat.add_(torch.randn(flat.shape, generator=torch.Generator().manual_seed(3)) * 0.05)
    return core


def run(core: EngineCore, data: Sequence[TrainingDatum]) -> tuple[TrainingOutput, int]:
    """The output of a pass, and the bytes that were kept for its backward part."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    passing = core.forward_backward("m", data, "cross_entropy", {}, backward=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        while True:
            try:
                next(passing)
            except StopIteration as stop:
                output: TrainingOutput = stop.value
                return output, sum(kept.values())


@pytest.mark.parametrize("name", ["qwen", "llama", "gpt2"])
def test_recomputed_layers_give_the_same_gradient(
    name: str, request: pytest.FixtureRequest, make_data: MakeData
) -> None:
    folder, data = request.getfixturevalue(name), make_data(9, 30, 12)
    plain, lean = started(folder), started(folder, activation_checkpointing=True)
    plain_output, kept = run(plain, data)
    lean_output, kept_lean = run(lean, data)
    assert lean_output.metrics == plain_output.metrics
    gradients = [core.adapters["m"].gradient for core in (plain, lean)]
    assert gradients[0] is not None
    assert gradients[1] is not None
    assert torch.equal(*gradients)
    assert kept_lean < 0.7 * kept, f"{kept_lean} of {kept} bytes"


def test_a_model_without_repeating_layers_is_told(qwen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recompute_layers(nn.Sequential(nn.Linear(2, 2))) == 0
    assert recompute_layers(nn.ModuleList([nn.Linear(2, 2), nn.ReLU()])) == 0
    monkeypatch.setattr("tinker_local.engine.core.recompute_layers", lambda decoder: 0)
    with pytest.raises(EngineError, match="'base' has no list of equal layers to checkpoint"):
        started(qwen, activation_checkpointing=True)


def test_bfloat16_weights_train_a_float32_adapter(qwen: Path, make_data: MakeData) -> None:
    exact, short = started(qwen), started(qwen, dtype="bfloat16")
    data = make_data(9, 30, 12)
    (expected, _), (output, _) = run(exact, data), run(short, data)
    assert short.bases["base"].dtype == torch.bfloat16
    adapter = short.adapters["m"]
    assert adapter.weights.flat.dtype == torch.float32
    for left, right in zip(output.logprobs, expected.logprobs, strict=True):
        assert left.dtype == np.float32
        assert float(np.abs(left - right).mean()) < 0.15
    gradients = [core.adapters["m"].gradient for core in (exact, short)]
    assert gradients[0] is not None
    assert gradients[1] is not None
    assert float(torch.cosine_similarity(gradients[0], gradients[1], dim=0)) > 0.97
    answers: list[SampleOutput] = []
    short.create_sampler("s", None, "m", None)
    short.sampling.add(
        SampleJob(job_id="j", sampler_id="s", prompt=np.array([5, 6], np.int32), max_tokens=4, seed=1), answers.append
    )
    while short.sampling.busy:
        short.sampling.advance()
    assert len(answers[0].sequences[0].tokens) <= 4
    assert np.isfinite(answers[0].sequences[0].logprobs).all()


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_compiled_passes_train_alike_for_every_length_and_adapter(
    qwen: Path, make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a backend that needs no C++ compiler and no minute: what is captured and differentiated is the same."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain, quick = started(qwen), EngineCore()
    quick.start([ModelSource(name="base", path=str(qwen))], None, "cpu", None, compiled=True)
    for name, core in (("m", plain), ("m", quick), ("n", quick)):
        if core is quick:
            core.create_adapter(name, "base", LoraSpec(rank=4, seed=5))
            with torch.no_grad():
                core.adapters[name].weights.flat.copy_(plain.adapters["m"].weights.flat)
    torch._dynamo.utils.counters.clear()
    for lengths in ((9, 30), (12, 7, 21), (40,)):
        data = make_data(*lengths)
        for core in (plain, quick):
            core.adapters["m"].gradient = None
        (expected, _), (found, _) = run(plain, data), run(quick, data)
        for left, right in zip(found.logprobs, expected.logprobs, strict=True):
            np.testing.assert_allclose(left, right, atol=1e-4)
        gradients = [core.adapters["m"].gradient for core in (plain, quick)]
        assert gradients[0] is not None
        assert gradients[1] is not None
        assert float((gradients[0] - gradients[1]).norm()) <= 1e-4 * float(gradients[0].norm())
    assert torch._dynamo.utils.counters["stats"]["calls_captured"] > 0, "something was compiled"


def test_two_ways_with_a_layer_exclude_each_other(qwen: Path) -> None:
    core = EngineCore()
    with pytest.raises(EngineError, match="choose activation checkpointing or compiled passes"):
        core.start([ModelSource(name="base", path=str(qwen))], None, "cpu", None, True, True)
