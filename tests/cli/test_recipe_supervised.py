from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.recipes.pairs import Pair
from tinker_hl.recipes.supervised import Example, Plan, batches, encode_pair


class Bytes:
    """A tokenizer of bytes with a start and an end."""

    eos_token_id: int | None = 257

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [256, *text.encode()] if add_special_tokens else [*text.encode()]

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        return bytes(token for token in token_ids if token < 256).decode()


def test_only_the_completion_and_the_end_are_learned() -> None:
    datum = encode_pair(Pair("ab", "cd"), Bytes()).datum()
    assert datum.model_input.to_ints() == [256, *b"abcd"]
    assert datum.loss_fn_inputs["target_tokens"].to_numpy().tolist() == [*b"abcd", 257]
    assert datum.loss_fn_inputs["weights"].to_numpy().tolist() == [0, 0, 1, 1, 1]
    assert datum.loss_fn_inputs["weights"].to_numpy().dtype == np.float32


def test_a_tokenizer_without_an_end_adds_none() -> None:
    tokenizer = Bytes()
    tokenizer.eos_token_id = None
    assert encode_pair(Pair("a", "b"), tokenizer).completion == [*b"b"]


def test_a_prompt_without_tokens_is_refused_with_its_line() -> None:
    class Nothing(Bytes):
        def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
            return []

    with pytest.raises(ValueError, match="line 7"):
        encode_pair(Pair("a", "b", line=7), Nothing())


def examples(count: int) -> list[Example]:
    return [Example([index], [1, 2], Pair(str(index), "x")) for index in range(count)]


@given(st.integers(1, 20), st.integers(1, 50), st.integers())
def test_each_example_is_seen_once_a_pass(count: int, batch_size: int, seed: int) -> None:
    drawn = [
        example for batch in islice(batches(examples(count), batch_size=batch_size, seed=seed), 8) for example in batch
    ]
    assert len(drawn) == 8 * batch_size
    whole = len(drawn) // count * count
    seen = Counter(example.prompt[0] for example in drawn[:whole])
    assert set(seen.values()) <= {whole // count}


def test_the_order_differs_from_pass_to_pass_and_is_the_seeds() -> None:
    first, second = islice(batches(examples(30), batch_size=30, seed=3), 2)
    assert first != second
    assert [first, second] == list(islice(batches(examples(30), batch_size=30, seed=3), 2))
    assert first != next(batches(examples(30), batch_size=30, seed=4))


@given(st.integers(1, 1000))
def test_the_learning_rate_falls_linearly_to_nothing_after_the_last_step(steps: int) -> None:
    plan = Plan(steps=steps, learning_rate=3e-3)
    rates = [plan.learning_rate_at(step) for step in range(steps + 1)]
    assert rates[0] == pytest.approx(3e-3)
    assert rates[-1] == 0
    assert np.diff(rates) == pytest.approx(-3e-3 / steps)
