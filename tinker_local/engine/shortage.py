"""What to tell when the engine has not enough of something: whose call it was, and what to lower. It computes nothing.

A call that runs out of memory fails alone: what it had allocated is freed with it, and nothing of it was gathered. If
the kernel kills the process instead, that is the engine's death (`tinker_local.supervision`).
"""

from collections.abc import Mapping
from typing import Final

import torch

__all__ = ["failure_text"]

_ADVICE: Final[Mapping[str, str]] = {
    "forward_backward": "send fewer or shorter sequences in one call, or start the service with "
    "--activation-checkpointing",
    "sample": "ask for fewer samples or tokens at once, or start the service with a smaller --kv-cache-tokens",
    "create_adapter": "unload other models, or lower the rank",
    "load_adapter": "unload other models, or lower the rank",
    "create_sampler": "unload other models, or end sessions that sample",
    "optim_step": "unload other models, or lower the rank",
}
_ELSE: Final = "lower what it asks for"
_CPU_ALLOCATOR: Final = "DefaultCPUAllocator"
"""Torch raises a plain `RuntimeError` where the memory of the machine is short; its allocator's name tells it."""


def failure_text(method: str, error: BaseException) -> str:
    """What went wrong in a call of `Engine`, for whoever made it; with what to do where memory was short."""
    if _is_shortage(error):
        return f"{method} ran out of memory, and nothing was changed by it; {_ADVICE.get(method, _ELSE)}"
    return f"{method} failed in the engine: {type(error).__name__}: {error}"


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error)
