"""Results survive the wire: a reader that follows the protocol's text gets back what the engine gave."""

import itertools
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.engine.protocol import SampledTokens, SampleOutput, TopK, TrainingOutput
from tinker_local.wire.results import sample_json, sample_proto, training_json, training_proto
from tinker_local.wire.tensors import RowLayout


def through_json(answer: dict[str, Any]) -> Any:
    return orjson.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))


def read_records(message: pb.ForwardBackwardOutput) -> list[np.ndarray]:
    """Per-datum arrays, by the rules of the protocol: byte offsets, and the trailing shape of each record."""
    arrays = []
    for record in message.loss_fn_outputs:
        field = record.fields["logprobs"]
        assert field.dtype == pb.DTYPE_FLOAT32
        offsets = np.frombuffer(field.offsets, "<i8")
        assert len(offsets) == record.num_datums + 1
        for start, end in itertools.pairwise(offsets):
            arrays.append(np.frombuffer(field.data[start:end], "<f4").reshape(-1, *field.trailing_shape))
    return arrays


LOGPROBS = st.lists(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 5)) | st.tuples(st.integers(1, 5), st.integers(1, 3)),
        elements=st.floats(-100, 0, width=32),
    ),
    max_size=6,
)


@given(logprobs=LOGPROBS, loss=st.floats(allow_nan=False, allow_infinity=False))
def test_training_results_survive_both_forms(logprobs: list[np.ndarray], loss: float) -> None:
    output = TrainingOutput(logprobs=logprobs, metrics={"loss:sum": loss})
    message = pb.ForwardBackwardOutput.FromString(training_proto(output))
    assert dict(message.metrics) == {"loss:sum": loss}
    assert sum(record.num_datums for record in message.loss_fn_outputs) == len(logprobs)
    for read, given_ in zip(read_records(message), logprobs, strict=True):
        assert read.shape == given_.shape
        np.testing.assert_array_equal(read, given_)

    answer = through_json(training_json(output))
    assert answer["metrics"] == {"loss:sum": loss}
    assert len(answer["loss_fn_outputs"]) == len(logprobs)
    for record, given_ in zip(answer["loss_fn_outputs"], logprobs, strict=True):
        tensor = record["logprobs"]
        assert tensor["dtype"] == "float32"
        np.testing.assert_array_equal(np.array(tensor["data"], np.float32).reshape(tensor["shape"]), given_)


def test_equal_trailing_shapes_share_a_record() -> None:
    flat, wide = np.zeros(3, np.float32), np.zeros((3, 2), np.float32)
    output = TrainingOutput(logprobs=[flat, flat[:1], wide, wide, flat], metrics={})
    records = pb.ForwardBackwardOutput.FromString(training_proto(output)).loss_fn_outputs
    assert [(record.num_datums, list(record.fields["logprobs"].trailing_shape)) for record in records] == [
        (2, []),
        (2, [2]),
        (1, []),
    ]
    assert {tuple(record.fields) for record in records} == {("logprobs",)}


def topk(rows: list[list[tuple[int, float]]], k: int) -> TopK:
    padded = [row + [(0, -99999.0)] * (k - len(row)) for row in rows]
    return TopK(
        token_ids=np.array([[token for token, _ in row] for row in padded], np.int32),
        logprobs=np.array([[value for _, value in row] for row in padded], np.float32),
    )


OUTPUT = SampleOutput(
    sequences=[
        SampledTokens(
            tokens=np.array([4, 2], np.int32),
            logprobs=np.array([-0.5, -1.25], np.float32),
            stop_reason="stop",
            topk=topk([[(4, -0.5), (1, -3.0)], [(2, -1.25)]], 2),
        ),
        SampledTokens(tokens=np.empty(0, np.int32), logprobs=np.empty(0, np.float32), stop_reason="length"),
    ],
    prompt_logprobs=np.array([np.nan, -2.5, -0.125], np.float32),
    topk_prompt=topk([[], [(9, -0.25)], [(9, -0.5), (8, -1.0)]], 2),
    target_prompt_logprobs=np.array([[-1.5, 0.0], [-2.0, -4.0]], np.float32),
    prompt_alt_tokens=np.array([[3], [2**40]], np.int64),
    prompt_alt_logprobs=np.array([[-1.0], [-8.0]], np.float32),
    prompt_cache_hit_tokens=2,
)


def test_a_sample_in_json() -> None:
    assert through_json(sample_json(OUTPUT, sequence_ids=["q1", "q2"])) == {
        "type": "sample",
        "sequences": [
            {
                "sequence_id": "q1",
                "stop_reason": "stop",
                "tokens": [4, 2],
                "logprobs": [-0.5, -1.25],
                "topk_sampled_logprobs": [[[4, -0.5], [1, -3.0]], [[2, -1.25]]],
            },
            {"sequence_id": "q2", "stop_reason": "length", "tokens": [], "logprobs": []},
        ],
        "prompt_logprobs": [None, -2.5, -0.125],
        "topk_prompt_logprobs": [None, [[9, -0.25]], [[9, -0.5], [8, -1.0]]],
        "prompt_cache_hit_tokens": 2,
        "target_prompt_logprobs": {"data": [-1.5, 0.0, -2.0, -4.0], "dtype": "float32", "shape": [2, 2]},
        "prompt_alt_tokens": {
            "tokens": {"data": [3, 2**40], "dtype": "int64", "shape": [2, 1]},
            "logprobs": {"data": [-1.0, -8.0], "dtype": "float32", "shape": [2, 1]},
        },
    }


def test_a_sample_in_protobuf() -> None:
    message = pb.SampleResponse.FromString(sample_proto(OUTPUT))
    first, second = message.sequences
    assert (first.stop_reason, second.stop_reason) == (pb.STOP_REASON_STOP, pb.STOP_REASON_LENGTH)
    assert np.frombuffer(first.tokens, "<i4").tolist() == [4, 2]
    assert np.frombuffer(first.logprobs, "<f4").tolist() == [-0.5, -1.25]
    assert (first.topk_sampled_logprobs.length, first.topk_sampled_logprobs.k) == (2, 2)
    assert np.frombuffer(first.topk_sampled_logprobs.token_ids, "<i4").tolist() == [4, 1, 2, 0]
    assert not second.HasField("topk_sampled_logprobs")
    np.testing.assert_array_equal(
        np.frombuffer(message.prompt_logprobs, "<f4"), np.array([np.nan, -2.5, -0.125], np.float32)
    )
    prompt = message.topk_prompt_logprobs
    assert (prompt.length, prompt.k) == (3, 2)
    assert np.frombuffer(prompt.logprobs, "<f4")[:3].tolist() == [-99999.0, -99999.0, -0.25]
    target = message.target_prompt_logprobs
    assert (target.dtype, list(target.shape)) == (pb.DTYPE_FLOAT32, [2, 2])
    assert np.frombuffer(target.dense, "<f4").tolist() == [-1.5, 0.0, -2.0, -4.0]
    alternatives = message.prompt_alt_tokens
    assert (alternatives.tokens.dtype, list(alternatives.tokens.shape)) == (pb.DTYPE_INT64, [2, 1])
    assert np.frombuffer(alternatives.tokens.dense, "<i8").tolist() == [3, 2**40]
    assert message.prompt_cache_hit_tokens == 2


def test_what_was_asked_in_csr_is_answered_in_csr() -> None:
    """An entry that is not listed was not asked for, whatever stands there; the indices are those of the request."""
    request = {"sparse_crow_indices": [0, 1, 3], "sparse_col_indices": [0, 1, 0]}
    layout = RowLayout.of(request)
    answer = through_json(sample_json(OUTPUT, sequence_ids=["q1", "q2"], layout=layout))["target_prompt_logprobs"]
    assert answer == {"data": [-1.5, -4.0, -2.0], "dtype": "float32", "shape": [2, 2], **request}
    tensor = pb.SampleResponse.FromString(sample_proto(OUTPUT, layout)).target_prompt_logprobs
    assert (tensor.WhichOneof("encoding"), tensor.dtype, list(tensor.shape)) == (
        "sparse_csr",
        pb.DTYPE_FLOAT32,
        [2, 2],
    )
    assert np.frombuffer(tensor.sparse_csr.values, "<f4").tolist() == answer["data"]
    assert np.frombuffer(tensor.sparse_csr.crow_indices, "<i8").tolist() == [0, 1, 3]
    assert np.frombuffer(tensor.sparse_csr.col_indices, "<i8").tolist() == [0, 1, 0]
    assert RowLayout.of({"data": [1], "dtype": "int64", "sparse_crow_indices": None}) is None


def test_what_was_not_asked_is_absent() -> None:
    output = SampleOutput(sequences=OUTPUT.sequences[1:])
    message = pb.SampleResponse.FromString(sample_proto(output))
    assert not message.HasField("prompt_logprobs")
    assert not message.HasField("topk_prompt_logprobs")
    assert not message.HasField("target_prompt_logprobs")
    assert not message.HasField("prompt_alt_tokens")
    answer = through_json(sample_json(output, sequence_ids=["q"]))
    assert answer["prompt_logprobs"] is None
    assert answer["topk_prompt_logprobs"] is None
    assert "prompt_alt_tokens" not in answer


def test_each_sequence_needs_its_id() -> None:
    with pytest.raises(ValueError, match="zip"):
        sample_json(OUTPUT, sequence_ids=["q1"])


def test_arrays_that_are_not_contiguous() -> None:
    column = np.arange(6, dtype=np.float32).reshape(3, 2)[:, 1]
    output = TrainingOutput(logprobs=[column], metrics={})
    assert through_json(training_json(output))["loss_fn_outputs"][0]["logprobs"]["data"] == [1, 3, 5]
    assert read_records(pb.ForwardBackwardOutput.FromString(training_proto(output)))[0].tolist() == [1, 3, 5]
