"""What sampling answers: arrays inside, lists on request.

Both generations of construction work: `SampledSequence(stop_reason=..., tokens=[...], logprobs=[...])` as in 0.7, and
`SampledSequence(stop_reason=..., sequence_id=..., tokens_np=..., logprobs_np=...)` as in 0.38.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from tinker_hl.types.arrays import as_token_ids
from tinker_hl.types.dataclass_view import DataclassView
from tinker_hl.types.record import Answer
from tinker_hl.types.sampling import StopReason
from tinker_hl.types.tensor_data import TensorData
from tinker_hl.types.topk import TopkList, TopkLogprobs

__all__ = ["PromptAltTokens", "SampleResponse", "SampledSequence", "nan_for_none", "with_first_missing"]

_SHOWN = 6


def nan_for_none(values: Any) -> NDArray[np.float32] | None:
    """Logprobs [N] of any kind as float32, NaN where one is missing; None stays None."""
    if values is None or (isinstance(values, np.ndarray) and values.dtype == np.float32):
        return values
    return np.array([np.nan if value is None else value for value in values], dtype=np.float32)


def with_first_missing(values: NDArray[np.float32] | None, length: int | None) -> NDArray[np.float32] | None:
    """The prompt's logprobs with NaN put before them where the first, never scored position was left out."""
    if values is None or length is None or values.size != length - 1:
        return values
    return np.concatenate([np.array([np.nan], np.float32), values])


def _none_for_nan(values: NDArray[np.float32]) -> list[float | None]:
    numbers: list[float | None] = values.tolist()
    for place in np.flatnonzero(np.isnan(values)).tolist():
        numbers[place] = None
    return numbers


def _short(values: NDArray[Any] | None) -> str:
    if values is None:
        return "None"
    shown = ", ".join(f"{value:.4g}" if values.dtype.kind == "f" else str(value) for value in values[:_SHOWN].tolist())
    return f"[{shown}, ... {values.size} in all]" if values.size > _SHOWN else f"[{shown}]"


def _same(mine: NDArray[Any] | None, theirs: NDArray[Any] | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f")


@attrs.frozen(init=False, eq=False, repr=False)
class SampledSequence(DataclassView, Answer):
    """One sample. A stop token that ended it is its last token."""

    stop_reason: StopReason
    sequence_id: str | None
    """The service's name for it, for provenance; None where the service gives none."""
    tokens_np: NDArray[np.int32]
    """[N]"""
    logprobs_np: NDArray[np.float32] | None
    """[N], natural logarithm, or None if the service sent none"""
    topk_logprobs_np: TopkLogprobs | None

    def __init__(
        self,
        stop_reason: StopReason,
        sequence_id: str | None = None,
        tokens_np: NDArray[np.int32] | None = None,
        logprobs_np: NDArray[np.float32] | None = None,
        topk_logprobs_np: TopkLogprobs | None = None,
        *,
        tokens: Sequence[int] | None = None,
        logprobs: Sequence[float] | None = None,
    ) -> None:
        ids = tokens_np if tokens_np is not None else as_token_ids([] if tokens is None else tokens)
        values = logprobs_np if logprobs_np is not None else nan_for_none(logprobs)
        self.__attrs_init__(stop_reason, sequence_id, ids, values, topk_logprobs_np)

    @cached_property
    def tokens(self) -> list[int]:
        """The tokens as Python numbers; made once, on first use."""
        tokens: list[int] = self.tokens_np.tolist()
        return tokens

    @cached_property
    def logprobs(self) -> list[float] | None:
        """The logprob of each token under the model, or None; made once, on first use."""
        return None if self.logprobs_np is None else self.logprobs_np.tolist()

    @cached_property
    def topk_logprobs(self) -> TopkList | None:
        """The likeliest tokens at each position, if asked for."""
        return None if self.topk_logprobs_np is None else self.topk_logprobs_np.to_lists()

    def _fields(self) -> dict[str, Any]:
        return {
            "stop_reason": self.stop_reason,
            "tokens": self.tokens,
            "logprobs": self.logprobs,
            "sequence_id": self.sequence_id,
            "topk_logprobs": self.topk_logprobs,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SampledSequence):
            return NotImplemented
        return (
            (self.stop_reason, self.sequence_id) == (other.stop_reason, other.sequence_id)
            and _same(self.tokens_np, other.tokens_np)
            and _same(self.logprobs_np, other.logprobs_np)
            and self.topk_logprobs_np == other.topk_logprobs_np
        )

    __hash__ = None  # type: ignore[assignment]  # equal by value, and arrays can be changed

    def __repr__(self) -> str:
        name = f", sequence_id={self.sequence_id!r}" if self.sequence_id else ""
        return (
            f"SampledSequence(stop_reason={self.stop_reason!r}, tokens={_short(self.tokens_np)}, "
            f"logprobs={_short(self.logprobs_np)}{name})"
        )


@attrs.frozen
class PromptAltTokens(DataclassView, Answer):
    """Tokens drawn at each prompt position after the first, and their logprobs."""

    tokens: TensorData
    """int64 [len(prompt) - 1, k]"""
    logprobs: TensorData
    """float32 [len(prompt) - 1, k]"""


@attrs.frozen(init=False, eq=False, repr=False)
class SampleResponse(DataclassView, Answer):
    """All samples of one call, and what was asked about its prompt."""

    sequences: list[SampledSequence]
    prompt_logprobs_np: NDArray[np.float32] | None
    """[len(prompt)], NaN where not scored, always so at position 0"""
    topk_prompt_logprobs_np: TopkLogprobs | None
    """One row a prompt position; row 0 is empty."""
    target_prompt_logprobs: TensorData | None
    """float32, shaped like the targets that were asked for"""
    prompt_cache_hit_tokens: int
    prompt_alt_tokens: PromptAltTokens | None
    type: str

    def __init__(
        self,
        sequences: Sequence[SampledSequence],
        prompt_logprobs_np: NDArray[np.float32] | None = None,
        topk_prompt_logprobs_np: TopkLogprobs | None = None,
        target_prompt_logprobs: TensorData | None = None,
        prompt_cache_hit_tokens: int = 0,
        prompt_alt_tokens: PromptAltTokens | None = None,
        *,
        prompt_logprobs: Sequence[float | None] | None = None,
        topk_prompt_logprobs: Sequence[Sequence[tuple[int, float]] | None] | None = None,
        type: str = "sample",  # the field's name in 0.7
    ) -> None:
        topk = topk_prompt_logprobs_np
        if topk is None and topk_prompt_logprobs is not None:
            topk = TopkLogprobs.from_lists(topk_prompt_logprobs)
        scored = prompt_logprobs_np if prompt_logprobs_np is not None else nan_for_none(prompt_logprobs)
        self.__attrs_init__(
            list(sequences), scored, topk, target_prompt_logprobs, prompt_cache_hit_tokens, prompt_alt_tokens, type
        )

    @cached_property
    def prompt_logprobs(self) -> list[float | None] | None:
        """One a prompt position, None where not scored; None if not asked for. Made once, on first use."""
        return None if self.prompt_logprobs_np is None else _none_for_nan(self.prompt_logprobs_np)

    @cached_property
    def topk_prompt_logprobs(self) -> TopkList | None:
        """The likeliest tokens at each prompt position, if asked for."""
        return None if self.topk_prompt_logprobs_np is None else self.topk_prompt_logprobs_np.to_lists()

    def _fields(self) -> dict[str, Any]:
        return {
            "sequences": self.sequences,
            "type": self.type,
            "prompt_logprobs": self.prompt_logprobs,
            "topk_prompt_logprobs": self.topk_prompt_logprobs,
            "target_prompt_logprobs": self.target_prompt_logprobs,
            "prompt_cache_hit_tokens": self.prompt_cache_hit_tokens,
            "prompt_alt_tokens": self.prompt_alt_tokens,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SampleResponse):
            return NotImplemented
        return (
            self.sequences == other.sequences
            and _same(self.prompt_logprobs_np, other.prompt_logprobs_np)
            and self.topk_prompt_logprobs_np == other.topk_prompt_logprobs_np
            and self.target_prompt_logprobs == other.target_prompt_logprobs
            and self.prompt_cache_hit_tokens == other.prompt_cache_hit_tokens
            and self.prompt_alt_tokens == other.prompt_alt_tokens
        )

    __hash__ = None  # type: ignore[assignment]  # equal by value, and arrays can be changed

    def __repr__(self) -> str:
        prompt = "" if self.prompt_logprobs_np is None else f", prompt_logprobs={_short(self.prompt_logprobs_np)}"
        return f"SampleResponse(sequences={self.sequences!r}{prompt})"
