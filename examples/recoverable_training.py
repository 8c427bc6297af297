"""A training run that survives the death of its service, and its own: start it again, and it goes on.

    tinker-hl serve --port 8000 &
    TINKER_BASE_URL=http://127.0.0.1:8000 python examples/recoverable_training.py [FOLDER] [STEPS]

Without an address it starts a service of its own, which ends with it: then there is nothing to go on from.
"""

import os
import random
import sys

import tinker_hl as tinker
from tinker_hl.recovery import CheckpointSchedule, TrainingRun

FRUITS = {"lemon": "yellow", "plum": "purple", "lime": "green", "cherry": "red"}


def main(folder: str, steps: int) -> None:
    """Train on one fruit after the other, in a random order that belongs to the run."""
    shuffle = random.Random(7)
    with tinker.ServiceClient(base_url=os.environ.get("TINKER_BASE_URL", "local")) as service:
        run = TrainingRun(
            service,
            folder,
            lambda: service.create_lora_training_client(base_model="tinker-hl/tiny", rank=16),
            schedule=CheckpointSchedule(steps=10, seconds=300),
            generators={"shuffle": shuffle},
        )
        with run:
            trainer = run.client
            tokenizer = trainer.get_tokenizer()
            for step in run.steps(steps):
                fruit = shuffle.choice(list(FRUITS))
                tokens = tokenizer.encode(f"{fruit} is {FRUITS[fruit]}")
                inputs = {"target_tokens": tokens[1:], "weights": [1.0] * (len(tokens) - 1)}
                datum = tinker.Datum(model_input=tinker.ModelInput.from_ints(tokens[:-1]), loss_fn_inputs=inputs)
                passed = trainer.forward_backward([datum], "cross_entropy")
                trainer.optim_step(tinker.AdamParams(learning_rate=3e-3))
                run.state["seen"] = run.state.get("seen", 0) + 1
                print(step, fruit, passed.result().metrics["loss:sum"])
        print(run.state["seen"], "steps, saved as", run.final_path)


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    main(arguments.get(1, "runs/fruits"), int(arguments.get(2, 30)))
