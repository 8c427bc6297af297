"""A training script as one writes them for release 0.38: futures everywhere, no twins, a client used while it is made.

python style_of_0_38.py MODEL
"""

import asyncio
import json
import sys
from concurrent.futures import as_completed

import numpy as np
import tinker
from tinker.lib.public_interfaces import APIFuture
from tinker.lib.retry_handler import RetryConfig

MODEL = sys.argv[1]
WORDS = ["apple", "stone", "river"]


def make_datum(tokenizer, word: str) -> tinker.Datum:
    tokens = tokenizer.encode(f"{word} {word.upper()}")
    return tinker.Datum(
        tinker.ModelInput.from_ints(tokens[:-1]),
        {"target_tokens": np.array(tokens[1:]), "weights": np.ones(len(tokens) - 1, dtype=np.float32)},
    )


def train(client: tinker.TrainingClient, data: list[tinker.Datum], steps: int) -> list[float]:
    passes: list[APIFuture[tinker.ForwardBackwardOutput]] = []
    for _ in range(steps):
        passes.append(client.forward_backward(data, "cross_entropy"))
        client.optim_step(tinker.AdamParams(learning_rate=5e-3))
    return [future.result(timeout=60).metrics["loss:sum"] for future in passes]


async def rollouts(sampler: tinker.SamplingClient, prompt: tinker.ModelInput) -> list[list[int]]:
    params = tinker.SamplingParams(max_tokens=4, temperature=0.0)
    tasks = [asyncio.create_task(sampler.sample(prompt, 1, params).coroutine()) for _ in range(2)]
    answers = await asyncio.gather(*tasks, sampler.sample(prompt, 1, params))
    return [list(answer.sequences[0].tokens) for answer in answers]


def main() -> None:
    with tinker.ServiceClient({"style": "0.38"}, display_name="a run") as service:
        rest = tinker.RestClient()
        capabilities = rest.get_server_capabilities().result()
        pending = service.create_lora_training_client(MODEL, rank=4, seed=1)
        is_client = isinstance(pending, tinker.TrainingClient) and isinstance(pending, tinker.APIFuture)
        client = pending.result()
        tokenizer = client.get_tokenizer()
        data = [make_datum(tokenizer, word) for word in WORDS]
        losses = train(client, data, 3)
        saved = client.save_state("style", ttl_seconds=3600, user_metadata={"kept": "yes"}).result()
        resumed = service.create_training_client_from_state_with_optimizer(saved.path).result()
        losses += train(resumed, data, 2)
        sampler = resumed.save_weights_and_get_sampling_client(retry_config=RetryConfig(max_connections=8)).result()
        prompt = tinker.ModelInput.from_ints(tokenizer.encode("apple "))
        scored = sampler.compute_logprobs(prompt)
        checkpoint = rest.list_checkpoints(client.model_id).result().checkpoints[0]
        tokens = asyncio.run(rollouts(sampler, prompt))
        finished = [
            future.result().sequences[0].stop_reason
            for future in as_completed(
                [sampler.sample(prompt, 1, tinker.SamplingParams(max_tokens=2)).future() for _ in range(2)]
            )
        ]
        print(
            json.dumps(
                {
                    "models": [model.model_name for model in capabilities.supported_models],
                    "is_client": is_client,
                    "losses": losses,
                    "tokens": tokens,
                    "logprobs": scored.result(),
                    "stop_reasons": finished,
                    "metadata": checkpoint.user_metadata,
                    "expires": checkpoint.expires_at is not None,
                    "console": client.get_console_url().endswith(client.model_id),
                }
            )
        )


main()
