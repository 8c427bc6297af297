"""The binary form: what is encoded parses as the schema says, what is decoded is what was meant, junk is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tinker_proto import tinker_public_pb2 as pb

from tinker_hl.codec import proto
from tinker_hl.codec.structure import StructureError
from tinker_hl.codec.wire import frame_head
from tinker_hl.errors import InvalidDatumError
from tinker_hl.types import (
    Datum,
    DmelChunk,
    ImageAssetPointerChunk,
    ImageChunk,
    ModelInput,
    PromptProvenanceSpan,
    SampledProvenanceSpan,
    TensorData,
)


def parsed(datum: Datum) -> pb.Datum:
    return pb.Datum.FromString(bytes(proto.encode_datum(datum)))


def test_every_kind_of_chunk() -> None:
    message = parsed(
        Datum(
            ModelInput.from_ints([1, 2])
            .append(ImageChunk(data=b"img", format="jpeg", expected_tokens=4))
            .append(ImageChunk(data=b"img", format="png"))
            .append(DmelChunk(dmel=b"snd"))
            .append_int(2**31 - 1)
        )
    )
    text, image, bare, audio, last = message.model_input
    assert np.frombuffer(text.encoded_text.tokens, "<i4").tolist() == [1, 2]
    assert (image.image.data, image.image.format, image.image.expected_tokens) == (b"img", "jpeg", 4)
    assert not bare.image.HasField("expected_tokens")
    assert audio.dmel.dmel == b"snd"
    assert np.frombuffer(last.encoded_text.tokens, "<i4").tolist() == [2**31 - 1]
    with pytest.raises(InvalidDatumError, match="ImageChunk"):
        proto.encode_datum(Datum(ModelInput(chunks=[ImageAssetPointerChunk(format="png", location="x")])))


def test_every_kind_of_tensor() -> None:
    sparse = torch.zeros(3, 9, dtype=torch.long)
    sparse[1, 5] = 7
    message = parsed(
        Datum(
            ModelInput.from_ints([1, 2, 3]),
            {
                "target_tokens": sparse,
                "weights": [1.0, 0.5, -2.0],
                "logprobs": np.zeros((3, 2)),
                "advantages": TensorData([], "float32"),
            },  # type: ignore[dict-item]  # converted
        )
    )
    weights = message.loss_fn_inputs["weights"]
    assert (weights.dtype, list(weights.shape)) == (pb.DTYPE_FLOAT32, [3])
    assert np.frombuffer(weights.dense, "<f4").tolist() == [1.0, 0.5, -2.0]
    targets = message.loss_fn_inputs["target_tokens"]
    assert (targets.dtype, list(targets.shape), targets.WhichOneof("encoding")) == (
        pb.DTYPE_INT64,
        [3, 9],
        "sparse_csr",
    )
    csr = targets.sparse_csr
    stored = [np.frombuffer(part, "<i8").tolist() for part in (csr.values, csr.crow_indices, csr.col_indices)]
    assert stored == [[7], [0, 0, 1, 1], [5]]
    assert list(message.loss_fn_inputs["logprobs"].shape) == [3, 2]
    empty = message.loss_fn_inputs["advantages"]
    assert (empty.WhichOneof("encoding"), empty.dense, list(empty.shape)) == ("dense", b"", [])


def test_provenance() -> None:
    prompt = PromptProvenanceSpan(sequence_id="q", length=1)
    sampled = SampledProvenanceSpan(sequence_id="q", offset=3, length=1)
    datum = Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3]}).with_provenance(
        [prompt, sampled], [sampled] * 2
    )  # type: ignore[dict-item]
    message = parsed(datum)
    assert [span.WhichOneof("span") for span in message.model_input_spans] == ["prompt_tokens", "sampled_tokens"]
    span = message.loss_fn_input_spans[1].sampled_tokens
    assert (span.sequence_id, span.offset, span.length) == ("q", 3, 1)


@given(
    sizes=st.lists(st.integers(0, 300), max_size=6),
    seq_id=st.integers(1, 2**31 - 1),
    forward_only=st.booleans(),
)
def test_the_body_is_the_message(sizes: list[int], seq_id: int, forward_only: bool) -> None:
    data = [
        Datum(ModelInput.from_ints(np.arange(size)), {"target_tokens": np.arange(size), "weights": np.full(size, 0.5)})  # type: ignore[dict-item]
        for size in sizes
    ]
    encoded = [proto.encode_datum(datum) for datum in data]
    config: dict[str, float | str] = {"beta": 0.05, "count": 3, "loss_id": "x"}
    body = bytes(proto.forward_backward_body("m:é", seq_id, encoded, "dro", config, forward_only=forward_only))
    message = pb.ForwardBackwardRequest.FromString(body)
    assert (message.model_id, message.seq_id, message.loss_fn, message.forward_only) == (
        "m:é",
        seq_id,
        "dro",
        forward_only,
    )
    assert dict(message.loss_fn_config) == {"beta": 0.05, "count": 3.0}
    assert message.loss_fn_config_v2["beta"].number == 0.05
    assert message.loss_fn_config_v2["loss_id"].text == "x"
    assert [datum.SerializeToString(deterministic=True) for datum in message.data] == [
        parsed(datum).SerializeToString(deterministic=True) for datum in data
    ]
    assert [len(one) for one in encoded] == [len(bytes(one)) for one in encoded]


def batched(arrays: list[np.ndarray], dtype: int, trailing: tuple[int, ...] = ()) -> pb.BatchedTensor:
    data = b"".join(array.tobytes() for array in arrays)
    offsets = np.cumsum([0, *(array.nbytes for array in arrays)]).astype("<i8").tobytes()
    return pb.BatchedTensor(data=data, offsets=offsets, dtype=dtype, trailing_shape=trailing)  # type: ignore[arg-type]


def test_a_result_is_cut_into_its_datums() -> None:
    flat = [np.array([1.5, 2.5], "<f4"), np.array([], "<f4"), np.array([-1.0], "<f4")]
    wide = [np.arange(6, dtype="<i8"), np.array([], "<i8"), np.arange(3, dtype="<i8")]
    message = pb.ForwardBackwardOutput(
        loss_fn_output_type="some.module:ArrayRecord",
        loss_fn_outputs=[
            pb.ArrayRecord(
                num_datums=3,
                fields={"logprobs": batched(flat, pb.DTYPE_FLOAT32), "ids": batched(wide, pb.DTYPE_INT64, (3,))},
            ),
            pb.ArrayRecord(num_datums=1, fields={"logprobs": batched([np.ones(4, "<f4")], pb.DTYPE_FLOAT32, (2,))}),
            pb.ArrayRecord(num_datums=2),
        ],
        metrics={"loss:sum": 0.25},
    )
    output = proto.decode_forward_backward_output(message.SerializeToString())
    assert (output.loss_fn_output_type, output.metrics) == ("ArrayRecord", {"loss:sum": 0.25})
    assert [record["logprobs"].tolist() for record in output.loss_fn_outputs[:4]] == [
        [1.5, 2.5],
        [],
        [-1.0],
        [[1.0, 1.0], [1.0, 1.0]],
    ]
    assert [record["ids"].shape for record in output.loss_fn_outputs[:3]] == [[2, 3], [0, 3], [1, 3]]
    assert output.loss_fn_outputs[4:] == [{}, {}]
    logprobs = output.loss_fn_outputs[0]["logprobs"]
    assert logprobs.to_torch().data_ptr() == logprobs.to_numpy().ctypes.data


records = st.builds(
    pb.ArrayRecord,
    type_tag=st.text(max_size=3),
    fields=st.dictionaries(
        st.text(max_size=3),
        st.lists(st.integers(0, 5), max_size=3).map(
            lambda sizes: batched([np.arange(2 * size, dtype="<f4") for size in sizes], pb.DTYPE_FLOAT32, (2,))
        ),
        max_size=3,
    ),
    num_datums=st.integers(0, 3),
)
outputs = st.builds(
    pb.ForwardBackwardOutput,
    loss_fn_output_type=st.text(max_size=3),
    loss_fn_outputs=st.lists(records, max_size=3),
    metrics=st.dictionaries(st.text(max_size=3), st.floats(), max_size=3),
)


def decoded(content: bytes, large_from: int) -> object:
    """What a result is read as, or that it is refused, with records from that size on read by hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proto, "_LARGE_RECORD", large_from)
        try:
            output = proto.decode_forward_backward_output(content)
        except StructureError:
            return "refused"
    # repr for the metrics: a NaN is no other NaN's equal.
    return output.loss_fn_outputs, repr(sorted(output.metrics.items())), output.loss_fn_output_type


@given(outputs)
def test_a_large_record_is_read_as_the_generated_classes_read_it(message: pb.ForwardBackwardOutput) -> None:
    content = message.SerializeToString()
    assert decoded(content, large_from=0) == decoded(content, large_from=2**40)


@given(outputs, st.data())
def test_a_large_record_that_is_cut_short_or_merged_is_read_alike(
    message: pb.ForwardBackwardOutput, data: st.DataObject
) -> None:
    content = message.SerializeToString()
    # A message behind the other is their merger; map entries of one name and fields that occur twice come of it.
    merged = [content + content] + [record.SerializeToString() * 2 for record in message.loss_fn_outputs]
    twice = pb.ForwardBackwardOutput(loss_fn_output_type="x").SerializeToString()
    twice += b"".join(frame_head((2,), len(record)) + record for record in merged[1:])
    for whole in (content, merged[0], twice):
        short = whole[: data.draw(st.integers(0, len(whole)))]
        assert decoded(short, large_from=0) == decoded(short, large_from=2**40)


def test_a_name_that_is_no_text_is_refused_by_hand_too() -> None:
    entry = b"\x0a\x01\xff\x12\x00"
    content = frame_head((2, 2), len(entry)) + entry
    assert decoded(content, large_from=0) == decoded(content, large_from=2**40) == "refused"


def test_a_record_of_the_size_of_real_ones_is_read_by_hand_without_a_copy_by_the_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proto.pb, "ArrayRecord", _Small)
    arrays = [np.arange(6000, dtype="<f4"), np.arange(3000, dtype="<f4")]
    record = ARRAY_RECORD(num_datums=2, fields={"logprobs": batched(arrays, pb.DTYPE_FLOAT32)})
    output = proto.decode_forward_backward_output(
        frame_head((2,), record.ByteSize()) + record.SerializeToString()
    ).loss_fn_outputs
    assert [one["logprobs"].data for one in output] == [array.tolist() for array in arrays]
    output[0]["logprobs"].to_numpy()[:] = 0


ARRAY_RECORD = pb.ArrayRecord


class _Small:
    """A record's class that is given nothing large."""

    FIELDS_FIELD_NUMBER = pb.ArrayRecord.FIELDS_FIELD_NUMBER

    def __init__(self) -> None:
        self._record = ARRAY_RECORD()

    def ParseFromString(self, content: bytes) -> None:  # noqa: N802  # the generated classes' name
        assert len(content) < 100
        self._record.ParseFromString(content)

    @property
    def num_datums(self) -> int:
        return self._record.num_datums


def test_narrow_kinds_are_widened() -> None:
    halves = torch.tensor([1.5, -3.25]).bfloat16().view(torch.int16).numpy().astype("<u2")
    fields = {
        "half": batched([halves], pb.DTYPE_BFLOAT16),
        "int": batched([np.array([7, -8], "<i4")], pb.DTYPE_INT32),
    }
    message = pb.ForwardBackwardOutput(loss_fn_outputs=[pb.ArrayRecord(fields=fields)])
    (record,) = proto.decode_forward_backward_output(message.SerializeToString()).loss_fn_outputs
    assert (record["half"].dtype, record["half"].data) == ("float32", [1.5, -3.25])
    assert (record["int"].dtype, record["int"].data) == ("int64", [7, -8])


def test_an_empty_result_has_a_type() -> None:
    assert proto.decode_forward_backward_output(b"").loss_fn_output_type == "ArrayRecord"


GOOD = batched([np.ones(2, "<f4"), np.ones(1, "<f4")], pb.DTYPE_FLOAT32)


@pytest.mark.parametrize(
    ("field", "datums"),
    [
        (pb.BatchedTensor(data=GOOD.data, offsets=GOOD.offsets), 2),
        (pb.BatchedTensor(data=GOOD.data[:-1], offsets=GOOD.offsets, dtype=pb.DTYPE_FLOAT32), 2),
        (pb.BatchedTensor(data=GOOD.data[:-4], offsets=GOOD.offsets, dtype=pb.DTYPE_FLOAT32), 2),
        (pb.BatchedTensor(data=GOOD.data, offsets=np.array([0, 9, 4]).tobytes(), dtype=pb.DTYPE_FLOAT32), 2),
        (pb.BatchedTensor(data=GOOD.data, offsets=np.array([-4, 4, 8]).tobytes(), dtype=pb.DTYPE_FLOAT32), 2),
        (pb.BatchedTensor(data=GOOD.data, offsets=np.array([0, 3, 8]).tobytes(), dtype=pb.DTYPE_FLOAT32), 2),
        (pb.BatchedTensor(data=GOOD.data, offsets=b"123", dtype=pb.DTYPE_FLOAT32), 2),
        (pb.BatchedTensor(data=GOOD.data, offsets=GOOD.offsets, dtype=pb.DTYPE_FLOAT32, trailing_shape=[2]), 2),
        (pb.BatchedTensor(data=GOOD.data, offsets=GOOD.offsets, dtype=pb.DTYPE_FLOAT32, trailing_shape=[-1]), 2),
        (GOOD, 5),
    ],
)
def test_broken_results_are_refused(field: pb.BatchedTensor, datums: int) -> None:
    record = pb.ArrayRecord(num_datums=datums, fields={"logprobs": field})
    with pytest.raises(StructureError):
        proto.decode_forward_backward_output(pb.ForwardBackwardOutput(loss_fn_outputs=[record]).SerializeToString())


@given(st.binary(max_size=60))
def test_junk_is_refused_or_read_but_never_worse(junk: bytes) -> None:
    for decode in (proto.decode_forward_backward_output, proto.decode_sample_response):
        try:
            decode(junk)
        except StructureError:
            continue


def sampled(**fields: object) -> pb.SampleResponse:
    sequence = pb.SampledSequence(
        stop_reason=pb.STOP_REASON_LENGTH,
        tokens=np.array([5, 6], "<i4").tobytes(),
        logprobs=np.array([-1, -2], "<f4").tobytes(),
    )
    return pb.SampleResponse(sequences=[sequence, pb.SampledSequence()], **fields)  # type: ignore[arg-type]


def test_samples() -> None:
    scored = np.array([np.nan, -0.5, -1.5], "<f4")
    topk = pb.TopkLogprobs(
        token_ids=np.array([[0, 0], [3, 4]], "<i4").tobytes(),
        logprobs=np.array([[-99999, -99999], [-1, -2]], "<f4").tobytes(),
        k=2,
        length=2,
    )
    pair = pb.Tensor(dense=np.array([[1, 2]], "<i8").tobytes(), dtype=pb.DTYPE_INT64, shape=[1, 2])
    floats = pb.Tensor(dense=np.array([[-1, -2]], "<f4").tobytes(), dtype=pb.DTYPE_FLOAT32, shape=[1, 2])
    message = sampled(
        prompt_logprobs=scored.tobytes(),
        topk_prompt_logprobs=topk,
        prompt_cache_hit_tokens=2,
        target_prompt_logprobs=floats,
        prompt_alt_tokens=pb.PromptAltTokens(tokens=pair, logprobs=floats),
    )
    response = proto.decode_sample_response(message.SerializeToString(), ["a", "b"])
    first, second = response.sequences
    assert (first.stop_reason, first.sequence_id, first.tokens, first.logprobs) == ("length", "a", [5, 6], [-1.0, -2.0])
    assert (second.stop_reason, second.sequence_id, second.tokens, second.logprobs) == ("stop", "b", [], None)
    assert response.prompt_logprobs == [None, -0.5, -1.5]
    assert response.topk_prompt_logprobs == [None, [(3, -1.0), (4, -2.0)]]
    assert response.prompt_cache_hit_tokens == 2
    assert response.target_prompt_logprobs == TensorData([[-1.0, -2.0]], "float32", [1, 2])
    assert response.prompt_alt_tokens is not None
    assert response.prompt_alt_tokens.tokens.tolist() == [[1, 2]]


def test_a_server_without_sequence_ids_or_with_too_few() -> None:
    content = sampled().SerializeToString()
    response = proto.decode_sample_response(content)
    assert [sequence.sequence_id for sequence in response.sequences] == [None, None]
    assert (response.prompt_logprobs, response.topk_prompt_logprobs, response.prompt_alt_tokens) == (None, None, None)
    with pytest.raises(StructureError, match="2 sequences for 1"):
        proto.decode_sample_response(content, ["a"])


def test_a_left_out_first_position_is_put_back() -> None:
    content = sampled(prompt_logprobs=np.array([-1, -2], "<f4").tobytes()).SerializeToString()
    assert proto.decode_sample_response(content, prompt_length=3).prompt_logprobs == [None, -1.0, -2.0]
    assert proto.decode_sample_response(content, prompt_length=2).prompt_logprobs == [-1.0, -2.0]


@pytest.mark.parametrize(
    "broken",
    [
        {"prompt_logprobs": b"123"},
        {"topk_prompt_logprobs": pb.TopkLogprobs(token_ids=b"1234", logprobs=b"1234", k=2, length=2)},
        {"target_prompt_logprobs": pb.Tensor(dense=b"1234", dtype=pb.DTYPE_FLOAT32, shape=[2])},
        {"target_prompt_logprobs": pb.Tensor(dense=b"1234")},
        {
            "target_prompt_logprobs": pb.Tensor(
                sparse_csr=pb.SparseCsr(values=b"1234", crow_indices=b"123", col_indices=b""),
                dtype=pb.DTYPE_FLOAT32,
                shape=[1, 1],
            )
        },
    ],
)
def test_broken_samples_are_refused(broken: dict[str, object]) -> None:
    with pytest.raises(StructureError):
        proto.decode_sample_response(sampled(**broken).SerializeToString())


def test_sparse_scores_of_targets() -> None:
    csr = pb.SparseCsr(
        values=np.array([-1.5], "<f4").tobytes(),
        crow_indices=np.array([0, 0, 1], "<i8").tobytes(),
        col_indices=np.array([2], "<i8").tobytes(),
    )
    message = sampled(target_prompt_logprobs=pb.Tensor(sparse_csr=csr, dtype=pb.DTYPE_FLOAT32, shape=[2, 3]))
    scores = proto.decode_sample_response(message.SerializeToString()).target_prompt_logprobs
    assert scores is not None
    assert scores.is_sparse
    assert scores.tolist() == [[0, 0, 0], [0, 0, -1.5]]


def test_an_unknown_reason_to_stop_is_refused() -> None:
    message = pb.SampleResponse(sequences=[pb.SampledSequence(stop_reason=7)])  # type: ignore[arg-type]  # on purpose
    with pytest.raises(StructureError, match="stop reason 7"):
        proto.decode_sample_response(message.SerializeToString())
