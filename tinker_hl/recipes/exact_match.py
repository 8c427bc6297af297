"""How often a model says exactly what it should: greedy answers to held-out prompts.

Knows nothing of training, of files or of the terminal.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from tinker_hl.recipes.supervised import Example, TextTokenizer
from tinker_hl.types import ModelInput, SamplingParams

if TYPE_CHECKING:
    from tinker_hl import SamplingClient

__all__ = ["Answer", "ask", "exact_match"]

ROOM = 8
"""Tokens that an answer may be longer than the longest completion: enough to tell that it is wrong."""


@attrs.frozen
class Answer:
    """What the model said to one held-out prompt."""

    example: Example
    said: str

    @property
    def right(self) -> bool:
        """Whether it is the completion; white space at either end does not count."""
        return self.said.strip() == self.example.pair.completion.strip()


def ask(client: "SamplingClient", tokenizer: TextTokenizer, examples: Sequence[Example]) -> list[Answer]:
    """Have the model answer each prompt at temperature 0, all at once; answers in the order of the examples."""
    if not examples:
        return []
    end = tokenizer.eos_token_id
    longest = max(len(example.completion) for example in examples)
    params = SamplingParams(max_tokens=longest + ROOM, temperature=0.0, stop=None if end is None else [end])
    futures = [client.sample(ModelInput.from_ints(example.prompt), 1, params) for example in examples]
    answers: list[Answer] = []
    for example, future in zip(examples, futures, strict=True):
        tokens = list(future.result().sequences[0].tokens)
        if end is not None and end in tokens:
            tokens = tokens[: tokens.index(end)]
        answers.append(Answer(example, tokenizer.decode(tokens, skip_special_tokens=True)))
    return answers


def exact_match(answers: Sequence[Answer]) -> float:
    """The share of right answers, from 0 to 1; NaN if there are none at all."""
    return sum(answer.right for answer in answers) / len(answers) if answers else float("nan")
