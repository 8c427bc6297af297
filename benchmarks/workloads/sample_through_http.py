"""Requests of many callers at once, through our client and a service.

    python -m benchmarks.workloads.sample_through_http MODEL ADAPTERS PROMPT:NEW[,PROMPT:NEW...] ROUNDS

With 0 adapters the base model is sampled, else that many freshly made ones, taking turns.
"""

import asyncio
import json
import sys
import time
from typing import Any

import numpy as np

import tinker_hl
from tinker_hl import types

model, adapters = sys.argv[1], int(sys.argv[2])
requests = [(int(prompt), int(new)) for prompt, new in (text.split(":") for text in sys.argv[3].split(","))]
rounds = int(sys.argv[4])
VOCABULARY = 256


def samplers(service: Any) -> list[Any]:
    if adapters == 0:
        return [service.create_sampling_client(base_model=model).result()]
    clients = [service.create_lora_training_client(model, rank=32, seed=n) for n in range(adapters)]
    return [client.result().save_weights_and_get_sampling_client().result() for client in clients]


async def once(clients: list[Any]) -> float:
    """Tokens a second of one wave: every caller asks at once, the last answer ends it."""
    generator = np.random.default_rng(0)
    prompts = [types.ModelInput.from_ints(generator.integers(0, VOCABULARY, length).tolist()) for length, _ in requests]
    began = time.perf_counter()
    answers = await asyncio.gather(
        *(
            clients[index % len(clients)].sample(
                prompt=prompt,
                num_samples=1,
                sampling_params=types.SamplingParams(max_tokens=new, temperature=1.0, stop=[]),
            )
            for index, (prompt, (_, new)) in enumerate(zip(prompts, requests, strict=True))
        )
    )
    seconds = time.perf_counter() - began
    made = sum(len(answer.sequences[0].tokens) for answer in answers)
    assert made == sum(new for _, new in requests), "nothing stops a sample before its length"
    return made / seconds


def main() -> None:
    clients = samplers(tinker_hl.ServiceClient())
    asyncio.run(once(clients))
    print(json.dumps({"tokens/s": [asyncio.run(once(clients)) for _ in range(rounds)]}))


main()
