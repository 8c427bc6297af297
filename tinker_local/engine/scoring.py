"""What a request asks about its prompt: logprobs, likeliest tokens, given targets, alternative draws.

Row i of the states predicts prompt position i + 1; position 0 has nothing before it and no score. Letters: P prompt
length, K candidates a position, V vocabulary.
"""

from typing import Any, Final

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinker_local.engine.base_model import BaseModel
from tinker_local.engine.drawing import NoiseStream, draw_many, fresh_seed
from tinker_local.engine.protocol import SampleJob, TopK

__all__ = ["PromptScores", "likeliest", "score_prompt", "wants_scores"]

_EMPTY_LOGPROB: Final = -99999.0
_ALTERNATIVES_STREAM: Final = 2**63
"""Key of the noise for alternative tokens, apart from that of any sample."""
_LOGIT_ELEMENTS: Final = 2**24


@attrs.frozen(eq=False)
class PromptScores:
    """The answers, named and shaped as in `SampleOutput`."""

    prompt_logprobs: NDArray[np.float32] | None = None
    topk_prompt: TopK | None = None
    target_prompt_logprobs: NDArray[np.float32] | None = None
    prompt_alt_tokens: NDArray[np.int64] | None = None
    prompt_alt_logprobs: NDArray[np.float32] | None = None


def wants_scores(job: SampleJob) -> bool:
    """Whether the states of the whole prompt are needed, not only the last."""
    return (
        job.prompt_logprobs
        or job.topk_prompt_logprobs > 0
        or job.target_prompt_tokens is not None
        or job.prompt_alt_tokens_k > 0
    )


def score_prompt(base: BaseModel, job: SampleJob, states: Tensor) -> PromptScores:
    """Score a prompt.

    Args:
        base: with the sampler's adapter acting on it.
        job: what is asked.
        states: [P, H] of the prompt.
    """
    scorer = _Scorer(job, base.info.vocabulary_size)
    rows = max(1, _LOGIT_ELEMENTS // base.info.vocabulary_size)
    for start in range(0, job.prompt.size - 1, rows):
        part = states[start : min(start + rows, job.prompt.size - 1)]
        scorer.take(start, base.logits(part))
    return scorer.scores()


class _Scorer:
    """Fills the answers chunk by chunk, so that logits of a long prompt are never all there at once."""

    def __init__(self, job: SampleJob, vocabulary: int) -> None:
        self._job = job
        size = job.prompt.size
        self._first = 1 if job.prompt_logprobs_last_n is None else max(1, size - job.prompt_logprobs_last_n)
        self._logprobs = np.full(size, np.nan, dtype=np.float32) if job.prompt_logprobs else None
        self._topk = _empty_topk(size, job.topk_prompt_logprobs) if job.topk_prompt_logprobs > 0 else None
        self._targets: NDArray[np.float32] | None = None
        if job.target_prompt_tokens is not None:
            self._targets = np.zeros(job.target_prompt_tokens.shape, dtype=np.float32)
        self._alternatives: list[tuple[NDArray[Any], NDArray[Any]]] = []
        self._stream = NoiseStream(fresh_seed() if job.seed is None else job.seed, _ALTERNATIVES_STREAM)

    def take(self, start: int, logits: Tensor) -> None:
        """Logits [n, V] that predict prompt positions start + 1 and on."""
        logprobs = logits - logits.logsumexp(1, keepdim=True)
        stop = start + len(logits)
        prompt = torch.from_numpy(self._job.prompt[start + 1 : stop + 1].astype(np.int64)).to(logits.device)
        scored = max(start + 1, self._first)
        if self._logprobs is not None and scored <= stop:
            own = logprobs.gather(1, prompt.unsqueeze(1)).squeeze(1)
            self._logprobs[scored : stop + 1] = own[scored - start - 1 :].cpu().numpy()
        if self._topk is not None and scored <= stop:
            tokens, values = likeliest(logprobs[scored - start - 1 :], self._topk.token_ids.shape[1])
            self._topk.token_ids[scored : stop + 1, : tokens.shape[1]] = tokens
            self._topk.logprobs[scored : stop + 1, : tokens.shape[1]] = values
        if self._targets is not None and self._job.target_prompt_tokens is not None:
            wanted = torch.from_numpy(self._job.target_prompt_tokens[start:stop].astype(np.int64)).to(logits.device)
            asked = torch.where(wanted >= 0, logprobs.gather(1, wanted.clamp_min(0)), 0)
            self._targets[start:stop] = asked.cpu().numpy()
        if self._job.prompt_alt_tokens_k > 0:
            drawn = draw_many(logits, self._job.prompt_alt_tokens_k, self._stream)
            self._alternatives.append((drawn.cpu().numpy(), logprobs.gather(1, drawn).cpu().numpy()))

    def scores(self) -> PromptScores:
        """Everything that was asked."""
        alternatives = self._job.prompt_alt_tokens_k
        if self._logprobs is not None:
            for image in self._job.images:  # no token stands there that could have a logprob
                self._logprobs[image.start : image.start + image.length] = np.nan
        tokens = [part for part, _ in self._alternatives] or [np.zeros((0, alternatives), dtype=np.int64)]
        values = [part for _, part in self._alternatives] or [np.zeros((0, alternatives), dtype=np.float32)]
        return PromptScores(
            prompt_logprobs=self._logprobs,
            topk_prompt=self._topk,
            target_prompt_logprobs=self._targets,
            prompt_alt_tokens=np.concatenate(tokens) if alternatives else None,
            prompt_alt_logprobs=np.concatenate(values) if alternatives else None,
        )


def _empty_topk(rows: int, count: int) -> TopK:
    return TopK(
        token_ids=np.zeros((rows, count), dtype=np.int32),
        logprobs=np.full((rows, count), _EMPTY_LOGPROB, dtype=np.float32),
    )


def likeliest(logprobs: Tensor, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Tokens and logprobs [rows, min(count, V)] of the likeliest tokens of logprobs [rows, V], likeliest first."""
    values, tokens = logprobs.topk(min(count, logprobs.shape[1]), dim=1)
    return tokens.to(torch.int32).cpu().numpy(), values.cpu().numpy()
