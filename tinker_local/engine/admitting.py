"""Whose samples begin next: fair among callers, and never more than the batch and the key/value cache have room for.

The cache of a batch is a rectangle, rows times the longest of them, so that is what is counted; a row counts with the
length that it may come to. Those who have the fewest rows come first. A caller who has some leaves an eighth of
the room to the others, so that a newcomer need not wait for somebody's long samples to end. What does not fit yet is
passed by others, but not for ever. It knows nothing of how samples are drawn.
"""

import os
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from tinker_local.engine.base_model import BaseModel
from tinker_local.engine.protocol import Hold
from tinker_local.engine.requests import Part, Request, Row

__all__ = ["MAX_ROWS", "Line", "cache_tokens_for"]

MAX_ROWS: Final = 256
_PREFILL_POSITIONS: Final = 4096
"""Positions of one prefill; it is the longest that running rows wait for newcomers."""
_RESERVED: Final = 8
"""A caller who has rows leaves one part in this many to others."""
_MOST_PASSED: Final = 64
"""Parts that may be admitted before one that came earlier and does not fit; then nobody is before it does."""
_MEMORY_SHARE: Final = 4
"""On the CPU the cache may take one part in this many of the memory; regathering it needs as much again."""
_DEVICE_SHARE: Final = 3
"""On another device, one part in this many of what is free once the weights are loaded."""
_CONTROL_GROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")

Callers = tuple[str, ...]


class Line:
    """Parts of requests that wait for their turn in one batch: a queue for each caller."""

    def __init__(self, most_tokens: int) -> None:
        self.most_tokens = most_tokens
        """Of the cache."""
        self._queues: dict[Callers, deque[tuple[int, Part]]] = {}
        self._serial = 0
        self.samples = 0
        """Samples that wait."""

    @property
    def state(self) -> tuple[int, int]:
        """Something else whenever the line is another."""
        return self._serial, self.samples

    def add(self, request: Request) -> None:
        """To the end of its caller's queue."""
        queue = self._queues.setdefault(request.job.callers, deque())
        for part in request.parts(self.most_tokens):
            self._serial += 1
            queue.append((self._serial, part))
            self.samples += len(part.indices)

    def drop(self, request: Request) -> None:
        """Forget a request."""
        callers = request.job.callers
        kept = [entry for entry in self._queues.get(callers, ()) if entry[1].request is not request]
        self.samples -= sum(len(part.indices) for _, part in self._queues.get(callers, ()) if part.request is request)
        if kept:
            self._queues[callers] = deque(kept)
        else:
            self._queues.pop(callers, None)

    def clear(self) -> None:
        """Forget all."""
        self._queues.clear()
        self.samples = 0

    def choose(self, running: Sequence[Row]) -> list[Part]:
        """Take the parts that begin now, beside the running rows; the others are told why they wait."""
        room = _Room(self.most_tokens, running)
        chosen: list[Part] = []
        held: dict[Callers, Hold] = {}
        while waiting := [callers for callers in self._queues if callers not in held]:
            callers = min(waiting, key=lambda callers: self._rank(callers, room))
            part = self._queues[callers][0][1]
            if not room.prefills(part):
                break
            hold = room.hold(part)
            if hold is not None:
                held[callers] = hold
                if part.passed >= _MOST_PASSED and hold.cause == "capacity":
                    held |= dict.fromkeys(set(waiting) - {callers}, _FULL_CACHE)
                    break
                continue
            room.take(part)
            chosen.append(part)
            self._leave(callers)
        for callers, hold in held.items():
            if hold.cause == "capacity":  # a caller that has its share was not passed
                others = sum(part.request.job.callers != callers for part in chosen)
                self._queues[callers][0][1].passed += others
            for _, part in self._queues[callers]:
                part.request.hold(hold)
        for part in chosen:
            part.request.hold(None)
        return chosen

    def _rank(self, callers: Callers, room: "_Room") -> tuple[int, ...]:
        serial, part = self._queues[callers][0]
        circles = (room.rows_of[callers[:depth]] for depth in range(1, len(callers) + 1))
        return (int(part.passed < _MOST_PASSED), *circles, serial)

    def _leave(self, callers: Callers) -> None:
        queue = self._queues[callers]
        self.samples -= len(queue.popleft()[1].indices)
        if not queue:
            del self._queues[callers]


_FULL_ROWS: Final = Hold("capacity", f"{MAX_ROWS} samples are being drawn, as many as go together; this waits for some")
_FULL_CACHE: Final = Hold("capacity", "the samples being drawn fill the key/value cache; this waits for some of them")
_FULL_SHARE: Final = Hold("share", "your other samples have all the room that one caller gets; this waits for some")


class _Room:
    """What is left of the batch and its cache while parts are chosen."""

    def __init__(self, most_tokens: int, running: Iterable[Row]) -> None:
        self._most_tokens = most_tokens
        self.rows_of: Counter[Callers] = Counter()
        self._rows = self._cached_rows = self._width = 0
        for row in running:
            self._count(row.request, 1)
        self._prompts: dict[Request, None] = {}
        self._longest = 0

    def prefills(self, part: Part) -> bool:
        """Whether its prompt still goes into this prefill; one always does."""
        prompts = len(self._prompts) + (part.request not in self._prompts)
        longest = max(self._longest, part.request.job.prompt.size)
        return prompts == 1 or prompts * longest <= _PREFILL_POSITIONS

    def hold(self, part: Part) -> Hold | None:
        """Why a part cannot begin now."""
        rows = self._rows + len(part.indices)
        tokens = 0
        if width := part.request.cached_tokens:
            tokens = (self._cached_rows + len(part.indices)) * max(self._width, width)
        if rows > MAX_ROWS:
            return _FULL_ROWS
        if tokens > self._most_tokens:
            return _FULL_CACHE
        left = _RESERVED - 1
        crowded = _RESERVED * rows > left * MAX_ROWS or _RESERVED * tokens > left * self._most_tokens
        return _FULL_SHARE if crowded and self.rows_of[part.request.job.callers] else None

    def take(self, part: Part) -> None:
        """It begins."""
        self._count(part.request, len(part.indices))
        self._prompts[part.request] = None
        self._longest = max(self._longest, part.request.job.prompt.size)

    def _count(self, request: Request, rows: int) -> None:
        self._rows += rows
        self._cached_rows += rows if request.cached_tokens else 0
        self._width = max(self._width, request.cached_tokens)
        callers = request.job.callers
        for depth in range(len(callers) + 1):
            self.rows_of[callers[:depth]] += rows


def cache_tokens_for(base: BaseModel, *, share: float) -> int:
    """Tokens whose keys and values a part of the memory holds, and at least one sample of the whole context.

    Args:
        base: the model, loaded.
        share: what this model gets of the memory that all caches may take.
    """
    if base.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(base.device)
        memory = free / _DEVICE_SHARE
    else:
        memory = _memory() / _MEMORY_SHARE
    return max(base.info.max_context_length, int(memory * share / _bytes_a_token(base)))


@torch.no_grad()
def _bytes_a_token(base: BaseModel) -> int:
    """Found by caching one token: architectures differ in heads, head widths and layers, and name them differently."""
    cache: Any = transformers.DynamicCache()
    base.states(torch.zeros(1, 1, dtype=torch.int64, device=base.device), past_key_values=cache, use_cache=True)
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def _memory() -> int:
    """Bytes of memory that this process may use: the machine's, or the limit of its control group."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(_CONTROL_GROUP_LIMIT.read_text(encoding="ascii")))
    except (OSError, ValueError):  # there is none, or it is "max"
        return physical
