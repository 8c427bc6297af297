"""Train one step with a loss that the server runs, and one with the same loss computed here; print what both gave.

Run by the official SDK's own python, so it imports nothing of ours.

    python uploaded_loss.py MODEL
"""

import json
import math
import sys
from typing import Any

import tinker
import torch
from tinker import types

MODEL = sys.argv[1]
TEXT = list(b"hello world, hello")
INPUTS = ("q", "advantages", "target_tokens")


def awaited(value: Any) -> Any:
    return value.result() if hasattr(value, "result") and not hasattr(value, "optim_step") else value


def loss(logprobs: Any, q: Any, advantages: Any, target_tokens: Any) -> Any:
    ratio = torch.exp(logprobs - q)
    surrogate = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    chosen = torch.where(target_tokens > 105, surrogate, torch.zeros_like(surrogate))
    total = -chosen.sum() / math.sqrt(logprobs.shape[0]) + torch.nn.functional.softplus(-logprobs).mean()
    return total, {"custom/kl:mean": (q - logprobs).mean(), "custom/ratio:sum": ratio.sum()}


def over_all(data: list[Any], logprobs: list[Any]) -> Any:
    total, metrics = torch.zeros(()), {"kl": 0.0, "ratio": 0.0}
    for datum, part in zip(data, logprobs, strict=True):
        value, own = loss(part, *(datum.loss_fn_inputs[name].to_torch() for name in INPUTS))
        total = total + value
        metrics["kl"] += float(own["custom/kl:mean"].detach()) / len(data)
        metrics["ratio"] += float(own["custom/ratio:sum"].detach())
    return total, {"kl:sum": metrics["kl"], "ratio:sum": metrics["ratio"], "total:sum": float(total.detach())}


def tensor(values: list[Any], dtype: str) -> Any:
    return types.TensorData(data=values, dtype=dtype, shape=[len(values)])


def datum(text: list[int]) -> Any:
    length = len(text) - 1
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=text[:-1]),
        loss_fn_inputs={
            "target_tokens": tensor(text[1:], "int64"),
            "q": tensor([-1.0 - 0.05 * place for place in range(length)], "float32"),
            "advantages": tensor([0.5 * (-1) ** place for place in range(length)], "float32"),
        },
    )


def main() -> None:
    service = tinker.ServiceClient()
    handle = awaited(service.create_custom_loss(loss, {"logprobs": 1, **dict.fromkeys(INPUTS, 1)}))
    data = [datum(TEXT), datum(TEXT[3:])]
    seen: dict[str, Any] = {"loss_id": handle.loss_id}
    for name, how in (("uploaded", handle), ("here", over_all)):
        client = awaited(service.create_lora_training_client(MODEL, rank=4, seed=1))
        metrics = dict(awaited(client.forward_backward_custom(data, how)).metrics)
        step = awaited(client.optim_step(types.AdamParams(learning_rate=1e-3)))
        seen[name] = {**metrics, "grad_norm": step.metrics["grad_norm"]}
    print(json.dumps(seen))


main()
