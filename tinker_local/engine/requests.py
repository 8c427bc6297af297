"""Requests for samples under way: what each asked, the samples it has got so far, and the rows that draw them.

It knows nothing of the batch, of caches or of when a request's turn comes.
"""

from collections.abc import Callable, Iterator
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from tinker_local.engine.base_model import BaseModel
from tinker_local.engine.drawing import DrawRule, NoiseStream, fresh_seed
from tinker_local.engine.lora import Active, LoraWeights, SingleAdapter
from tinker_local.engine.protocol import Hold, OnHold, SampledTokens, SampleJob, SampleOutput, TopK
from tinker_local.engine.scoring import PromptScores
from tinker_local.engine.stopping import StopReason, StopRule

__all__ = ["Done", "Part", "Request", "Row", "Sampler"]


Done = Callable[[SampleOutput | Exception], None]

_PART_ROWS: Final = 64
"""Samples of one request that are admitted together; so one request does not take a whole batch at once."""


class Sampler:
    """Something that can be sampled and never changes: a base model, with a copy of an adapter or without."""

    def __init__(self, base: BaseModel, weights: LoraWeights | None) -> None:
        self.base = base
        self.weights = weights
        self.active: Active | None = None
        if weights is not None:
            self.active = SingleAdapter.frozen(len(base.sites), weights, base.dtype)


class Request:
    """One job under way: what it asked, and the samples that it has got so far."""

    def __init__(
        self, job: SampleJob, sampler: Sampler, stop: StopRule, done: Done, on_hold: OnHold | None = None
    ) -> None:
        self.job, self.sampler, self.stop = job, sampler, stop
        self.rule = DrawRule(job.temperature, job.top_k, job.top_p)
        self.seed = fresh_seed() if job.seed is None else job.seed
        self.scores = PromptScores()
        self.cache_hit_tokens = 0
        self.begun = False
        """Whether its prompt was scored, if it is to be, and its first samples begun."""
        self.over = False
        self._done, self._on_hold = done, on_hold
        self._hold: Hold | None = None
        self._sequences: list[SampledTokens | None] = [None] * job.num_samples
        self._missing = job.num_samples

    @property
    def cached_tokens(self) -> int:
        """Tokens of one of its samples that are in the cache at the end: all but the last drawn."""
        if self.stop.max_tokens <= 1:
            return 0
        return self.job.prompt.size + self.stop.max_tokens - 1

    def parts(self, most_tokens: int) -> "Iterator[Part]":
        """Its samples in parts, each of which fits a cache of so many tokens."""
        rows = _PART_ROWS
        if self.cached_tokens:
            rows = max(1, min(rows, most_tokens // self.cached_tokens))
        for start in range(0, self.job.num_samples, rows):
            yield Part(self, range(start, min(start + rows, self.job.num_samples)))

    def hold(self, hold: Hold | None) -> None:
        """Tell the caller why it must wait, or that it need not any longer; each once."""
        if hold is not self._hold and self._on_hold is not None and not self.over:
            self._on_hold(hold)
        self._hold = hold

    def finish(self, index: int, sequence: SampledTokens) -> None:
        """One sample is complete; with the last one the caller has the answer."""
        self._sequences[index] = sequence
        self._missing -= 1
        if not self._missing:
            complete = [sequence for sequence in self._sequences if sequence is not None]
            scores = attrs.asdict(self.scores, recurse=False)
            self.end(SampleOutput(sequences=complete, prompt_cache_hit_tokens=self.cache_hit_tokens, **scores))

    def end(self, answer: SampleOutput | Exception) -> None:
        """Answer the caller, once."""
        if not self.over:
            self.over = True
            self._done(answer)


@attrs.define(eq=False)
class Part:
    """Samples of one request that are admitted together."""

    request: Request
    indices: range
    passed: int = 0
    """Parts of other callers that were admitted while this one was next of its own and did not fit."""


class Row:
    """One sample being drawn."""

    def __init__(self, request: Request, index: int) -> None:
        self.request, self.index = request, index
        self.stream = NoiseStream(request.seed, index)
        self.tokens: list[int] = []
        self._logprobs: list[float] = []
        self._topk: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []

    @property
    def length(self) -> int:
        """Tokens that the cache has: all but the last drawn."""
        return self.request.job.prompt.size + len(self.tokens) - 1

    def take(self, token: int, logprob: float) -> bool:
        """Add a token; whether the sample is over with it."""
        self.tokens.append(token)
        self._logprobs.append(logprob)
        reason = self.request.stop.reason(self.tokens)
        if reason is not None:
            self.end(reason)
        return reason is not None

    def take_topk(self, tokens: NDArray[np.int32], logprobs: NDArray[np.float32]) -> None:
        """The likeliest tokens [k] at the place of the token just to be taken."""
        count = self.request.job.topk_sample_logprobs
        self._topk.append((tokens[:count], logprobs[:count]))

    def end(self, reason: StopReason) -> None:
        """Hand the sample to its request."""
        topk = None
        if self.request.job.topk_sample_logprobs > 0:
            count = min(self.request.job.topk_sample_logprobs, self.request.sampler.base.info.vocabulary_size)
            topk = TopK(
                token_ids=np.array([tokens for tokens, _ in self._topk], dtype=np.int32).reshape(-1, count),
                logprobs=np.array([values for _, values in self._topk], dtype=np.float32).reshape(-1, count),
            )
        sequence = SampledTokens(
            tokens=np.array(self.tokens, dtype=np.int32),
            logprobs=np.array(self._logprobs, dtype=np.float32),
            stop_reason=reason,
            topk=topk,
        )
        self.request.finish(self.index, sequence)
