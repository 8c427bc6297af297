"""Training data and results in the protocol's binary form (`proto/tinker_public.proto`).

A datum is encoded before its call has a sequence id, and the body is put together afterwards: in protobuf, fields may
come in any order and a message is the concatenation of its parts, so encoded datums are framed and joined as they are.
Arrays are copied, never walked. It knows the public types and the bytes, nothing of requests.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Any, Final, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray
from tinker_proto import tinker_public_pb2 as pb

from tinker_hl.codec.pieces import Buffer, EncodedDatum, Pieces, array_bytes
from tinker_hl.codec.structure_error import StructureError
from tinker_hl.codec.wire import cut_out, frame_head
from tinker_hl.errors import InvalidDatumError
from tinker_hl.types.arrays import Array, TensorDtype
from tinker_hl.types.datum import Datum, as_tensor_data
from tinker_hl.types.dmel_chunk import DmelChunk
from tinker_hl.types.image_chunk import ImageChunk
from tinker_hl.types.model_input import EncodedTextChunk, ModelInputChunk
from tinker_hl.types.provenance import PromptProvenanceSpan, ProvenanceSpan
from tinker_hl.types.sample_response import PromptAltTokens, SampledSequence, SampleResponse, with_first_missing
from tinker_hl.types.sampling import StopReason
from tinker_hl.types.tensor_data import TensorData
from tinker_hl.types.topk import TopkLogprobs
from tinker_hl.types.training import ForwardBackwardOutput, LossFnOutput

__all__ = [
    "CONTENT_TYPE",
    "decode_forward_backward_output",
    "decode_sample_response",
    "encode_datum",
    "forward_backward_body",
]

CONTENT_TYPE: Final = "application/x-protobuf"

_INT32: Final = np.dtype("<i4")
_INT64: Final = np.dtype("<i8")
_FLOAT32: Final = np.dtype("<f4")
_DTYPES: Final[Mapping[TensorDtype, pb.DType]] = {"int64": pb.DTYPE_INT64, "float32": pb.DTYPE_FLOAT32}
_STOP_REASONS: Final[Mapping[int, StopReason]] = {pb.STOP_REASON_STOP: "stop", pb.STOP_REASON_LENGTH: "length"}
_MAP_KEY: Final = 1
_MAP_VALUE: Final = 2
_TEXT: Final = (
    pb.Datum.MODEL_INPUT_FIELD_NUMBER,
    pb.Chunk.ENCODED_TEXT_FIELD_NUMBER,
    pb.EncodedTextChunk.TOKENS_FIELD_NUMBER,
)
_LARGE_RECORD: Final = 32 * 1024
"""Bytes from which a record of results is read by hand: below, the generated classes are quicker, copies included."""


def encode_datum(datum: Datum) -> EncodedDatum:
    """One example as a serialized `Datum` message. Raises `InvalidDatumError` for an image pointer.

    Its arrays are referred to, not copied: a datum's tensors cannot be changed. They are framed by hand; whatever is
    small is made by the generated classes.
    """
    parts: list[Buffer] = []
    for chunk in datum.model_input.chunks:
        if isinstance(chunk, EncodedTextChunk):
            parts += (frame_head(_TEXT, chunk.ids.nbytes), array_bytes(chunk.ids.astype(_INT32, copy=False)))
        else:
            parts.append(pb.Datum(model_input=[_chunk(chunk)]).SerializeToString())
    for key, value in datum.loss_fn_inputs.items():
        tensor = as_tensor_data(key, value)
        if tensor.crow_indices is None or tensor.col_indices is None:
            values = tensor.values.astype(_INT64 if tensor.dtype == "int64" else _FLOAT32, copy=False)
            parts += (_before_tensor(key, tensor.dtype, tuple(tensor.shape or ()), values.nbytes), array_bytes(values))
        else:
            parts.append(pb.Datum(loss_fn_inputs={key: _sparse(tensor)}).SerializeToString())
    if datum.model_input_spans or datum.loss_fn_input_spans:
        parts.append(_spans(datum).SerializeToString())
    return Pieces(parts)


@lru_cache(4096)
def _before_tensor(key: str, dtype: TensorDtype, shape: tuple[int, ...], size: int) -> bytes:
    """All of a dense loss input but its values, which are `size` bytes and come last."""
    described = pb.Tensor(dtype=_DTYPES[dtype], shape=shape).SerializeToString()
    described += frame_head((pb.Tensor.DENSE_FIELD_NUMBER,), size)
    name = key.encode()
    entry = frame_head((_MAP_KEY,), len(name)) + name + frame_head((_MAP_VALUE,), len(described) + size) + described
    return frame_head((pb.Datum.LOSS_FN_INPUTS_FIELD_NUMBER,), len(entry) + size) + entry


def _sparse(tensor: TensorData) -> pb.Tensor:
    values = tensor.values.astype(_INT64 if tensor.dtype == "int64" else _FLOAT32, copy=False)
    crow, col = (np.asarray(indices, _INT64) for indices in (tensor.crow_indices, tensor.col_indices))
    stored = pb.SparseCsr(values=values.tobytes(), crow_indices=crow.tobytes(), col_indices=col.tobytes())
    return pb.Tensor(dtype=_DTYPES[tensor.dtype], shape=tensor.shape, sparse_csr=stored)


def forward_backward_body(
    model_id: str,
    seq_id: int,
    encoded: Sequence[EncodedDatum],
    loss_fn: str,
    loss_fn_config: Mapping[str, float | str] | None = None,
    *,
    forward_only: bool = False,
) -> Pieces:
    """A serialized `ForwardBackwardRequest` around datums that are encoded already.

    Args:
        model_id: the model in training.
        seq_id: the call's place in that model's order, 1 or above.
        encoded: results of `encode_datum`, in order.
        loss_fn: name of the loss.
        loss_fn_config: its settings; numbers go into the old and the new field, as servers of both kinds read them.
        forward_only: compute the loss, keep no gradient.
    """
    head = pb.ForwardBackwardRequest(model_id=model_id, seq_id=seq_id, loss_fn=loss_fn, forward_only=forward_only)
    for name, setting in (loss_fn_config or {}).items():
        if isinstance(setting, str):
            head.loss_fn_config_v2[name].text = setting
        else:
            head.loss_fn_config[name] = float(setting)
            head.loss_fn_config_v2[name].number = float(setting)
    parts: list[Buffer] = [head.SerializeToString()]
    for datum in encoded:
        parts.append(frame_head((pb.ForwardBackwardRequest.DATA_FIELD_NUMBER,), len(datum)))
        parts += datum.parts if isinstance(datum, Pieces) else (datum,)
    return Pieces(parts)


def _chunk(chunk: ModelInputChunk) -> pb.Chunk:
    """A chunk other than text."""
    if isinstance(chunk, ImageChunk):
        return pb.Chunk(
            image=pb.ImageChunk(data=chunk.data, format=chunk.format, expected_tokens=chunk.expected_tokens)
        )
    if isinstance(chunk, DmelChunk):
        return pb.Chunk(dmel=pb.DmelChunk(dmel=chunk.dmel))
    raise InvalidDatumError("the binary form has no image pointers; use ImageChunk", field="model_input")


def _spans(datum: Datum) -> Message:
    return pb.Datum(
        model_input_spans=[_span(span) for span in datum.model_input_spans or ()],
        loss_fn_input_spans=[_span(span) for span in datum.loss_fn_input_spans or ()],
    )


def _span(span: ProvenanceSpan) -> pb.ProvenanceSpan:
    fields = {"sequence_id": span.sequence_id, "offset": span.offset, "length": span.length}
    if isinstance(span, PromptProvenanceSpan):
        return pb.ProvenanceSpan(prompt_tokens=fields)
    return pb.ProvenanceSpan(sampled_tokens=fields)


def decode_forward_backward_output(content: bytes) -> ForwardBackwardOutput:
    """The result of a pass from a serialized `ForwardBackwardOutput`. Raises `StructureError` if it is none."""
    records, rest = cut_out(memoryview(content), pb.ForwardBackwardOutput.LOSS_FN_OUTPUTS_FIELD_NUMBER)
    message = _parsed(pb.ForwardBackwardOutput(), rest)
    outputs: list[LossFnOutput] = []
    for record in records:
        outputs += _record_outputs(record)
    kind = message.loss_fn_output_type.rpartition(":")[2]
    if not kind and not records:
        kind = "ArrayRecord"
    return ForwardBackwardOutput(kind, outputs, dict(message.metrics))


M = TypeVar("M", bound=Message)


def _parsed(message: M, content: bytes) -> M:
    """An empty message, filled."""
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise StructureError(f"not a {type(message).__name__}: {error}") from error
    return message


def _record_outputs(content: memoryview) -> list[LossFnOutput]:
    """The datums of one record: each field is one long array, cut at its offsets."""
    if len(content) < _LARGE_RECORD:
        record = _parsed(pb.ArrayRecord(), bytes(content))
        columns = {name: _cut(batched, batched.data, name) for name, batched in record.fields.items()}
    else:
        entries, rest = cut_out(content, pb.ArrayRecord.FIELDS_FIELD_NUMBER)
        record = _parsed(pb.ArrayRecord(), rest)
        columns = dict(map(_large_column, entries))
    count = record.num_datums or max(map(len, columns.values()), default=0)
    for name, column in columns.items():
        if len(column) != count:
            raise StructureError(f"ForwardBackwardOutput: {name} has {len(column)} datums of {count}")
    return [{name: TensorData.adopt(column[place]) for name, column in columns.items()} for place in range(count)]


def _large_column(entry: memoryview) -> tuple[str, list[Array]]:
    """An entry of a record's map: its name, and one array a datum. What occurs twice counts as protobuf has it."""
    tensors, rest = cut_out(entry, _MAP_VALUE)
    names, _ = cut_out(memoryview(rest), _MAP_KEY)
    try:
        name = bytes(names[-1]).decode() if names else ""
    except UnicodeDecodeError as error:
        raise StructureError(f"not an ArrayRecord: the name of a field is no text: {error}") from error
    whole = tensors[0] if len(tensors) == 1 else memoryview(b"".join(tensors))
    data, small = cut_out(whole, pb.BatchedTensor.DATA_FIELD_NUMBER)
    return name, _cut(_parsed(pb.BatchedTensor(), small), data[-1] if data else b"", name)


def _cut(batched: pb.BatchedTensor, data: bytes | memoryview, name: str) -> list[Array]:
    """One array a datum, all of them views of one writeable copy that belongs to the result."""
    values, width = _numbers(data, batched.dtype, name)
    offsets = _indices(batched.offsets, name)
    if offsets.size == 0:
        return []
    if offsets[0] < 0 or offsets[-1] > len(data) or (np.diff(offsets) < 0).any() or (offsets % width).any():
        raise StructureError(f"ForwardBackwardOutput: the offsets of {name} do not fit its data")
    trailing = list(batched.trailing_shape)
    if any(size < 0 for size in trailing) or (trailing and (np.diff(offsets) % (max(prod(trailing), 1) * width)).any()):
        raise StructureError(f"ForwardBackwardOutput: {name} does not fit its trailing shape {trailing}")
    bounds = (offsets // width).tolist()
    pieces = [values[start:end] for start, end in pairwise(bounds)]
    if not trailing:
        return pieces
    return [piece.reshape(-1, *trailing) if prod(trailing) else piece.reshape(0, *trailing) for piece in pieces]


def _indices(data: bytes, name: str) -> NDArray[np.int64]:
    if len(data) % _INT64.itemsize:
        raise StructureError(f"{name}: {len(data)} bytes are no whole number of int64 indices")
    return np.frombuffer(data, _INT64)


def _numbers(data: bytes | memoryview, dtype: int, name: str) -> tuple[Array, int]:
    """The values in a dtype of ours, in memory of their own, and the bytes that each had on the wire."""
    wire: dict[int, str] = {pb.DTYPE_FLOAT32: "<f4", pb.DTYPE_INT64: "<i8", pb.DTYPE_INT32: "<i4"}
    wire[pb.DTYPE_BFLOAT16] = "<u2"
    if dtype not in wire:
        raise StructureError(f"{name} has unknown dtype {dtype}")
    stored = np.dtype(wire[dtype])
    if len(data) % stored.itemsize:
        raise StructureError(f"{name}: {len(data)} bytes are no whole number of {stored} values")
    # Through a bytearray, so that the array can be written to: torch shares memory with writeable arrays only.
    raw: NDArray[Any] = np.frombuffer(bytearray(data), stored)
    if dtype == pb.DTYPE_BFLOAT16:
        # A bfloat16 is the upper half of a float32.
        return (raw.astype(np.uint32) << 16).view(np.float32), 2
    return (raw.astype(np.int64) if dtype == pb.DTYPE_INT32 else raw), stored.itemsize


def _tensor(message: Any, name: str) -> TensorData:
    shape = list(message.shape)
    if message.WhichOneof("encoding") == "sparse_csr":
        csr = message.sparse_csr
        values, _ = _numbers(csr.values, message.dtype, name)
        crow, col = _indices(csr.crow_indices, name), _indices(csr.col_indices, name)
        return _checked(name, lambda: TensorData(values, None, shape, crow, col))
    values, _ = _numbers(message.dense, message.dtype, name)
    return _checked(name, lambda: TensorData.adopt(values.reshape(shape) if shape else values))


def _checked(name: str, make: Any) -> TensorData:
    try:
        tensor: TensorData = make()
    except ValueError as error:
        raise StructureError(f"{name}: {error}") from error
    return tensor


def decode_sample_response(
    content: bytes, sequence_ids: Sequence[str] | None = None, prompt_length: int | None = None
) -> SampleResponse:
    """Samples from a serialized `SampleResponse`.

    Args:
        content: the answer's body.
        sequence_ids: one a sample, from the submission's answer; None if that server gives none.
        prompt_length: tokens of the prompt, if known: a server that leaves out the first, never scored position of the
            prompt's logprobs is corrected then.

    Raises:
        StructureError: not such a message, or another number of samples than ids.
    """
    message = _parsed(pb.SampleResponse(), content)
    ids = _ids_for(len(message.sequences), sequence_ids)
    scored = _floats(message.prompt_logprobs, "prompt_logprobs") if message.prompt_logprobs else None
    targets = message.target_prompt_logprobs if message.HasField("target_prompt_logprobs") else None
    return SampleResponse(
        [_sequence(sequence, name) for sequence, name in zip(message.sequences, ids, strict=True)],
        prompt_logprobs_np=with_first_missing(scored, prompt_length),
        topk_prompt_logprobs_np=_topk(message.topk_prompt_logprobs),
        target_prompt_logprobs=None if targets is None else _tensor(targets, "target_prompt_logprobs"),
        prompt_cache_hit_tokens=message.prompt_cache_hit_tokens,
        prompt_alt_tokens=_alternatives(message.prompt_alt_tokens) if message.HasField("prompt_alt_tokens") else None,
    )


def _ids_for(count: int, sequence_ids: Sequence[str] | None) -> Sequence[str | None]:
    if sequence_ids is None:
        return [None] * count
    if len(sequence_ids) != count:
        raise StructureError(f"SampleResponse: {count} sequences for {len(sequence_ids)} sequence ids")
    return sequence_ids


def _floats(data: bytes, name: str) -> NDArray[np.float32]:
    values, _ = _numbers(data, pb.DTYPE_FLOAT32, name)
    return values.view(np.float32)


def _ints(data: bytes, name: str) -> NDArray[np.int32]:
    if len(data) % _INT32.itemsize:
        raise StructureError(f"{name}: {len(data)} bytes are no whole number of int32 values")
    return np.frombuffer(bytearray(data), _INT32)


def _sequence(message: Any, sequence_id: str | None) -> SampledSequence:
    reason = _STOP_REASONS.get(message.stop_reason)
    if reason is None:
        raise StructureError(f"SampledSequence: unknown stop reason {message.stop_reason}")
    return SampledSequence(
        reason,
        sequence_id,
        _ints(message.tokens, "tokens"),
        _floats(message.logprobs, "logprobs") if message.logprobs else None,
        _topk(message.topk_sampled_logprobs),
    )


def _topk(message: Any) -> TopkLogprobs | None:
    rows, k = message.length, message.k
    if rows == 0 or k == 0:
        return None
    token_ids, logprobs = _ints(message.token_ids, "token_ids"), _floats(message.logprobs, "logprobs")
    if token_ids.size != rows * k or logprobs.size != rows * k:
        raise StructureError(f"TopkLogprobs: {token_ids.size} ids and {logprobs.size} logprobs for {rows} x {k} cells")
    return TopkLogprobs(token_ids.reshape(rows, k), logprobs.reshape(rows, k))


def _alternatives(message: Any) -> PromptAltTokens:
    return PromptAltTokens(_tensor(message.tokens, "tokens"), _tensor(message.logprobs, "logprobs"))
