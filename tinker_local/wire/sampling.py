"""A sampling request to the engine's job. It does not know sampling sessions or how tokens are drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinker_local.engine.protocol import SampleJob
from tinker_local.wire.faults import WireFault
from tinker_local.wire.tensors import Room, tensor_from_json
from tinker_local.wire.tokens import row_from_json

__all__ = ["decode_sample"]

_PARAMS = ("max_tokens", "seed", "temperature", "top_k", "top_p")
_OPTIONS = (
    "num_samples",
    "prompt_logprobs",
    "topk_prompt_logprobs",
    "topk_sample_logprobs",
    "prompt_alt_tokens_k",
    "prompt_logprobs_last_n",
)


def decode_sample(body: Mapping[str, Any], *, job_id: str, sampler_id: str, callers: tuple[str, ...] = ()) -> SampleJob:
    """A validated `SampleRequest` as a job for the engine; what it leaves out or sets to null has the job's default.

    `stop` null stops at the model's end-of-sequence tokens; a string, strings or token ids stop there as well; an empty
    list stops at nothing but `max_tokens`.

    Raises:
        WireFault: the prompt is empty or has a chunk that cannot be used, or an option does not fit the prompt.
    """
    row = row_from_json(body["prompt"], ("body", "prompt"))
    prompt = row.tokens
    params = body["sampling_params"]
    given: dict[str, Any] = {name: params[name] for name in _PARAMS if params.get(name) is not None}
    given |= {name: body[name] for name in _OPTIONS if body.get(name) is not None}
    if "prompt_logprobs_last_n" in given:
        _check_last_n(given["prompt_logprobs_last_n"], prompt.size, asked=bool(given.get("prompt_logprobs")))
    if body.get("target_prompt_logprobs") is not None:
        given["target_prompt_tokens"] = _target_ids(body["target_prompt_logprobs"], prompt.size)
    stops = _stops(params.get("stop"))
    return SampleJob(
        job_id=job_id, sampler_id=sampler_id, prompt=prompt, images=row.images, callers=callers, **given, **stops
    )


def _stops(stop: str | list[str] | list[int] | None) -> dict[str, Any]:
    if stop is None:
        return {}
    if stop == []:
        return {"stop_at_eos": False}
    given = (stop,) if isinstance(stop, str) else tuple(stop)
    strings = tuple(item for item in given if isinstance(item, str))
    if "" in strings:
        raise WireFault(("body", "sampling_params", "stop"), "an empty stop string would stop before the first token")
    return {"stop_strings": strings, "stop_token_ids": tuple(item for item in given if not isinstance(item, str))}


def _check_last_n(last_n: int, length: int, *, asked: bool) -> None:
    loc = ("body", "prompt_logprobs_last_n")
    if not asked:
        raise WireFault(loc, "prompt_logprobs_last_n needs prompt_logprobs to be true")
    if not 1 <= last_n < length:
        raise WireFault(loc, f"{last_n} is not between 1 and {length - 1}, the scored positions of this prompt")


def _target_ids(tensor: Mapping[str, Any], length: int) -> NDArray[np.int64]:
    loc = ("body", "target_prompt_logprobs")
    ids = tensor_from_json(tensor, loc, Room(), fill=-1)
    if ids.dtype.kind != "i":
        raise WireFault((*loc, "dtype"), "target_prompt_logprobs holds token ids: its dtype must be int64")
    if ids.ndim != 2 or ids.shape[0] != length - 1:
        raise WireFault((*loc, "shape"), f"shape {list(ids.shape)} is not [{length - 1}, K] for {length} prompt tokens")
    if not ids.size or ids.max() < 0:
        raise WireFault(loc, "it asks for no token; name at least one id that is not -1")
    if ids.min() < -1:
        raise WireFault(loc, "an id is below -1, which stands for nothing")
    return ids.astype(np.int64, copy=False)
