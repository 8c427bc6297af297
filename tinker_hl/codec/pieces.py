"""Bytes that are not joined yet: what is large is encoded once, and copied once, when it is written to a socket."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import attrs
from numpy.typing import NDArray

__all__ = ["Buffer", "EncodedDatum", "Pieces", "array_bytes", "in_slices"]

Buffer: TypeAlias = bytes | memoryview
"""A view has one dimension and items of one byte, so that `len` is its size."""


def array_bytes(array: NDArray[Any]) -> Buffer:
    """The bytes of a C-contiguous array in the order of the wire, without a copy."""
    return array.data.cast("B") if array.size else b""  # an empty view cannot be cast


def in_slices(parts: Iterable[Buffer], size: int) -> Iterator[Buffer]:
    """The same bytes in buffers of about `size`: small parts are joined, large ones cut without a copy.

    Args:
        parts: what to slice.
        size: bytes of a slice; one is at most twice as long, and none is empty.
    """
    gathered: list[Buffer] = []
    held = 0
    for part in parts:
        length = len(part)
        if length < size:
            gathered.append(part)
            held += length
            if held < size:
                continue
        if held:
            yield b"".join(gathered)
            gathered, held = [], 0
        if length >= size:
            view = memoryview(part)
            yield from (view[start : start + size] for start in range(0, length, size))
    if held:
        yield b"".join(gathered)


@attrs.frozen(eq=False, repr=False)
class Pieces:
    """Encoded data in parts, which nobody changes; `len` is its size, `bytes` joins it."""

    parts: Sequence[Buffer]
    _size: int = attrs.field(init=False, default=attrs.Factory(lambda self: sum(map(len, self.parts)), takes_self=True))

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)

    def __repr__(self) -> str:
        return f"Pieces({len(self)} bytes)"


EncodedDatum: TypeAlias = bytes | Pieces
"""What `encode_datum` of a codec gives, and its `forward_backward_body` takes."""
