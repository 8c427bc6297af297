"""The k likeliest tokens a position, as two matrices, and as the lists that research code reads."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from tinker_hl.types.dataclass_view import DataclassView
from tinker_hl.types.record import Record

__all__ = ["TopkList", "TopkLogprobs"]

TopkList: TypeAlias = list[list[tuple[int, float]] | None]

EMPTY_LOGPROB: Final = -99999.0
"""With token 0 it marks a cell that holds nothing: the wire has rectangles only."""


@attrs.frozen(eq=False)
class TopkLogprobs(DataclassView, Record):
    """The k likeliest tokens of each of n positions; an empty cell is token 0 with logprob -99999.0."""

    token_ids: NDArray[np.int32]
    """[n, k]"""
    logprobs: NDArray[np.float32]
    """[n, k], natural logarithm"""

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[Sequence[float]] | None]) -> "TopkLogprobs | None":
        """The matrices of rows of (token, logprob) pairs; None for no pair at all."""
        k = max((len(row) for row in rows if row), default=0)
        if k == 0:
            return None
        token_ids = np.zeros((len(rows), k), np.int32)
        logprobs = np.full((len(rows), k), EMPTY_LOGPROB, np.float32)
        for place, row in enumerate(rows):
            for column, (token, logprob) in enumerate(row or ()):
                token_ids[place, column], logprobs[place, column] = int(token), logprob
        return cls(token_ids, logprobs)

    def to_lists(self) -> TopkList:
        """One list of (token, logprob) a position, without the empty cells at its end; None for an empty row."""
        filled = (self.token_ids != 0) | (self.logprobs != np.float32(EMPTY_LOGPROB))
        k = filled.shape[1]
        # The last filled cell of a row ends it: argmax of the reversed row finds it.
        lengths = np.where(filled.any(axis=1), k - filled[:, ::-1].argmax(axis=1), 0) * filled[:, :1].any(axis=1)
        tokens: list[list[int]] = self.token_ids.tolist()
        values: list[list[float]] = self.logprobs.tolist()
        rows = zip(tokens, values, lengths.tolist(), strict=True)
        return [list(zip(ids[:n], scores[:n], strict=True)) if n else None for ids, scores, n in rows]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TopkLogprobs):
            return NotImplemented
        return np.array_equal(self.token_ids, other.token_ids) and np.array_equal(self.logprobs, other.logprobs)

    __hash__ = None  # type: ignore[assignment]  # equal by value, and arrays can be changed
