"""What a sample may ask for, and whether an answer is one to what was asked.

Knows requests and answers, nothing of how they travel.
"""

from typing import Any

import numpy as np

from tinker_hl.codec import results
from tinker_hl.errors import UnexpectedAnswerError
from tinker_hl.poller import Payload
from tinker_hl.types import ModelInput, SampleRequest, SampleResponse, SamplingParams, TensorData

__all__ = ["answer_to", "asked"]


def asked(
    prompt: ModelInput,
    num_samples: int,
    sampling_params: SamplingParams,
    *,
    include_prompt_logprobs: bool = False,
    prompt_logprobs_last_n: int | None = None,
    **more: Any,
) -> SampleRequest:
    """The request, checked before anything is sent.

    Args:
        prompt: See `SamplingClient.sample`, as all others.
        num_samples: At least 1.
        sampling_params: How to sample.
        include_prompt_logprobs: Whether the prompt is scored.
        prompt_logprobs_last_n: At least 1, and only where the prompt is scored.
        more: Other fields of the request.

    Raises:
        TypeError: An argument is of another kind.
        ValueError: An argument makes no sense.
    """
    if not isinstance(prompt, ModelInput):
        raise TypeError(f"prompt must be a ModelInput, got {type(prompt).__name__}: write ModelInput.from_ints(tokens)")
    if not isinstance(sampling_params, SamplingParams):
        raise TypeError(f"sampling_params must be SamplingParams, got {type(sampling_params).__name__}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    if prompt_logprobs_last_n is not None and (prompt_logprobs_last_n < 1 or not include_prompt_logprobs):
        raise ValueError("prompt_logprobs_last_n must be at least 1, and needs include_prompt_logprobs=True")
    request = SampleRequest(
        num_samples=num_samples,
        prompt=prompt,
        sampling_params=sampling_params,
        prompt_logprobs=include_prompt_logprobs,
        prompt_logprobs_last_n=prompt_logprobs_last_n,
        **more,
    )
    for name in ("topk_prompt_logprobs", "topk_sample_logprobs", "prompt_alt_tokens_k"):
        if getattr(request, name) < 0:
            raise ValueError(f"{name} must be 0 or more, got {getattr(request, name)}")
    if request.target_prompt_logprobs is not None:
        _check_targets(request.target_prompt_logprobs, prompt.known_length)
    return request


def _check_targets(targets: TensorData, length: int | None) -> None:
    shape = list(np.shape(targets.to_numpy()))
    if targets.dtype != "int64" or len(shape) != 2:
        raise ValueError(
            f"target_prompt_logprobs must be int64 of shape [len(prompt) - 1, K], got {targets.dtype} of shape {shape}"
        )
    if length is not None and shape[0] != length - 1:
        raise ValueError(f"target_prompt_logprobs needs {length - 1} rows, one for each token but the first: {shape}")


def answer_to(request: SampleRequest, payload: Payload, sequence_ids: list[str] | None) -> SampleResponse:
    """The answer as a public type.

    Args:
        request: What was asked.
        payload: What came.
        sequence_ids: Names of the samples, from the submission's answer; None if that server gives none.

    Raises:
        APIResponseValidationError: It is no answer, or has another number of samples than names.
        UnexpectedAnswerError: It is not an answer to this.
    """
    response = results.sample_response(
        payload.content,
        is_protobuf=payload.is_protobuf,
        sequence_ids=sequence_ids,
        prompt_length=request.prompt.known_length,
    )
    if request.prompt_alt_tokens_k and response.prompt_alt_tokens is None:
        raise _unexpected("prompt_alt_tokens_k was asked for, and the server drew no alternatives")
    if request.target_prompt_logprobs is not None and response.target_prompt_logprobs is None:
        raise _unexpected("target_prompt_logprobs was asked for, and the server scored no targets")
    last, scored = request.prompt_logprobs_last_n, response.prompt_logprobs_np
    if last is not None and scored is not None and not np.isnan(scored[: max(0, scored.size - last)]).all():
        raise _unexpected(f"prompt_logprobs_last_n={last} was asked for, and the server scored earlier positions too")
    return response


def _unexpected(message: str) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(None, None, message, hint="The server is older than what was asked of it.")
