"""Sampling of all callers in one running batch per base model: rows are admitted and retired while it runs.

`SamplingBatch.advance` does one bounded piece of work: it prefills what waits, or draws one token for every row.
Samples of one request share one prefill of their prompt. What becomes of a sample depends on its request alone,
never on who else is in the batch (`drawing`). It knows nothing of processes, queues or training.
"""

import logging
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from tinker_local.engine.base_model import BaseModel
from tinker_local.engine.cache import RowCache, RowSource
from tinker_local.engine.drawing import DrawRule, DrawRules, NoiseStream, draw, fresh_seed
from tinker_local.engine.lora import Active, LoraWeights, SingleAdapter
from tinker_local.engine.mixing import AdapterStack, MixedAdapters
from tinker_local.engine.protocol import (
    EngineError,
    SampledTokens,
    SampleJob,
    SampleOutput,
    TopK,
    UserFaultError,
)
from tinker_local.engine.scoring import PromptScores, likeliest, score_prompt, wants_scores
from tinker_local.engine.stopping import StopReason, StopRule
from tinker_local.engine.vision import check_images, place_images

__all__ = ["Done", "Sampler", "Sampling", "SamplingBatch", "check_job"]

logger = logging.getLogger(__name__)

MAX_ROWS: Final = 256
_PREFILL_POSITIONS: Final = 4096
"""Positions of one prefill; it is the longest that running rows wait for newcomers."""
_CACHE_BYTES: Final = 4 * 2**30
_NOISE_STEPS: Final = 32
_STACK_WASTE: Final = 2
"""A stack of adapters is made anew when it has more than this many times those in use."""
_RETIRE_FRACTION: Final = 8
"""Rows that are over leave when they are this fraction of the batch: leaving costs one copy of the cache."""
_ADMIT_EVERY: Final = 4
"""Steps between two admissions, unless those who wait would make the batch a quarter larger."""

Done = Callable[[SampleOutput | Exception], None]


class Sampler:
    """Something that can be sampled and never changes: a base model, with a copy of an adapter or without."""

    def __init__(self, base: BaseModel, weights: LoraWeights | None) -> None:
        self.base = base
        self.weights = weights
        self.active: Active | None = None
        if weights is not None:
            self.active = SingleAdapter.frozen(len(base.sites), weights, base.dtype)


def check_job(job: SampleJob, base: BaseModel) -> None:
    """Refuse a request that cannot be sampled, before anything is computed.

    Raises:
        UserFaultError: naming the field and the limit.
    """
    context, vocabulary = base.info.max_context_length, base.info.vocabulary_size
    if job.prompt.ndim != 1 or not job.prompt.size:
        raise UserFaultError("prompt is empty; give at least one token")
    if job.prompt.size > context:
        raise UserFaultError(f"prompt has {job.prompt.size} tokens, the context of this model is {context}")
    outside = (job.prompt < 0) | (job.prompt >= vocabulary)
    if outside.any():
        place = int(outside.argmax())
        raise UserFaultError(
            f"prompt[{place}] is {job.prompt[place]}; token ids of this model are 0 to {vocabulary - 1}"
        )
    check_images(base.images, job.images)
    _check_numbers(job)
    _check_targets(job, vocabulary)


def _check_numbers(job: SampleJob) -> None:
    if job.num_samples < 1:
        raise UserFaultError(f"num_samples is {job.num_samples}; it must be at least 1")
    if job.max_tokens is not None and job.max_tokens < 0:
        raise UserFaultError(f"max_tokens is {job.max_tokens}; it must be 0 or more")
    if not (isinstance(job.temperature, int | float) and math.isfinite(job.temperature) and job.temperature >= 0):
        raise UserFaultError(f"temperature is {job.temperature}; it must be a finite number, 0 or more")
    if not (isinstance(job.top_p, int | float) and 0 < job.top_p <= 1):
        raise UserFaultError(f"top_p is {job.top_p}; it must be above 0 and at most 1")
    if job.top_k < -1:
        raise UserFaultError(f"top_k is {job.top_k}; it must be positive, or -1 for no limit")


def _check_targets(job: SampleJob, vocabulary: int) -> None:
    targets = job.target_prompt_tokens
    if targets is None:
        return
    if targets.ndim != 2 or targets.shape[0] != job.prompt.size - 1 or targets.shape[1] < 1:
        raise UserFaultError(
            f"target_prompt_logprobs has shape {list(targets.shape)}; for this prompt it must be "
            f"[{job.prompt.size - 1}, K] with K at least 1"
        )
    if ((targets < -1) | (targets >= vocabulary)).any():
        raise UserFaultError(f"target_prompt_logprobs asks for token ids outside 0 to {vocabulary - 1} (-1 is none)")


class _Request:
    """One job under way: what it asked, and the samples that it has got so far."""

    def __init__(self, job: SampleJob, sampler: Sampler, stop: StopRule, done: Done) -> None:
        self.job, self.sampler, self.stop = job, sampler, stop
        self.rule = DrawRule(job.temperature, job.top_k, job.top_p)
        self.seed = fresh_seed() if job.seed is None else job.seed
        self.scores = PromptScores()
        self.over = False
        self._done = done
        self._sequences: list[SampledTokens | None] = [None] * job.num_samples
        self._missing = job.num_samples

    def finish(self, index: int, sequence: SampledTokens) -> None:
        """One sample is complete; with the last one the caller has the answer."""
        self._sequences[index] = sequence
        self._missing -= 1
        if not self._missing:
            complete = [sequence for sequence in self._sequences if sequence is not None]
            self.end(SampleOutput(sequences=complete, **attrs.asdict(self.scores, recurse=False)))

    def end(self, answer: SampleOutput | Exception) -> None:
        """Answer the caller, once."""
        if not self.over:
            self.over = True
            self._done(answer)


@attrs.frozen(eq=False)
class _Part:
    """Samples of one request that are prefilled together: all of them, unless they exceed a batch."""

    request: _Request
    indices: range


class _Row:
    """One sample being drawn."""

    def __init__(self, request: _Request, index: int) -> None:
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
        if self.request.over:
            return True
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


@attrs.frozen(eq=False)
class _Prefilled:
    """Rows that go on after their first token, and where their prompts are cached."""

    rows: list[_Row]
    source: RowSource


class SamplingBatch:
    """The running batch of one base model. `_rows[i]` is None where row i of the cache is over."""

    def __init__(self, base: BaseModel) -> None:
        self.base = base
        self._waiting: OrderedDict[int, _Part] = OrderedDict()
        self._requests: dict[str, _Request] = {}
        self._rows: list[_Row | None] = []
        self._cache: RowCache | None = None
        self._next = torch.zeros(0, dtype=torch.int64)
        self._stacked: tuple[Sampler, ...] = ()
        self._stack: AdapterStack | None = None
        self._serial = self._steps = 0

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting or self._rows)

    def add(self, job: SampleJob, sampler: Sampler, stop: StopRule, done: Done) -> None:
        """Take a job; `done` is called once, with the answer or what went wrong."""
        if job.job_id in self._requests:
            raise UserFaultError(f"sample job {job.job_id!r} is already under way")
        request = _Request(job, sampler, stop, done)
        self._requests[job.job_id] = request
        for start in range(0, job.num_samples, MAX_ROWS):
            self._serial += 1
            self._waiting[self._serial] = _Part(request, range(start, min(start + MAX_ROWS, job.num_samples)))

    def cancel(self, job_id: str) -> bool:
        """End a job with `UserFaultError`; whether there was one."""
        request = self._requests.pop(job_id, None)
        if request is None:
            return False
        request.end(UserFaultError("the sample was cancelled"))
        for key in [key for key, part in self._waiting.items() if part.request is request]:
            del self._waiting[key]
        return True

    def fail(self, error: Exception) -> None:
        """End every job with this error, and start again from nothing."""
        for request in self._requests.values():
            request.end(error)
        self._requests.clear()
        self._waiting.clear()
        self._rows, self._cache = [], None

    @torch.no_grad()
    def advance(self) -> None:
        """One prefill of those who wait, or one token for every row."""
        admitted = self._choose() if self._may_admit() else []
        if admitted:
            self._recompose(self._prefill(admitted))
        elif self._rows:
            self._step()
        self._requests = {key: request for key, request in self._requests.items() if not request.over}

    def _may_admit(self) -> bool:
        if not self._waiting:
            return False
        samples = sum(len(part.indices) for part in self._waiting.values())
        return not self._steps % _ADMIT_EVERY or 4 * samples >= len(self._rows)

    def _choose(self) -> list[_Part]:
        """The parts that come next, in the order they came, as far as they fit."""
        chosen: list[_Part] = []
        alive = [row for row in self._rows if row is not None]
        rows = len(alive)
        width = max((_final_length(row.request) for row in alive), default=0)
        longest = 0
        for part in self._waiting.values():
            rows += len(part.indices)
            width = max(width, _final_length(part.request))
            longest = max(longest, part.request.job.prompt.size)
            fits = rows <= MAX_ROWS and rows * width <= self._cache_positions
            fits = fits and (not chosen or longest * (len(chosen) + 1) <= _PREFILL_POSITIONS)
            if not fits and (chosen or alive):
                break
            chosen.append(part)
            if not fits:
                break  # larger than what the batch may be: it runs, alone
        for key in list(self._waiting)[: len(chosen)]:
            del self._waiting[key]
        return chosen

    @property
    def _cache_positions(self) -> int:
        config: Any = self.base.model.config.get_text_config()
        width = 2 * config.num_hidden_layers * config.hidden_size * self.base.dtype.itemsize
        return max(1, _CACHE_BYTES // int(width))

    def _prefill(self, chosen: Sequence[_Part]) -> _Prefilled | None:
        """Run prompts, score them where asked, and draw each sample's first token."""
        order = self._arrange([part.request.sampler for part in chosen])
        parts = [chosen[place] for place in order]
        active = self._acting([part.request.sampler for part in parts])
        prompts = [part.request.job.prompt for part in parts]
        lengths = [prompt.size for prompt in prompts]
        padded = np.zeros((len(parts), max(lengths)), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            padded[row, : prompt.size] = prompt
        tokens = torch.from_numpy(padded).to(self.base.device)
        placements = place_images(self.base.images, tokens, [part.request.job.images for part in parts])
        goes_on = any(part.request.stop.max_tokens > 1 for part in parts)
        cache = transformers.DynamicCache() if goes_on else None
        with self.base.acting(active):
            # Padded on the right: no mask, the same computation as in training. Gathering aligns the cache.
            states = self.base.states(tokens, placements, past_key_values=cache, use_cache=goes_on)
            last = torch.tensor(lengths, device=self.base.device) - 1
            logits = self.base.logits(states[torch.arange(len(parts), device=self.base.device), last])
        for part, state, length in zip(parts, states, lengths, strict=True):
            if part.indices.start == 0 and wants_scores(part.request.job):
                with self.base.acting(part.request.sampler.active):
                    part.request.scores = score_prompt(self.base, part.request.job, state[:length])
        return self._first_tokens(parts, logits, cache)

    def _first_tokens(self, parts: Sequence[_Part], logits: Tensor, cache: Any) -> _Prefilled | None:
        rows, places = [], []
        for place, part in enumerate(parts):
            for index in part.indices:
                row = _Row(part.request, index)
                if part.request.stop.max_tokens == 0:
                    row.end("length")
                    continue
                rows.append(row)
                places.append(place)
        if not rows:
            return None
        tokens = self._draw(rows, logits.index_select(0, torch.tensor(places, device=logits.device)))
        going = [(row, place) for row, place, over in zip(rows, places, tokens, strict=True) if not over]
        if not going:
            return None
        kept = torch.tensor([place for _, place in going], device=self.base.device)
        lengths = torch.tensor([row.length for row, _ in going], device=self.base.device)
        return _Prefilled([row for row, _ in going], (cache.layers, kept, lengths))

    def _draw(self, rows: Sequence[_Row], logits: Tensor) -> list[bool]:
        """The first token of new rows; which of them are over with it."""
        rules = DrawRules([row.request.rule for row in rows], logits.shape[1], logits.device)
        noise = torch.from_numpy(np.array([row.stream.peek(0, 1)[0] for row in rows])).to(logits.device)
        tokens, logprobs = draw(logits, rules, noise)
        return _take(rows, tokens, logprobs, logits)

    def _recompose(self, new: _Prefilled | None) -> None:
        """Put the batch together anew: rows that go on, and new ones; sorted by sampler where there are several."""
        places = [place for place, row in enumerate(self._rows) if row is not None]
        rows = [row for row in self._rows if row is not None]
        sources: list[RowSource] = []
        if rows and self._cache is not None:
            kept = torch.tensor(places, device=self.base.device)
            sources.append((self._cache.layers, kept, torch.full_like(kept, self._cache.width)))
        if new is not None:
            rows.extend(new.rows)
            sources.append(new.source)
        if not rows:
            self._rows, self._cache = [], None
            self._stacked, self._stack = (), None
            return
        cache = RowCache.gathered(sources, torch.tensor([row.length for row in rows], device=self.base.device))
        order = self._arrange([row.request.sampler for row in rows])
        if order != list(range(len(rows))):
            rows = [rows[place] for place in order]
            select = torch.tensor(order, device=self.base.device)
            ends = torch.full_like(select, cache.width)
            cache = RowCache.gathered([(cache.layers, select, ends)], cache.lengths.index_select(0, select))
        self._rows, self._cache = list(rows), cache
        self._prepare(rows)

    def _prepare(self, rows: Sequence[_Row]) -> None:
        """What stays the same from step to step."""
        device = self.base.device
        self._next = torch.tensor([row.tokens[-1] for row in rows], device=device)
        self._rules = DrawRules([row.request.rule for row in rows], self.base.info.vocabulary_size, device)
        self._active = self._acting([row.request.sampler for row in rows])
        self._fill_noise(rows)

    def _arrange(self, samplers: Sequence[Sampler]) -> list[int]:
        """The order in which rows of these samplers can run: by place in the stack, which is made anew if need be."""
        wanted = dict.fromkeys(samplers)
        if len(wanted) == 1:
            return list(range(len(samplers)))
        if not wanted.keys() <= set(self._stacked) or _STACK_WASTE * len(wanted) < len(self._stacked):
            self._stacked = tuple(wanted)
            weights = [sampler.weights for sampler in self._stacked]
            self._stack = AdapterStack(len(self.base.sites), weights, self.base.device, self.base.dtype)
        return sorted(range(len(samplers)), key=lambda place: self._stacked.index(samplers[place]))

    def _acting(self, samplers: Sequence[Sampler]) -> Active | None:
        """What acts on rows of these samplers, arranged."""
        if self._stack is None or all(sampler is samplers[0] for sampler in samplers):
            return samplers[0].active
        counts = Counter(samplers)
        return MixedAdapters(self._stack, [counts[sampler] for sampler in self._stacked], self.base.device)

    def _fill_noise(self, rows: Sequence[_Row | None]) -> None:
        blocks = [
            np.zeros(_NOISE_STEPS) if row is None else row.stream.peek(len(row.tokens), _NOISE_STEPS) for row in rows
        ]
        self._noise = torch.from_numpy(np.stack(blocks)).to(self.base.device)
        self._noise_step = 0

    def _step(self) -> None:
        """One token for every row."""
        assert self._cache is not None
        with self.base.acting(self._active):
            states = self.base.states(
                self._next.unsqueeze(1),
                attention_mask=self._cache.next_mask(),
                position_ids=self._cache.lengths.unsqueeze(1),
                past_key_values=self._cache.model_cache,
                use_cache=True,
            )
            logits = self.base.logits(states[:, -1])
        self._cache.advance()
        if self._noise_step == _NOISE_STEPS:
            self._fill_noise(self._rows)
        self._next, logprobs = draw(logits, self._rules, self._noise[:, self._noise_step])
        self._noise_step += 1
        self._steps += 1
        over = _take(self._rows, self._next, logprobs, logits)
        self._rows = [None if ended else row for row, ended in zip(self._rows, over, strict=True)]
        ended = sum(row is None for row in self._rows)
        if ended * _RETIRE_FRACTION >= len(self._rows):
            self._recompose(None)


def _final_length(request: _Request) -> int:
    return request.job.prompt.size + request.stop.max_tokens


def _take(rows: Sequence[_Row | None], tokens: Tensor, logprobs: Tensor, logits: Tensor) -> list[bool]:
    """Give each row its token; whether it is over (None is)."""
    asking = [place for place, row in enumerate(rows) if row is not None and row.request.job.topk_sample_logprobs > 0]
    if asking:
        some = logits.index_select(0, torch.tensor(asking, device=logits.device))
        count = max(row.request.job.topk_sample_logprobs for row in rows if row is not None)
        ids, values = likeliest(some - some.logsumexp(1, keepdim=True), count)
        for place, row_ids, row_values in zip(asking, ids, values, strict=True):
            row = rows[place]
            if row is not None:
                row.take_topk(row_ids, row_values)
    pairs = zip(rows, tokens.tolist(), logprobs.tolist(), strict=True)
    return [row is None or row.take(token, logprob) for row, token, logprob in pairs]


class Sampling:
    """All samplers, and the running batch of each base model."""

    def __init__(self) -> None:
        self._samplers: dict[str, Sampler] = {}
        self._batches: dict[BaseModel, SamplingBatch] = {}

    def knows(self, sampler_id: str) -> bool:
        """Whether there is such a sampler."""
        return sampler_id in self._samplers

    def create(self, sampler_id: str, sampler: Sampler) -> None:
        """Keep a sampler; the first of its id stays."""
        self._samplers.setdefault(sampler_id, sampler)

    def unload(self, sampler_id: str) -> None:
        """Forget a sampler; what it is drawing goes on."""
        self._samplers.pop(sampler_id, None)

    def add(self, job: SampleJob, done: Done) -> None:
        """Take a job.

        Raises:
            UserFaultError: it cannot be sampled; `done` is not called then.
        """
        sampler = self._samplers.get(job.sampler_id)
        if sampler is None:
            raise UserFaultError(f"sampler {job.sampler_id!r} is not loaded in the engine")
        base = sampler.base
        check_job(job, base)
        tokenizer = base.tokenizer() if job.stop_strings else None
        stop = StopRule(job, eos=base.info.eos_token_ids, context=base.info.max_context_length, tokenizer=tokenizer)
        self._batches.setdefault(base, SamplingBatch(base)).add(job, sampler, stop, done)

    def cancel(self, job_id: str) -> None:
        """End a job with `UserFaultError`; an unknown id is no error."""
        for batch in self._batches.values():
            if batch.cancel(job_id):
                return

    @property
    def busy(self) -> bool:
        """Whether any batch has something to do."""
        return any(batch.busy for batch in self._batches.values())

    def advance(self) -> None:
        """One bounded piece of work for each base model. What fails there ends that batch's jobs, not the engine."""
        for batch in self._batches.values():
            if batch.busy:
                try:
                    batch.advance()
                except Exception as error:  # the boundary: whatever fails is told to every caller of this batch
                    logger.error("a batch of samples failed", exc_info=error)
                    failure = EngineError(f"sampling failed in the engine: {type(error).__name__}: {error}")
                    batch.fail(failure)
