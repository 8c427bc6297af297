"""Many sample calls at once, as an evaluation or a rollout makes them.

    python -m benchmarks.workloads.sample official|ours URL ROUNDS CALLS

It runs in the environment of whichever SDK it is for.
"""

import asyncio
import json
import sys
import time
from typing import Any

from benchmarks.workloads.measuring import LongestBlock, peak_megabytes, ready, sdk

side, url, rounds, calls = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5])
tinker = sdk(side)
types = tinker.types
PROMPT = list(range(200, 456))


async def once(sampler: Any) -> dict[str, float]:
    """All calls from one event loop of the caller's; every sample's tokens and logprobs are looked at."""
    params = types.SamplingParams(max_tokens=64, temperature=1.0)
    prompts = [types.ModelInput.from_ints(PROMPT) for _ in range(calls)]
    began, cpu = time.perf_counter(), time.process_time()
    async with LongestBlock() as watch:
        answers = await asyncio.gather(
            *(sampler.sample(prompt=prompt, num_samples=1, sampling_params=params) for prompt in prompts)
        )
    tokens = sum(len(answer.sequences[0].tokens) + len(answer.sequences[0].logprobs) for answer in answers)
    figures = {
        "wall ms": (time.perf_counter() - began) * 1000,
        "cpu ms": (time.process_time() - cpu) * 1000,
        "longest block of the caller's loop ms": watch.milliseconds,
    }
    assert tokens == calls * 128, "the stub's samples have 64 tokens"
    return figures


def main() -> None:
    before = peak_megabytes()
    service = tinker.ServiceClient(base_url=url, api_key="tml-benchmark")
    sampler = ready(service.create_sampling_client(base_model="stub/model"))
    found = [asyncio.run(once(sampler)) for _ in range(rounds + 1)][1:]
    print(json.dumps({"rounds": found, "peak MB": peak_megabytes(), "imported MB": before}), flush=True)


main()
