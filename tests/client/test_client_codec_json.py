"""The JSON form of the 0.7 generation: exact bodies, tolerant answers."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from tinker_hl.codec import json as codec
from tinker_hl.codec import proto
from tinker_hl.codec.structure import StructureError
from tinker_hl.types import Datum, DmelChunk, ImageAssetPointerChunk, ImageChunk, ModelInput, TensorData


def test_the_body_is_what_a_server_of_that_generation_reads() -> None:
    datum = Datum(ModelInput.from_ints([7, 8]), {"target_tokens": [8, 9], "weights": [0.0, 1.0]})  # type: ignore[dict-item]
    fields = {
        "data": [
            {
                "loss_fn_inputs": {
                    "target_tokens": {"data": [8, 9], "dtype": "int64", "shape": [2]},
                    "weights": {"data": [0.0, 1.0], "dtype": "float32", "shape": [2]},
                },
                "model_input": {"chunks": [{"tokens": [7, 8]}]},
            }
        ],
        "loss_fn": "cross_entropy",
        "loss_fn_config": None,
    }
    encoded = [codec.encode_datum(datum)]
    body = codec.forward_backward_body("M", 1, encoded, "cross_entropy")
    assert json.loads(bytes(body)) == {"forward_backward_input": fields, "model_id": "M", "seq_id": 1}
    body = codec.forward_backward_body("M", 2, encoded * 2, "ppo", {"clip_low_threshold": 0.8}, forward_only=True)
    again = json.loads(bytes(body))
    assert again["forward_input"]["data"] == fields["data"] * 2  # type: ignore[operator]
    assert again["forward_input"]["loss_fn_config"] == {"clip_low_threshold": 0.8}
    empty = json.loads(bytes(codec.forward_backward_body("M", 3, [], "ppo")))
    assert empty["forward_backward_input"]["data"] == []


@pytest.mark.parametrize(
    ("data", "dtype", "read"),
    [
        ([1, -2, 2**62], "int64", [1, -2, 2**62]),
        ([0.5, -1, 1e300], "float32", [0.5, -1.0, math.inf]),
        ([0.5, None], "float32", [0.5, math.nan]),
        ([[1.0, 2.0], [3.0, 4.0]], "float32", [1.0, 2.0, 3.0, 4.0]),
        ([1.0, 2.0], "int64", [1, 2]),
        ([], "float32", []),
    ],
)
def test_numbers_of_a_result_are_read_into_arrays_that_can_be_written_to(
    data: list[Any], dtype: str, read: list[float]
) -> None:
    content = json.dumps({"loss_fn_outputs": [{"x": {"data": data, "dtype": dtype}}]}).encode()
    tensor = codec.decode_forward_backward_output(content).loss_fn_outputs[0]["x"]
    np.testing.assert_array_equal(tensor.to_numpy(), np.array(read, dtype=dtype))
    assert tensor.dtype == dtype
    assert tensor.to_numpy().flags.writeable


def test_sparse_tensors_are_filled_up() -> None:
    sparse = torch.zeros(2, 6)
    sparse[1, 2] = 0.5
    datum = Datum(ModelInput.from_ints([1, 2]), {"weights": sparse})  # type: ignore[dict-item]
    assert datum.loss_fn_inputs["weights"].is_sparse
    tensor = json.loads(codec.encode_datum(datum))["loss_fn_inputs"]["weights"]
    assert tensor == {"data": sparse.flatten().tolist(), "dtype": "float32", "shape": [2, 6]}


def test_chunks_are_known_by_their_keys() -> None:
    read = (
        ModelInput.empty()
        .append(ImageChunk(data=b"ab", format="png", expected_tokens=3))
        .append(ImageAssetPointerChunk(location="x", format="jpeg"))
        .append(DmelChunk(dmel=b"\x01\x01\x01"))
    )
    assert json.loads(codec.encode_datum(Datum(read)))["model_input"]["chunks"] == [
        {"data": "YWI=", "format": "png", "expected_tokens": 3},
        {"location": "x", "format": "jpeg"},
        {"dmel": "AQEB"},
    ]


def test_the_two_forms_say_the_same() -> None:
    datum = Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3], "weights": np.array([0.1, 1e-8])})  # type: ignore[dict-item]
    message = proto.pb.Datum.FromString(bytes(proto.encode_datum(datum)))
    read = Datum.model_validate_json(codec.encode_datum(datum))
    assert read == datum
    assert np.frombuffer(message.loss_fn_inputs["weights"].dense, "<f4").tolist() == read.loss_fn_inputs["weights"].data


def test_a_result() -> None:
    content = b"""{"loss_fn_output_type":"scalar",
        "metrics":{"loss:sum":0.2,"h:hash2":18446744073709551615,"x:sum":null},
        "loss_fn_outputs":[{"logprobs":{"data":[-1.5,null],"dtype":"float32","shape":[2]}},
                           {"ids":{"data":[[1],[2]],"dtype":"int64","shape":[2,1]},"logprobs":{"data":[],"dtype":"float32"}}]}"""
    output = codec.decode_forward_backward_output(content)
    assert output.loss_fn_output_type == "scalar"
    assert output.metrics == {"loss:sum": 0.2, "h:hash2": 2**64 - 1}
    first, second = output.loss_fn_outputs
    assert first["logprobs"] == TensorData([-1.5, float("nan")], "float32")
    assert second["ids"].tolist() == [[1], [2]]
    assert second["logprobs"].shape == [0]


def test_nan_as_python_writes_it_is_read() -> None:
    content = (
        b'{"loss_fn_outputs":[{"logprobs":{"data":[NaN,-Infinity],"dtype":"float32"}}],"metrics":{"loss:sum":NaN}}'
    )
    output = codec.decode_forward_backward_output(content)
    assert math.isnan(output.metrics["loss:sum"])
    assert output.loss_fn_outputs[0]["logprobs"].data[1] == -math.inf


@pytest.mark.parametrize("content", [b'{"loss_fn_outputs":[]}', b'{"loss_fn_outputs":[],"metrics":null}'])
def test_missing_metrics_are_none(content: bytes) -> None:
    assert codec.decode_forward_backward_output(content).metrics == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        b"[]",
        b"{}",
        b'{"loss_fn_outputs":{}}',
        b'{"loss_fn_outputs":[1]}',
        b'{"loss_fn_outputs":[{"a":1}]}',
        b'{"loss_fn_outputs":[{"a":{"data":["x"],"dtype":"float32"}}]}',
        b'{"loss_fn_outputs":[{"a":{"data":[1],"dtype":"float32","shape":[2]}}]}',
        b'{"loss_fn_outputs":[],"metrics":[1]}',
        b"[" * 100_000,
    ],
)
def test_other_results_are_refused(content: bytes) -> None:
    with pytest.raises(StructureError):
        codec.decode_forward_backward_output(content)


def test_samples() -> None:
    content = b"""{"type":"sample","sequences":[{"stop_reason":"stop","tokens":[1,2],"logprobs":[-0.5,-0.1]},
        {"stop_reason":"length","tokens":[]}],"prompt_logprobs":[null,-1.5],"topk_prompt_logprobs":[null,[[3,-1.0]]]}"""
    response = codec.decode_sample_response(content, ["a", "b"], prompt_length=2)
    first, second = response.sequences
    assert (first.tokens, first.sequence_id, first.stop_reason) == ([1, 2], "a", "stop")
    assert first.logprobs == pytest.approx([-0.5, -0.1])
    assert (second.tokens, second.logprobs) == ([], None)
    assert response.prompt_logprobs == [None, -1.5]
    assert response.topk_prompt_logprobs == [None, [(3, -1.0)]]
    bare = codec.decode_sample_response(b'{"sequences":[{"stop_reason":"stop","tokens":[1]}],"prompt_logprobs":null}')
    assert (bare.prompt_logprobs, bare.sequences[0].sequence_id) == (None, None)


def test_a_left_out_first_position_is_put_back() -> None:
    content = b'{"sequences":[],"prompt_logprobs":[-1.5,-2.5],"topk_prompt_logprobs":[[[3,-1.0]],[[4,-1.0]]]}'
    response = codec.decode_sample_response(content, prompt_length=3)
    assert response.prompt_logprobs == [None, -1.5, -2.5]
    assert response.topk_prompt_logprobs == [None, [(3, -1.0)], [(4, -1.0)]]
    assert codec.decode_sample_response(content).prompt_logprobs == [-1.5, -2.5]


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"sequences":[{}]}',
        b'{"sequences":[{"stop_reason":"stop","tokens":["x"]}]}',
        b'{"sequences":[],"topk_prompt_logprobs":[[[1]]]}',
        b'{"sequences":[],"prompt_logprobs":["x"]}',
        b'{"sequences":[1]}',
    ],
)
def test_other_samples_are_refused(content: bytes) -> None:
    with pytest.raises(StructureError):
        codec.decode_sample_response(content)
    with pytest.raises(StructureError):
        codec.decode_sample_response(b'{"sequences":[]}', ["a"])
