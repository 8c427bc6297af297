"""A training script as one wrote them for release 0.7: clients made by blocking calls, `*_async` twins, plain futures.

python style_of_0_7.py MODEL
"""

import asyncio
import json
import sys

import tinker
from tinker import types
from tinker.types.tensor_data import TensorData

MODEL = sys.argv[1]
WORDS = ["apple", "stone", "river"]


def make_datum(tokenizer, word: str) -> types.Datum:
    tokens = tokenizer.encode(f"{word} {word.upper()}")
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={
            "weights": TensorData(data=[1.0] * (len(tokens) - 1), dtype="float32", shape=[len(tokens) - 1]),
            "target_tokens": tokens[1:],
        },
    )


async def train(training_client: tinker.TrainingClient, data: list[types.Datum], steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        fwd_bwd_future = await training_client.forward_backward_async(data, loss_fn="cross_entropy")
        optim_future = await training_client.optim_step_async(types.AdamParams(learning_rate=5e-3))
        fwd_bwd_result = await fwd_bwd_future.result_async()
        await optim_future.result_async()
        losses.append(fwd_bwd_result.metrics["loss:sum"])
    return losses


async def main() -> None:
    service_client = tinker.ServiceClient(user_metadata={"style": "0.7"})
    capabilities = await service_client.get_server_capabilities_async()
    training_client = await service_client.create_lora_training_client_async(base_model=MODEL, rank=4, seed=1)
    info = await training_client.get_info_async()
    tokenizer = training_client.get_tokenizer()
    data = [make_datum(tokenizer, word) for word in WORDS]
    losses = await train(training_client, data, 3)

    saved = await (await training_client.save_state_async("style"))
    # The second argument by position is the metadata in 0.7.
    resumed = await service_client.create_training_client_from_state_async(saved.path, {"resumed": "yes"})
    await (await resumed.load_state_with_optimizer_async(saved.path))
    losses += await train(resumed, data, 2)

    sampling_client = await resumed.save_weights_and_get_sampling_client_async(name="ignored")
    prompt = types.ModelInput.from_ints(tokens=tokenizer.encode("apple "))
    params = types.SamplingParams(max_tokens=4, temperature=0.0, stop=["\n"])
    sampled = await asyncio.gather(
        *(sampling_client.sample_async(prompt=prompt, num_samples=1, sampling_params=params) for _ in range(2))
    )
    rest_client = service_client.create_rest_client()
    run = await rest_client.get_training_run_async(resumed.model_id)
    try:
        await sampling_client.sample_async(types.ModelInput.from_ints([10**7]), 1, params)
        refused = "nothing"
    except tinker.APIStatusError as error:
        refused = "10000000" in str(error)
    print(
        json.dumps(
            {
                "models": [model.model_name for model in capabilities.supported_models],
                "base_model": info.model_data.model_name,
                "losses": losses,
                "tokens": [answer.sequences[0].tokens for answer in sampled],
                "logprobs": await sampling_client.compute_logprobs_async(prompt),
                "stop_reasons": [answer.sequences[0].stop_reason for answer in sampled],
                "metadata": run.user_metadata,
                "refused": refused,
            }
        )
    )


asyncio.run(main())
