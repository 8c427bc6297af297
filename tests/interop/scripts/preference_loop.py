"""Direct preference optimization: a loss over pairs of sequences, against the logprobs of a reference model.

python preference_loop.py MODEL
"""

import asyncio
import json
import sys

import tinker
import torch
import torch.nn.functional as F
from tinker import types

MODEL = sys.argv[1]
BETA = 0.5
STEPS = 4
PAIRS = [("apple", "APPLE", "aplpe"), ("stone", "STONE", "sotne"), ("river", "RIVER", "rvier")]


def as_datum(tokenizer, prompt: str, completion: str) -> types.Datum:
    given, said = tokenizer.encode(prompt), tokenizer.encode(completion)
    tokens = given + said
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": types.TensorData(data=tokens[1:], dtype="int64", shape=[len(tokens) - 1]),
            "weights": torch.tensor([0.0] * (len(given) - 1) + [1.0] * len(said)),
        },
    )


async def reference_logprobs(reference: tinker.SamplingClient, data: list[types.Datum]) -> list[torch.Tensor]:
    """Of each target, under the model as it was before."""
    inputs = [datum.model_input.append_int(int(datum.loss_fn_inputs["target_tokens"].data[-1])) for datum in data]
    scored = await asyncio.gather(*(reference.compute_logprobs_async(whole) for whole in inputs))
    return [torch.tensor(row[1:], dtype=torch.float32) for row in scored]


def main() -> None:
    with tinker.ServiceClient() as service_client:
        training_client = service_client.create_lora_training_client(base_model=MODEL, rank=8, seed=5).result()
        tokenizer = training_client.get_tokenizer()
        data = []
        for prompt, chosen, rejected in PAIRS:
            data += [
                as_datum(tokenizer, f"shout {prompt}: ", chosen),
                as_datum(tokenizer, f"shout {prompt}: ", rejected),
            ]
        reference = training_client.save_weights_and_get_sampling_client().result()
        before = asyncio.run(reference_logprobs(reference, data))
        weights = [datum.loss_fn_inputs["weights"].to_torch() for datum in data]

        def dpo_loss(data: list[types.Datum], logprobs: list[torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
            gained = torch.stack(
                [((now - old) * weight).sum() for now, old, weight in zip(logprobs, before, weights, strict=True)]
            )
            margin = BETA * (gained[0::2] - gained[1::2])
            return -F.logsigmoid(margin).sum(), {
                "margin": float(margin.mean()),
                "accuracy": float((margin > 0).float().mean()),
            }

        history = []
        for _ in range(STEPS):
            passed = training_client.forward_backward_custom(data, dpo_loss).result()
            stepped = training_client.optim_step(types.AdamParams(learning_rate=1e-3, grad_clip_norm=1.0)).result()
            history.append({**passed.metrics, "has_norm": any("grad_norm" in name for name in stepped.metrics or {})})
        after = training_client.forward_backward_custom(data, dpo_loss).result().metrics
        print(json.dumps({"history": history, "after": after, "before": [row.tolist() for row in before]}))


if __name__ == "__main__":
    main()
