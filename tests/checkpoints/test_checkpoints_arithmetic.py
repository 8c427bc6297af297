"""Adapters read, written, averaged, scaled, compressed and compared; the rows "Adapter arithmetic" and "Lineage and
notes" (diff) of 4.7. Everything is held against dense products.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn

from tinker_hl.checkpoints import Adapter, AdapterError, LoraPair, average, compress, diff, scale

CONFIG: dict[str, Any] = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "target_modules": ["q"]}


def adapter(
    seed: int, rank: int = 2, alpha: float = 3, layers: tuple[str, ...] = ("a.q", "b.q"), **more: Any
) -> Adapter:
    random = np.random.default_rng(seed)
    pairs = {}
    for number, layer in enumerate(layers):
        a = random.normal(size=(rank, 5 + number)).astype(np.float32)
        pairs[layer] = LoraPair(a, random.normal(size=(4 + number, rank)).astype(np.float32))
    return Adapter(config={**CONFIG, "r": rank, "lora_alpha": alpha, **more}, pairs=pairs)


seeds = st.integers(0, 2**32 - 1)
ranks = st.integers(1, 7)


@settings(max_examples=40, deadline=None)
@given(seeds, seeds, ranks, ranks, st.floats(-2, 2), st.floats(-2, 2), st.booleans())
def test_an_average_does_what_the_adapters_do(
    one: int, other: int, r1: int, r2: int, w1: float, w2: float, rslora: bool
) -> None:
    first, second = adapter(one, r1, use_rslora=rslora), adapter(other, r2, 5, ("b.q", "a.q")[::-1])
    mean = average([first, second], [w1, w2])
    assert mean.rank == r1 + r2
    for layer in first.pairs:
        expected = w1 * first.update(layer) + w2 * second.update(layer)
        np.testing.assert_allclose(mean.update(layer), expected, atol=2e-4)


def test_the_mean_of_the_matrices_would_be_wrong() -> None:
    """An adapter and itself with both signs turned do the same; the mean of A and the mean of B are zero."""
    first = adapter(1)
    turned = Adapter(
        config=first.config, pairs={name: LoraPair(-pair.a, -pair.b) for name, pair in first.pairs.items()}
    )
    np.testing.assert_allclose(average([first, turned]).update("a.q"), first.update("a.q"), atol=1e-5)


def test_a_layer_that_one_lacks_counts_as_unchanged() -> None:
    mean = average([adapter(1), adapter(2, layers=("a.q",))])
    np.testing.assert_allclose(mean.update("b.q"), adapter(1).update("b.q") / 2, atol=1e-5)
    assert mean.config["target_modules"] == ["a.q", "b.q"]


@settings(max_examples=40, deadline=None)
@given(seeds, ranks, ranks)
def test_a_smaller_rank_is_the_closest_there_is(seed: int, rank: int, smaller: int) -> None:
    """Eckart and Young: the error is what the dense decomposition leaves out."""
    whole = adapter(seed, rank)
    small = compress(whole, smaller)
    for layer in whole.pairs:
        dense = whole.update(layer).astype(np.float64)
        left = np.linalg.svd(dense, compute_uv=False)[smaller:]
        assert np.linalg.norm(dense - small.update(layer)) == pytest.approx(np.linalg.norm(left), abs=1e-4)
        assert small.pairs[layer].a.shape[0] == smaller


def test_an_average_of_a_rank_and_a_moving_one() -> None:
    same = average([adapter(1), adapter(1)], [0.9, 0.1], rank=2)
    assert same.rank == 2
    np.testing.assert_allclose(same.update("a.q"), adapter(1).update("a.q"), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(-3, 3))
def test_scaling_multiplies_the_effect(seed: int, factor: float) -> None:
    np.testing.assert_allclose(
        scale(adapter(seed), factor).update("a.q"), factor * adapter(seed).update("a.q"), rtol=1e-5, atol=1e-5
    )


@settings(max_examples=40, deadline=None)
@given(seeds, seeds, ranks, ranks)
def test_a_diff_is_that_of_the_dense_products(one: int, other: int, r1: int, r2: int) -> None:
    first, second = adapter(one, r1), adapter(other, r2)
    found = diff(first, second)
    flat = [[], []]  # type: list[list[np.ndarray]]
    for layer, seen in found.layers.items():
        p, q = first.update(layer).astype(np.float64), second.update(layer).astype(np.float64)
        flat[0].append(p.ravel())
        flat[1].append(q.ravel())
        assert seen.norm_first == pytest.approx(np.linalg.norm(p), rel=1e-4)
        assert seen.norm_difference == pytest.approx(np.linalg.norm(q - p), abs=1e-4)
        assert seen.cosine == pytest.approx((p * q).sum() / np.linalg.norm(p) / np.linalg.norm(q), abs=1e-4)
        dense = np.linalg.svd(q - p, compute_uv=False)
        values = np.asarray(seen.spectrum_difference)
        np.testing.assert_allclose(values[: dense.size], dense[: values.size], atol=1e-4)
        assert 0 <= seen.stable_rank_difference <= min(r1 + r2, 5) + 1e-6
        assert 0 <= seen.effective_rank_difference <= values.size + 1e-6
    p, q = np.concatenate(flat[0]), np.concatenate(flat[1])
    assert found.norm_difference == pytest.approx(np.linalg.norm(q - p), rel=1e-4, abs=1e-4)
    assert found.cosine == pytest.approx(p @ q / np.linalg.norm(p) / np.linalg.norm(q), abs=1e-4)


def test_a_diff_with_itself_and_with_one_that_lacks_a_layer() -> None:
    same = diff(adapter(1), adapter(1))
    assert same.norm_difference == pytest.approx(0, abs=1e-6)
    assert same.cosine == pytest.approx(1)
    assert same.layers["a.q"].relative_change == pytest.approx(0, abs=1e-6)
    found = diff(adapter(1, layers=("a.q",)), adapter(1))
    assert found.layers["b.q"].norm_first == 0
    assert math.isnan(found.layers["b.q"].cosine)
    assert found.layers["b.q"].relative_change == math.inf
    assert found.largest(1)[0].layer == "b.q"


def test_adapters_of_different_models_are_told_by_layer() -> None:
    other = adapter(1, layers=("b.q", "a.q"))
    for combine in (diff, lambda first, second: average([first, second])):
        with pytest.raises(AdapterError, match=r"a\.q"):
            combine(adapter(1), other)
    with pytest.raises(AdapterError, match="finite weights"):
        average([adapter(1)], [math.nan])
    with pytest.raises(AdapterError, match="nothing"):
        average([])
    with pytest.raises(AdapterError, match="rank must be"):
        compress(adapter(1), 0)
    with pytest.raises(AdapterError, match="finite"):
        scale(adapter(1), math.inf)


def test_what_is_written_is_read_again_and_nothing_is_overwritten(tmp_path: Path) -> None:
    first = adapter(1)
    folder = first.write(tmp_path / "deep" / "a")
    again = Adapter.read(folder)
    assert again.config == first.config
    for layer, pair in first.pairs.items():
        np.testing.assert_array_equal(again.pairs[layer].a, pair.a)
        np.testing.assert_array_equal(again.pairs[layer].b, pair.b)
    with pytest.raises(AdapterError, match="exists"):
        first.write(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["a"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_peft_writes_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    model = get_peft_model(
        nn.Sequential(nn.Linear(6, 5)).to(dtype), LoraConfig(r=3, lora_alpha=5, target_modules=["0"])
    )
    layer = model.base_model.model[0]
    nn.init.normal_(layer.lora_B["default"].weight)
    for half in (layer.lora_A, layer.lora_B):
        half["default"].to(dtype)
    model.save_pretrained(tmp_path / "a")
    read = Adapter.read(tmp_path / "a")
    expected = layer.get_delta_weight("default").detach().float().numpy()
    np.testing.assert_allclose(read.update("0"), expected, atol=1e-5 if dtype == torch.float32 else 0.2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["head"]}, "modules_to_save"),
        ({"rank_pattern": {"q": 4}}, "rank_pattern"),
        ({"peft_type": "IA3"}, "peft_type"),
        ({"r": 0}, "r=0"),
        ({"r": 3}, r"\[3, in\]"),
        ({"lora_alpha": "x"}, "lora_alpha"),
    ],
)
def test_what_means_more_than_plain_lora_is_refused_by_name(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    folder = adapter(1).write(tmp_path / "a")
    config = folder / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(AdapterError, match=said):
        Adapter.read(folder)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"base_model.model.q.lora_A.weight": torch.ones(2, 3)}, "B"),
        ({"base_model.model.q.lora_embedding_A": torch.ones(2, 3)}, "no lora_A"),
        ({"base_model.model.q.lora_A.weight": torch.full((2, 3), math.nan)}, "not finite"),
        ({"base_model.model.q.lora_A.weight": torch.ones(2, 3, dtype=torch.int8)}, "I8"),
        ({}, "no LoRA matrix"),
    ],
)
def test_spoilt_weights_are_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], said: str) -> None:
    folder = adapter(1).write(tmp_path / "a")
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match=said):
        Adapter.read(folder)


def test_folders_without_an_adapter_are_told(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no adapter_config"):
        Adapter.read(tmp_path)
    folder = adapter(1).write(tmp_path / "a")
    (folder / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(AdapterError, match="cannot be read"):
        Adapter.read(folder)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match="not JSON"):
        Adapter.read(folder)
