"""A researcher's script for the official SDK: it trains, resumes, samples, lists, and prints what it saw as JSON.

Run by the official SDK's own python, so it imports nothing of ours. It is the same for every release; what only newer
releases have stands under `if NEW`. Reached through TINKER_BASE_URL and TINKER_API_KEY, as any such script would be.

    python training_loop.py MODEL
"""

import asyncio
import importlib.metadata
import io
import json
import sys
import tarfile
import urllib.request
from typing import Any

import numpy as np
import tinker
import torch
from tinker import types

MODEL = sys.argv[1]
VERSION = importlib.metadata.version("tinker")
NEW = hasattr(tinker, "RestClient")
WORDS = ["apple", "stone", "river", "green", "under", "light", "cloud", "house"]
ADAM = types.AdamParams(learning_rate=5e-3, weight_decay=0.01, grad_clip_norm=1.0)


def awaited(value: Any) -> Any:
    """Newer releases answer with futures where older ones answered with the thing itself."""
    return value.result() if hasattr(value, "result") else value


def as_datum(tokens: list[int], weights: list[float]) -> types.Datum:
    """One sequence: position i predicts token i + 1."""
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": types.TensorData(data=tokens[1:], dtype="int64", shape=[len(tokens) - 1]),
            "weights": types.TensorData(data=weights[1:], dtype="float32", shape=[len(tokens) - 1]),
        },
    )


def supervised(tokenizer: Any) -> list[types.Datum]:
    """Each word twice; only the second one counts."""
    data = []
    for word in WORDS:
        prompt, completion = tokenizer.encode(f"{word} "), tokenizer.encode(word.upper())
        data.append(as_datum(prompt + completion, [0.0] * len(prompt) + [1.0] * len(completion)))
    return data


def logprobs_of(output: Any) -> list[list[float]]:
    return [list(np.asarray(record["logprobs"].data, dtype=float)) for record in output.loss_fn_outputs]


def train(client: Any, data: list[types.Datum], steps: int) -> list[float]:
    """Every call is on its way before the first answer is read, as the documentation advises."""
    waiting = []
    for _ in range(steps):
        waiting.append((client.forward_backward(data, "cross_entropy"), client.optim_step(ADAM)))
    losses = []
    for pass_future, step_future in waiting:
        losses.append(pass_future.result().metrics["loss:sum"])
        step_future.result()
    return losses


def check_losses(client: Any, data: list[types.Datum]) -> dict[str, Any]:
    """Each loss on data that the model itself scored, so that every ratio is one, then on data 0.5 away from it."""
    scored = logprobs_of(client.forward(data, "cross_entropy").result())
    seen: dict[str, Any] = {"logprobs": scored}
    for shift in (0.0, 0.5):
        rewarded = []
        for datum, logprobs in zip(data, scored, strict=True):
            length = len(logprobs)
            rewarded.append(
                types.Datum(
                    model_input=datum.model_input,
                    loss_fn_inputs={
                        "target_tokens": datum.loss_fn_inputs["target_tokens"],
                        "logprobs": types.TensorData(
                            data=[value - shift for value in logprobs], dtype="float32", shape=[length]
                        ),
                        "advantages": types.TensorData(data=[1.0] * length, dtype="float32", shape=[length]),
                    },
                )
            )
        for name, config in (
            ("importance_sampling", None),
            ("ppo", {"clip_low_threshold": 0.9, "clip_high_threshold": 1.1}),
            ("cispo", {"clip_low_threshold": 0.9, "clip_high_threshold": 1.1}),
            ("dro", {"beta": 0.05}),
        ):
            output = client.forward_backward(rewarded, name, config).result()
            seen[f"{name} {shift}"] = output.metrics["loss:sum"]
    seen["step"] = client.optim_step(types.AdamParams(learning_rate=0.0)).result().metrics
    return seen


def check_custom_loss(client: Any, data: list[types.Datum]) -> dict[str, Any]:
    """A loss of the researcher's own, which is cross-entropy again: both must agree."""
    weights = [torch.tensor(np.asarray(datum.loss_fn_inputs["weights"].data, dtype=np.float32)) for datum in data]

    def loss(_data: list[types.Datum], logprobs: list[torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        total = -sum((row * weight).sum() for row, weight in zip(logprobs, weights, strict=True))
        return total, {"words": float(len(logprobs))}

    plain = client.forward_backward(data, "cross_entropy").result()
    plain_norm = client.optim_step(types.AdamParams(learning_rate=0.0)).result().metrics
    custom = client.forward_backward_custom(data, loss).result()
    custom_norm = client.optim_step(types.AdamParams(learning_rate=0.0)).result().metrics
    return {
        "plain": plain.metrics["loss:sum"],
        "custom": custom.metrics,
        "plain_step": plain_norm,
        "custom_step": custom_norm,
    }


def sampled(sequence: Any) -> dict[str, Any]:
    return {
        "tokens": list(sequence.tokens),
        "logprobs": list(sequence.logprobs),
        "stop_reason": str(sequence.stop_reason),
    }


def check_sampling(sampler: Any, tokenizer: Any) -> dict[str, Any]:
    prompt = types.ModelInput.from_ints(tokens=tokenizer.encode("river "))
    seeded = types.SamplingParams(max_tokens=6, seed=11, temperature=0.9, top_k=20, top_p=0.95)
    greedy = types.SamplingParams(max_tokens=6, temperature=0.0)
    several = sampler.sample(prompt=prompt, num_samples=3, sampling_params=seeded).result()
    again = sampler.sample(prompt=prompt, num_samples=3, sampling_params=seeded).result()
    best = sampler.sample(prompt=prompt, num_samples=1, sampling_params=greedy).result()
    stop_token = list(best.sequences[0].tokens)[1]
    stop_text = tokenizer.decode([stop_token])
    stopped = {}
    for kind, stop in (("text", [stop_text]), ("token", [stop_token])):
        params = types.SamplingParams(max_tokens=6, temperature=0.0, stop=stop)
        stopped[kind] = sampled(
            sampler.sample(prompt=prompt, num_samples=1, sampling_params=params).result().sequences[0]
        )
    scored = sampler.sample(
        prompt=prompt, num_samples=1, sampling_params=greedy, include_prompt_logprobs=True, topk_prompt_logprobs=4
    ).result()
    at_once = [sampler.sample(prompt=prompt, num_samples=1, sampling_params=greedy) for _ in range(32)]
    seen = {
        "several": [sampled(sequence) for sequence in several.sequences],
        "again": [sampled(sequence) for sequence in again.sequences],
        "greedy": sampled(best.sequences[0]),
        "greedy_text": tokenizer.decode(list(best.sequences[0].tokens)),
        "stop_token": stop_token,
        "stopped": stopped,
        "prompt_logprobs": list(scored.prompt_logprobs),
        "topk_prompt_logprobs": scored.topk_prompt_logprobs,
        "prompt": prompt.to_ints(),
        "at_once": [list(future.result().sequences[0].tokens) for future in at_once],
        "compute_logprobs": list(sampler.compute_logprobs(prompt).result()),
    }
    if NEW:
        seen["new"] = check_new_sampling(sampler, prompt)
    return seen


def check_new_sampling(sampler: Any, prompt: types.ModelInput) -> dict[str, Any]:
    """What `sample` can be asked since the releases of the year of 0.38."""
    length = prompt.length
    targets = np.full((length - 1, 2), -1, dtype=np.int64)
    targets[:, 0] = prompt.to_ints()[1:]
    answer = sampler.sample(
        prompt=prompt,
        num_samples=2,
        sampling_params=types.SamplingParams(max_tokens=5, temperature=0.0, stop=[]),
        include_prompt_logprobs=True,
        topk_sample_logprobs=3,
        target_prompt_logprobs=types.TensorData.from_numpy(targets),
        prompt_alt_tokens_k=2,
    ).result()
    last = sampler.sample(
        prompt=prompt,
        num_samples=1,
        sampling_params=types.SamplingParams(max_tokens=1),
        include_prompt_logprobs=True,
        prompt_logprobs_last_n=2,
    ).result()
    return {
        "lengths": [len(sequence.tokens) for sequence in answer.sequences],
        "topk": [sequence.topk_logprobs for sequence in answer.sequences],
        "tokens": [list(sequence.tokens) for sequence in answer.sequences],
        "prompt_logprobs": list(answer.prompt_logprobs),
        "target_prompt_logprobs": answer.target_prompt_logprobs.tolist(),
        "alt_tokens_shape": answer.prompt_alt_tokens.tokens.shape,
        "alt_logprobs": answer.prompt_alt_tokens.logprobs.tolist(),
        "sequence_ids": [sequence.sequence_id for sequence in answer.sequences],
        "last_two": list(last.prompt_logprobs),
        "handle": type(sampler.from_sampler_handle(sampler.get_sampler_handle())).__name__,
        "base_model": sampler.get_base_model(),
    }


async def check_async(client: Any, sampler: Any, data: list[types.Datum], tokenizer: Any) -> dict[str, Any]:
    prompt = types.ModelInput.from_ints(tokens=tokenizer.encode("cloud "))
    params = types.SamplingParams(max_tokens=4, temperature=0.0)
    samples = await asyncio.gather(*(sampler.sample_async(prompt, 1, params) for _ in range(4)))
    passed = await (await client.forward_backward_async(data, "cross_entropy"))
    stepped = await (await client.optim_step_async(types.AdamParams(learning_rate=0.0)))
    return {
        "samples": [list(sample.sequences[0].tokens) for sample in samples],
        "loss": passed.metrics["loss:sum"],
        "metrics": stepped.metrics,
    }


def check_refusal(client: Any, data: list[types.Datum]) -> dict[str, Any]:
    """A token that the model does not have is refused, and the run goes on."""
    bad = as_datum([1, 10_000_000, 2], [1.0, 1.0, 1.0])
    try:
        client.forward_backward([data[0], bad], "cross_entropy").result()
        raised = {"type": None, "text": ""}
    except tinker.TinkerError as error:
        raised = {"type": type(error).__name__, "text": str(error)}
    return raised | {"loss_after": client.forward(data, "cross_entropy").result().metrics["loss:sum"]}


def check_records(service: Any, client: Any, state: str, sampler_path: str) -> dict[str, Any]:
    rest = tinker.RestClient() if NEW else service.create_rest_client()
    run = awaited(rest.get_training_run(client.model_id))
    listed = awaited(rest.list_checkpoints(client.model_id))
    info = awaited(rest.get_weights_info_by_tinker_path(state))
    session = client.model_id.rpartition(":train:")[0]
    details = awaited(rest.get_session(session))
    awaited(rest.publish_checkpoint_from_tinker_path(state))
    published = {c.tinker_path: c.public for c in awaited(rest.list_checkpoints(client.model_id)).checkpoints}
    awaited(rest.unpublish_checkpoint_from_tinker_path(state))
    seen = {
        "runs": [r.training_run_id for r in awaited(rest.list_training_runs()).training_runs],
        # What only the local service tells, and only our client shows.
        "run": {name: told for name, told in json.loads(run.model_dump_json()).items() if name != "started_from"},
        "checkpoints": [[c.checkpoint_id, c.checkpoint_type, c.tinker_path, c.size_bytes] for c in listed.checkpoints],
        "all_checkpoints": [c.tinker_path for c in awaited(rest.list_user_checkpoints()).checkpoints],
        "published": published[state],
        "weights_info": json.loads(info.model_dump_json()),
        "sessions": awaited(rest.list_sessions()).sessions,
        "session": session,
        "session_runs": details.training_run_ids,
        "by_path": awaited(rest.get_training_run_by_tinker_path(sampler_path)).training_run_id,
    }
    if NEW:
        awaited(rest.set_checkpoint_ttl_from_tinker_path(state, 7200))
        expiring = awaited(rest.list_checkpoints(client.model_id)).checkpoints
        seen["expires"] = {c.tinker_path: c.expires_at is not None for c in expiring}[state]
        awaited(rest.set_checkpoint_ttl_from_tinker_path(state, None))
        seen["sampler"] = awaited(rest.get_sampler(details.sampler_ids[0])).base_model
    else:
        archive = awaited(rest.get_checkpoint_archive_url_from_tinker_path(sampler_path))
        with urllib.request.urlopen(archive.url, timeout=30) as answer:
            content = io.BytesIO(answer.read())
        with tarfile.open(fileobj=content, mode="r:gz") as archived:
            seen["archive"] = sorted(member.name for member in archived.getmembers() if member.isfile())
    awaited(rest.delete_checkpoint_from_tinker_path(sampler_path))
    seen["left"] = [c.tinker_path for c in awaited(rest.list_checkpoints(client.model_id)).checkpoints]
    return seen


def main() -> None:
    seen: dict[str, Any] = {"version": VERSION}
    service = tinker.ServiceClient(user_metadata={"suite": "interop"})
    seen["models"] = [model.model_name for model in service.get_server_capabilities().supported_models]
    client = awaited(service.create_lora_training_client(MODEL, rank=8, seed=3, user_metadata={"purpose": "interop"}))
    info = client.get_info()
    tokenizer = client.get_tokenizer()
    data = supervised(tokenizer)
    seen["info"] = json.loads(info.model_dump_json())
    seen["round_trip"] = tokenizer.decode(tokenizer.encode("Hello, wörld"))

    seen["losses"] = train(client, data, 12)
    saved = client.save_state("halfway").result()
    seen["state"] = saved.path
    seen["went_on"] = train(client, data, 3)
    resumed = awaited(service.create_training_client_from_state_with_optimizer(saved.path))
    seen["resumed"] = train(resumed, data, 3)
    seen["resumed_rank"] = resumed.get_info().lora_rank
    weights_only = awaited(service.create_training_client_from_state(saved.path))
    seen["weights_only"] = train(weights_only, data, 3)
    seen["rl"] = check_losses(weights_only, data)
    seen["custom"] = check_custom_loss(weights_only, data)

    seen["weights_before"] = logprobs_of(client.forward(data, "cross_entropy").result())[0]
    sampler_path = client.save_weights_for_sampler("final").result().path
    seen["sampler_path"] = sampler_path
    named = awaited(client.create_sampling_client(sampler_path))
    unnamed = awaited(client.save_weights_and_get_sampling_client())
    first = data[0].model_input
    seen["named_logprobs"] = list(named.compute_logprobs(first).result())
    seen["unnamed_logprobs"] = list(unnamed.compute_logprobs(first).result())
    train(client, data, 2)
    seen["snapshot_logprobs"] = list(named.compute_logprobs(first).result())
    base = awaited(service.create_sampling_client(base_model=MODEL))
    seen["base_logprobs"] = list(base.compute_logprobs(first).result())
    seen["sampling"] = check_sampling(named, tokenizer)
    seen["async"] = asyncio.run(check_async(client, named, data, tokenizer))
    seen["refused"] = check_refusal(client, data)
    seen["records"] = check_records(service, client, saved.path, sampler_path)
    if NEW:
        service.close("success").result()
    print(json.dumps(seen), flush=True)


main()
