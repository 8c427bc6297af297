"""Reinforcement learning by groups: sample, reward, centre, importance sampling, and a new sampler each step.

python rl_loop.py MODEL
"""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import tinker
import torch
from tinker import types
from tinker.types.tensor_data import TensorData

MODEL = sys.argv[1]
STEPS = 3
GROUP_SIZE = 8
WORDS = ["apple", "stone", "river", "green"]


@dataclass
class Rollout:
    prompt: list[int]
    tokens: list[int]
    logprobs: list[float]
    reward: float


def reward_for_vowels(text: str) -> float:
    return sum(letter in "aeiou" for letter in text) / 6


async def sample_group(
    sampling_client: tinker.SamplingClient, tokenizer, word: str, seed: int, reward: Callable[[str], float]
) -> list[Rollout]:
    prompt = tokenizer.encode(f"say {word}: ")
    response = await sampling_client.sample_async(
        prompt=types.ModelInput.from_ints(tokens=prompt),
        num_samples=GROUP_SIZE,
        sampling_params=types.SamplingParams(max_tokens=6, temperature=1.0, seed=seed),
    )
    return [
        Rollout(prompt, list(one.tokens), list(one.logprobs), reward(tokenizer.decode(list(one.tokens))))
        for one in response.sequences
    ]


def as_data(group: list[Rollout]) -> list[types.Datum]:
    """A group whose rewards are all alike teaches nothing."""
    mean = sum(rollout.reward for rollout in group) / len(group)
    if all(rollout.reward == mean for rollout in group):
        return []
    data = []
    for rollout in group:
        observed = len(rollout.prompt) - 1
        whole = rollout.prompt + rollout.tokens
        advantage = rollout.reward - mean
        logprobs = torch.tensor([0.0] * observed + rollout.logprobs)
        advantages = torch.tensor([0.0] * observed + [advantage] * len(rollout.tokens))
        data.append(
            types.Datum(
                model_input=types.ModelInput.from_ints(tokens=whole[:-1]),
                loss_fn_inputs={
                    "target_tokens": TensorData.from_torch(torch.tensor(whole[1:])),
                    "logprobs": TensorData.from_torch(logprobs),
                    "advantages": TensorData.from_torch(advantages),
                },
            )
        )
    return data


def off_policy(data: list[types.Datum], outputs: list[dict[str, TensorData]]) -> float:
    """The largest distance of what the trainer computes from what the sampler said."""
    worst = 0.0
    for datum, output in zip(data, outputs, strict=True):
        sampled = datum.loss_fn_inputs["logprobs"].to_torch()
        apart = (output["logprobs"].to_torch() - sampled)[sampled != 0.0]
        worst = max(worst, float(apart.abs().max()))
    return worst


async def main() -> None:
    service_client = tinker.ServiceClient()
    training_client = await service_client.create_lora_training_client_async(base_model=MODEL, rank=8, seed=3)
    tokenizer = training_client.get_tokenizer()
    rewards, losses, sizes, distances = [], [], [], []
    for step in range(STEPS):
        sampling_client = await training_client.save_weights_and_get_sampling_client_async()
        groups = await asyncio.gather(
            *(
                sample_group(sampling_client, tokenizer, word, 100 * step + number, reward_for_vowels)
                for number, word in enumerate(WORDS)
            )
        )
        data = [datum for group in groups for datum in as_data(group)]
        rewards.append(sum(one.reward for group in groups for one in group) / sum(map(len, groups)))
        sizes.append(len(data))
        fwd_bwd_future = await training_client.forward_backward_async(data, loss_fn="importance_sampling")
        optim_step_future = await training_client.optim_step_async(types.AdamParams(learning_rate=5e-3))
        result = await fwd_bwd_future.result_async()
        await optim_step_future.result_async()
        losses.append(result.metrics["loss:sum"])
        distances.append(off_policy(data, result.loss_fn_outputs))

    saved = await training_client.save_weights_for_sampler_async(name="policy")
    path = (await saved.result_async()).path
    policy = await service_client.create_sampling_client_async(model_path=path)
    greedy = types.SamplingParams(max_tokens=6, temperature=0.0)
    prompts = [types.ModelInput.from_ints(tokens=tokenizer.encode(f"say {word}: ")) for word in WORDS]
    answers = await asyncio.gather(*(policy.sample_async(prompt, 1, greedy) for prompt in prompts))
    scored = await policy.compute_logprobs_async(prompts[0])
    print(
        json.dumps(
            {
                "rewards": rewards,
                "losses": losses,
                "sizes": sizes,
                "distances": distances,
                "greedy": [list(answer.sequences[0].tokens) for answer in answers],
                "scored": scored,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
