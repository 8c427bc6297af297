"""Training requests of every client generation become the same data; a fault names its datum and field."""

import base64
import contextlib
import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.wire.faults import WireFault
from tinker_local.wire.training import ForwardBackwardCall, decode_json, decode_proto


def tensor(values: np.ndarray) -> dict[str, Any]:
    return {"data": values.ravel().tolist(), "dtype": str(values.dtype), "shape": list(values.shape)}


def proto_tensor(values: np.ndarray) -> pb.Tensor:
    dtype = pb.DTYPE_INT64 if values.dtype == np.int64 else pb.DTYPE_FLOAT32
    return pb.Tensor(dense=values.tobytes(), dtype=dtype, shape=values.shape)


def json_body(data: list[tuple[list[list[int]], Mapping[str, np.ndarray]]], loss_fn: str) -> dict[str, Any]:
    return {
        "model_id": "m",
        "seq_id": 4,
        "forward_backward_input": {
            "loss_fn": loss_fn,
            "loss_fn_config": {"beta": 0.5},
            "data": [
                {
                    "model_input": {"chunks": [{"type": "encoded_text", "tokens": chunk} for chunk in chunks]},
                    "loss_fn_inputs": {name: tensor(values) for name, values in inputs.items()},
                }
                for chunks, inputs in data
            ],
        },
    }


def proto_body(data: list[tuple[list[list[int]], Mapping[str, np.ndarray]]], loss_fn: str) -> pb.ForwardBackwardRequest:
    request = pb.ForwardBackwardRequest(model_id="m", seq_id=4, loss_fn=loss_fn)
    request.loss_fn_config["beta"] = 0.5
    for chunks, inputs in data:
        datum = request.data.add()
        for chunk in chunks:
            datum.model_input.add().encoded_text.tokens = np.array(chunk, np.int32).tobytes()
        for name, values in inputs.items():
            datum.loss_fn_inputs[name].CopyFrom(proto_tensor(values))
    return request


@st.composite
def datums(draw: st.DrawFn) -> tuple[list[list[int]], dict[str, np.ndarray]]:
    chunks = draw(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=4), min_size=1, max_size=3))
    if not any(chunks):
        chunks.append([1])
    length = sum(map(len, chunks))
    candidates = draw(st.sampled_from([(), (1,), (3,)]))
    shape = (length, *candidates)
    targets = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    names = draw(st.sets(st.sampled_from(["weights", "advantages", "logprobs"])))
    return chunks, {"target_tokens": targets} | {name: np.full(shape, 0.25, np.float32) for name in names}


def same(left: ForwardBackwardCall, right: ForwardBackwardCall) -> None:
    assert (left.model_id, left.seq_id, left.loss_fn) == (right.model_id, right.seq_id, right.loss_fn)
    assert (left.loss_fn_config, left.backward) == (right.loss_fn_config, right.backward)
    assert len(left.data) == len(right.data)
    for one, two in zip(left.data, right.data, strict=True):
        np.testing.assert_array_equal(one.tokens, two.tokens)
        np.testing.assert_array_equal(one.target_tokens, two.target_tokens)
        assert one.tokens.dtype == two.tokens.dtype == np.int32
        assert one.target_tokens.dtype == two.target_tokens.dtype == np.int64
        assert one.inputs.keys() == two.inputs.keys()
        for name, values in one.inputs.items():
            assert values.dtype == two.inputs[name].dtype == np.float32
            np.testing.assert_array_equal(values, two.inputs[name])


@given(data=st.lists(datums(), min_size=1, max_size=3), loss_fn=st.sampled_from(["cross_entropy", "dro"]))
def test_json_and_protobuf_say_the_same(data: Any, loss_fn: str) -> None:
    from_json = decode_json(orjson.loads(orjson.dumps(json_body(data, loss_fn))), forward=False)
    same(from_json, decode_proto(proto_body(data, loss_fn).SerializeToString()))
    for (chunks, inputs), datum in zip(data, from_json.data, strict=True):
        assert datum.tokens.tolist() == [token for chunk in chunks for token in chunk]
        np.testing.assert_array_equal(datum.target_tokens, inputs["target_tokens"])


ONE = ([[7, 8]], {"target_tokens": np.array([8, 9]), "weights": np.array([0, 1], np.float32)})


def test_a_body_of_the_oldest_client() -> None:
    body = json_body([ONE], "cross_entropy")
    body["forward_input"] = body.pop("forward_backward_input")
    body["forward_input"]["loss_fn_config"] = None
    del body["forward_input"]["data"][0]["model_input"]["chunks"][0]["type"], body["seq_id"]
    call = decode_json(body, forward=True)
    assert (call.backward, call.seq_id, call.loss_fn_config) == (False, None, {})
    assert call.data[0].tokens.tolist() == [7, 8]


def test_forward_only_and_no_sequence_id_in_protobuf() -> None:
    request = proto_body([ONE], "cross_entropy")
    request.forward_only, request.seq_id = True, 0
    call = decode_proto(request.SerializeToString())
    assert (call.backward, call.seq_id) == (False, None)


def test_a_sequence_id_below_0_is_named() -> None:
    request = proto_body([ONE], "cross_entropy")
    request.seq_id = -4
    with pytest.raises(WireFault, match="-4") as fault:
        decode_proto(request.SerializeToString())
    assert fault.value.loc == ("body", "seq_id")


def test_the_newer_settings_win() -> None:
    request = proto_body([ONE], "cross_entropy")
    request.loss_fn_config_v2["beta"].number = 0.75
    request.loss_fn_config_v2["loss_id"].text = "mine"
    assert decode_proto(request.SerializeToString()).loss_fn_config == {"beta": 0.75, "loss_id": "mine"}


def test_absent_weights_of_cross_entropy_are_one_and_of_others_stay_absent() -> None:
    bare = ([[7, 8]], {"target_tokens": np.array([[8, 1], [9, 1]])})
    assert decode_json(json_body([bare], "cross_entropy"), forward=False).data[0].inputs["weights"].tolist() == [
        [1, 1],
        [1, 1],
    ]
    assert not decode_json(json_body([bare], "ppo"), forward=False).data[0].inputs


def test_integer_weights_are_read_as_numbers() -> None:
    datum = ([[7, 8]], {"target_tokens": np.array([8, 9]), "weights": np.array([0, 2])})
    weights = decode_json(json_body([datum], "cross_entropy"), forward=False).data[0].inputs["weights"]
    assert (weights.dtype, weights.tolist()) == (np.dtype(np.float32), [0, 2])


def replaced(name: str, value: Any) -> Any:
    def change(datum: dict[str, Any]) -> None:
        datum["loss_fn_inputs"][name] = value

    return change


def without_targets(datum: dict[str, Any]) -> None:
    del datum["loss_fn_inputs"]["target_tokens"]


def with_chunks(*chunks: dict[str, Any]) -> Any:
    def change(datum: dict[str, Any]) -> None:
        datum["model_input"] = {"chunks": list(chunks)}

    return change


FIELD = "loss_fn_inputs"


@pytest.mark.parametrize(
    ("change", "loc", "message"),
    [
        (without_targets, (FIELD, "target_tokens"), "missing"),
        (replaced("weights", tensor(np.ones(3, np.float32))), (FIELD, "weights"), r"\[3\] differs from \[2\]"),
        (replaced("target_tokens", tensor(np.array([1]))), (FIELD, "target_tokens", "shape"), r"must be \[2\]"),
        (replaced("target_tokens", tensor(np.ones(2, np.float32))), (FIELD, "target_tokens", "dtype"), "int64"),
        (with_chunks(), ("model_input", "chunks"), "no tokens"),
        (with_chunks({"tokens": [1, -1]}), ("model_input", "chunks", 0, "tokens", 1), "-1 is no token id"),
        (with_chunks({"tokens": [2**31]}), ("model_input", "chunks", 0, "tokens", 0), "no token id"),
        (with_chunks({"tokens": [2**70]}), ("model_input", "chunks", 0, "tokens"), "token ids lie between"),
        (with_chunks({"data": "AA==", "format": "png"}), ("model_input", "chunks", 0, "expected_tokens"), "is missing"),
        (with_chunks({"data": "?", "format": "png"}), ("model_input", "chunks", 0, "data"), "no.* base64"),
        (with_chunks({"location": "x", "format": "png"}), ("model_input", "chunks", 0), "image_asset_pointer"),
        (with_chunks({"tokens": [1]}, {"dmel": "AA=="}), ("model_input", "chunks", 1), "'dmel'"),
    ],
)
def test_a_fault_names_its_place(change: Any, loc: tuple[str | int, ...], message: str) -> None:
    body = json_body([ONE, copy.deepcopy(ONE)], "cross_entropy")
    change(body["forward_backward_input"]["data"][1])
    with pytest.raises(WireFault, match=message) as caught:
        decode_json(body, forward=False)
    assert caught.value.loc == ("body", "forward_backward_input", "data", 1, *loc)


def test_faults_of_protobuf_bodies() -> None:
    request = proto_body([ONE, ONE, ONE, ONE], "cross_entropy")
    request.data[3].loss_fn_inputs["weights"].dense = b""
    with pytest.raises(WireFault) as caught:
        decode_proto(request.SerializeToString())
    assert caught.value.loc == ("body", "data", 3, "loss_fn_inputs", "weights", "shape")

    request = proto_body([ONE], "cross_entropy")
    request.data[0].model_input.add().image.data = b"x"
    with pytest.raises(WireFault, match="say how many positions") as caught:
        decode_proto(request.SerializeToString())
    assert caught.value.loc == ("body", "data", 0, "model_input", 1, "expected_tokens")


def test_images_stand_where_the_client_says() -> None:
    """Text, an image of three positions, text: the same row in both forms."""
    targets = {"target_tokens": np.arange(6), "weights": np.ones(6, np.float32)}
    raw = json_body([([[7]], targets)], "cross_entropy")
    chunks = [
        {"tokens": [7, 8], "type": "encoded_text"},
        {"data": base64.b64encode(b"file").decode(), "format": "png", "expected_tokens": 3, "type": "image"},
        {"tokens": [9], "type": "encoded_text"},
    ]
    raw["forward_backward_input"]["data"][0]["model_input"] = {"chunks": chunks}
    request = proto_body([([[7, 8]], targets)], "cross_entropy")
    image = request.data[0].model_input.add().image
    image.data, image.format, image.expected_tokens = b"file", "png", 3
    request.data[0].model_input.add().encoded_text.tokens = np.array([9], "<i4").tobytes()
    for call in (decode_json(raw, forward=False), decode_proto(request.SerializeToString())):
        (datum,) = call.data
        assert datum.tokens.tolist() == [7, 8, 0, 0, 0, 9]
        assert [(image.start, image.length, image.data.tobytes()) for image in datum.images] == [(2, 3, b"file")]


@pytest.mark.parametrize("expected", [0, -1, 2**31])
def test_an_image_takes_a_sensible_number_of_positions(expected: int) -> None:
    body = json_body([ONE], "cross_entropy")
    with_chunks({"data": "AA==", "format": "png", "expected_tokens": expected})(
        body["forward_backward_input"]["data"][0]
    )
    with pytest.raises(WireFault, match=f"{expected} is not between 1 and"):
        decode_json(body, forward=False)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\xff\xff", "no ForwardBackwardRequest"),
        (b"", "model_id is missing"),
        (pb.ForwardBackwardRequest(model_id="m").SerializeToString(), "loss_fn is missing"),
        (pb.ForwardBackwardRequest(model_id="m", loss_fn="ppo").SerializeToString(), "at least one datum"),
    ],
)
def test_what_is_no_request_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(WireFault, match=message):
        decode_proto(raw)


@given(raw=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_fault(raw: bytes) -> None:
    prefix = pb.ForwardBackwardRequest(model_id="m", loss_fn="ppo").SerializeToString()
    for body in (raw, prefix + raw):
        with contextlib.suppress(WireFault):
            decode_proto(body)
