"""Content codings are undone within a limit, or refused."""

import gzip

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tinker_local.wire.faults import WireFault
from tinker_local.wire.inflate import inflate

ENOUGH = 2**20


def zstd_without_size(content: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(content) + packer.flush()


CODINGS = {
    None: lambda content: content,
    "identity": lambda content: content,
    "zstd": zstandard.compress,
    "ZSTD ": zstd_without_size,
    "gzip": gzip.compress,
}


@pytest.mark.parametrize("coding", CODINGS)
@given(content=st.binary(max_size=4000))
def test_what_was_packed_comes_out(coding: str | None, content: bytes) -> None:
    assert inflate(CODINGS[coding](content), coding, ENOUGH) == content


@pytest.mark.parametrize("coding", CODINGS)
def test_the_limit_is_exact(coding: str | None) -> None:
    packed = CODINGS[coding](bytes(100_000))
    assert inflate(packed, coding, 100_000) == bytes(100_000)
    with pytest.raises(WireFault, match="larger than 99999 bytes"):
        inflate(packed, coding, 99_999)


def test_a_bomb_is_refused_long_before_it_is_whole() -> None:
    bomb = zstd_without_size(bytes(2**28))
    assert len(bomb) < 50_000
    with pytest.raises(WireFault, match="larger than"):
        inflate(bomb, "zstd", ENOUGH)


@pytest.mark.parametrize("coding", ["zstd", "ZSTD ", "gzip"])
@pytest.mark.parametrize(
    "damage",
    [lambda packed: packed[:-1], lambda packed: packed + b"x", lambda packed: packed[4:], lambda _: b""],
    ids=["cut", "followed", "headless", "empty"],
)
def test_damage_is_a_fault(coding: str, damage) -> None:
    packed = damage(CODINGS[coding](b"tokens " * 100))
    with pytest.raises(WireFault) as caught:
        inflate(packed, coding, ENOUGH)
    assert caught.value.loc == ("body",)


def test_an_unknown_coding_is_named() -> None:
    with pytest.raises(WireFault, match="'br' is not known") as caught:
        inflate(b"", "br", ENOUGH)
    assert caught.value.loc == ("header", "content-encoding")
