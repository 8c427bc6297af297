"""Try a downloaded adapter in plain peft: does it say what the service says?

Imports torch, transformers and peft when it runs. Knows nothing of the service: it is given folders and logprobs.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from tinker_hl.errors import ConfigurationError, TinkerError

__all__ = ["AdapterCheck", "AdapterMismatchError", "check_adapter"]

LARGEST_DIFFERENCE: Final = 1e-3
"""Of a logprob, in nats: far above what float32 rounding makes, far below what a wrong adapter makes."""


class AdapterMismatchError(TinkerError):
    """The adapter computes something else in peft than in the service."""


@attrs.frozen
class AdapterCheck:
    """What was compared."""

    tokens: int
    largest_difference: float
    """In nats."""


def check_adapter(
    base: Path,
    adapter: Path,
    sequences: Sequence[Sequence[int]],
    logprobs: Sequence[Sequence[float | None]],
    *,
    tolerance: float = LARGEST_DIFFERENCE,
) -> AdapterCheck:
    """Compare the service's logprobs of some sequences with those of the adapter on its base model, in float32.

    Args:
        base: folder of the base model.
        adapter: folder of the adapter.
        sequences: token ids.
        logprobs: of each token of each sequence, in nats; None where there is none (the first).
        tolerance: the largest difference allowed.

    Raises:
        AdapterMismatchError: a logprob differs by more.
        ConfigurationError: torch, transformers or peft is missing.
    """
    try:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging
    except ImportError as error:
        raise ConfigurationError(
            f"{error.name} is needed to try the adapter", hint="pip install 'tinker-hl[local]'"
        ) from error
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        # peft and transformers warn of each other's plans, which nobody here can act on.
        warnings.simplefilter("ignore", FutureWarning)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
        model = PeftModel.from_pretrained(model, adapter).eval()
    tokens, largest = 0, 0.0
    for sequence, served in zip(sequences, logprobs, strict=True):
        ids = torch.tensor([list(sequence)])
        with torch.inference_mode():
            scores = torch.log_softmax(model(input_ids=ids).logits[0, :-1], dim=-1)
        here = scores.gather(1, ids[0, 1:, None])[:, 0].tolist()
        for one, other in zip(here, list(served)[1:], strict=True):
            if other is not None:
                tokens += 1
                largest = max(largest, abs(one - other))
    if largest > tolerance:
        raise AdapterMismatchError(
            f"{adapter} in peft differs from the service by {largest:.1e} nats on a token, more than {tolerance:.0e}",
            hint="was the base model of another kind or precision?",
        )
    return AdapterCheck(tokens, largest)
