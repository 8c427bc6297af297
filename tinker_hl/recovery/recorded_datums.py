"""Datums as bytes and back, in the protocol's own binary form, compressed: what a journal keeps of a pass.

What comes back is equal to what went in, to the bit, and so is what is sent of it.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import zstandard
from numpy.typing import NDArray
from tinker_proto import tinker_public_pb2 as pb

from tinker_hl.codec import proto
from tinker_hl.recovery.errors import JournalError
from tinker_hl.types import (
    Datum,
    DmelChunk,
    EncodedTextChunk,
    ImageChunk,
    ModelInput,
    PromptProvenanceSpan,
    SampledProvenanceSpan,
    TensorData,
)
from tinker_hl.types.model_input import ModelInputChunk
from tinker_hl.types.provenance import ProvenanceSpan

__all__ = ["read_datums", "recorded_datums"]

LEVEL = 1


def recorded_datums(data: Sequence[Datum]) -> bytes:
    """The datums as one block of bytes."""
    encoded = [proto.encode_datum(datum) for datum in data]
    body = proto.forward_backward_body("", 0, encoded, "")
    return zstandard.ZstdCompressor(level=LEVEL).compress(bytes(body))


def read_datums(block: bytes) -> list[Datum]:
    """The datums of a block. Raises `JournalError` for something else."""
    message = pb.ForwardBackwardRequest()
    try:
        message.ParseFromString(zstandard.ZstdDecompressor().decompress(block))
    except Exception as error:
        raise JournalError(f"the journal has a pass that cannot be read: {error}") from error
    return [_datum(datum) for datum in message.data]


def _datum(message: Any) -> Datum:
    chunks = [_chunk(chunk) for chunk in message.model_input]
    inputs = {key: _tensor(tensor) for key, tensor in message.loss_fn_inputs.items()}
    datum = Datum(ModelInput(chunks=chunks), inputs)
    if not message.model_input_spans and not message.loss_fn_input_spans:
        return datum
    return attrs.evolve(
        datum,
        model_input_spans=[_span(span) for span in message.model_input_spans],
        loss_fn_input_spans=[_span(span) for span in message.loss_fn_input_spans],
    )


def _chunk(message: Any) -> ModelInputChunk:
    kind = message.WhichOneof("chunk")
    if kind == "encoded_text":
        return EncodedTextChunk(tokens=np.frombuffer(message.encoded_text.tokens, "<i4"))
    if kind == "image":
        image = message.image
        expected = image.expected_tokens if image.HasField("expected_tokens") else None
        return ImageChunk(data=image.data, format=image.format, expected_tokens=expected)
    return DmelChunk(dmel=message.dmel.dmel)


def _tensor(message: Any) -> TensorData:
    stored = "<i8" if message.dtype == pb.DTYPE_INT64 else "<f4"
    shape = list(message.shape) or None
    if message.WhichOneof("encoding") != "sparse_csr":
        return TensorData(np.frombuffer(message.dense, stored), shape=shape)
    csr = message.sparse_csr
    return TensorData(
        np.frombuffer(csr.values, stored),
        shape=shape,
        sparse_crow_indices=_indices(csr.crow_indices),
        sparse_col_indices=_indices(csr.col_indices),
    )


def _indices(data: bytes) -> NDArray[np.int64]:
    return np.frombuffer(data, "<i8")


def _span(message: Any) -> ProvenanceSpan:
    if message.WhichOneof("span") == "prompt_tokens":
        span = message.prompt_tokens
        return PromptProvenanceSpan(sequence_id=span.sequence_id, offset=span.offset, length=span.length)
    span = message.sampled_tokens
    return SampledProvenanceSpan(sequence_id=span.sequence_id, offset=span.offset, length=span.length)
