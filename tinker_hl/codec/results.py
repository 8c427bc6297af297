"""Results in whichever form they came, as public types; what cannot be read is a typed error.

Knows the two codecs, nothing of promises or of what was asked.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from tinker_hl.codec import codec_of
from tinker_hl.codec.structure_error import StructureError
from tinker_hl.errors import APIResponseValidationError
from tinker_hl.types.sample_response import SampleResponse
from tinker_hl.types.training import ForwardBackwardOutput

__all__ = ["forward_backward_output", "sample_response"]

T = TypeVar("T")

SHOWN = 2000
"""Bytes of a broken result that its error keeps."""


def forward_backward_output(content: bytes, *, is_protobuf: bool) -> ForwardBackwardOutput:
    """The result of a pass.

    Raises:
        APIResponseValidationError: It is none.
    """
    codec = codec_of(protobuf=is_protobuf)
    return _read(content, lambda: codec.decode_forward_backward_output(content))


def sample_response(
    content: bytes, *, is_protobuf: bool, sequence_ids: Sequence[str] | None, prompt_length: int | None
) -> SampleResponse:
    """The result of a sample; see `decode_sample_response` of the codecs.

    Raises:
        APIResponseValidationError: It is none, or has another number of samples than ids.
    """
    codec = codec_of(protobuf=is_protobuf)
    return _read(content, lambda: codec.decode_sample_response(content, sequence_ids, prompt_length))


def _read(content: bytes, decode: Callable[[], T]) -> T:
    try:
        return decode()
    except StructureError as error:
        raise APIResponseValidationError(None, content[:SHOWN], str(error)) from error
