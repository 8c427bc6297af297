"""Supervised fine-tuning on pairs: tokens, batches, and a training loop that keeps the service busy.

The loop has a few steps under way at once: step k+1 is sent before step k is answered, so that the round trip costs
nothing. Knows nothing of files, of the terminal or of what a service is; it needs a client and a tokenizer.
"""

import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import numpy as np

from tinker_hl.recipes.pairs import Pair
from tinker_hl.types import AdamParams, Datum, ModelInput

if TYPE_CHECKING:
    from tinker_hl import TrainingClient

__all__ = ["Example", "Plan", "Step", "TextTokenizer", "batches", "encode_pair", "fine_tune"]


class TextTokenizer(Protocol):
    """What is needed of a tokenizer; the client's own and transformers' both have it."""

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a text, if there is one."""
        ...

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text."""
        ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids."""
        ...


@attrs.frozen(kw_only=True)
class Plan:
    """What is chosen about a run of training."""

    steps: int
    batch_size: int = 64
    learning_rate: float = 3e-3
    """Of the first step; falls linearly, to nothing after the last."""
    grad_clip_norm: float = 0.0
    """0 is off."""
    seed: int = 0
    steps_under_way: int = 3
    """Steps sent and not answered yet."""

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.learning_rate * (self.steps - step) / self.steps


@attrs.frozen
class Example:
    """A pair in tokens. The loss is taken on the completion alone, and on the token that ends it."""

    prompt: list[int]
    completion: list[int]
    pair: Pair

    @property
    def length(self) -> int:
        """Tokens that the model reads: the last one is only foreseen."""
        return len(self.prompt) + len(self.completion) - 1

    def datum(self) -> Datum:
        """The same for `cross_entropy`: position i foresees token i + 1, and counts if that is in the completion."""
        tokens = np.array(self.prompt + self.completion, dtype=np.int64)
        weights = np.zeros(self.length, dtype=np.float32)
        weights[len(self.prompt) - 1 :] = 1.0
        return Datum(
            model_input=ModelInput.from_ints(tokens[:-1].tolist()),
            loss_fn_inputs={"target_tokens": tokens[1:], "weights": weights},
        )


@attrs.frozen(kw_only=True)
class Step:
    """What one step came to."""

    step: int
    """From 1."""
    loss: float
    """Mean negative log-likelihood of a completion token, in nats."""
    grad_norm: float
    """Euclidean norm of the gradient of the *summed* loss; NaN where the service does not tell."""
    learning_rate: float
    tokens: int
    """Tokens read in this step."""


def encode_pair(pair: Pair, tokenizer: TextTokenizer) -> Example:
    """A pair in tokens: special tokens as the tokenizer puts them before a prompt, and its end of text at the end.

    Raises:
        ValueError: no tokens in the prompt.
    """
    prompt = list(tokenizer.encode(pair.prompt))
    if not prompt:
        raise ValueError(f"line {pair.line}: the prompt has no tokens")
    completion = list(tokenizer.encode(pair.completion, add_special_tokens=False))
    end = tokenizer.eos_token_id
    return Example(prompt, completion if end is None else [*completion, end], pair)


def batches(examples: Sequence[Example], *, batch_size: int, seed: int) -> Iterator[list[Example]]:
    """Yield batches without end: each pass over the examples in a new order, batches crossing from pass to pass.

    Every example is seen once before any is seen again, and a batch larger than the data repeats it.
    """
    rng = random.Random(seed)
    waiting: list[Example] = []
    while True:
        while len(waiting) < batch_size:
            waiting += rng.sample(examples, len(examples))
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def fine_tune(
    client: "TrainingClient", examples: Sequence[Example], plan: Plan, *, first: int = 0, last: int | None = None
) -> Iterator[Step]:
    """Train, and yield each step as it is answered, in order; when the iterator ends, nothing is under way.

    A stretch of the plan is the same training as the whole: its batches and learning rates are those of the plan.

    Args:
        client: the run to train.
        examples: what to train on.
        plan: how.
        first: steps of the plan that were done before.
        last: steps of the plan that are done afterwards; None does all.

    Raises:
        TinkerError: a step failed.
    """
    end = plan.steps if last is None else min(last, plan.steps)
    under_way: deque[_Sent] = deque()
    stream = batches(examples, batch_size=plan.batch_size, seed=plan.seed)
    for index, batch in zip(range(end), stream, strict=False):
        if index < first:
            continue
        if len(under_way) == plan.steps_under_way:
            yield under_way.popleft().answer()
        under_way.append(_send(client, index, batch, plan))
    while under_way:
        yield under_way.popleft().answer()


@attrs.frozen(kw_only=True)
class _Sent:
    """A step that was sent: its futures, and what is needed to read their answers."""

    index: int
    learning_rate: float
    tokens: int
    completion_tokens: int
    passed: Any
    stepped: Any

    def answer(self) -> Step:
        loss = float(self.passed.result().metrics["loss:sum"]) / self.completion_tokens
        metrics = self.stepped.result().metrics or {}
        return Step(
            step=self.index + 1,
            loss=loss,
            grad_norm=_grad_norm(metrics),
            learning_rate=self.learning_rate,
            tokens=self.tokens,
        )


def _send(client: "TrainingClient", index: int, batch: Sequence[Example], plan: Plan) -> _Sent:
    rate = plan.learning_rate_at(index)
    adam = AdamParams(learning_rate=rate, grad_clip_norm=plan.grad_clip_norm)
    return _Sent(
        index=index,
        learning_rate=rate,
        tokens=sum(example.length for example in batch),
        completion_tokens=sum(len(example.completion) for example in batch),
        passed=client.forward_backward([example.datum() for example in batch], "cross_entropy"),
        stepped=client.optim_step(adam),
    )


def _grad_norm(metrics: Any) -> float:
    """Services name it in more than one way."""
    return next((float(value) for key, value in metrics.items() if "grad_norm" in key), math.nan)
