"""The binary twin of the spec: field numbers are the wire, and the file may stand beside the official SDK's."""

from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st
from tinker_proto import tinker_public_pb2 as pb

KINDS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
}

# One line a message: number, name, type; `*` repeated, `?` with presence of its own, `|` in a oneof.
MESSAGES = """
SampleResponse: 1 sequences SampledSequence*, 2 prompt_logprobs bytes?, 3 topk_prompt_logprobs TopkLogprobs?, 4 prompt_cache_hit_tokens int32, 5 target_prompt_logprobs Tensor?, 6 prompt_alt_tokens PromptAltTokens?
PromptAltTokens: 1 tokens Tensor?, 2 logprobs Tensor?
SampledSequence: 1 stop_reason StopReason, 2 tokens bytes, 3 logprobs bytes?, 4 topk_sampled_logprobs TopkLogprobs?
TopkLogprobs: 1 token_ids bytes, 2 logprobs bytes, 3 k uint32, 4 length uint32
SparseCsr: 1 values bytes, 2 crow_indices bytes, 3 col_indices bytes
Tensor: 1 dense bytes|, 2 sparse_csr SparseCsr|, 3 dtype DType, 4 shape int64*
BatchedTensor: 1 data bytes, 2 offsets bytes, 3 dtype DType, 4 trailing_shape int64*
ArrayRecord: 1 type_tag string, 2 fields FieldsEntry*, 3 num_datums int64
ForwardBackwardOutput: 1 loss_fn_output_type string, 2 loss_fn_outputs ArrayRecord*, 3 metrics MetricsEntry*
ForwardBackwardRequest: 1 model_id string, 2 seq_id int32, 3 data Datum*, 4 loss_fn string, 5 loss_fn_config LossFnConfigEntry*, 6 forward_only bool, 7 loss_fn_config_v2 LossFnConfigV2Entry*
LossConfigValue: 1 number double|, 2 text string|
Datum: 1 model_input Chunk*, 2 loss_fn_inputs LossFnInputsEntry*, 3 model_input_spans ProvenanceSpan*, 4 loss_fn_input_spans ProvenanceSpan*
ProvenanceSpan: 1 prompt_tokens PromptProvenanceSpan|, 2 sampled_tokens SampledProvenanceSpan|
PromptProvenanceSpan: 1 sequence_id string, 2 offset int64, 3 length int64
SampledProvenanceSpan: 1 sequence_id string, 2 offset int64, 3 length int64
Chunk: 1 encoded_text EncodedTextChunk|, 2 image ImageChunk|, 3 dmel DmelChunk|
EncodedTextChunk: 1 tokens bytes
ImageChunk: 1 data bytes, 2 format string, 3 expected_tokens int32?, 4 override_dimensions ImageDimensions?
ImageDimensions: 1 width uint32, 2 height uint32
DmelChunk: 1 dmel bytes
SamplingParams: 1 max_tokens int32?, 2 seed uint64?, 3 temperature float?, 4 top_k int32?, 5 top_p float?, 6 stop_strs StopStrings|, 7 stop_tokens StopTokens|
StopStrings: 1 values string*
StopTokens: 1 values int32*
"""  # noqa: E501  (a table reads best with one message a line)
EXPECTED = dict(line.split(": ") for line in MESSAGES.strip().splitlines())


def described(message: Any) -> str:
    return ", ".join(one_field(field) for field in sorted(message.fields, key=lambda field: field.number))


def one_field(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    kind = named.name if named else KINDS[field.type]
    oneof = field.containing_oneof
    if field.is_repeated:
        mark = "*"
    elif oneof is not None and not oneof.name.startswith("_"):
        mark = "|"
    else:
        mark = "?" if field.has_presence else ""
    return f"{field.number} {field.name} {kind}{mark}"


@pytest.mark.parametrize("name", EXPECTED)
def test_a_message_has_its_fields_under_their_numbers(name: str) -> None:
    assert described(pb.DESCRIPTOR.message_types_by_name[name]) == EXPECTED[name]


def test_there_are_no_other_messages() -> None:
    assert set(pb.DESCRIPTOR.message_types_by_name) == set(EXPECTED)


def test_enums_have_their_numbers() -> None:
    assert dict(pb.StopReason.items()) == {"STOP_REASON_STOP": 0, "STOP_REASON_LENGTH": 1}
    names = ["DTYPE_UNSPECIFIED", "DTYPE_FLOAT32", "DTYPE_INT64", "DTYPE_INT32", "DTYPE_BFLOAT16"]
    assert dict(pb.DType.items()) == {name: number for number, name in enumerate(names)}


def test_a_program_may_load_the_official_sdk_too() -> None:
    """The official SDK registers a file and a package called `tinker_public` in the same pool."""
    assert pb.DESCRIPTOR.name == "tinker_proto/tinker_public.proto"
    assert pb.DESCRIPTOR.package == "tinker_hl.wire"
    pool = descriptor_pool.Default()
    with pytest.raises(KeyError):
        pool.FindFileByName("tinker_public.proto")


def test_a_known_request_has_known_bytes() -> None:
    """Written out by hand from the field numbers: tag (number << 3 | wire type), length, bytes."""
    request = pb.ForwardBackwardRequest(model_id="m", seq_id=3, loss_fn="ppo", forward_only=True)
    request.data.add().model_input.add().encoded_text.tokens = b"\x07\x00\x00\x00"
    chunk = b"\x0a\x06" + b"\x0a\x04\x07\x00\x00\x00"
    datum = b"\x1a\x0a" + b"\x0a\x08" + chunk
    assert (
        request.SerializeToString(deterministic=True)
        == b"\x0a\x01m" + b"\x10\x03" + datum + b"\x22\x03ppo" + b"\x30\x01"
    )


@settings(deadline=None)
@given(
    values=st.binary(max_size=32),
    shape=st.lists(st.integers(0, 2**62), max_size=3),
    config=st.dictionaries(st.text(max_size=4), st.floats(allow_nan=False) | st.text(max_size=4), max_size=3),
)
def test_requests_survive_the_wire(values: bytes, shape: list[int], config: dict[str, float | str]) -> None:
    request = pb.ForwardBackwardRequest(model_id="m", seq_id=1)
    tensor = request.data.add().loss_fn_inputs["weights"]
    tensor.dense, tensor.dtype = values, pb.DTYPE_FLOAT32
    tensor.shape.extend(shape)
    for name, value in config.items():
        setattr(request.loss_fn_config_v2[name], "text" if isinstance(value, str) else "number", value)
    again = pb.ForwardBackwardRequest.FromString(request.SerializeToString())
    assert again == request
    assert {
        name: getattr(value, value.WhichOneof("value")) for name, value in again.loss_fn_config_v2.items()
    } == config
    assert again.data[0].loss_fn_inputs["weights"].WhichOneof("encoding") == "dense"
