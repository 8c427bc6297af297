"""Whether one sample alone fits the key/value cache: the service and the engine ask the same question.

It knows nothing of torch, nor of other samples.
"""

import attrs

from tinker_local.engine.protocol import BaseModelInfo, SampleJob

__all__ = ["Excess", "excess_of_cache"]


@attrs.frozen
class Excess:
    """What is too much."""

    loc: tuple[str, ...]
    """The field, as the protocol nests it."""
    message: str


def excess_of_cache(job: SampleJob, info: BaseModelInfo) -> Excess | None:
    """Why a sample can never run; None if it can.

    A sample of at most one token needs no cache. One whose `max_tokens` is left out ends where the cache does.
    """
    cache, size, wanted = info.kv_cache_tokens, job.prompt.size, job.max_tokens
    if cache is None or (wanted is not None and wanted <= 1):
        return None
    keeps = f"the key/value cache of {info.name} keeps {cache} (the service's --kv-cache-tokens)"
    if cache <= size < info.max_context_length:
        return Excess(("prompt",), f"the prompt has {size} tokens, and {keeps}; give a shorter one")
    if wanted is not None and min(size + wanted, info.max_context_length) > cache:
        return Excess(
            ("sampling_params", "max_tokens"),
            f"max_tokens is {wanted} after a prompt of {size} tokens, and {keeps}; ask for at most {cache - size}",
        )
    return None
