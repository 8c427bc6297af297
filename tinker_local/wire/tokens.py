"""A model input's chunks to one row of token ids, with the images that stand in it.

An image takes the positions that the client says (`expected_tokens`); whether the model takes as many is for the engine
to say. Pointers to images are refused, for nobody could say what they may point to, and so is what audio models read.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.engine.protocol import ImageInput
from tinker_local.wire.faults import Loc, WireFault

__all__ = ["MAX_IMAGE_BYTES", "MAX_POSITIONS", "MAX_TOKEN_ID", "InputRow", "row_from_json", "row_from_proto"]

_Id = TypeVar("_Id", np.int32, np.int64)

MAX_TOKEN_ID = 2**31 - 1
MAX_IMAGE_BYTES = 32 * 2**20
MAX_POSITIONS = 2**20
"""Of one model input."""
_MOST_POSITIONS = 2**17
"""Of one image: more than any model's context, and little enough to be harmless."""

_KIND_BY_KEY = {"tokens": "encoded_text", "location": "image_asset_pointer", "data": "image", "dmel": "dmel"}
"""Clients before 0.18 send no `type`: the kind is told by the key that only it has."""


@attrs.frozen(eq=False)
class InputRow:
    """One row of a model's input."""

    tokens: NDArray[np.int32]
    """[N], N at least 1; 0 where an image stands."""
    images: tuple[ImageInput, ...] = ()


class _Row:
    """A row being put together, chunk by chunk."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.int32]] = []
        self._images: list[ImageInput] = []
        self._length = 0

    def add_tokens(self, tokens: NDArray[np.int32], loc: Loc) -> None:
        self._take(tokens.size, loc)
        self._parts.append(tokens)

    def _take(self, positions: int, loc: Loc) -> None:
        """Count positions in before they cost anything: a few bytes of an image's chunk can name many."""
        self._length += positions
        if self._length > MAX_POSITIONS:
            raise WireFault(loc, f"the model input has more than {MAX_POSITIONS} positions, images counted in")

    def add_image(self, data: bytes, expected_tokens: int | None, loc: Loc) -> None:
        if expected_tokens is None:
            raise WireFault((*loc, "expected_tokens"), "it is missing: say how many positions the image takes")
        if not 1 <= expected_tokens <= _MOST_POSITIONS:
            raise WireFault((*loc, "expected_tokens"), f"{expected_tokens} is not between 1 and {_MOST_POSITIONS}")
        if not 0 < len(data) <= MAX_IMAGE_BYTES:
            raise WireFault((*loc, "data"), f"an image has between 1 and {MAX_IMAGE_BYTES} bytes, not {len(data)}")
        image = ImageInput(start=self._length, length=expected_tokens, data=np.frombuffer(data, dtype=np.uint8))
        self._take(expected_tokens, (*loc, "expected_tokens"))
        self._images.append(image)
        self._parts.append(np.zeros(expected_tokens, np.int32))

    def complete(self, loc: Loc) -> InputRow:
        if not self._length:
            raise WireFault(loc, "the model input has no tokens; it needs at least one")
        tokens = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        return InputRow(tokens.astype(np.int32, copy=False), tuple(self._images))


def row_from_json(model_input: Mapping[str, Any], loc: Loc) -> InputRow:
    """The row of a `ModelInput`."""
    row = _Row()
    for index, chunk in enumerate(model_input["chunks"]):
        where = (*loc, "chunks", index)
        kind = chunk.get("type") or next((kind for key, kind in _KIND_BY_KEY.items() if key in chunk), "unknown")
        if kind == "image":
            row.add_image(_decoded(chunk["data"], where), chunk.get("expected_tokens"), where)
        elif kind == "encoded_text":
            row.add_tokens(_token_row(chunk["tokens"], (*where, "tokens")), (*where, "tokens"))
        else:
            _refuse(kind, where)
    return row.complete((*loc, "chunks"))


def row_from_proto(chunks: Iterable[pb.Chunk], loc: Loc) -> InputRow:
    """The row of repeated `Chunk`."""
    row = _Row()
    for index, chunk in enumerate(chunks):
        kind = chunk.WhichOneof("chunk")
        if kind == "image":
            expected = chunk.image.expected_tokens if chunk.image.HasField("expected_tokens") else None
            row.add_image(chunk.image.data, expected, (*loc, index))
            continue
        if kind != "encoded_text":
            _refuse(kind or "empty", (*loc, index))
        raw = chunk.encoded_text.tokens
        if len(raw) % 4:
            raise WireFault((*loc, index, "tokens"), f"{len(raw)} bytes are not whole little-endian int32 ids")
        row.add_tokens(_checked(np.frombuffer(raw, dtype="<i4"), (*loc, index, "tokens")), (*loc, index, "tokens"))
    return row.complete(loc)


def _refuse(kind: str, loc: Loc) -> NoReturn:
    hint = "; send the image itself" if kind == "image_asset_pointer" else ""
    raise WireFault(loc, f"a chunk of kind {kind!r} cannot be used: this server's models read text and images{hint}")


def _decoded(data: str, loc: Loc) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireFault((*loc, "data"), f"it is not base64: {error}") from error


def _token_row(ids: Sequence[int], loc: Loc) -> NDArray[np.int32]:
    try:
        row = np.array(ids, dtype=np.int64)
    except OverflowError:
        raise WireFault(loc, f"token ids lie between 0 and {MAX_TOKEN_ID}") from None
    return _checked(row, loc).astype(np.int32)


def _checked(row: NDArray[_Id], loc: Loc) -> NDArray[_Id]:
    wrong = np.flatnonzero((row < 0) | (row > MAX_TOKEN_ID))
    if wrong.size:
        raise WireFault((*loc, int(wrong[0])), f"{row[wrong[0]]} is no token id: they lie between 0 and {MAX_TOKEN_ID}")
    return row
