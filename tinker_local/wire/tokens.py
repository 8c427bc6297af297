"""A model input's chunks to one row of token ids. It reads text; what only a vision or audio model reads is refused."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.wire.faults import Loc, WireFault

__all__ = ["MAX_TOKEN_ID", "tokens_from_json", "tokens_from_proto"]

_Id = TypeVar("_Id", np.int32, np.int64)

MAX_TOKEN_ID = 2**31 - 1

_KIND_BY_KEY = {"tokens": "encoded_text", "location": "image_asset_pointer", "data": "image", "dmel": "dmel"}
"""Clients before 0.18 send no `type`: the kind is told by the key that only it has."""


def tokens_from_json(model_input: Mapping[str, Any], loc: Loc) -> NDArray[np.int32]:
    """Token ids [N] of a `ModelInput`; N is at least 1."""
    rows = []
    for index, chunk in enumerate(model_input["chunks"]):
        where = (*loc, "chunks", index)
        kind = chunk.get("type") or next((kind for key, kind in _KIND_BY_KEY.items() if key in chunk), "unknown")
        if kind != "encoded_text":
            _refuse(kind, where)
        rows.append(_token_row(chunk["tokens"], (*where, "tokens")))
    return _joined(rows, (*loc, "chunks"))


def tokens_from_proto(chunks: Iterable[pb.Chunk], loc: Loc) -> NDArray[np.int32]:
    """Token ids [N] of repeated `Chunk`; N is at least 1."""
    rows = []
    for index, chunk in enumerate(chunks):
        kind = chunk.WhichOneof("chunk")
        if kind != "encoded_text":
            _refuse(kind or "empty", (*loc, index))
        raw = chunk.encoded_text.tokens
        if len(raw) % 4:
            raise WireFault((*loc, index, "tokens"), f"{len(raw)} bytes are not whole little-endian int32 ids")
        rows.append(_checked(np.frombuffer(raw, dtype="<i4"), (*loc, index, "tokens")))
    return _joined(rows, loc)


def _refuse(kind: str, loc: Loc) -> NoReturn:
    raise WireFault(loc, f"a chunk of kind {kind!r} cannot be used: this server's models read text only")


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


def _joined(rows: Sequence[NDArray[np.int32]], loc: Loc) -> NDArray[np.int32]:
    tokens = rows[0] if len(rows) == 1 else np.concatenate(rows) if rows else np.empty(0, np.int32)
    if not tokens.size:
        raise WireFault(loc, "the model input has no tokens; it needs at least one")
    return tokens.astype(np.int32, copy=False)
