"""Rows of logprobs and weights, and datums that carry them, for the tests of losses."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinker_hl import Datum, ModelInput

Array = NDArray[np.float64]


def numbers(size: int, low: float, high: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high, width=32), min_size=size, max_size=size)


@st.composite
def rows(
    draw: st.DrawFn, lengths: list[int], candidates: int = 0, low: float = -4, high: float = -0.125
) -> list[Array]:
    """One array a datum: [T], or [T, candidates] whose probabilities add up to less than 1."""
    found = []
    for length in lengths:
        values = np.array(draw(numbers(length * max(1, candidates), low, high)), dtype=np.float64)
        found.append(values.reshape(length, candidates) - np.log(candidates) if candidates else values)
    return found


def lengths(least: int = 1) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(least, 4), min_size=1, max_size=3)


def tensors(arrays: list[Array]) -> list[Tensor]:
    """Leaves, float64, that require gradients."""
    return [torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in arrays]


def datum(length: int, **inputs: Any) -> Datum:
    return Datum(
        ModelInput.from_ints([1] * length),
        {"target_tokens": [1] * length, **{key: np.asarray(value) for key, value in inputs.items()}},
    )


def some(sizes: tuple[int, ...] = (3, 5, 2), candidates: int = 0, seed: int = 0) -> list[Array]:
    """Fixed logprobs: [T] or [T, K], probabilities of a position adding up to less than 1."""
    generator = np.random.default_rng(seed)
    found = []
    for size in sizes:
        shape = (size, candidates) if candidates else (size,)
        values = -generator.uniform(0.2, 3.0, shape)
        found.append(values - np.log(candidates) if candidates else values)
    return found
