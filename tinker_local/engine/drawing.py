"""Drawing one token a row from logits: temperature, top-k, top-p, and noise that belongs to the row alone.

Each sample has a stream of numbers of its own, a counter-based generator keyed by (seed, index of the sample), and
takes one number a token. So what a sample becomes depends neither on its batch mates nor on when it came. The number
picks from the cumulative distribution in float64. Letters: B rows, V vocabulary.
"""

import secrets
from collections.abc import Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["DrawRule", "DrawRules", "NoiseStream", "draw", "draw_many", "fresh_seed"]

_BLOCK = 64
_COLDEST = 1e-30
"""Lower temperatures count as this one, which takes the likeliest token, too: logits over less overflow float32."""


def fresh_seed() -> int:
    """A seed for a request that has none."""
    return secrets.randbits(64)


class NoiseStream:
    """Uniform numbers in [0, 1), float64 multiples of 2^-24: below 1 by more than a cumulative sum can be off."""

    def __init__(self, seed: int, index: int) -> None:
        # An array, for numpy takes a list with a number of 64 bits for one of floats, which keep 53 of them.
        key = np.array([seed % 2**64, index % 2**64], dtype=np.uint64)
        self._generator = np.random.Generator(np.random.Philox(key=key))
        self._ready = self.block(_BLOCK)

    def block(self, count: int) -> NDArray[np.float64]:
        """The next numbers."""
        return self._generator.random(count, dtype=np.float32).astype(np.float64)

    def peek(self, start: int, count: int) -> NDArray[np.float64]:
        """Numbers `start` to `start + count` of the stream."""
        while self._ready.size < start + count:
            self._ready = np.concatenate([self._ready, self.block(max(_BLOCK, self._ready.size))])
        return self._ready[start : start + count]


@attrs.frozen
class DrawRule:
    """How one row's tokens are drawn. Temperature 0 takes the likeliest."""

    temperature: float = 1.0
    top_k: int = -1
    top_p: float = 1.0


class DrawRules:
    """The rules of a batch as tensors, and which of the steps any row needs at all."""

    def __init__(self, rules: Sequence[DrawRule], vocabulary: int, device: torch.device) -> None:
        greedy = [rule.temperature == 0 for rule in rules]
        self.all_greedy = all(greedy)
        self.greedy = torch.tensor(greedy, device=device) if any(greedy) else None
        warm = [max(rule.temperature, _COLDEST) if rule.temperature else 1.0 for rule in rules]
        self.temperature = None if set(warm) == {1.0} else torch.tensor(warm, device=device).unsqueeze(1)
        top_k = [rule.top_k if 0 < rule.top_k < vocabulary else vocabulary for rule in rules]
        top_p = [rule.top_p for rule in rules]
        filtered = [index for index in range(len(rules)) if top_k[index] < vocabulary or top_p[index] < 1]
        self.filtered = torch.tensor(filtered, device=device) if filtered else None
        self.top_k = torch.tensor([top_k[index] for index in filtered], device=device).unsqueeze(1)
        self.top_p = torch.tensor([top_p[index] for index in filtered], device=device).unsqueeze(1)


def draw(logits: Tensor, rules: DrawRules, noise: Tensor) -> tuple[Tensor, Tensor]:
    """One token a row.

    Args:
        logits: [B, V], float32.
        rules: of B rows.
        noise: [B], float64 in [0, 1): one number of each row's stream.

    Returns:
        Tokens [B], int64, and their logprobs [B], float32, under the logits as they are: no temperature, no filters.
    """
    tokens = logits.argmax(1) if rules.all_greedy else _pick(_weights(logits, rules), noise)
    if rules.greedy is not None and not rules.all_greedy:
        tokens = torch.where(rules.greedy, logits.argmax(1), tokens)
    logprobs = logits.gather(1, tokens.unsqueeze(1)).squeeze(1) - logits.logsumexp(1)
    return tokens, logprobs


def _weights(logits: Tensor, rules: DrawRules) -> Tensor:
    scaled = logits if rules.temperature is None else logits / rules.temperature
    weights = scaled.softmax(1)
    if rules.filtered is not None:
        kept = _kept(weights.index_select(0, rules.filtered), rules.top_k, rules.top_p)
        weights = weights.index_copy(0, rules.filtered, kept)
    return weights


def _kept(weights: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Weights [B, V] with 0 where top-k, and then top-p of what is left, cut off; exactly k stay, ties by token id."""
    ordered, order = weights.sort(dim=1, descending=True, stable=True)
    ranks = torch.arange(weights.shape[1], device=weights.device)
    ordered = torch.where(ranks < top_k, ordered, 0)
    before = ordered.cumsum(1, dtype=torch.float64) - ordered
    ordered = torch.where((before < top_p * ordered.sum(1, keepdim=True)) | (ranks == 0), ordered, 0)
    return torch.zeros_like(weights).scatter(1, order, ordered)


def _pick(weights: Tensor, noise: Tensor) -> Tensor:
    """The first token whose cumulative weight is above noise times the total; never one of weight 0."""
    cumulative = weights.cumsum(1, dtype=torch.float64)
    wanted = noise.unsqueeze(1) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, wanted, right=True).squeeze(1).clamp_max(weights.shape[1] - 1)


def draw_many(logits: Tensor, count: int, stream: NoiseStream) -> Tensor:
    """`count` independent tokens [B, count] for each row of logits [B, V], from the distribution as it is."""
    rows = logits.shape[0]
    noise = torch.from_numpy(stream.block(rows * count)).view(rows, count).to(logits.device)
    cumulative = logits.softmax(1).cumsum(1, dtype=torch.float64)
    picked = torch.searchsorted(cumulative, noise * cumulative[:, -1:], right=True)
    return picked.clamp_max(logits.shape[1] - 1)
