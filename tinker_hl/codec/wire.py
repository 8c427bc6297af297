"""The wire format of protobuf, for what is large: the generated classes copy a field of bytes, several times when read.

A message is its fields one behind the other, in any order; each begins with a tag and, where it holds bytes or another
message, its length. It knows that format, no message in particular.
https://protobuf.dev/programming-guides/encoding/
"""

from functools import lru_cache
from typing import Final

from tinker_hl.codec.structure_error import StructureError

__all__ = ["cut_out", "frame_head", "varint"]

_VARINT, _EIGHT_BYTES, _LENGTH_DELIMITED, _FOUR_BYTES = 0, 1, 2, 5
_FIXED: Final = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_LONGEST: Final = 10
"""Bytes of a varint, which holds 64 bits at most."""


def varint(number: int) -> bytes:
    """A number from 0, seven bits a byte, the lowest first."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


@lru_cache(4096)
def frame_head(fields: tuple[int, ...], length: int) -> bytes:
    """What stands before a content that is alone in its message, which is alone in its own, and so on.

    Args:
        fields: field numbers below 16, the outermost first.
        length: bytes of the innermost content.
    """
    before = b""
    for field in reversed(fields):
        before = bytes([field << 3 | _LENGTH_DELIMITED]) + varint(len(before) + length) + before
    return before


def cut_out(message: memoryview, field: int) -> tuple[list[memoryview], bytes]:
    """The contents of a length-delimited field, without a copy, and the message without them.

    Args:
        message: serialized.
        field: its number; it may occur never or often.

    Raises:
        StructureError: that is no message, or has a group, which today's schemas do not.
    """
    found: list[memoryview] = []
    rest: list[memoryview] = []
    place = 0
    while place < len(message):
        start = place
        tag, place = _varint_at(message, place)
        kind = tag & 7
        content = place
        if kind == _VARINT:
            _, place = _varint_at(message, place)
        elif kind == _LENGTH_DELIMITED:
            length, content = _varint_at(message, place)
            place = content + length
        elif kind in _FIXED:
            place += _FIXED[kind]
        else:
            raise StructureError(f"no protobuf message: wire type {kind} at byte {start}")
        if place > len(message):
            raise StructureError(f"no protobuf message: the field at byte {start} is longer than the message")
        if tag >> 3 == field and kind == _LENGTH_DELIMITED:
            found.append(message[content:place])
        else:
            rest.append(message[start:place])
    return found, b"".join(rest)


def _varint_at(message: memoryview, place: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    number = 0
    for offset, byte in enumerate(message[place : place + _LONGEST]):
        number |= (byte & 0x7F) << 7 * offset
        if byte < 0x80:
            return number, place + offset + 1
    raise StructureError(f"no protobuf message: no number at byte {place}")
