"""What a user would run instead: a loop of torch and peft over batches padded to their longest sequence.

    python -m benchmarks.workloads.plain_training FOLDER STEPS LENGTH[,LENGTH...]

The lengths are those of the sequences of every batch.
"""

import json
import sys
import time

import numpy as np
import peft
import torch
import transformers

from benchmarks.workloads.measuring import peak_megabytes

folder, steps, lengths = sys.argv[1], int(sys.argv[2]), [int(text) for text in sys.argv[3].split(",")]
WARM_UP = 2
IGNORED = -100


def batch(seed: int, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention mask and labels, each [sequences, longest]."""
    generator = np.random.default_rng(seed)
    longest = max(lengths)
    ids = torch.zeros(len(lengths), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for row, length in enumerate(lengths):
        tokens = torch.from_numpy(generator.integers(0, vocabulary, length + 1))
        ids[row, :length], labels[row, :length], mask[row, :length] = tokens[:-1], tokens[1:], 1
    return ids, mask, labels


def main() -> None:
    torch.manual_seed(0)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    vocabulary = base.config.vocab_size
    model = peft.get_peft_model(base, peft.LoraConfig(r=32, lora_alpha=32, target_modules="all-linear"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, betas=(0.9, 0.95))
    began = 0.0
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            began = time.perf_counter()
        ids, mask, labels = batch(step, vocabulary)
        logits = model(input_ids=ids, attention_mask=mask).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
    seconds = time.perf_counter() - began
    print(json.dumps({"tokens/s": steps * sum(lengths) / seconds, "peak MB": peak_megabytes()}))


main()
