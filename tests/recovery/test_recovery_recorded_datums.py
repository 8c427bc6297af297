"""What a journal keeps of datums is what was sent, to the bit."""

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tinker_proto import tinker_public_pb2 as pb

from tinker_hl.codec import json as json_codec
from tinker_hl.codec import proto
from tinker_hl.recovery import JournalError
from tinker_hl.recovery.recorded_datums import read_datums, recorded_datums
from tinker_hl.types import (
    Datum,
    DmelChunk,
    ImageChunk,
    ModelInput,
    PromptProvenanceSpan,
    SampledProvenanceSpan,
    TensorData,
)

CHUNKS = st.one_of(
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=9).map(lambda ids: ModelInput.from_ints(ids).chunks[0]),
    st.builds(
        ImageChunk,
        data=st.binary(max_size=20),
        format=st.sampled_from(("png", "jpeg")),
        expected_tokens=st.none() | st.integers(0, 500),
    ),
    st.builds(DmelChunk, dmel=st.binary(max_size=20)),
)
SHAPES = arrays.array_shapes(max_dims=2, max_side=5)
TENSORS = st.one_of(
    arrays.arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=True)).map(TensorData.from_numpy),
    arrays.arrays(np.int64, SHAPES).map(TensorData.from_numpy),
    st.lists(st.floats(width=32, allow_nan=False), max_size=5).map(lambda values: TensorData(values, "float32")),
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 5), st.integers(2, 9)), elements=st.sampled_from([0.0, 1.5])
    ).map(lambda dense: TensorData.from_numpy(dense).compressed()),
)
DATUMS = st.builds(
    lambda chunks, inputs: Datum(ModelInput(chunks=chunks), inputs),
    st.lists(CHUNKS, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(("target_tokens", "weights", "mine", "ünïcode")), TENSORS),
)


def same(found: Datum, given: Datum) -> bool:
    assert found.model_input == given.model_input
    assert found.loss_fn_inputs.keys() == given.loss_fn_inputs.keys()
    for key, tensor in given.loss_fn_inputs.items():
        other = found.loss_fn_inputs[key]
        assert (other.dtype, other.shape, other.is_sparse) == (tensor.dtype, tensor.shape, tensor.is_sparse)
        assert other.values.tobytes() == tensor.values.tobytes()
    return (found.model_input_spans, found.loss_fn_input_spans) == (given.model_input_spans, given.loss_fn_input_spans)


def on_the_wire(datum: Datum) -> Any:
    """The message: the order of the inputs means nothing."""
    return pb.Datum.FromString(bytes(proto.encode_datum(datum)))


@settings(max_examples=150, deadline=None)
@given(st.lists(DATUMS, min_size=1, max_size=3))
def test_any_datum_comes_back(data: list[Datum]) -> None:
    found = read_datums(recorded_datums(data))
    assert len(found) == len(data)
    for one, other in zip(found, data, strict=True):
        assert same(one, other)
        assert on_the_wire(one) == on_the_wire(other)
    assert recorded_datums(read_datums(recorded_datums(found))) is not None


def test_provenance_comes_back() -> None:
    spans = [
        PromptProvenanceSpan(sequence_id="q", length=1),
        SampledProvenanceSpan(sequence_id="q", offset=3, length=1),
    ]
    datum = Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3]}).with_provenance(spans, spans)  # type: ignore[dict-item]
    (found,) = read_datums(recorded_datums([datum]))
    assert same(found, datum)
    assert bytes(json_codec.encode_datum(found)) == bytes(json_codec.encode_datum(datum))


def test_changed_bytes_are_not_taken_for_datums() -> None:
    block = recorded_datums([Datum(ModelInput.from_ints([1, 2, 3]))])
    for spoilt in (b"", b"nonsense", block[:-3]):
        with pytest.raises(JournalError, match="cannot be read"):
            read_datums(spoilt)


def test_it_is_small() -> None:
    tokens = [5] * 4096
    datum = Datum(ModelInput.from_ints(tokens), {"target_tokens": tokens, "weights": [1.0] * 4096})  # type: ignore[dict-item]
    assert len(recorded_datums([attrs.evolve(datum)] * 8)) < 20_000
