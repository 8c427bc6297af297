"""The script that makes the tiny model, and the model that it made."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

import scripts.build_tiny_model as builder
from scripts.tiny_text import GAMES, Line, game_line, made_up_word, make_line

COMMITTED = builder.DEFAULT_OUT
SMALL = builder.Recipe(steps=3, rows=4, warm_up_steps=1)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    """The build turns deterministic mode on, for the whole process."""
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    builder.build(SMALL, tmp_path / "one", lines_each=1)
    builder.write_folder(builder.train(SMALL), tmp_path / "two")
    assert "| copy |" in (tmp_path / "one" / "README.md").read_text()
    (tmp_path / "one" / "README.md").unlink()
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_another_seed_is_another_model(tmp_path: Path) -> None:
    for seed in (1, 2):
        builder.write_folder(builder.train(builder.Recipe(steps=1, rows=2, seed=seed)), tmp_path / str(seed))
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert {name for name in one if one[name] != two[name]} == {"model.safetensors"}


def test_the_committed_tokenizer_and_configuration_are_what_the_script_writes(tmp_path: Path) -> None:
    builder.write_folder(builder.new_model(0), tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert json.loads((COMMITTED / name).read_text()) == json.loads((tmp_path / name).read_text()), name
    made, kept = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, COMMITTED))
    for config in (made, kept):
        config.pop("transformers_version")
    assert made == kept


def test_the_committed_model_is_small_and_its_card_tells_of_it() -> None:
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) <= 8_000_000
    card = (COMMITTED / "README.md").read_text()
    assert all(f"| {game} |" in card for game in GAMES)


def test_the_committed_model_plays_its_games() -> None:
    torch.set_num_threads(2)
    model = AutoModelForCausalLM.from_pretrained(COMMITTED)
    rng = random.Random(99)
    lines = [game_line(game, made_up_word(rng)) for game in ("copy", "tail", "plural") for _ in range(40)]
    assert builder.exact_match(model, lines) >= 0.9


def test_transformers_and_tokenizers_agree_about_the_tokens() -> None:
    text = "pig latin: naïve → 猫\n<|im_start|>"
    ours = Tokenizer.from_file(str(COMMITTED / "tokenizer.json"))
    theirs = AutoTokenizer.from_pretrained(COMMITTED)
    assert ours.encode(text).ids == theirs.encode(text)
    assert theirs.eos_token_id == builder.END
    assert theirs.pad_token_id == builder.PAD
    chat = theirs.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True)
    assert chat == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: "<|" not in text))
def test_a_token_is_a_byte(text: str) -> None:
    tokenizer = builder.byte_tokenizer()
    ids = tokenizer.encode(text).ids
    assert ids == list(text.encode())
    assert tokenizer.decode(ids) == text


@given(st.integers())
def test_each_row_is_whole_and_counts_what_the_answers_are(seed: int) -> None:
    rows = builder.packed_rows(random.Random(seed), 64)
    for _ in range(5):
        tokens, weights = next(rows)
        assert len(tokens) == len(weights) == 64
        assert all(weight == 0 for token, weight in zip(tokens, weights, strict=True) if token == builder.PAD)
        assert all(weight == 1 for token, weight in zip(tokens, weights, strict=True) if token == builder.END)


@given(st.integers())
def test_lines_are_seeded_and_short(seed: int) -> None:
    def drawn() -> list[Line]:
        rng = random.Random(seed)
        return [make_line(rng) for _ in range(20)]

    assert drawn() == drawn()
    assert all(len(line.prompt) + len(line.answer) < 64 and line.answer.isascii() for line in drawn())
