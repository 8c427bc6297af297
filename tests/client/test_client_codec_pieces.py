"""Bytes in parts: the same bytes, whatever way they are looked at."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.codec.pieces import Buffer, Pieces, array_bytes, in_slices

parts = st.lists(st.binary(max_size=40) | st.integers(0, 12).map(lambda n: array_bytes(np.arange(n, dtype="<i4"))))


@given(parts, st.integers(1, 64))
def test_slices_are_the_same_bytes_and_none_is_long_or_empty(some: list[Buffer], size: int) -> None:
    slices = list(in_slices(some, size))
    assert b"".join(slices) == b"".join(some) == bytes(Pieces(some))
    assert sum(map(len, slices)) == len(Pieces(some))
    assert all(0 < len(one) < 2 * size for one in slices)
    # A write for each small part would be slow.
    if all(len(part) < size for part in some):
        assert all(len(one) >= size for one in slices[:-1])


def test_a_large_part_is_not_copied() -> None:
    array = np.arange(100, dtype="<i4")
    first, second, third = in_slices([b"head", array_bytes(array)], 300)
    assert first == b"head"
    for one in (second, third):
        assert np.shares_memory(np.frombuffer(one, np.uint8), array)


def test_arrays_of_any_shape_are_their_bytes() -> None:
    for array in (np.empty((0, 3), "<f4"), np.arange(6, dtype="<i8").reshape(2, 3), np.float32(1.5).reshape(())):
        assert bytes(array_bytes(array)) == array.tobytes()
    assert repr(Pieces([b"abc", b"d"])) == "Pieces(4 bytes)"
