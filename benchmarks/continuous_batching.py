"""transformers' own continuous batching, beside its static batch: why the service has a batch of its own.

    python benchmarks/continuous_batching.py [--quick]

No promise depends on it; `docs/local-service.md` quotes what it measured.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.harness import Figures, Report, arguments
from benchmarks.serving import MODEL_FOLDER

CALLS = 3


def main() -> None:
    options = arguments("transformers' continuous batching, in this process.")
    callers, new = (2, 2) if options.quick else (64, 64)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32).eval()
    prompts = np.random.default_rng(2).integers(3, 250, (callers, 32))

    def continuous() -> int:
        settings = transformers.GenerationConfig(max_new_tokens=new, do_sample=True, eos_token_id=-1, pad_token_id=0)
        answers = model.generate_batch(inputs=prompts.tolist(), generation_config=settings, progress_bar=False)
        return sum(len(answer.generated_tokens) for answer in answers.values())

    def static() -> int:
        ids = torch.from_numpy(prompts)
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            top_k=0,
            min_new_tokens=new,
            max_new_tokens=new,
            pad_token_id=0,
        )
        return int(made.numel() - ids.numel())

    def rate(sample: Callable[[], int]) -> Figures:
        began = time.perf_counter()
        made = sample()
        assert made == callers * new, "nothing stops a sample before its length"
        return {"tokens/s": made / (time.perf_counter() - began)}

    rounds: dict[str, list[Figures]] = {}
    for _ in range(1 if options.quick else CALLS):
        rounds.setdefault("generate_batch", []).append(rate(continuous))
        rounds.setdefault("static batch", []).append(rate(static))
    report = Report("CB", f"transformers' continuous batching, {callers} requests, the packaged model", rounds)
    report.notes = ["Both in one process; the first call of each warms it up."]
    report.show()


if __name__ == "__main__":
    main()
