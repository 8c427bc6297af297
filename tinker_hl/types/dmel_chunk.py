"""Audio in a prompt: features in a container of their own, of which only the header is read here."""

from typing import Final, Literal

import attrs

from tinker_hl.types.image_chunk import as_bytes, short_bytes
from tinker_hl.types.record import Record

__all__ = ["DmelChunk"]

_CONSTANT_MARKER: Final = 254
_MAX_DTYPE: Final = 7
_MAX_VARINT_BYTES: Final = 10


@attrs.frozen(kw_only=True)
class DmelChunk(Record):
    """Audio features, serialized: [marker 254], dtype byte, LEB128 number of dimensions, LEB128 dimensions, payload."""

    dmel: bytes = attrs.field(converter=as_bytes, repr=short_bytes)
    type: Literal["dmel"] = "dmel"

    @property
    def length(self) -> int:
        """The container's first dimension, in tokens. Raises `ValueError` if the header is not one."""
        start = 1 if self.dmel[:1] == bytes([_CONSTANT_MARKER]) else 0
        if len(self.dmel) <= start or self.dmel[start] > _MAX_DTYPE:
            raise ValueError("a dmel container begins with a dtype byte from 0 to 7")
        dimensions, start = _varint(self.dmel, start + 1)
        if dimensions == 0:
            raise ValueError("a dmel container needs at least one dimension")
        return _varint(self.dmel, start)[0]


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """A LEB128 number, and where it ends."""
    value = 0
    for place, byte in enumerate(data[start : start + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, start + place + 1
    raise ValueError("the header of the dmel container is cut off")
