"""One pass and one step: against plain peft and torch, and everything that a refused call must leave alone."""

import gc
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import peft
import pytest
import torch
import transformers

from tinker_local.engine import training
from tinker_local.engine.core import EngineCore
from tinker_local.engine.protocol import AdamSettings, LoraSpec, TrainingDatum, TrainingOutput, UserFaultError
from tinker_local.settings import ModelSource

MakeData = Callable[..., list[TrainingDatum]]
STEP = AdamSettings(learning_rate=1e-2)


def run(
    core: EngineCore,
    model_id: str,
    data: Sequence[TrainingDatum],
    *,
    loss: str = "cross_entropy",
    config: Mapping[str, Any] | None = None,
    backward: bool = True,
) -> TrainingOutput:
    passing = core.forward_backward(model_id, data, loss, config or {}, backward)
    while True:
        try:
            next(passing)
        except StopIteration as stop:
            output: TrainingOutput = stop.value
            return output


def gradient(core: EngineCore, data: Sequence[TrainingDatum], *calls: Sequence[TrainingDatum]) -> torch.Tensor:
    """What a fresh adapter gathers from these calls, one after the other."""
    core.create_adapter("g", "qwen", LoraSpec(rank=4, seed=5))
    warm(core, "g")
    for call in (data, *calls):
        run(core, "g", call)
    gathered = core.adapters["g"].gradient
    assert gathered is not None
    return gathered


def warm(core: EngineCore, model_id: str) -> None:
    """Make B non-zero, so that every gradient is."""
    flat = core.adapters[model_id].weights.flat
    with torch.no_grad():
        flat.add_(torch.randn(flat.shape, generator=torch.Generator().manual_seed(3)) * 0.05)


def state(core: EngineCore, model_id: str = "m") -> list[torch.Tensor]:
    adapter = core.adapters[model_id]
    parts = [adapter.weights.flat, adapter.optimizer.mean, adapter.optimizer.square]
    parts.append(torch.tensor(adapter.optimizer.steps))
    parts.append(torch.zeros(0) if adapter.gradient is None else adapter.gradient)
    return [part.clone() for part in parts]


def same(left: Sequence[torch.Tensor], right: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def weighted(data: Sequence[TrainingDatum], factor: float) -> list[TrainingDatum]:
    return [attrs.evolve(d, inputs={"weights": (d.inputs["weights"] * factor).astype(np.float32)}) for d in data]


def assert_close(left: torch.Tensor, right: torch.Tensor, relative: float = 1e-5) -> None:
    assert float((left - right).norm()) <= relative * float(right.norm())


def test_the_loss_is_a_sum(core: EngineCore, make_data: MakeData) -> None:
    """Fault 1 of other servers: [a, a] == [a] + [a], twice the weight is twice the gradient, signs are kept."""
    data = make_data(9, 14, 3)
    once = gradient(core, data)
    assert_close(gradient(core, [*data, *data]), 2 * once)
    assert_close(gradient(core, data, data), 2 * once)
    assert_close(gradient(core, weighted(data, 2.0)), 2 * once)
    assert_close(gradient(core, weighted(data, -1.0)), -once)
    assert_close(gradient(core, data[:1], data[1:]), once)
    core.create_adapter("m", "qwen", LoraSpec(rank=2))
    both, first, rest = (run(core, "m", part).metrics for part in (data, data[:1], data[1:]))
    assert both["loss:sum"] == pytest.approx(first["loss:sum"] + rest["loss:sum"], rel=1e-5)
    assert both["tokens:sum"] == both["loss_tokens:sum"] == 26


def test_n05_micro_batches_change_nothing(
    core: EngineCore, make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(3, 30, 7, 7, 18, 1, 60, 25)
    whole = gradient(core, data)
    expected = run(core, "g", data).logprobs
    monkeypatch.setattr(training, "MAX_POSITIONS", 40)
    monkeypatch.setattr(training, "_LOGIT_ELEMENTS", 96 * 5)
    assert_close(gradient(core, data), whole)
    for left, right in zip(run(core, "g", data).logprobs, expected, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_several_candidates_a_position(core: EngineCore, make_data: MakeData) -> None:
    """[N, K] is the weighted sum over K, whatever else is in the batch."""
    plain = make_data(6, 11)
    double = [
        attrs.evolve(
            d,
            target_tokens=np.stack([d.target_tokens, d.target_tokens], 1),
            inputs={"weights": np.stack([0.25 * d.inputs["weights"], 0.75 * d.inputs["weights"]], 1)},
        )
        for d in plain
    ]
    assert_close(gradient(core, double), gradient(core, plain))
    output = run(core, "g", [plain[0], double[1]])
    assert [part.shape for part in output.logprobs] == [(6,), (11, 2)]
    np.testing.assert_array_equal(output.logprobs[1][:, 0], output.logprobs[1][:, 1])


def peft_model(folder: Path, checkpoint: Path) -> Any:
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    return peft.PeftModel.from_pretrained(base, checkpoint, is_trainable=True)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("base", ["qwen", "llama"])
def test_n02_agrees_with_plain_peft(
    core: EngineCore, make_data: MakeData, base: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """N2: peft loads what we save; logprobs, gradients and one AdamW step are the same."""
    data = make_data(13, 13, 13)
    core.create_adapter("m", base, LoraSpec(rank=4, alpha=8, seed=2))
    warm(core, "m")
    core.save_adapter("m", str(tmp_path), False)
    theirs = peft_model(request.getfixturevalue(base), tmp_path)
    tokens = torch.from_numpy(np.stack([d.tokens for d in data]).astype(np.int64))
    targets = torch.from_numpy(np.stack([d.target_tokens for d in data]))
    weights = torch.from_numpy(np.stack([d.inputs["weights"] for d in data]))
    logprobs = theirs(input_ids=tokens).logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    output = run(core, "m", data)
    np.testing.assert_allclose(np.stack(output.logprobs), logprobs.detach().numpy(), atol=1e-4)
    (-(weights * logprobs)).sum().backward()
    trainable = {name: p for name, p in theirs.named_parameters() if p.requires_grad}
    adapter = core.adapters["m"]
    assert adapter.gradient is not None
    ours = adapter.weights.layout.views(adapter.gradient)
    assert len(trainable) == 2 * len(ours)
    for site, pair in zip(adapter.weights.layout.sites, ours, strict=True):
        for letter, value in zip("AB", pair, strict=True):
            assert_close(value, trainable[f"base_model.model.{site.name}.lora_{letter}.default.weight"].grad, 1e-4)
    settings = AdamSettings(learning_rate=1e-2, beta1=0.8, beta2=0.9, eps=1e-8, weight_decay=0.1, grad_clip_norm=0.5)
    norm = torch.nn.utils.clip_grad_norm_(trainable.values(), 0.5)
    torch.optim.AdamW(trainable.values(), lr=1e-2, betas=(0.8, 0.9), eps=1e-8, weight_decay=0.1).step()
    assert core.optim_step("m", settings)["grad_norm"] == pytest.approx(float(norm), rel=1e-4)
    with torch.no_grad():
        expected = theirs(input_ids=tokens).logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0].numpy()
    np.testing.assert_allclose(np.stack(run(core, "m", data, backward=False).logprobs), expected, atol=1e-3)


@pytest.mark.parametrize("asked", [("attn",), ("mlp",), ("unembed",), ("attn", "unembed")])
def test_only_the_parts_asked_for_are_trained(core: EngineCore, make_data: MakeData, asked: tuple[str, ...]) -> None:
    lora = LoraSpec(rank=2, **{f"train_{part}": part in asked for part in ("attn", "mlp", "unembed")})
    core.create_adapter("m", "llama", lora)
    names = {site.name for site in core.adapters["m"].weights.layout.sites}
    expected = {
        "attn": {f"model.layers.{n}.self_attn.{p}_proj" for n in (0, 1) for p in "qkvo"},
        "mlp": {f"model.layers.{n}.mlp.{p}_proj" for n in (0, 1) for p in ("gate", "up", "down")},
        "unembed": {"lm_head"},
    }
    assert names == set().union(*(expected[part] for part in asked))
    run(core, "m", make_data(8))
    assert core.optim_step("m", STEP)["grad_norm"] > 0


def test_rank_alpha_and_seed(core: EngineCore, make_data: MakeData) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        core.create_adapter(name, "qwen", LoraSpec(rank=3, seed=seed))
    a, b, c = (core.adapters[name].weights.flat for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    down, up = core.adapters["a"].weights.layout.views(a)[0]
    assert down.shape == (3, 32)
    assert not up.any()
    assert 0 < float(down.abs().max()) <= 32**-0.5
    data = make_data(10)
    base = run(core, "a", data, backward=False).logprobs[0]
    core.create_adapter("none", "qwen", LoraSpec(rank=1))
    np.testing.assert_array_equal(base, run(core, "none", data, backward=False).logprobs[0])
    with pytest.raises(UserFaultError, match="rank is 0"):
        core.create_adapter("d", "qwen", LoraSpec(rank=0))
    with pytest.raises(UserFaultError, match="nothing to train"):
        core.create_adapter("d", "qwen", LoraSpec(train_attn=False, train_mlp=False, train_unembed=False))
    with pytest.raises(UserFaultError, match="'nobody' is not served here; there are qwen, q, llama"):
        core.create_adapter("d", "nobody", LoraSpec())


def test_adapters_do_not_touch_each_other_or_the_base(core: EngineCore, make_data: MakeData) -> None:
    """Two runs in turn are each bit-equal to the run alone; an interrupted pass sees its own adapter only."""
    data = {name: make_data(12, 5, seed=seed) for seed, name in enumerate("xy")}

    def steps(names: str) -> dict[str, list[torch.Tensor]]:
        for name in names:
            core.create_adapter(name, "qwen", LoraSpec(rank=3, seed=ord(name)))
        for _ in range(3):
            passes = [core.forward_backward(name, data[name], "cross_entropy", {}, True) for name in names]
            while passes:
                passes = [one for one in passes if next(one, "over") != "over"]
            for name in names:
                core.optim_step(name, STEP)
        return {name: state(core, name) for name in names}

    base = core.base("qwen")
    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    together = steps("xy")
    for name in "xy":
        assert same(steps(name)[name], together[name])
    assert all(torch.equal(value, before[name]) for name, value in base.model.state_dict().items())


def test_unloading_frees_weights_gradient_and_optimizer(core: EngineCore, make_data: MakeData) -> None:
    core.create_adapter("m", "qwen", LoraSpec(rank=2))
    run(core, "m", make_data(5))
    core.optim_step("m", STEP)
    run(core, "m", make_data(5))
    adapter = core.adapters["m"]
    assert adapter.gradient is not None
    held = [adapter.weights.flat, adapter.gradient, adapter.optimizer.mean, adapter.optimizer.square]
    freed = [weakref.ref(tensor) for tensor in held]
    del adapter, held
    core.unload_adapter("m")
    gc.collect()
    assert [tensor() for tensor in freed] == [None] * 4


def test_a_step_without_a_gradient_changes_nothing(core: EngineCore, make_data: MakeData) -> None:
    core.create_adapter("m", "qwen", LoraSpec(rank=2))
    run(core, "m", make_data(5))
    core.optim_step("m", STEP)
    before = state(core)
    assert core.optim_step("m", attrs.evolve(STEP, weight_decay=0.5)) == {"grad_norm": 0.0, "learning_rate": 1e-2}
    run(core, "m", make_data(5), backward=False)
    assert same(state(core), before)


def tokens_of(*ids: int) -> TrainingDatum:
    return TrainingDatum(tokens=np.array(ids, dtype=np.int32), target_tokens=np.array(ids, dtype=np.int64))


GOOD = tokens_of(5, 6)
NAN = np.array([0.0, np.nan], dtype=np.float32)


@pytest.mark.parametrize(
    ("data", "loss", "config", "message"),
    [
        ([], "cross_entropy", {}, "data is empty"),
        ([GOOD, tokens_of()], "cross_entropy", {}, "datum 1: model_input has shape"),
        ([GOOD, tokens_of(5, 96)], "cross_entropy", {}, r"datum 1: model_input\[1\] is 96; .* 0 to 95"),
        ([attrs.evolve(GOOD, target_tokens=np.array([1, -100]))], "cross_entropy", {}, r"target_tokens\[1\] is -100"),
        ([attrs.evolve(GOOD, target_tokens=np.array([1]))], "cross_entropy", {}, r"shape \[1\]; for 2 tokens"),
        ([tokens_of(*[5] * 65)], "cross_entropy", {}, "65 tokens, the context of this model is 64"),
        ([attrs.evolve(GOOD, inputs={"weights": NAN})], "cross_entropy", {}, r"datum 0: weights\[1\] is nan"),
        ([attrs.evolve(GOOD, inputs={"weights": NAN[:1]})], "cross_entropy", {}, r"weights has shape \[1\]"),
        ([GOOD], "ppo", {}, "datum 0: loss_fn_inputs has no 'logprobs', which ppo needs"),
        ([GOOD], "nonsense", {}, "'nonsense' is not known here; there are cross_entropy, importance_sampling, ppo"),
        ([GOOD], "cross_entropy", {"beta": 1.0}, "'beta', which cross_entropy does not know; its keys: none"),
        ([GOOD], "ppo", {"clip_low_threshold": "x"}, "must be a finite number"),
        ([GOOD], "ppo", {"clip_low_threshold": 2.0}, "above clip_high_threshold"),
        (
            [
                attrs.evolve(
                    GOOD, inputs={"logprobs": np.full(2, -1e3, np.float32), "advantages": np.ones(2, np.float32)}
                )
            ],
            "importance_sampling",
            {},
            "datum 0: its loss is not finite.*-inf",
        ),
        (
            [attrs.evolve(GOOD, inputs={"weights": np.full(2, 3e38, np.float32)})],
            "cross_entropy",
            {},
            "datum 0: its loss is not finite.*inf",
        ),
    ],
)
def test_bad_data_is_refused_and_leaves_no_trace(
    core: EngineCore, make_data: MakeData, data: list[TrainingDatum], loss: str, config: dict[str, Any], message: str
) -> None:
    """R12: gathered gradient, weights and optimizer are what they were."""
    core.create_adapter("m", "qwen", LoraSpec(rank=2, seed=1))
    warm(core, "m")
    run(core, "m", make_data(5))
    before = state(core)
    with pytest.raises(UserFaultError, match=message):
        run(core, "m", data, loss=loss, config=config)
    assert same(state(core), before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (AdamSettings(learning_rate=float("nan")), "learning_rate is nan"),
        (AdamSettings(learning_rate=-1.0), "learning_rate is -1.0"),
        (AdamSettings(beta1=1.0), "beta1 is 1.0"),
        (AdamSettings(eps=-1.0), "eps is -1.0"),
        (AdamSettings(grad_clip_norm=float("inf")), "grad_clip_norm is inf"),
        (AdamSettings(learning_rate=1e39), "no float32 holds such a step"),
    ],
)
def test_bad_settings_are_refused_and_leave_no_trace(
    core: EngineCore, make_data: MakeData, settings: AdamSettings, message: str
) -> None:
    core.create_adapter("m", "qwen", LoraSpec(rank=2, seed=1))
    run(core, "m", make_data(5))
    before = state(core)
    with pytest.raises(UserFaultError, match=message):
        core.optim_step("m", settings)
    assert same(state(core), before)
    assert core.optim_step("m", STEP)["grad_norm"] > 0


def test_a_masked_position_may_hold_anything(core: EngineCore) -> None:
    """Advantage 0 with a stand-in for the logprob: neither 0 * inf nor a gradient."""
    given = {"logprobs": np.array([-1e4, -2], np.float32), "advantages": np.array([0, 1], np.float32)}
    core.create_adapter("m", "qwen", LoraSpec(rank=2))
    for loss in ("importance_sampling", "ppo", "cispo"):
        metrics = run(core, "m", [attrs.evolve(GOOD, inputs=given)], loss=loss).metrics
        assert np.isfinite(metrics["loss:sum"])
        assert metrics["loss_tokens:sum"] == 1


def test_conv1d_models_are_adapted_too(core: EngineCore, make_data: MakeData, gpt2: Path, tmp_path: Path) -> None:
    core.start([ModelSource(name="gpt2", path=str(gpt2))], None, "cpu", None)
    core.create_adapter("m", "gpt2", LoraSpec(rank=2, seed=1))
    warm(core, "m")
    data = make_data(8)
    before = run(core, "m", data)
    core.optim_step("m", AdamSettings(learning_rate=1e-4))
    assert run(core, "m", data).metrics["loss:sum"] < before.metrics["loss:sum"]
