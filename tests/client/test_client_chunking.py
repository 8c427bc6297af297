"""Chunks: together they are the call's data, each keeps the limits."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl import chunking
from tinker_hl.chunking import estimate_bytes, plan_chunks
from tinker_hl.types import Datum, DmelChunk, ImageAssetPointerChunk, ImageChunk, ModelInput
from tinker_hl.types.config import ClientConfigResponse


def text(tokens: int) -> Datum:
    return Datum(ModelInput.from_ints([0] * tokens))


def test_what_a_datum_weighs() -> None:
    sparse = torch.zeros(4, 8)
    sparse[0, 0] = 1
    read = (
        ModelInput.from_ints([1, 2, 3])
        .append(ImageChunk(data=b"12345", format="png"))
        .append(DmelChunk(dmel=b"123"))
        .append(ImageAssetPointerChunk(location="1234567", format="png"))
    )
    datum = Datum(read, {"target_tokens": [1, 2], "advantages": np.ones(3), "weights": sparse})  # type: ignore[dict-item]
    tokens, blobs, dense = 3 * 4, 5 + 3 + 7, 2 * 8 + 3 * 4
    compressed = 1 * 4 + 8 * (5 + 1)
    assert estimate_bytes(datum) == tokens + blobs + dense + compressed


@given(
    sizes=st.lists(st.integers(0, 40), max_size=60),
    max_items=st.integers(1, 12),
    max_bytes=st.integers(0, 300),
)
def test_chunks_are_greedy_ordered_and_within_the_limits(sizes: list[int], max_items: int, max_bytes: int) -> None:
    chunks = plan_chunks([text(size) for size in sizes], max_items, max_bytes)
    assert [place for chunk in chunks for place in chunk] == list(range(len(sizes)))

    def weight(chunk: range) -> int:
        return sum(4 * sizes[place] for place in chunk)

    for chunk in chunks:
        assert 1 <= len(chunk) <= max_items
        assert weight(chunk) <= max_bytes or len(chunk) == 1
    for chunk, following in pairwise(chunks):
        grown = range(chunk.start, following.start + 1)
        assert len(grown) > max_items or weight(grown) > max_bytes


def test_a_datum_above_the_limit_travels_alone() -> None:
    assert plan_chunks([text(1), text(1000), text(1)], max_bytes=100) == [range(1), range(1, 2), range(2, 3)]


def test_no_data_makes_no_chunk() -> None:
    assert plan_chunks([]) == []
    with pytest.raises(ValueError, match="max_items"):
        plan_chunks([text(1)], max_items=0)


def test_the_limits_are_those_of_a_service_that_names_none() -> None:
    config = ClientConfigResponse()
    assert config.fwdbwd_max_chunk_len == chunking.MAX_ITEMS
    assert config.fwdbwd_max_chunk_bytes_count == chunking.MAX_BYTES
    assert [len(chunk) for chunk in plan_chunks([text(1)] * 1025)] == [1024, 1]
