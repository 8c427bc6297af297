"""The engine's results to wire answers: JSON objects for clients before 0.18.1, protobuf messages for newer ones.

The JSON objects hold numpy arrays: write them with `orjson.dumps(..., option=orjson.OPT_SERIALIZE_NUMPY)`, which turns
NaN into null. It does not know which form a client asked for.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.engine.protocol import SampledTokens, SampleOutput, TopK, TrainingOutput
from tinker_local.wire.tensors import RowLayout

__all__ = ["sample_json", "sample_proto", "training_json", "training_proto"]

_RECORD = "ArrayRecord"
_EMPTY_LOGPROB = -99999.0
"""The logprob of an empty top-k cell, in the protocol as in the engine."""


def training_json(output: TrainingOutput) -> dict[str, Any]:
    """A `ForwardBackwardOutput` object: one map a datum, `logprobs` float32 in the shape of its target tokens."""
    return {
        "loss_fn_output_type": _RECORD,
        "loss_fn_outputs": [{"logprobs": _tensor_json(values, "float32")} for values in output.logprobs],
        "metrics": dict(output.metrics),
    }


def training_proto(output: TrainingOutput) -> bytes:
    """A `ForwardBackwardOutput` message: one record for each run of data whose arrays share their trailing shape."""
    message = pb.ForwardBackwardOutput(loss_fn_output_type=_RECORD, metrics=dict(output.metrics))
    for trailing, run in itertools.groupby(output.logprobs, key=lambda values: values.shape[1:]):
        arrays = list(run)
        record = message.loss_fn_outputs.add(type_tag=_RECORD, num_datums=len(arrays))
        record.fields["logprobs"].CopyFrom(_batched(arrays, trailing))
    return message.SerializeToString()


def sample_json(
    output: SampleOutput, *, sequence_ids: Sequence[str], layout: RowLayout | None = None
) -> dict[str, Any]:
    """A `SampleResponse` object.

    Args:
        output: the engine's.
        sequence_ids: those that the submission was answered with, one a sequence.
        layout: of the tokens that were to be scored, where they were asked for in CSR.
    """
    answer: dict[str, Any] = {
        "type": "sample",
        "sequences": [
            _sequence_json(sequence, sequence_id)
            for sequence, sequence_id in zip(output.sequences, sequence_ids, strict=True)
        ],
        "prompt_logprobs": None if output.prompt_logprobs is None else np.ascontiguousarray(output.prompt_logprobs),
        "topk_prompt_logprobs": None if output.topk_prompt is None else _topk_json(output.topk_prompt),
        "prompt_cache_hit_tokens": output.prompt_cache_hit_tokens,
    }
    if output.target_prompt_logprobs is not None:
        answer["target_prompt_logprobs"] = _tensor_json(output.target_prompt_logprobs, "float32", layout)
    if output.prompt_alt_tokens is not None and output.prompt_alt_logprobs is not None:
        answer["prompt_alt_tokens"] = {
            "tokens": _tensor_json(output.prompt_alt_tokens, "int64"),
            "logprobs": _tensor_json(output.prompt_alt_logprobs, "float32"),
        }
    return answer


def sample_proto(output: SampleOutput, layout: RowLayout | None = None) -> bytes:
    """A `SampleResponse` message; it carries no sequence ids, the submission's answer did. See `sample_json`."""
    message = pb.SampleResponse(prompt_cache_hit_tokens=output.prompt_cache_hit_tokens)
    for sequence in output.sequences:
        message.sequences.append(_sequence_proto(sequence))
    if output.prompt_logprobs is not None:
        message.prompt_logprobs = _raw(output.prompt_logprobs, "<f4")
    if output.topk_prompt is not None:
        message.topk_prompt_logprobs.CopyFrom(_topk_proto(output.topk_prompt))
    if output.target_prompt_logprobs is not None:
        message.target_prompt_logprobs.CopyFrom(_tensor_proto(output.target_prompt_logprobs, pb.DTYPE_FLOAT32, layout))
    if output.prompt_alt_tokens is not None and output.prompt_alt_logprobs is not None:
        message.prompt_alt_tokens.tokens.CopyFrom(_tensor_proto(output.prompt_alt_tokens, pb.DTYPE_INT64))
        message.prompt_alt_tokens.logprobs.CopyFrom(_tensor_proto(output.prompt_alt_logprobs, pb.DTYPE_FLOAT32))
    return message.SerializeToString()


def _raw(values: NDArray[Any], dtype: str) -> bytes:
    return values.astype(dtype, copy=False).tobytes()


def _tensor_json(values: NDArray[Any], dtype: str, layout: RowLayout | None = None) -> dict[str, Any]:
    shape = list(values.shape)
    if layout is not None:
        indices = {"sparse_crow_indices": layout.crow, "sparse_col_indices": layout.col}
        return {"data": layout.listed(values).astype(dtype, copy=False), "dtype": dtype, "shape": shape, **indices}
    return {"data": np.ascontiguousarray(values, dtype=dtype).reshape(-1), "dtype": dtype, "shape": shape}


def _batched(arrays: Sequence[NDArray[np.float32]], trailing: tuple[int, ...]) -> pb.BatchedTensor:
    """Arrays end to end; entry i of the offsets is where array i begins, in bytes, and the last is where all end."""
    data = b"".join(_raw(values, "<f4") for values in arrays)
    offsets = np.zeros(len(arrays) + 1, dtype="<i8")
    np.cumsum([4 * values.size for values in arrays], out=offsets[1:])
    return pb.BatchedTensor(
        data=data,
        offsets=offsets.tobytes(),
        dtype=pb.DTYPE_FLOAT32,
        trailing_shape=[int(length) for length in trailing],
    )


def _tensor_proto(values: NDArray[Any], dtype: pb.DType, layout: RowLayout | None = None) -> pb.Tensor:
    kind = "<f4" if dtype == pb.DTYPE_FLOAT32 else "<i8"
    tensor = pb.Tensor(dtype=dtype, shape=[int(length) for length in values.shape])
    if layout is None:
        tensor.dense = _raw(values, kind)
    else:
        tensor.sparse_csr.values = _raw(layout.listed(values), kind)
        tensor.sparse_csr.crow_indices = _raw(layout.crow, "<i8")
        tensor.sparse_csr.col_indices = _raw(layout.col, "<i8")
    return tensor


def _sequence_json(sequence: SampledTokens, sequence_id: str) -> dict[str, Any]:
    answer = {
        "sequence_id": sequence_id,
        "stop_reason": sequence.stop_reason,
        "tokens": np.ascontiguousarray(sequence.tokens),
        "logprobs": np.ascontiguousarray(sequence.logprobs),
    }
    return answer if sequence.topk is None else answer | {"topk_sampled_logprobs": _topk_json(sequence.topk)}


def _sequence_proto(sequence: SampledTokens) -> pb.SampledSequence:
    message = pb.SampledSequence(
        stop_reason=pb.STOP_REASON_STOP if sequence.stop_reason == "stop" else pb.STOP_REASON_LENGTH,
        tokens=_raw(sequence.tokens, "<i4"),
        logprobs=_raw(sequence.logprobs, "<f4"),
    )
    if sequence.topk is not None:
        message.topk_sampled_logprobs.CopyFrom(_topk_proto(sequence.topk))
    return message


def _topk_json(topk: TopK) -> list[list[tuple[int, float]] | None]:
    """One list of (token id, logprob) a row, empty cells cut; null for a row with none."""
    rows: list[list[tuple[int, float]] | None] = []
    for ids, logprobs in zip(topk.token_ids.tolist(), topk.logprobs.tolist(), strict=True):
        row = [(token, value) for token, value in zip(ids, logprobs, strict=True) if value > _EMPTY_LOGPROB]
        rows.append(row or None)
    return rows


def _topk_proto(topk: TopK) -> pb.TopkLogprobs:
    rows, k = topk.token_ids.shape
    return pb.TopkLogprobs(
        token_ids=_raw(topk.token_ids, "<i4"), logprobs=_raw(topk.logprobs, "<f4"), k=int(k), length=int(rows)
    )
