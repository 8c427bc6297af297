"""Sampling of all callers in one running batch per base model: rows are admitted and retired while it runs.

`SamplingBatch.advance` does one bounded piece of work: it prefills what waits, or draws one token for every row.
Samples whose prompts are equal share one prefill. What becomes of a sample depends on its request alone, never on who
else is in the batch (`drawing`). Who comes next is told by `admitting`. It knows nothing of processes, queues or
training.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np
import torch
import transformers
from torch import Tensor

from tinker_local.engine.admitting import Line
from tinker_local.engine.base_model import BaseModel
from tinker_local.engine.cache import RowCache, RowSource
from tinker_local.engine.checking import check_job
from tinker_local.engine.drawing import DrawRules, draw
from tinker_local.engine.lora import Active
from tinker_local.engine.mixing import AdapterStack, MixedAdapters
from tinker_local.engine.prompts import Block, Kept, PromptCache, key_of
from tinker_local.engine.protocol import EngineError, OnHold, SampleJob, UserFaultError
from tinker_local.engine.requests import Done, Part, Request, Row, Sampler
from tinker_local.engine.scoring import likeliest, score_prompt, wants_scores
from tinker_local.engine.shortage import failure_text
from tinker_local.engine.stopping import StopRule
from tinker_local.engine.vision import place_images

__all__ = ["Done", "Sampler", "Sampling", "SamplingBatch"]

logger = logging.getLogger(__name__)

_NOISE_STEPS: Final = 32
_STACK_WASTE: Final = 2
"""A stack of adapters is made anew when it has more than this many times those in use."""
_RETIRE_FRACTION: Final = 8
"""Rows that are over leave when they are this fraction of the batch: leaving costs one copy of the cache."""
_ADMIT_EVERY: Final = 4
"""Steps between two admissions, unless those who wait would make the batch a quarter larger."""
_PROMPTS_SHARE: Final = 8
"""Prompts that are kept take at most one part in this many of the cache, and only what rows leave of it."""


@attrs.frozen(eq=False)
class _Prefilled:
    """Rows that go on after their first token, in the order of their sources: where their prompts are cached."""

    rows: list[Row]
    sources: list[RowSource]


class SamplingBatch:
    """The running batch of one base model. `_rows[i]` is None where row i of the cache is over."""

    def __init__(self, base: BaseModel) -> None:
        self.base = base
        self._most_tokens = base.info.kv_cache_tokens or np.iinfo(np.int64).max
        self._line = Line(self._most_tokens)
        self._prompts = PromptCache()
        self._requests: dict[str, Request] = {}
        self._rows: list[Row | None] = []
        self._cache: RowCache | None = None
        self._next = torch.zeros(0, dtype=torch.int64)
        self._stacked: tuple[Sampler, ...] = ()
        self._stack: AdapterStack | None = None
        self._steps = 0
        self._refused: tuple[int, ...] | None = None
        """Who waited and ran when nobody could begin."""
        self.prefilled_tokens = 0
        """Tokens of prompts computed so far, without padding."""

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._line.samples or self._rows)

    @property
    def rows(self) -> int:
        """Samples being drawn."""
        return sum(row is not None for row in self._rows)

    @property
    def cached_tokens(self) -> int:
        """Tokens whose keys and values are held: rows times the columns in use, and prompts that are kept."""
        return self._row_tokens + self._prompts.tokens

    @property
    def _row_tokens(self) -> int:
        return 0 if self._cache is None else len(self._rows) * self._cache.width

    def add(self, job: SampleJob, sampler: Sampler, stop: StopRule, done: Done, on_hold: OnHold | None = None) -> None:
        """Take a job; `done` is called once, with the answer or what went wrong."""
        if job.job_id in self._requests:
            raise UserFaultError(f"sample job {job.job_id!r} is already under way")
        request = Request(job, sampler, stop, done, on_hold)
        self._requests[job.job_id] = request
        self._line.add(request)

    def cancel(self, job_id: str) -> bool:
        """End a job with `UserFaultError` and free its rows; whether there was one."""
        request = self._requests.pop(job_id, None)
        if request is None:
            return False
        request.end(UserFaultError("the sample was cancelled"))
        self._line.drop(request)
        self._rows = [None if row is not None and row.request is request else row for row in self._rows]
        self._retire()
        return True

    def fail(self, error: Exception) -> None:
        """End every job with this error, and start again from nothing."""
        for request in self._requests.values():
            request.end(error)
        self._requests.clear()
        self._line.clear()
        self._rows, self._cache = [], None
        self._prompts = PromptCache()

    def forget(self, sampler: Sampler) -> None:
        """The sampler is unloaded: prompts computed for it are of no use to anybody any more."""
        self._prompts.forget(sampler)

    @torch.no_grad()
    def advance(self) -> None:
        """One prefill of those who wait, or one token for every row."""
        admitted = self._choose() if self._may_admit() else []
        if admitted:
            self._recompose(self._prefill(admitted))
        elif self._rows:
            self._step()
        self._requests = {key: request for key, request in self._requests.items() if not request.over}

    def _choose(self) -> list[Part]:
        """Who begins now; not asked again before somebody comes or goes, for many may wait."""
        alive = [row for row in self._rows if row is not None]
        state = (*self._line.state, len(alive))
        if state == self._refused:
            return []
        chosen = self._line.choose(alive)
        self._refused = None if chosen else state
        return chosen

    def _may_admit(self) -> bool:
        if not self._line.samples:
            return False
        return not self._steps % _ADMIT_EVERY or 4 * self._line.samples >= len(self._rows)

    def _prefill(self, chosen: Sequence[Part]) -> _Prefilled | None:
        """Find each prompt's keys and values, or compute them; score prompts where asked; draw first tokens."""
        kept: dict[Request, Kept] = {}
        fresh: dict[Any, list[Request]] = {}
        for request in dict.fromkeys(part.request for part in chosen):
            key = key_of(request.sampler, request.job)
            scored = wants_scores(request.job) and not request.begun
            found = None if key is None or scored else self._prompts.find(key)
            if found is None:
                fresh.setdefault(key or request, []).append(request)
                continue
            kept[request] = found
            if not request.begun:
                request.cache_hit_tokens = request.job.prompt.size
        if fresh:
            kept |= self._compute(list(fresh.values()))
        for request in kept:
            request.begun = True
        return self._first_tokens(chosen, kept)

    def _compute(self, equal: Sequence[Sequence[Request]]) -> dict[Request, Kept]:
        """Run prompts, one for each list of requests that begin with the same."""
        order = self._arrange([requests[0].sampler for requests in equal])
        groups = [equal[place] for place in order]
        firsts = [requests[0] for requests in groups]
        prompts = [request.job.prompt for request in firsts]
        lengths = [prompt.size for prompt in prompts]
        padded = np.zeros((len(groups), max(lengths)), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            padded[row, : prompt.size] = prompt
        tokens = torch.from_numpy(padded).to(self.base.device)
        placements = place_images(self.base.images, tokens, [request.job.images for request in firsts])
        goes_on = any(request.stop.max_tokens > 1 for requests in groups for request in requests)
        cache: Any = transformers.DynamicCache() if goes_on else None
        with self.base.acting(self._acting([request.sampler for request in firsts])):
            # Padded on the right: no mask, the same computation as in training. Gathering aligns the cache.
            states = self.base.states(tokens, placements, past_key_values=cache, use_cache=goes_on)
            last = torch.tensor(lengths, device=self.base.device) - 1
            logits = self.base.logits(states[torch.arange(len(groups), device=self.base.device), last])
        self.prefilled_tokens += sum(lengths)
        block = Block.of(cache.layers if goes_on else (), logits, tokens.numel())
        if goes_on and block.tokens * _PROMPTS_SHARE <= self._most_tokens:
            self._prompts.keep(block, [key_of(request.sampler, request.job) for request in firsts])
        found = {}
        for row, requests in enumerate(groups):
            for request in requests:
                found[request] = Kept(block, row)
                if request.begun:
                    continue
                request.cache_hit_tokens = 0 if request is requests[0] else lengths[row]
                if wants_scores(request.job):
                    with self.base.acting(request.sampler.active):
                        request.scores = score_prompt(self.base, request.job, states[row, : lengths[row]])
        return found

    def _first_tokens(self, parts: Sequence[Part], prompts: dict[Request, Kept]) -> _Prefilled | None:
        blocks: dict[Block, list[Row]] = {}
        for part in parts:
            for index in part.indices:
                row = Row(part.request, index)
                if part.request.stop.max_tokens == 0:
                    row.end("length")
                else:
                    blocks.setdefault(prompts[part.request].block, []).append(row)
        rows: list[Row] = []
        sources: list[RowSource] = []
        for block, starting in blocks.items():
            places = torch.tensor([prompts[row.request].row for row in starting], device=self.base.device)
            over = self._draw(starting, block.logits.index_select(0, places))
            going = [row for row, ended in zip(starting, over, strict=True) if not ended]
            if going:
                kept = torch.tensor([prompts[row.request].row for row in going], device=self.base.device)
                ends = torch.tensor([row.length for row in going], device=self.base.device)
                rows += going
                sources.append((block.layers, kept, ends))
        return _Prefilled(rows, sources) if rows else None

    def _draw(self, rows: Sequence[Row], logits: Tensor) -> list[bool]:
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
            sources.extend(new.sources)
        if not rows:
            self._rows, self._cache = [], None
            self._stacked, self._stack = (), None
            self._shrink_prompts()
            return
        cache = RowCache.gathered(sources, torch.tensor([row.length for row in rows], device=self.base.device))
        order = self._arrange([row.request.sampler for row in rows])
        if order != list(range(len(rows))):
            rows = [rows[place] for place in order]
            select = torch.tensor(order, device=self.base.device)
            ends = torch.full_like(select, cache.width)
            cache = RowCache.gathered([(cache.layers, select, ends)], cache.lengths.index_select(0, select))
        self._rows, self._cache = list(rows), cache
        self._shrink_prompts()
        self._prepare(rows)

    def _shrink_prompts(self) -> None:
        """Rows come first: prompts are kept where those running leave room at their longest."""
        alive = [row.request.cached_tokens for row in self._rows if row is not None]
        left = self._most_tokens - len(alive) * max(alive, default=0)
        self._prompts.shrink(min(left, self._most_tokens // _PROMPTS_SHARE))

    def _retire(self) -> None:
        """Rows that are over leave, once they are enough to be worth the copy."""
        ended = sum(row is None for row in self._rows)
        if self._rows and ended * _RETIRE_FRACTION >= len(self._rows):
            self._recompose(None)

    def _prepare(self, rows: Sequence[Row]) -> None:
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

    def _fill_noise(self, rows: Sequence[Row | None]) -> None:
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
        self._retire()


def _take(rows: Sequence[Row | None], tokens: Tensor, logprobs: Tensor, logits: Tensor) -> list[bool]:
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
        sampler = self._samplers.pop(sampler_id, None)
        if sampler is not None and sampler.base in self._batches:
            self._batches[sampler.base].forget(sampler)

    def batch(self, base: BaseModel) -> SamplingBatch:
        """The running batch of a base model."""
        return self._batches.setdefault(base, SamplingBatch(base))

    def add(self, job: SampleJob, done: Done, on_hold: OnHold | None = None) -> None:
        """Take a job; `on_hold` is told when it must wait, and when it has begun.

        Raises:
            UserFaultError: it cannot be sampled; `done` is not called then.
        """
        sampler = self._samplers.get(job.sampler_id)
        if sampler is None:
            raise UserFaultError(f"sampler {job.sampler_id!r} is not loaded in the engine")
        base = sampler.base
        check_job(job, base)
        tokenizer = base.tokenizer() if job.stop_strings else None
        context = base.info.max_context_length
        if job.max_tokens is None and base.info.kv_cache_tokens is not None:
            context = min(context, base.info.kv_cache_tokens)
        stop = StopRule(job, eos=base.info.eos_token_ids, context=context, tokenizer=tokenizer)
        self.batch(base).add(job, sampler, stop, done, on_hold)

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
                    failure = EngineError(failure_text("sample", error))
                    batch.fail(failure)
