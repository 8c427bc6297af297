"""Bytes that are not joined yet: a datum is encoded once, and copied once, when the body is put together."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

__all__ = ["Buffer", "EncodedDatum", "Pieces", "joined", "total_bytes"]

Buffer: TypeAlias = bytes | NDArray[Any]
"""An array stands for its bytes, which are C-contiguous and in the order of the wire."""


def total_bytes(parts: Iterable[Buffer]) -> int:
    """Bytes of all parts together."""
    return sum(part.nbytes if isinstance(part, np.ndarray) else len(part) for part in parts)


def joined(parts: Iterable[Buffer]) -> bytes:
    """All parts in one."""
    return b"".join(parts)  # type: ignore[arg-type]  # an ndarray is a buffer; its type does not say so


@attrs.frozen(eq=False, repr=False)
class Pieces:
    """An encoded datum in parts; `len` is its size, `bytes` joins it."""

    parts: Sequence[Buffer]

    def __len__(self) -> int:
        return total_bytes(self.parts)

    def __bytes__(self) -> bytes:
        return joined(self.parts)

    def __repr__(self) -> str:
        return f"Pieces({len(self)} bytes)"


EncodedDatum: TypeAlias = bytes | Pieces
"""What `encode_datum` of a codec gives, and its `forward_backward_body` takes."""
