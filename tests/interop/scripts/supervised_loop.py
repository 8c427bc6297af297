"""Supervised fine-tuning on conversations: batches, a falling learning rate, checkpoints, a restart, a download.

python supervised_loop.py MODEL
"""

import json
import logging
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import tinker
from tinker import types

logger = logging.getLogger(__name__)
MODEL = sys.argv[1]
BATCH_SIZE = 4
EPOCHS = 3
LEARNING_RATE = 4e-3
SAVE_EVERY = 2

CONVERSATIONS = [
    [{"role": "user", "content": f"shout {word}"}, {"role": "assistant", "content": word.upper()}]
    for word in ["apple", "stone", "river", "green", "under", "light", "cloud", "house"]
]


def conversation_to_datum(messages: list[dict[str, str]], tokenizer) -> types.Datum:
    """Only what the assistant says is trained on."""
    tokens, weights = [], []
    for message in messages:
        header = tokenizer.encode(f"{message['role']}: ", add_special_tokens=False)
        body = [*tokenizer.encode(message["content"], add_special_tokens=False), tokenizer.eos_token_id]
        tokens += header + body
        weights += [0] * len(header) + [int(message["role"] == "assistant")] * len(body)
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={
            "weights": types.TensorData.from_numpy(np.array(weights[1:], dtype=np.float32)),
            "target_tokens": types.TensorData.from_numpy(np.array(tokens[1:], dtype=np.int64)),
        },
    )


def mean_nll(outputs: list[dict[str, types.TensorData]], batch: list[types.Datum]) -> float:
    logprobs = np.concatenate([output["logprobs"].to_numpy() for output in outputs])
    weights = np.concatenate([datum.loss_fn_inputs["weights"].to_numpy() for datum in batch])
    return float(-(logprobs * weights).sum() / weights.sum())


def run_epochs(
    training_client: tinker.TrainingClient, data: list[types.Datum], start: int, stop: int, log: list
) -> None:
    batches_per_epoch = len(data) // BATCH_SIZE
    total = EPOCHS * batches_per_epoch
    for step in range(start, stop):
        began = time.time()
        order = np.random.default_rng(step // batches_per_epoch).permutation(len(data))
        first = (step % batches_per_epoch) * BATCH_SIZE
        batch = [data[index] for index in order[first : first + BATCH_SIZE]]
        learning_rate = LEARNING_RATE * (1.0 - step / total)
        adam_params = types.AdamParams(learning_rate=learning_rate, beta1=0.9, beta2=0.95, eps=1e-8)
        fwd_bwd_future = training_client.forward_backward(batch, loss_fn="cross_entropy")
        optim_step_future = training_client.optim_step(adam_params)
        fwd_bwd_result = fwd_bwd_future.result()
        optim_step_future.result()
        log.append(
            {"step": step, "learning_rate": learning_rate, "nll": mean_nll(fwd_bwd_result.loss_fn_outputs, batch)}
        )
        logger.info("step %d took %.2f s", step, time.time() - began)


def download(rest_client: tinker.RestClient, path: str, folder: Path) -> dict[str, list[str]]:
    """Each file from its signed link; the names of the tensors in each."""
    answer = rest_client.get_external_weights_urls(path).result()
    contents = {}
    for name, url in sorted(answer.urls.items()):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        urllib.request.urlretrieve(url, target)
        if target.suffix == ".safetensors":
            blob = target.read_bytes()
            header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
            contents[name] = sorted(key for key in header if key != "__metadata__")
        else:
            contents[name] = sorted(json.loads(target.read_text()))
    return contents


def main() -> None:
    service_client = tinker.ServiceClient(user_metadata={"recipe": "supervised_loop"})
    rest_client = service_client.create_rest_client()
    training_client = service_client.create_lora_training_client(base_model=MODEL, rank=8, seed=11).result()
    tokenizer = training_client.get_tokenizer()
    data = [conversation_to_datum(messages, tokenizer) for messages in CONVERSATIONS]
    log: list[dict] = []
    steps = EPOCHS * (len(data) // BATCH_SIZE)
    saved = []
    for step in range(0, steps - SAVE_EVERY, SAVE_EVERY):
        run_epochs(training_client, data, step, step + SAVE_EVERY, log)
        saved.append(training_client.save_state(name=f"{step + SAVE_EVERY:06d}", ttl_seconds=24 * 3600).result().path)

    # The job stops here; another one goes on with its newest checkpoint.
    run = rest_client.get_training_run_by_tinker_path(saved[-1]).result()
    listed = rest_client.list_checkpoints(run.training_run_id).result().checkpoints
    newest = max((one for one in listed if one.checkpoint_type == "training"), key=lambda one: one.time)
    resumed = service_client.create_training_client_from_state_with_optimizer(newest.tinker_path).result()
    run_epochs(resumed, data, steps - SAVE_EVERY, steps, log)

    sampling_client = resumed.save_weights_and_get_sampling_client().result()
    prompt = types.ModelInput.from_ints(tokenizer.encode("user: shout river", add_special_tokens=False))
    params = types.SamplingParams(max_tokens=8, temperature=0.0, stop=[tokenizer.eos_token_id])
    answer = sampling_client.sample(prompt=prompt, num_samples=1, sampling_params=params).result()

    exported = resumed.save_weights_external("final", ttl_seconds=3600).result().path
    with tempfile.TemporaryDirectory() as folder:
        contents = download(rest_client, exported, Path(folder))
    for path in saved[:-1]:
        rest_client.delete_checkpoint_from_tinker_path(path).result()
    left = rest_client.list_checkpoints(run.training_run_id).result().checkpoints
    service_client.close("success").result()
    print(
        json.dumps(
            {
                "losses": [entry["nll"] for entry in log],
                "log": log,
                "newest": newest.checkpoint_id,
                "said": list(answer.sequences[0].tokens),
                "said_text": tokenizer.decode(answer.sequences[0].tokens),
                "files": contents,
                "left": [one.checkpoint_id for one in left],
            }
        )
    )


if __name__ == "__main__":
    main()
