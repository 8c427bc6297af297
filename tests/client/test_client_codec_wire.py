"""Framing and finding by hand, held against the generated classes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinker_proto import tinker_public_pb2 as pb

from tinker_hl.codec.structure import StructureError
from tinker_hl.codec.wire import cut_out, frame_head, varint


@given(st.integers(0, 2**64 - 1))
def test_a_number_is_written_as_the_classes_read_it(number: int) -> None:
    written = b"\x10" + varint(number)  # field 2 of SamplingParams: an unsigned number of 64 bits
    assert pb.SamplingParams.FromString(written).seed == number
    assert cut_out(memoryview(written), 1) == ([], written)


@given(st.binary(max_size=300))
def test_a_content_alone_in_message_after_message(content: bytes) -> None:
    framed = frame_head((1, 1, 1), len(content)) + content
    message = pb.Datum(model_input=[pb.Chunk(encoded_text=pb.EncodedTextChunk(tokens=content))])
    assert pb.Datum.FromString(framed) == message
    assert not content or framed == message.SerializeToString()


@given(
    st.builds(
        pb.ImageChunk,
        data=st.binary(max_size=200),
        format=st.text(max_size=4),
        expected_tokens=st.integers(-(2**31), 2**31 - 1),
    ),
    st.integers(1, 3),
)
def test_a_field_is_cut_out_wherever_it_stands(message: pb.ImageChunk, times: int) -> None:
    whole = message.SerializeToString()
    found, rest = cut_out(memoryview(whole * times), pb.ImageChunk.DATA_FIELD_NUMBER)
    assert [bytes(one) for one in found] == ([message.data] * times if message.data else [])
    without = pb.ImageChunk.FromString(rest)
    assert (without.data, without.format, without.expected_tokens) == (b"", message.format, message.expected_tokens)


def test_fixed_widths_are_passed_over() -> None:
    eight = pb.LossConfigValue(number=1.5).SerializeToString()
    four = pb.SamplingParams(temperature=0.5).SerializeToString()
    content = eight + b"\x12\x03abc" + four
    found, rest = cut_out(memoryview(content), 2)
    assert ([bytes(one) for one in found], rest) == ([b"abc"], eight + four)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x0a\x05abc", "longer than the message"),
        (b"\x09\x00", "longer than the message"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x08\x80", "no number"),
        (b"\xff" * 11, "no number"),
    ],
)
def test_what_is_no_message_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(StructureError, match=says):
        cut_out(memoryview(content), 1)


@given(st.binary(max_size=60))
def test_junk_is_refused_or_read_but_never_worse(junk: bytes) -> None:
    try:
        found, rest = cut_out(memoryview(junk), 1)
    except StructureError:
        return
    assert len(rest) + sum(map(len, found)) <= len(junk)
