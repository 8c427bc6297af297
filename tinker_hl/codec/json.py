"""Training data and results as JSON, in the form that servers of the 0.7 generation read and write.

Requests are written as those servers know them: no `type` tags (each kind of chunk is known by its keys), sparse
tensors filled up. Answers are read with tolerance: NaN as Python's own `json` writes it, missing metrics, a missing
first logprob of the prompt. It knows the public types and the bytes, nothing of requests.
"""

import base64
import contextlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from tinker_hl.codec.long_lists import without_lists
from tinker_hl.codec.pieces import Buffer, EncodedDatum, Pieces
from tinker_hl.codec.structure_error import StructureError
from tinker_hl.giving_way import giving_way
from tinker_hl.types.arrays import Array, TensorDtype, packer
from tinker_hl.types.datum import Datum, as_tensor_data
from tinker_hl.types.dmel_chunk import DmelChunk
from tinker_hl.types.image_chunk import ImageChunk
from tinker_hl.types.model_input import EncodedTextChunk, ModelInputChunk
from tinker_hl.types.record import Record, json_bytes
from tinker_hl.types.sample_response import (
    PromptAltTokens,
    SampledSequence,
    SampleResponse,
    nan_for_none,
    with_first_missing,
)
from tinker_hl.types.tensor_data import TensorData
from tinker_hl.types.topk import TopkLogprobs
from tinker_hl.types.training import ForwardBackwardOutput, LossFnOutput

__all__ = [
    "CONTENT_TYPE",
    "decode_forward_backward_output",
    "decode_sample_response",
    "encode_datum",
    "encode_record",
    "forward_backward_body",
    "loads",
]

CONTENT_TYPE: Final = "application/json"
LONG: Final = 64 * 1024
"""Bytes above which a result is read in pieces."""


def loads(content: bytes) -> Any:
    """Parsed JSON; `NaN` and infinities, which are not JSON but are sent, are read too. Raises `StructureError`."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass  # perhaps only for a NaN, which the standard library reads
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StructureError(f"not JSON: {error}") from error


def encode_record(record: Record) -> bytes:
    """A request record as it is sent: tags included, None left out."""
    return json_bytes(record.wire_dict())


def encode_datum(datum: Datum) -> bytes:
    """One example as a JSON object. Provenance spans have no JSON form and are left out."""
    inputs = {key: _tensor(as_tensor_data(key, value)) for key, value in datum.loss_fn_inputs.items()}
    chunks = [_chunk(chunk) for chunk in datum.model_input.chunks]
    return json_bytes({"loss_fn_inputs": inputs, "model_input": {"chunks": chunks}})


def _tensor(tensor: TensorData) -> dict[str, Any]:
    dense = tensor.to_numpy()
    return {"data": dense.reshape(-1), "dtype": tensor.dtype, "shape": list(dense.shape)}


def _chunk(chunk: ModelInputChunk) -> dict[str, Any]:
    if isinstance(chunk, EncodedTextChunk):
        return {"tokens": chunk.ids}
    if isinstance(chunk, DmelChunk):
        return {"dmel": base64.b64encode(chunk.dmel).decode()}
    fields: dict[str, Any] = {"format": chunk.format}
    if isinstance(chunk, ImageChunk):
        fields["data"] = base64.b64encode(chunk.data).decode()
    else:
        fields["location"] = chunk.location
    if chunk.expected_tokens is not None:
        fields["expected_tokens"] = chunk.expected_tokens
    return fields


def forward_backward_body(
    model_id: str,
    seq_id: int,
    encoded: Sequence[EncodedDatum],
    loss_fn: str,
    loss_fn_config: Mapping[str, float | str] | None = None,
    *,
    forward_only: bool = False,
) -> Pieces:
    """The body for `/forward_backward`, or with `forward_only` for `/forward`, around datums encoded already.

    Args:
        model_id: the model in training.
        seq_id: the call's place in that model's order, 1 or above.
        encoded: results of `encode_datum`, in order.
        loss_fn: name of the loss.
        loss_fn_config: its settings.
        forward_only: which of the two endpoints the body is for.
    """
    name = "forward_input" if forward_only else "forward_backward_input"
    settings = json_bytes({"loss_fn": loss_fn, "loss_fn_config": dict(loss_fn_config) if loss_fn_config else None})
    address = json_bytes({"model_id": model_id, "seq_id": seq_id})
    parts: list[Buffer] = [b'{"%s":{"data":[' % name.encode()]
    for datum in encoded:
        parts += (bytes(datum), b",")
    if encoded:
        parts.pop()
    # Both objects go on where the hand-written beginnings end.
    return Pieces([*parts, b"],", settings[1:], b",", address[1:]])


def decode_forward_backward_output(content: bytes) -> ForwardBackwardOutput:
    """The result of a pass from JSON; missing metrics are none. Raises `StructureError` if it is no such object."""
    if len(content) > LONG:
        rest, lists = without_lists(content)
        with contextlib.suppress(StructureError):
            return _pass_output(loads(rest), lists)
        # It is broken, or has lists in lists, and is read at once, however long that takes.
    return _pass_output(loads(content), None)


def _pass_output(parsed: Any, lists: Sequence[bytes] | None) -> ForwardBackwardOutput:
    """The result from parsed JSON, and from the lists that were cut out of it, if they were."""
    value = _object(parsed, "ForwardBackwardOutput")
    outputs = value.get("loss_fn_outputs")
    if not isinstance(outputs, list):
        raise StructureError("not a ForwardBackwardOutput: loss_fn_outputs must be a list")
    metrics = _object(value.get("metrics") or {}, "ForwardBackwardOutput.metrics")
    return ForwardBackwardOutput(
        str(value.get("loss_fn_output_type") or "ArrayRecord"),
        [_output(output, place, lists) for place, output in enumerate(giving_way(outputs))],
        {name: number for name, number in metrics.items() if isinstance(number, (int, float))},
    )


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise StructureError(f"not a {name}: an object is needed, got {type(value).__name__}")
    return value


def _output(output: Any, place: int, lists: Sequence[bytes] | None) -> LossFnOutput:
    fields = _object(output, f"loss_fn_outputs[{place}]")
    return {name: _read_tensor(tensor, f"loss_fn_outputs[{place}].{name}", lists) for name, tensor in fields.items()}


def _read_tensor(value: Any, name: str, lists: Sequence[bytes] | None = None) -> TensorData:
    fields = _object(value, name)
    try:
        if lists is not None and isinstance(fields["data"], list):
            fields = {**fields, "data": loads(lists[fields["data"][0]])}
        if fields.get("sparse_crow_indices") is not None:
            return TensorData(**fields)
        array = _numbers(fields["data"], "int64" if fields["dtype"] == "int64" else "float32")
        shape = fields.get("shape")
        return TensorData.adopt(array.reshape(-1) if shape is None else array.reshape(shape))
    except (KeyError, TypeError, ValueError) as error:
        raise StructureError(f"{name} is no tensor: {error!r}") from error


def _numbers(data: Any, dtype: TensorDtype) -> Array:
    """Writeable values; null becomes NaN."""
    try:
        # Twice as quick as numpy is with a list (see `types.arrays`), but for numbers of the dtype's kind only.
        return np.frombuffer(bytearray(packer(dtype, len(data))(*data)), dtype)
    except (struct.error, OverflowError, TypeError):
        return np.array(data, dtype=dtype)


def decode_sample_response(
    content: bytes, sequence_ids: Sequence[str] | None = None, prompt_length: int | None = None
) -> SampleResponse:
    """Samples from JSON.

    Args:
        content: the answer's body.
        sequence_ids: one a sample, from the submission's answer; None if that server gives none.
        prompt_length: tokens of the prompt, if known: a server that leaves out the first, never scored position of the
            prompt's logprobs is corrected then.

    Raises:
        StructureError: not such an object, or another number of samples than ids.
    """
    value = _object(loads(content), "SampleResponse")
    sequences = value.get("sequences")
    if not isinstance(sequences, list):
        raise StructureError("not a SampleResponse: sequences must be a list")
    if sequence_ids is not None and len(sequence_ids) != len(sequences):
        raise StructureError(f"SampleResponse: {len(sequences)} sequences for {len(sequence_ids)} sequence ids")
    names: Sequence[str | None] = [None] * len(sequences) if sequence_ids is None else sequence_ids
    try:
        return _read_samples(value, sequences, names, prompt_length)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StructureError(f"not a SampleResponse: {error!r}") from error


def _read_samples(
    value: Mapping[str, Any], sequences: list[Any], names: Sequence[str | None], prompt_length: int | None
) -> SampleResponse:
    topk = value.get("topk_prompt_logprobs")
    if topk is not None and prompt_length is not None and len(topk) == prompt_length - 1:
        topk = [None, *topk]
    targets = value.get("target_prompt_logprobs")
    return SampleResponse(
        [_read_sequence(sequence, name) for sequence, name in zip(sequences, names, strict=True)],
        prompt_logprobs_np=with_first_missing(nan_for_none(value.get("prompt_logprobs")), prompt_length),
        topk_prompt_logprobs_np=None if topk is None else TopkLogprobs.from_lists(topk),
        target_prompt_logprobs=None if targets is None else _read_tensor(targets, "target_prompt_logprobs"),
        prompt_cache_hit_tokens=int(value.get("prompt_cache_hit_tokens") or 0),
        prompt_alt_tokens=_read_alternatives(value.get("prompt_alt_tokens")),
    )


def _read_alternatives(value: Any) -> PromptAltTokens | None:
    if value is None:
        return None
    drawn = {name: _read_tensor(value[name], f"prompt_alt_tokens.{name}") for name in ("tokens", "logprobs")}
    return PromptAltTokens(**drawn)


def _read_sequence(value: Any, name: str | None) -> SampledSequence:
    fields = _object(value, "SampledSequence")
    topk = fields.get("topk_logprobs")
    return SampledSequence(
        stop_reason=fields["stop_reason"],
        sequence_id=name,
        tokens_np=np.array(fields["tokens"], dtype=np.int32),
        logprobs_np=nan_for_none(fields.get("logprobs")),
        topk_logprobs_np=None if topk is None else TopkLogprobs.from_lists(topk),
    )
