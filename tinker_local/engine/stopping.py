"""When a sample is over: an end token, a stop token, a stop string, or its length.

It knows tokens and text, nothing of the model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer

from tinker_local.engine.protocol import SampleJob, UserFaultError

__all__ = ["StopRule", "load_tokenizer"]

StopReason = Literal["stop", "length"]
_MARGIN = 4
"""Tokens decoded beyond the longest a stop string can be: a decoder may drop the first token's leading space."""


def load_tokenizer(directory: str) -> Tokenizer | None:
    """The tokenizer beside a model's weights; None where there is none in the one format that is read."""
    path = Path(directory, "tokenizer.json")
    return Tokenizer.from_file(str(path)) if path.is_file() else None


class StopRule:
    """What ends the samples of one job."""

    def __init__(self, job: SampleJob, *, eos: Sequence[int], context: int, tokenizer: Tokenizer | None) -> None:
        """Raises `UserFaultError` where stop strings are asked for and there is no tokenizer to see them with."""
        room = max(0, context - job.prompt.size)
        self.max_tokens = room if job.max_tokens is None else min(job.max_tokens, room)
        self._tokens = frozenset(job.stop_token_ids) | (frozenset(eos) if job.stop_at_eos else frozenset())
        self._strings = tuple(text for text in job.stop_strings if text)
        self._tokenizer = tokenizer
        if self._strings and tokenizer is None:
            raise UserFaultError(
                "stop strings need a tokenizer.json beside the base model; give stop token ids instead"
            )
        # No token is shorter than one byte, so this many of them cover any stop string.
        self._tail = max((len(text.encode()) for text in self._strings), default=0) + _MARGIN

    def reason(self, tokens: Sequence[int]) -> StopReason | None:
        """Why a sample with these tokens is over, its last one just drawn; None if it goes on."""
        if tokens[-1] in self._tokens or (self._strings and self._ends_in_string(tokens)):
            return "stop"
        return "length" if len(tokens) >= self.max_tokens else None

    def _ends_in_string(self, tokens: Sequence[int]) -> bool:
        assert self._tokenizer is not None
        text = self._tokenizer.decode(list(tokens[-self._tail :]), skip_special_tokens=False)
        return any(string in text for string in self._strings)
