"""What a user would run instead: transformers' `generate`, one request at a time, or in static batches.

    python -m benchmarks.workloads.plain_sampling FOLDER BATCH PROMPT:NEW[,PROMPT:NEW...]

A static batch is padded on the left to its longest prompt and runs until its longest request is done; tokens that a
request did not ask for are not counted.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.workloads.measuring import peak_megabytes

folder, size = sys.argv[1], int(sys.argv[2])
requests = [(int(prompt), int(new)) for prompt, new in (text.split(":") for text in sys.argv[3].split(","))]


def generate(model: Any, batch: list[tuple[int, int]]) -> None:
    generator = np.random.default_rng(0)
    longest, new = max(length for length, _ in batch), max(new for _, new in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (length, _) in enumerate(batch):
        ids[row, longest - length :] = torch.from_numpy(generator.integers(0, model.config.vocab_size, length))
        mask[row, longest - length :] = 1
    model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=True,
        top_k=0,
        min_new_tokens=new,
        max_new_tokens=new,
        pad_token_id=0,
    )


def main() -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    generate(model, [(8, 4)] * min(size, len(requests)))
    began = time.perf_counter()
    for start in range(0, len(requests), size):
        generate(model, requests[start : start + size])
    seconds = time.perf_counter() - began
    print(json.dumps({"tokens/s": sum(new for _, new in requests) / seconds, "peak MB": peak_megabytes()}))


main()
