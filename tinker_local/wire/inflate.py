"""Undo a request's content coding within a limit. It does not know what the bytes mean."""

import zlib

import zstandard

from tinker_local.wire.faults import WireFault

__all__ = ["inflate"]

_LOC = ("body",)
_PIECE = 1024
"""Bytes fed to the decoder at a time: a block of 4 bytes may stand for 128 KiB, so one overrun is at most 32 MiB."""


def inflate(raw: bytes, encoding: str | None, limit: int) -> bytes:
    """The body as it was before its `Content-Encoding`.

    Args:
        raw: the body as received.
        encoding: the header's value: `zstd` (one frame, with or without its content size), `gzip`, `identity` or None.
        limit: the most bytes that may come out.

    Raises:
        WireFault: the coding is unknown, the body is damaged or cut, or it grows beyond the limit.
    """
    coding = (encoding or "identity").strip().lower()
    if coding == "identity":
        if len(raw) > limit:
            raise _too_large(limit)
        return raw
    if coding == "zstd":
        return _unzstd(raw, limit)
    if coding == "gzip":
        return _gunzip(raw, limit)
    raise WireFault(
        ("header", "content-encoding"), f"content coding {coding!r} is not known here; send zstd, gzip or none"
    )


def _too_large(limit: int) -> WireFault:
    return WireFault(_LOC, f"the body is larger than {limit} bytes when decompressed; send fewer data a request")


def _unzstd(raw: bytes, limit: int) -> bytes:
    try:
        declared = zstandard.frame_content_size(raw)
        if declared > limit:
            raise _too_large(limit)
        if declared >= 0:
            return zstandard.ZstdDecompressor().decompress(raw, max_output_size=limit, allow_extra_data=False)
        return _unzstd_undeclared(raw, limit)
    except zstandard.ZstdError as err:
        raise WireFault(_LOC, f"the body is not one whole zstd frame: {err}") from err


def _unzstd_undeclared(raw: bytes, limit: int) -> bytes:
    """A frame that does not say how long its content is: the size is watched while it grows."""
    decoder = zstandard.ZstdDecompressor().decompressobj()
    pieces, size, fed = [], 0, 0
    while fed < len(raw) and not decoder.eof:
        piece = decoder.decompress(raw[fed : fed + _PIECE])
        fed += _PIECE
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    if not decoder.eof:
        raise zstandard.ZstdError("it ends before its frame does")
    if decoder.unused_data or fed < len(raw):
        raise zstandard.ZstdError("bytes follow the frame")
    return b"".join(pieces)


def _gunzip(raw: bytes, limit: int) -> bytes:
    decoder = zlib.decompressobj(wbits=31)
    try:
        content = decoder.decompress(raw, limit + 1)
    except zlib.error as err:
        raise WireFault(_LOC, f"the body is not gzip: {err}") from err
    if len(content) > limit:
        raise _too_large(limit)
    if not decoder.eof:
        raise WireFault(_LOC, "the gzip body is cut short")
    if decoder.unused_data:
        raise WireFault(_LOC, "bytes follow the gzip body")
    return content
