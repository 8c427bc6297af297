"""Train the tiny base model that ships with the service, from text that `scripts/tiny_text.py` makes.

    python scripts/build_tiny_model.py                       # what is committed: 2 threads, about 15 minutes
    python scripts/build_tiny_model.py --steps 50 --out /tmp/tiny

A byte-level model of Qwen3's shape (1.7 million parameters), written as a Hugging Face folder: weights, configuration,
tokenizer, chat template, and a model card with what was measured. One seed, one thread count, deterministic
algorithms: the same machine and torch make the same bytes. Knows nothing of LoRA, nor of the service.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging as transformers_logging

from scripts.tiny_text import GAMES, Line, game_line, made_up_word, make_line

END, TURN_START, TURN_END, PAD = range(256, 260)
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DEFAULT_OUT = Path(__file__).resolve().parent.parent / "tinker_local" / "models" / "tiny"
CONTEXT = 512
PROMPT_WEIGHT = 0.05
"""The letters of a made-up word cannot be foreseen; learning them costs what the answers need."""


@attrs.frozen(kw_only=True)
class Recipe:
    """Everything that the weights depend on."""

    steps: int = 2400
    rows: int = 64
    row_length: int = 64
    peak_learning_rate: float = 2e-3
    warm_up_steps: int = 100
    weight_decay: float = 0.05
    threads: int = 2
    seed: int = 20260101


def byte_tokenizer() -> Tokenizer:
    """Token i is byte i for i < 256; then the special tokens. No merges, so any text and any bytes have tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    # GPT-2's table of a visible character for each byte; `pre_tokenizers.ByteLevel` maps text to these.
    spare = iter(range(256, 512))
    vocabulary = {chr(byte if byte in printable else next(spare)): byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer


def new_model(seed: int) -> Qwen3ForCausalLM:
    """An untrained model."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=256 + len(SPECIAL_TOKENS),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=48,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
        dtype="float32",
    )
    return Qwen3ForCausalLM(config)


def packed_rows(rng: random.Random, row_length: int) -> Iterator[tuple[list[int], list[float]]]:
    """Yield rows of whole lines, each line ended by `END`: tokens and the weight of each, padded to `row_length`."""
    tokens: list[int] = []
    weights: list[float] = []
    while True:
        line = make_line(rng)
        prompt, answer = line.prompt.encode(), line.answer.encode()
        if tokens and len(tokens) + len(prompt) + len(answer) + 1 > row_length:
            padding = row_length - len(tokens)
            yield tokens + [PAD] * padding, weights + [0.0] * padding
            tokens, weights = [], []
        tokens = [*tokens, *prompt, *answer, END][:row_length]
        weights = [*weights, *[PROMPT_WEIGHT] * len(prompt), *[1.0] * (len(answer) + 1)][:row_length]


def learning_rate(recipe: Recipe, step: int) -> float:
    """Straight up over the warm-up, then straight down to nothing."""
    if step < recipe.warm_up_steps:
        return recipe.peak_learning_rate * (step + 1) / recipe.warm_up_steps
    return recipe.peak_learning_rate * (recipe.steps - step) / max(1, recipe.steps - recipe.warm_up_steps)


def weighted_loss(model: Qwen3ForCausalLM, tokens: Tensor, weights: Tensor) -> Tensor:
    """Mean negative log-likelihood: tokens int64 [B, T], weights float [B, T]."""
    logits = model(input_ids=tokens[:, :-1]).logits
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    kept = weights[:, 1:].flatten()
    return (losses * kept).sum() / kept.sum()


def train(recipe: Recipe) -> Qwen3ForCausalLM:
    """Train from nothing; prints a line every 50 steps."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(recipe.threads)
    model = new_model(recipe.seed)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    rows = packed_rows(random.Random(recipe.seed), recipe.row_length)
    started = time.monotonic()
    for step in range(recipe.steps):
        batch = [next(rows) for _ in range(recipe.rows)]
        loss = weighted_loss(model, torch.tensor([row[0] for row in batch]), torch.tensor([row[1] for row in batch]))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 49:
            seconds = time.monotonic() - started
            print(f"step {step + 1}/{recipe.steps}  loss {loss.item():.4f}  {seconds:.0f} s", flush=True)
    return model


@torch.inference_mode()
def answers(model: Qwen3ForCausalLM, prompts: Sequence[str]) -> list[str]:
    """What the model says to each prompt, greedily, up to the end of its answer."""
    width = max(len(prompt.encode()) for prompt in prompts)
    padded = [[PAD] * (width - len(prompt.encode())) + [*prompt.encode()] for prompt in prompts]
    tokens = torch.tensor(padded)
    speaker: Any = model  # pyright cannot bind the `generate` that transformers mixes in
    said = speaker.generate(tokens, attention_mask=(tokens != PAD).long(), max_new_tokens=32, do_sample=False)
    texts: list[str] = []
    for row in said[:, width:].tolist():
        kept = row[: row.index(END)] if END in row else row
        texts.append(bytes(token for token in kept if token < 256).decode(errors="replace"))
    return texts


def exact_match(model: Qwen3ForCausalLM, lines: Sequence[Line]) -> float:
    """The share of lines whose answer is said exactly."""
    said = answers(model, [line.prompt for line in lines])
    return sum(text == line.answer for text, line in zip(said, lines, strict=True)) / len(lines)


def measure(model: Qwen3ForCausalLM, *, lines_each: int) -> dict[str, float]:
    """Exact match of each game on words that a seed of its own makes, and of arithmetic and two-word games."""
    rng = random.Random(7)
    measured = {
        game: exact_match(model, [game_line(game, made_up_word(rng)) for _ in range(lines_each)]) for game in GAMES
    }
    for name, marks in (("two words (join, swap, pick)", ("join:", "swap:", "end:", "pick:")), ("arithmetic", ("=",))):
        lines: list[Line] = []
        while len(lines) < lines_each:
            line = make_line(rng)
            if line.prompt.startswith(marks) or line.prompt.endswith(marks):
                lines.append(line)
        measured[name] = exact_match(model, lines)
    return measured


def model_card(recipe: Recipe, measured: dict[str, float], parameters: int) -> str:
    """The README of the model's folder."""
    rows = "\n".join(f"| {name} | {share:.1%} |" for name, share in measured.items())
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# tinker-hl/tiny

A causal language model small enough to train on a laptop's processor while you watch. It exists to be fine-tuned in
demos, tests and first experiments; it is no use for anything else, and it knows nothing about the world.

- Shape: Qwen3, {parameters:,} parameters, 4 layers, hidden 192, 4 heads (2 key/value), context {CONTEXT}, float32.
- Tokens: the 256 bytes, then `{"`, `".join(SPECIAL_TOKENS)}`. One ASCII letter is one token.
- Made by `scripts/build_tiny_model.py` (seed {recipe.seed}, {recipe.steps} steps of {recipe.rows} x \
{recipe.row_length} tokens, {recipe.threads} threads), from text that
  `scripts/tiny_text.py` makes: made-up words, spelling games, sums, short sentences. No other text.

## What it can do

A game is asked as `name: word ->` and answered with a space, the answer, and `<|endoftext|>`. Exact match, greedy, on
words made with another seed:

| Game | Exact match |
|---|---|
{rows}

## What it cannot do

It was never shown pig latin: `rotate` moves the first letter whatever it is, `start` and `rhyme` part a word at its
first vowel, `doing` and `more` add an ending, and no game does these together; the demo teaches that. Sums are guessed
more than computed. It does not follow instructions, chat (the template only makes chat code run) or continue free text
beyond its few sentence patterns, and positions beyond the first {recipe.row_length} were never trained.
"""


def write_folder(model: Qwen3ForCausalLM, out: Path) -> None:
    """Write everything but the card, in the layout that transformers, peft and vLLM read."""
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(eos_token_id=END, pad_token_id=PAD)
    model.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    byte_tokenizer().save(str(out / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "eos_token": SPECIAL_TOKENS[0],
        "pad_token": SPECIAL_TOKENS[3],
        "additional_special_tokens": [SPECIAL_TOKENS[1], SPECIAL_TOKENS[2]],
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def build(recipe: Recipe, out: Path, *, lines_each: int) -> None:
    """Train, measure, and write the folder."""
    started = time.monotonic()
    model = train(recipe)
    seconds = time.monotonic() - started
    model.eval()
    write_folder(model, out)
    measured = measure(model, lines_each=lines_each)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    (out / "README.md").write_text(model_card(recipe, measured, parameters))
    print(json.dumps({"out": str(out), "seconds": round(seconds), "parameters": parameters, "exact_match": measured}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = Recipe()
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--threads", type=int, default=defaults.threads)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--lines-each", type=int, default=200, help="lines that each game is measured on")
    chosen = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    build(Recipe(steps=chosen.steps, threads=chosen.threads), chosen.out, lines_each=chosen.lines_each)


if __name__ == "__main__":
    main()
