"""What a sampling call asks for."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np

from tinker_hl.types.arrays import array_like
from tinker_hl.types.model_input import ModelInput
from tinker_hl.types.record import Answer, Record
from tinker_hl.types.scalars import finite, whole, whole_or_none
from tinker_hl.types.tensor_data import TensorData

__all__ = [
    "CreateSamplingSessionRequest",
    "CreateSamplingSessionResponse",
    "GetSamplerResponse",
    "JoinSamplingSessionRequest",
    "JoinSamplingSessionResponse",
    "SampleRequest",
    "SamplingClientKind",
    "SamplingParams",
    "StopReason",
]

StopReason: TypeAlias = Literal["length", "stop"]
SamplingClientKind: TypeAlias = Literal["snapshot", "inflight"]
Stop: TypeAlias = str | Sequence[str] | Sequence[int] | None


def _stop(value: Any) -> Stop:
    """One string, strings, or token ids; numbers of numpy or torch become ints."""
    if value is None or isinstance(value, str):
        return value
    array = array_like(value)
    if array is None and not isinstance(value, Sequence):
        raise TypeError(f"stop takes a string, strings or token ids, got {type(value).__name__}")
    items = list(value) if array is None else array.reshape(-1).tolist()
    if all(isinstance(item, str) for item in items):
        return items
    if any(isinstance(item, str) for item in items):
        raise TypeError("stop takes strings or token ids, not both")
    return [whole(item) for item in items]


@attrs.frozen(kw_only=True)
class SamplingParams(Record):
    """How to sample.

    Args:
        max_tokens: at most so many new tokens; None leaves it to the service.
        seed: the same seed gives the same tokens; None is random.
        stop: a string, strings, or token ids that end a sample; None is the model's own end of sequence; an empty
            list is no stop at all.
        temperature: 0 takes the likeliest token.
        top_k: only the k likeliest tokens; -1 is all.
        top_p: only the likeliest tokens that together have this probability.
    """

    max_tokens: int | None = attrs.field(default=None, converter=whole_or_none)
    seed: int | None = attrs.field(default=None, converter=whole_or_none)
    stop: Stop = attrs.field(default=None, converter=_stop)
    temperature: float = attrs.field(default=1.0, converter=finite)
    top_k: int = attrs.field(default=-1, converter=whole)
    top_p: float = attrs.field(default=1.0, converter=finite)


def _target_tokens(value: Any) -> TensorData | None:
    if value is None or isinstance(value, TensorData):
        return value
    if isinstance(value, Mapping):
        return TensorData(**value)
    array = array_like(value)
    return TensorData(np.array(value) if array is None else array, "int64", np.shape(value))


@attrs.frozen(kw_only=True)
class SampleRequest(Record):
    """One call of `sample`, as it is sent."""

    num_samples: int = attrs.field(default=1, converter=whole)
    prompt: ModelInput
    sampling_params: SamplingParams
    base_model: str | None = None
    model_path: str | None = None
    sampling_session_id: str | None = None
    seq_id: int | None = None
    prompt_logprobs: bool | None = None
    topk_prompt_logprobs: int = attrs.field(default=0, converter=whole)
    topk_sample_logprobs: int = attrs.field(default=0, converter=whole)
    target_prompt_logprobs: TensorData | None = attrs.field(default=None, converter=_target_tokens)
    """int64 [len(prompt) - 1, K]; row i scores prompt position i + 1; -1 asks for nothing."""
    prompt_alt_tokens_k: int = attrs.field(default=0, converter=whole)
    prompt_logprobs_last_n: int | None = attrs.field(default=None, converter=whole_or_none)
    record_stability_info: bool | None = None
    type: Literal["sample"] = "sample"


@attrs.frozen(kw_only=True)
class CreateSamplingSessionRequest(Record):
    """Asks for something to sample from: a base model or a checkpoint."""

    session_id: str
    sampling_session_seq_id: int
    base_model: str | None = None
    model_path: str | None = None
    type: Literal["create_sampling_session"] = "create_sampling_session"


@attrs.frozen(kw_only=True)
class CreateSamplingSessionResponse(Answer):
    """The id to sample under."""

    type: Literal["create_sampling_session"] = "create_sampling_session"
    sampling_session_id: str


@attrs.frozen(kw_only=True)
class JoinSamplingSessionRequest(Record):
    """Asks for a number of one's own in a sampling session made by another process."""

    sampling_session_id: str
    type: Literal["join_sampling_session"] = "join_sampling_session"


@attrs.frozen(kw_only=True)
class JoinSamplingSessionResponse(Answer):
    """The number; the client that made the session has 0."""

    type: Literal["join_sampling_session"] = "join_sampling_session"
    client_counter: int


@attrs.frozen(kw_only=True)
class GetSamplerResponse(Answer):
    """What a sampler samples from."""

    sampler_id: str
    base_model: str
    model_path: str | None = None
