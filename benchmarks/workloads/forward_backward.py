"""One forward_backward call of many long sequences, types built and results read, as a training script does it.

    python -m benchmarks.workloads.forward_backward official|ours URL ROUNDS DATUMS TOKENS

It runs in the environment of whichever SDK it is for.
"""

import asyncio
import json
import sys
import time
from typing import Any

import numpy as np

from benchmarks.workloads.measuring import LongestBlock, peak_megabytes, ready, sdk

side, url, rounds, datums, tokens = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
tinker = sdk(side)
types = tinker.types


def examples() -> list[tuple[list[int], np.ndarray, np.ndarray]]:
    """What a script has before it makes requests: token ids as lists, which is what tokenizers give and what both SDKs
    take, and arrays of targets and weights.
    """
    generator = np.random.default_rng(0)
    made = []
    for _ in range(datums):
        ids = generator.integers(0, 150_000, tokens + 1)
        made.append((ids[:-1].tolist(), ids[1:].astype(np.int64), np.ones(tokens, dtype=np.float32)))
    return made


def as_data(made: list[tuple[list[int], np.ndarray, np.ndarray]]) -> list[Any]:
    return [
        types.Datum(
            model_input=types.ModelInput.from_ints(ids),
            loss_fn_inputs={
                "target_tokens": types.TensorData.from_numpy(targets),
                "weights": types.TensorData.from_numpy(weights),
            },
        )
        for ids, targets, weights in made
    ]


def once(client: Any, made: list[tuple[list[int], np.ndarray, np.ndarray]]) -> dict[str, float]:
    began, cpu = time.perf_counter(), time.process_time()
    data = as_data(made)
    built = time.process_time() - cpu
    output = client.forward_backward(data, "cross_entropy").result()
    total = sum(float(record["logprobs"].to_numpy().sum()) for record in output.loss_fn_outputs)
    figures = {
        "cpu ms": (time.process_time() - cpu) * 1000,
        "of it building types ms": built * 1000,
        "wall ms": (time.perf_counter() - began) * 1000,
    }
    assert total == -datums * tokens, "the stub scores every token with -1"
    return figures


def sdk_loop(service: Any) -> asyncio.AbstractEventLoop:
    if side == "ours":
        from tinker_hl.loop import event_loop

        return event_loop()
    loop: asyncio.AbstractEventLoop = service.holder.get_loop()
    return loop


def longest_block(service: Any, client: Any, made: list[tuple[list[int], np.ndarray, np.ndarray]]) -> float:
    """Of the loop on which the SDK itself does its input and output, in milliseconds."""
    data = as_data(made)
    loop = sdk_loop(service)
    watch = LongestBlock()
    asyncio.run_coroutine_threadsafe(watch.__aenter__(), loop).result()
    client.forward_backward(data, "cross_entropy").result()
    asyncio.run_coroutine_threadsafe(watch.__aexit__(None, None, None), loop).result()
    return watch.milliseconds


def main() -> None:
    service = tinker.ServiceClient(base_url=url, api_key="tml-benchmark")
    client = ready(service.create_lora_training_client("stub/model", rank=32))
    made = examples()
    once(client, made)
    found = []
    for _ in range(rounds):
        figures = once(client, made)
        figures["longest block of the SDK's loop ms"] = longest_block(service, client, made)
        found.append(figures)
    print(json.dumps({"rounds": found, "peak MB": peak_megabytes()}), flush=True)


main()
