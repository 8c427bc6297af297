"""Train two adapters of the same base model, each alone and then both at once; print where each was saved.

Run by the official SDK's own python, so it imports nothing of ours.

    python two_adapters.py MODEL
"""

import json
import sys
from typing import Any

import tinker
from tinker import types

MODEL = sys.argv[1]
STEPS = 6
PLANS: dict[str, dict[str, Any]] = {
    "a": {"rank": 8, "seed": 1, "learning_rate": 5e-3, "tokens": [5, 9, 14, 30, 31, 44, 60]},
    "b": {"rank": 4, "seed": 2, "learning_rate": 1e-3, "tokens": [7, 8, 90, 22, 13]},
}


def awaited(value: Any) -> Any:
    """Newer releases answer with futures where older ones answered with the thing itself."""
    return value.result() if hasattr(value, "result") else value


def start(service: Any, plan: dict[str, Any]) -> Any:
    return awaited(service.create_lora_training_client(MODEL, rank=plan["rank"], seed=plan["seed"]))


def step(client: Any, plan: dict[str, Any], number: int) -> list[Any]:
    tokens = plan["tokens"][number % 2 :]
    datum = types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": types.TensorData(data=tokens[1:], dtype="int64", shape=[len(tokens) - 1]),
            "weights": types.TensorData(data=[1.0] * (len(tokens) - 1), dtype="float32", shape=[len(tokens) - 1]),
        },
    )
    adam = types.AdamParams(learning_rate=plan["learning_rate"])
    return [client.forward_backward([datum, datum], "cross_entropy"), client.optim_step(adam)]


def main() -> None:
    service = tinker.ServiceClient()
    saved: dict[str, str] = {}
    for name, plan in PLANS.items():
        client = start(service, plan)
        for number in range(STEPS):
            for future in step(client, plan, number):
                future.result()
        saved[f"{name} alone"] = client.save_state("end").result().path
    clients = {name: start(service, plan) for name, plan in PLANS.items()}
    waiting = []
    for number in range(STEPS):
        for name, plan in PLANS.items():
            waiting += step(clients[name], plan, number)
    for future in waiting:
        future.result()
    for name, client in clients.items():
        saved[f"{name} together"] = client.save_state("end").result().path
    print(json.dumps(saved), flush=True)


main()
