"""Train an adapter and sample from it, step by step, telling each step; print what came of it. It catches nothing.

Run by the official SDK's own python, so it imports nothing of ours.

    python undisturbed.py MODEL STEPS
"""

import json
import sys
from typing import Any

import tinker
from tinker import types

MODEL, STEPS = sys.argv[1], int(sys.argv[2])
TOKENS = [5, 9, 14, 30, 31, 44, 60]


def datum(number: int) -> Any:
    tokens = TOKENS[number % 3 :]
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": types.TensorData(data=tokens[1:], dtype="int64", shape=[len(tokens) - 1]),
            "weights": types.TensorData(data=[1.0] * (len(tokens) - 1), dtype="float32", shape=[len(tokens) - 1]),
        },
    )


def main() -> None:
    client = tinker.ServiceClient().create_lora_training_client(MODEL, rank=8, seed=1)
    losses = []
    sampler = client.save_weights_and_get_sampling_client()
    for number in range(STEPS):
        passes = [client.forward_backward([datum(number), datum(number + 1)], "cross_entropy") for _ in range(2)]
        stepped = client.optim_step(types.AdamParams(learning_rate=5e-3))
        print(json.dumps({"under way": number}), flush=True)
        losses += [passed.result().metrics["loss:sum"] for passed in passes]
        stepped.result()
        if number == STEPS // 2:
            sampler = client.save_weights_and_get_sampling_client()
    prompt = types.ModelInput.from_ints(tokens=TOKENS)
    drawn = sampler.sample(prompt, 1, types.SamplingParams(max_tokens=8, seed=3, temperature=1.0)).result()
    path = client.save_state("end").result().path
    print(json.dumps({"losses": losses, "path": path, "tokens": list(drawn.sequences[0].tokens)}), flush=True)


main()
