"""Generators go on from JSON as from themselves."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from tinker_hl.errors import ConfigurationError
from tinker_hl.recovery.random_states import random_states, restore_random_states

MAKERS: dict[str, tuple[Callable[[int], Any], Callable[[Any], Any]]] = {
    "python": (random.Random, lambda generator: generator.random()),
    "python's gauss": (random.Random, lambda generator: generator.gauss()),
    "pcg64": (np.random.default_rng, lambda generator: float(generator.normal())),
    "mt19937": (lambda seed: np.random.Generator(np.random.MT19937(seed)), lambda generator: float(generator.random())),
    "philox": (lambda seed: np.random.Generator(np.random.Philox(seed)), lambda generator: float(generator.random())),
    "legacy": (np.random.RandomState, lambda generator: float(generator.normal())),
    "torch": (
        lambda seed: torch.Generator().manual_seed(seed),
        lambda generator: float(torch.randn(1, generator=generator)),
    ),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_it_goes_on_where_it_was(kind: str) -> None:
    make, draw = MAKERS[kind]
    generator, other = make(1), make(2)
    for _ in range(7):
        draw(generator)
    kept = orjson.loads(orjson.dumps(random_states({"mine": generator})))
    expected = [draw(generator) for _ in range(9)]
    restore_random_states({"mine": other, "unknown": make(3)}, kept)
    assert [draw(other) for _ in range(9)] == expected


def test_pythons_own_generator() -> None:
    before = random.getstate()
    try:
        kept = random_states({"random": random})
        expected = random.random()
        restore_random_states({"random": random}, kept)
        assert random.random() == expected
    finally:
        random.setstate(before)


def test_something_else_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"generators\['seed'\].*int"):
        random_states({"seed": 7})
