"""Images in a prompt: the bytes themselves, or a pointer to where the service finds them."""

import base64
from typing import Any, Literal

import attrs

from tinker_hl.types.record import Record
from tinker_hl.types.scalars import whole_or_none

__all__ = ["ImageAssetPointerChunk", "ImageChunk", "as_bytes", "short_bytes"]


def as_bytes(value: Any) -> bytes:
    """Bytes as they are, or from base64 text. Raises `TypeError` or `ValueError`."""
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"bytes or base64 text is needed, got {type(value).__name__}")


def short_bytes(value: bytes) -> str:
    """A readable stand-in for a blob in a `repr`."""
    return f"<{len(value)} bytes>"


def _known_length(chunk: "ImageChunk | ImageAssetPointerChunk") -> int:
    if chunk.expected_tokens is None:
        raise ValueError(f"the length of an {type(chunk).__name__} is known only if expected_tokens is given")
    return chunk.expected_tokens


@attrs.frozen(kw_only=True)
class ImageChunk(Record):
    """An image as bytes. `expected_tokens` is advisory: the service counts, and may refuse a mismatch."""

    data: bytes = attrs.field(converter=as_bytes, repr=short_bytes)
    format: Literal["png", "jpeg"] = attrs.field(validator=attrs.validators.in_(("png", "jpeg")))
    expected_tokens: int | None = attrs.field(default=None, converter=whole_or_none)
    type: Literal["image"] = "image"

    @property
    def length(self) -> int:
        """Tokens that the image stands for. Raises `ValueError` if `expected_tokens` is None."""
        return _known_length(self)


@attrs.frozen(kw_only=True)
class ImageAssetPointerChunk(Record):
    """An image that the service fetches from `location`; only for sampling, the binary form has no place for it."""

    format: Literal["png", "jpeg"] = attrs.field(validator=attrs.validators.in_(("png", "jpeg")))
    location: str
    expected_tokens: int | None = attrs.field(default=None, converter=whole_or_none)
    type: Literal["image_asset_pointer"] = "image_asset_pointer"

    @property
    def length(self) -> int:
        """Tokens that the image stands for. Raises `ValueError` if `expected_tokens` is None."""
        return _known_length(self)
