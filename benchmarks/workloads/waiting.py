"""Results that take a while: how long after a result was ready on the server its caller had it.

    python -m benchmarks.workloads.waiting official|ours URL ROUNDS CALLS

It runs in the environment of whichever SDK it is for.
"""

import json
import sys
import time
from typing import Any

from benchmarks.workloads.measuring import ready, sdk

side, url, rounds, calls = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5])
tinker = sdk(side)


def once(trainer: Any) -> dict[str, float]:
    """One step after the other, each waited for in this thread; `ready_at` is on a clock that both processes share."""
    late = []
    for _ in range(calls):
        answer = trainer.optim_step(tinker.types.AdamParams(learning_rate=1e-4)).result()
        late.append((time.monotonic() - answer.metrics["ready_at"]) * 1000)
    late.sort()
    return {"p50 ms": late[len(late) // 2], "p99 ms": late[min(len(late) - 1, len(late) * 99 // 100)]}


def main() -> None:
    service = tinker.ServiceClient(base_url=url, api_key="tml-benchmark")
    trainer = ready(service.create_lora_training_client(base_model="stub/model"))
    found = [once(trainer) for _ in range(rounds + 1)][1:]
    print(json.dumps({"rounds": found}), flush=True)


main()
