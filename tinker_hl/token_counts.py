"""How many tokens a call takes: at most, before it is made. It knows neither budgets nor servers."""

from collections.abc import Iterable

from tinker_hl.types import Datum, ModelInput, SamplingParams

__all__ = ["pass_tokens", "sample_tokens_at_most"]


def pass_tokens(data: Iterable[Datum]) -> int:
    """Tokens that one pass over data reads; images that do not say how many they stand for count as none."""
    return sum(datum.model_input.known_length or 0 for datum in data)


def sample_tokens_at_most(prompt: ModelInput, num_samples: int, sampling_params: SamplingParams) -> int | None:
    """Tokens that a sample reads, its prompt once, and draws; None where the prompt or `max_tokens` does not say."""
    length, drawn = prompt.known_length, sampling_params.max_tokens
    return None if length is None or drawn is None else length + num_samples * drawn
