"""Several adapters in one batch, each acting on rows of its own.

The rows come sorted by adapter. Where the groups are about equal their low-rank products are one grouped matrix product
over stacked A and B; where one group dwarfs the others that would be mostly padding, and they are done one by one.

Letters: B rows, S adapters, M rows of the largest group, I and O features in and out, R largest rank.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from tinker_local.engine.lora import LoraWeights

__all__ = ["AdapterStack", "MixedAdapters"]

_WASTE: Final = 2
"""Grouped products are used while padded rows are at most this many times the real ones."""


class AdapterStack:
    """The matrices of several adapters, stacked site by site; an adapter that lacks a site, or none at all, is zero."""

    def __init__(
        self, site_count: int, adapters: Sequence[LoraWeights | None], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.size = len(adapters)
        self.downs: list[Tensor | None] = [None] * site_count
        self.ups: list[Tensor | None] = [None] * site_count
        rank = max((weights.layout.rank for weights in adapters if weights is not None), default=1)
        for place, weights in enumerate(adapters):
            if weights is None:
                continue
            for site, (a, b) in zip(weights.layout.sites, weights.layout.views(weights.flat), strict=True):
                down, up = self.downs[site.index], self.ups[site.index]
                if down is None or up is None:
                    down = torch.zeros(self.size, site.in_features, rank, device=device, dtype=dtype)
                    up = torch.zeros(self.size, rank, site.out_features, device=device, dtype=dtype)
                    self.downs[site.index], self.ups[site.index] = down, up
                down[place, :, : weights.layout.rank] = a.t()
                up[place, : weights.layout.rank] = b.t() * weights.scale


class MixedAdapters:
    """A stack acting on a batch [B, T, I] (or [B, I]) whose rows are sorted by their place in the stack."""

    def __init__(self, stack: AdapterStack, counts: Sequence[int], device: torch.device) -> None:
        """`counts`: how many rows each adapter of the stack has."""
        self._stack = stack
        self._counts = counts
        largest, rows = max(counts), sum(counts)
        self._even = all(count == largest for count in counts)
        self._grouped = self._even or largest * len(counts) <= _WASTE * rows
        if self._grouped and not self._even:
            starts = [sum(counts[:place]) for place in range(len(counts))]
            padded = [min(start + step, rows - 1) for start in starts for step in range(largest)]
            real = [place * largest + step for place, count in enumerate(counts) for step in range(count)]
            self._padded = torch.tensor(padded, device=device)
            self._real = torch.tensor(real, device=device)

    def add(self, site: int, x: Tensor, y: Tensor) -> Tensor:
        """See `lora.Active.add`. Rows keep their T positions together, so that T only widens the groups."""
        down, up = self._stack.downs[site], self._stack.ups[site]
        if down is None or up is None:
            return y
        if self._even:
            low = torch.bmm(x.reshape(self._stack.size, -1, x.shape[-1]), down)
            y.view(self._stack.size, -1, y.shape[-1]).baddbmm_(low, up)
        elif self._grouped:
            padded = x.index_select(0, self._padded).view(self._stack.size, -1, x.shape[-1])
            added = torch.bmm(torch.bmm(padded, down), up)
            y.add_(added.view(len(self._padded), *y.shape[1:]).index_select(0, self._real))
        else:
            start = 0
            for place, count in enumerate(self._counts):
                if count:
                    rows, out = x[start : start + count], y[start : start + count]
                    low = rows.reshape(-1, x.shape[-1]) @ down[place]
                    out.view(-1, y.shape[-1]).addmm_(low, up[place])
                start += count
        return y
