"""Prompts already computed, kept for the next request that begins with the same one.

A block is what one prefill left, as it is: nothing is copied when it is kept. What leaves first is the block that was
longest of no use, and what nobody used for minutes leaves, so that an engine under steady work holds a steady amount.
Keys and values are the same numbers whoever asks, so that no result depends on what is kept; prompts count as equal
only for the same sampler, token for token, and never with images. It knows nothing of rows.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from torch import Tensor

from tinker_local.engine.protocol import SampleJob
from tinker_local.engine.requests import Sampler

__all__ = ["Block", "Kept", "Key", "PromptCache", "key_of"]

_UNUSED_SECONDS = 120.0
"""After which a prompt goes: those that ask for the same one again do so within a step or two of their loop."""

Key = tuple[Sampler, bytes]


def key_of(sampler: Sampler, job: SampleJob) -> Key | None:
    """What makes prompts the same; None for one that is like no other."""
    return None if job.images else (sampler, job.prompt.tobytes())


@attrs.frozen(eq=False)
class Block:
    """What one prefill of prompts [B, T], padded on the right, left."""

    layers: Sequence[Any]
    """With `keys` and `values` [B, G, T, D]."""
    logits: Tensor
    """[B, V], float32: after each prompt's last token."""
    tokens: int
    """What it counts as: B times T, and the memory of the logits in such tokens."""

    @classmethod
    def of(cls, layers: Sequence[Any], logits: Tensor, positions: int) -> "Block":
        """`positions` is B times T; a block of no layers keeps nothing."""
        memory = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
        return cls(layers, logits, positions + (math.ceil(logits.nbytes * positions / memory) if memory else 0))


@attrs.frozen(eq=False)
class Kept:
    """One prompt of a block."""

    block: Block
    row: int


class PromptCache:
    """Blocks of one batch, at most so many tokens of them."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._blocks: dict[Block, list[Key]] = {}
        """The block that was of use last is the last."""
        self._used: dict[Block, float] = {}
        self._kept: dict[Key, Kept] = {}

    @property
    def tokens(self) -> int:
        """Tokens that are kept, padding included."""
        return sum(block.tokens for block in self._blocks)

    def find(self, key: Key) -> Kept | None:
        """A prompt, if it is kept."""
        kept = self._kept.get(key)
        if kept is not None:
            self._blocks[kept.block] = self._blocks.pop(kept.block)
            self._used[kept.block] = self._monotonic()
        return kept

    def keep(self, block: Block, keys: Sequence[Key | None]) -> None:
        """Keep a block, whose rows are these prompts; one that was kept before is found here from now on."""
        mine = [key for key in keys if key is not None]
        if not mine:
            return
        self._blocks[block] = mine
        self._used[block] = self._monotonic()
        self._kept |= {key: Kept(block, row) for row, key in enumerate(keys) if key is not None}

    def shrink(self, most_tokens: int) -> None:
        """Let blocks go that nobody used for long, and further ones until no more than so many tokens are kept."""
        tokens = self.tokens
        unused_since = self._monotonic() - _UNUSED_SECONDS
        for block in list(self._blocks):
            if tokens <= most_tokens and self._used[block] > unused_since:
                return
            tokens -= block.tokens
            self._drop(block)

    def forget(self, sampler: Sampler) -> None:
        """Drop all blocks that a sampler has a part in."""
        for block, keys in list(self._blocks.items()):
            if any(key[0] is sampler for key in keys):
                self._drop(block)

    def _drop(self, block: Block) -> None:
        del self._used[block]
        for key in self._blocks.pop(block):
            kept = self._kept.get(key)
            if kept is not None and kept.block is block:
                del self._kept[key]
