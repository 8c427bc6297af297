"""Keys and values of the rows being sampled, right-aligned: every row's newest token is in the same column.

So one step writes one column, and rows of any length share a batch under a mask; each costs what the longest does.
transformers' own growing cache copies everything at each token; here columns are allocated ahead. The rows come from
prefills, and leave, only when the batch is put together anew (`gathered`). It knows nothing of jobs or adapters.

Letters: B rows, G key/value heads, C columns, D head width.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
import transformers
from torch import Tensor
from transformers import cache_utils

__all__ = ["RowCache", "RowSource"]

_HEADROOM: Final = 64
"""Columns allocated ahead."""

RowSource = tuple[Sequence[Any], Tensor, Tensor]
"""Layers (with `keys` and `values` [B, G, C, D]), which rows of them [b], the column after the end of each [b]."""


class _Layer:
    """One layer's columns, in the form that transformers' `Cache` asks its layers to have."""

    is_sliding = False
    is_compileable = False
    is_initialized = True

    def __init__(self, keys: Tensor, values: Tensor, width: int) -> None:
        self.keys, self.values, self.width = keys, values, width

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append columns; returns all columns in use, the new ones included."""
        end = self.width + keys.shape[2]
        if end > self.keys.shape[2]:
            self.keys, self.values = _widened(self.keys, end), _widened(self.values, end)
        self.keys[:, :, self.width : end] = keys
        self.values[:, :, self.width : end] = values
        self.width = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that `query_length` more tokens will see, and the first of them."""
        return self.width + query_length, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1


# transformers asks `isinstance`; a virtual subclass inherits nothing that would copy or concatenate.
cache_utils.CacheLayerMixin.register(_Layer)


def _widened(tensor: Tensor, columns: int) -> Tensor:
    b, g, _, d = tensor.shape
    wider = tensor.new_zeros(b, g, columns + _HEADROOM, d)
    wider[:, :, : tensor.shape[2]] = tensor
    return wider


class RowCache:
    """The cache of one running batch, and which of its columns each row may see."""

    def __init__(self, layers: Sequence[_Layer], lengths: Tensor) -> None:
        self._layers = layers
        self.lengths = lengths
        """[B], int64: tokens of each row so far."""
        accepted: list[Any] = list(layers)
        self.model_cache: Any = transformers.Cache(layers=accepted)
        """What the model's forward takes as `past_key_values`."""
        width = layers[0].width
        columns = torch.arange(width + _HEADROOM, device=lengths.device)
        self._mask = columns >= (width - lengths).unsqueeze(1)

    @property
    def layers(self) -> Sequence[Any]:
        """With `keys` and `values` [B, G, C, D]."""
        return self._layers

    @property
    def width(self) -> int:
        """Columns in use."""
        return self._layers[0].width

    def next_mask(self) -> Tensor:
        """[B, width + 1], bool: what the next token of each row may see, itself included."""
        wanted = self.width + 1
        if wanted > self._mask.shape[1]:
            more = torch.ones(self._mask.shape[0], _HEADROOM, dtype=torch.bool, device=self._mask.device)
            self._mask = torch.cat([self._mask, more], dim=1)
        return self._mask[:, :wanted]

    def advance(self) -> None:
        """One token was appended to each row."""
        self.lengths = self.lengths + 1

    @classmethod
    def gathered(cls, sources: Sequence[RowSource], lengths: Tensor) -> "RowCache":
        """Put rows of several sources together, in this order.

        Args:
            sources: see `RowSource`.
            lengths: [B], int64: tokens of each row, over all sources.
        """
        width = int(lengths.max())
        layers = []
        for index in range(len(sources[0][0])):
            keys = _gather([(layers_[index].keys, rows, ends) for layers_, rows, ends in sources], lengths, width)
            values = _gather([(layers_[index].values, rows, ends) for layers_, rows, ends in sources], lengths, width)
            layers.append(_Layer(keys, values, width))
        return cls(layers, lengths)


def _gather(sources: Sequence[tuple[Tensor, Tensor, Tensor]], lengths: Tensor, width: int) -> Tensor:
    """[B, G, width + headroom, D]; columns before a row's first are zero, for a masked NaN is still a NaN."""
    first = sources[0][0]
    together = first.new_zeros(len(lengths), first.shape[1], width + _HEADROOM, first.shape[3])
    start = 0
    for tensor, rows, ends in sources:
        stop = start + len(rows)
        _place(together[start:stop, :, :width], tensor, rows, ends, lengths[start:stop])
        start = stop
    return together


def _place(target: Tensor, tensor: Tensor, rows: Tensor, ends: Tensor, lengths: Tensor) -> None:
    """Copy rows so that the column before `ends` becomes the last of `target` [b, G, width, D]."""
    width = target.shape[2]
    if bool((ends == ends[0]).all()):
        end, longest = int(ends[0]), int(lengths.max())
        target[:, :, width - longest :] = tensor[:, :, end - longest : end].index_select(0, rows)
        return
    # Rows that end at different columns, as prefills padded on the right leave them: shift each by its own distance.
    columns = torch.arange(width, device=target.device) - width + ends.unsqueeze(1)
    there = columns >= (ends - lengths).unsqueeze(1)
    picked = tensor[rows.unsqueeze(1), :, columns.clamp_min(0)]
    target.copy_(torch.where(there[:, :, None, None], picked, 0).transpose(1, 2))
