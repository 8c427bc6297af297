"""One of many samples: what is asked, and the name by which its result is found again. It asks nobody."""

import hashlib
from collections.abc import Sequence
from typing import Any

import attrs
import orjson

from tinker_hl.token_counts import sample_tokens_at_most
from tinker_hl.types import ModelInput, SamplingParams

__all__ = ["SampleTask", "task_of"]


@attrs.frozen(kw_only=True)
class SampleTask:
    """A prompt with settings of its own.

    Attributes:
        prompt: What the samples follow.
        sampling_params: How to sample.
        num_samples: How many, at least 1.
        include_prompt_logprobs: Also score the prompt.
    """

    prompt: ModelInput
    sampling_params: SamplingParams
    num_samples: int = 1
    include_prompt_logprobs: bool = False

    @classmethod
    def score(cls, prompt: ModelInput) -> "SampleTask":
        """Score a prompt, as `SamplingClient.compute_logprobs` does; the result is in `response.prompt_logprobs`."""
        return cls(prompt=prompt, sampling_params=SamplingParams(max_tokens=1, seed=0), include_prompt_logprobs=True)

    @property
    def repeats(self) -> bool:
        """Whether asking again gives the same: it has a seed."""
        return self.sampling_params.seed is not None

    @property
    def most_tokens(self) -> int | None:
        """Tokens that it reads and draws at most; None where the prompt's or the samples' length is not known."""
        return sample_tokens_at_most(self.prompt, self.num_samples, self.sampling_params)

    def key(self, identity: str) -> str:
        """The SHA-256 of what is asked of which weights, in hexadecimal.

        Args:
            identity: Names the weights.
        """
        asked = {
            "identity": identity,
            "prompt": self.prompt.model_dump(mode="json"),
            "sampling_params": self.sampling_params.model_dump(mode="json"),
            "num_samples": self.num_samples,
            "include_prompt_logprobs": self.include_prompt_logprobs,
        }
        return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def task_of(
    item: "SampleTask | ModelInput | Sequence[int]", sampling_params: SamplingParams | None, settings: dict[str, Any]
) -> SampleTask:
    """A task as it is, or one made of a prompt and the settings of all."""
    if isinstance(item, SampleTask):
        return item
    if sampling_params is None:
        raise TypeError("prompts need sampling_params; only SampleTask has its own")
    prompt = item if isinstance(item, ModelInput) else ModelInput.from_ints(item)
    return SampleTask(prompt=prompt, sampling_params=sampling_params, **settings)
