"""Activation checkpointing (Chen et al. 2016): a layer keeps its input alone, and is computed again for its gradient.

It trades about a third more computation for the memory of everything inside a layer. It knows which modules of a model
repeat, and nothing of adapters: whatever acts on a layer must act while its gradient is computed, too.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["recompute_layers"]


def recompute_layers(model: nn.Module) -> int:
    """Have the model's layers computed again in backward passes; forward passes without gradients stay as they are.

    The layers are the longest list of equal modules in the model.

    Returns:
        How many there are; 0 where the model has no such list.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    layers = max(lists, key=len, default=nn.ModuleList())
    if len({type(layer) for layer in layers}) != 1:
        return 0
    for layer in layers:
        layer.forward = _recomputed(layer.forward)
    return len(layers)


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def recomputed(*arguments: Any, **keywords: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*arguments, **keywords)
        return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, **keywords)

    return recomputed
