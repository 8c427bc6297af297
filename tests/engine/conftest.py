"""Tiny random models in Hugging Face layout, made once a session, and an engine core that has them loaded."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers

from tinker_local.engine.core import EngineCore
from tinker_local.engine.protocol import TrainingDatum
from tinker_local.settings import ModelSource

VOCABULARY = 96
CONTEXT = 64
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> None:
    torch.set_num_threads(2)


def _save(folder: Path, config: Any) -> Path:
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config)
    transformers.logging.disable_progress_bar()
    model.save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


def _save_tokenizer(folder: Path) -> None:
    """A tokenizer with one printable character a token."""
    characters = [chr(33 + index) for index in range(VOCABULARY - 3)]
    vocabulary = {"<pad>": 0, "<eos>": 1, "<unk>": 2, **{c: 3 + index for index, c in enumerate(characters)}}
    content: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("qwen"), transformers.Qwen3Config(tie_word_embeddings=True, **SHAPE))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("llama"), transformers.LlamaConfig(tie_word_embeddings=False, **SHAPE))


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose linear layers are transposed (Conv1D) and whose positions are learned."""
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=1
    )
    return _save(tmp_path_factory.mktemp("gpt2"), config)


@pytest.fixture(scope="session")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose first layer sees the last 6 positions alone, which scales its embeddings and caps nothing."""
    config = transformers.Gemma3TextConfig(
        sliding_window=6, layer_types=["sliding_attention", "full_attention"], query_pre_attn_scalar=8, **SHAPE
    )
    return _save(tmp_path_factory.mktemp("gemma"), config)


@pytest.fixture(scope="session")
def _loaded(qwen: Path, llama: Path) -> EngineCore:
    core = EngineCore()
    sources = [ModelSource(name="qwen", path=str(qwen), aliases=("q",)), ModelSource(name="llama", path=str(llama))]
    core.start(sources, None, "cpu", None)
    return core


@pytest.fixture
def core(_loaded: EngineCore) -> EngineCore:
    """An engine in this process, without adapters; base models `qwen` (alias `q`) and `llama`."""
    core = EngineCore()
    core.bases = dict(_loaded.bases)
    return core


@pytest.fixture
def models(qwen: Path, llama: Path) -> list[ModelSource]:
    return [ModelSource(name="qwen", path=str(qwen)), ModelSource(name="llama", path=str(llama))]


@pytest.fixture
def make_data() -> Callable[..., list[TrainingDatum]]:
    """Random data of the lengths asked for, with weights; the same for the same seed."""

    def make(*lengths: int, seed: int = 0, **inputs: float) -> list[TrainingDatum]:
        generator = np.random.default_rng(seed)
        data = []
        for length in lengths:
            tokens = generator.integers(3, VOCABULARY, length + 1)
            given = {"weights": generator.uniform(-1, 1, length).astype(np.float32)}
            given |= {name: np.full(length, value, dtype=np.float32) for name, value in inputs.items()}
            data.append(
                TrainingDatum(
                    tokens=tokens[:-1].astype(np.int32), target_tokens=tokens[1:].astype(np.int64), inputs=given
                )
            )
        return data

    return make


@pytest.fixture(autouse=True)
def _threads_restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
