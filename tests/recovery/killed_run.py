"""A training script that is meant to be killed: `python killed_run.py URL KEY FOLDER STEPS`.

It prints a line for each step, and `final PATH` at the end. Batches are drawn at random from a generator that belongs
to the run, and from a position in the data that does, too; gradients are gathered over two passes.
"""

import sys
from pathlib import Path

import numpy as np

from tinker_hl import AdamParams, Datum, ModelInput, ServiceClient
from tinker_hl.recovery import CheckpointSchedule, RecoveryPolicy, TrainingRun

MODEL = "tinker-hl/tiny"


def batch(generator: np.random.Generator, cursor: int) -> list[Datum]:
    """Two datums of different lengths."""
    data = []
    for row in range(2):
        tokens = [(cursor + 7 * place) % 250 + 3 for place in range(4 + row)] + generator.integers(3, 250, 4).tolist()
        inputs = {"target_tokens": tokens[1:], "weights": [1.0] * (len(tokens) - 1)}
        data.append(Datum(ModelInput.from_ints(tokens[:-1]), inputs))
    return data


def train(url: str, key: str, folder: Path, steps: int) -> str | None:
    """The run; the path of its last checkpoint."""
    generator = np.random.default_rng(11)
    policy = RecoveryPolicy(enabled=True, backoff=0.1, max_backoff=1.0, max_attempts=20)
    with ServiceClient(base_url=url, api_key=key) as service:
        run = TrainingRun(
            service,
            folder,
            lambda: service.create_lora_training_client(MODEL, rank=4, seed=3),
            schedule=CheckpointSchedule(steps=5),
            policy=policy,
            generators={"data": generator},
        )
        with run:
            trainer = run.client
            for step in run.steps(steps):
                cursor = run.state.get("cursor", 0)
                passes = [
                    trainer.forward_backward(batch(generator, cursor + number), "cross_entropy") for number in (0, 1)
                ]
                trainer.optim_step(AdamParams(learning_rate=2e-3, grad_clip_norm=1.0))
                run.state["cursor"] = cursor + 2
                if step % 3 == 0:  # the other steps are not waited for
                    losses = [each.result(120).metrics["loss:sum"] for each in passes]
                    run.state["losses"] = [*run.state.get("losses", []), *losses]
                print(step, flush=True)
            print("state", run.state, flush=True)
    return run.final_path


if __name__ == "__main__":
    url, key, folder, steps = sys.argv[1:]
    print("final", train(url, key, Path(folder), int(steps)), flush=True)
