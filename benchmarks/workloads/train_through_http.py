"""The same training as `plain_training.py`, through our client and a service: two calls a step, one step ahead.

    python -m benchmarks.workloads.train_through_http MODEL STEPS LENGTH[,LENGTH...]

The service is the one that TINKER_BASE_URL and TINKER_API_KEY name.
"""

import json
import sys
import time
from typing import Any

import numpy as np

import tinker_hl
from benchmarks.workloads.measuring import peak_megabytes
from tinker_hl import types

model, steps, lengths = sys.argv[1], int(sys.argv[2]), [int(text) for text in sys.argv[3].split(",")]
WARM_UP = 2
VOCABULARY = 256
ADAM = types.AdamParams(learning_rate=1e-4)


def batch(seed: int) -> list[types.Datum]:
    generator = np.random.default_rng(seed)
    data = []
    for length in lengths:
        tokens = generator.integers(0, VOCABULARY, length + 1)
        inputs = {
            "target_tokens": types.TensorData.from_numpy(tokens[1:]),
            "weights": types.TensorData.from_numpy(np.ones(length, dtype=np.float32)),
        }
        data.append(types.Datum(model_input=types.ModelInput.from_ints(tokens[:-1].tolist()), loss_fn_inputs=inputs))
    return data


def submit(client: Any, step: int) -> tuple[Any, Any]:
    return client.forward_backward(batch(step), "cross_entropy"), client.optim_step(ADAM)


def wait(calls: tuple[Any, Any]) -> None:
    calls[0].result()
    calls[1].result()


def main() -> None:
    service = tinker_hl.ServiceClient()
    # "all-linear" of peft, which the plain loop trains, leaves the unembedding out.
    client = service.create_lora_training_client(model, rank=32, seed=0, train_unembed=False).result()
    for step in range(WARM_UP):
        wait(submit(client, step))
    began = time.perf_counter()
    under_way = submit(client, WARM_UP)
    for step in range(WARM_UP + 1, WARM_UP + steps):
        following = submit(client, step)
        wait(under_way)
        under_way = following
    wait(under_way)
    seconds = time.perf_counter() - began
    print(json.dumps({"tokens/s": steps * sum(lengths) / seconds, "client peak MB": peak_megabytes()}))


main()
