"""Prompts are kept by use: what is asked for again stays, what nobody wants goes, by number or by time."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from tinker_local.engine import prompts
from tinker_local.engine.prompts import Block, Key, PromptCache
from tinker_local.engine.requests import Sampler


class Story:
    """A cache on a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.cache = PromptCache(lambda: self.now)
        self.sampler = cast("Sampler", object())

    def key(self, name: str, sampler: Sampler | None = None) -> Key:
        return sampler or self.sampler, name.encode()

    def keep(self, *names: str, sampler: Sampler | None = None) -> Block:
        zeros = torch.zeros(len(names), 1, 4, 2)
        layers: list[Any] = [SimpleNamespace(keys=zeros, values=zeros)]
        block = Block.of(layers, torch.zeros(len(names), 0), 4 * len(names))
        self.cache.keep(block, [self.key(name, sampler) for name in names])
        return block

    def has(self, name: str, sampler: Sampler | None = None) -> bool:
        return self.cache.find(self.key(name, sampler)) is not None


@pytest.fixture
def story() -> Story:
    return Story()


def test_what_was_longest_of_no_use_goes_first(story: Story) -> None:
    for name in "abc":
        story.keep(name)
    assert story.has("a")
    story.cache.shrink(8)
    assert [story.has(name) for name in "abc"] == [True, False, True]
    assert story.cache.tokens == 8


def test_what_nobody_used_for_minutes_goes_and_the_rest_stays(story: Story) -> None:
    story.keep("old")
    story.keep("used")
    story.now += prompts._UNUSED_SECONDS - 1
    assert story.has("used")
    story.keep("new")
    story.cache.shrink(1000)
    assert story.cache.tokens == 12
    story.now += 1
    story.cache.shrink(1000)
    assert [story.has(name) for name in ("old", "used", "new")] == [False, True, True]


def test_a_sampler_that_goes_takes_its_blocks_along(story: Story) -> None:
    other = cast("Sampler", object())
    story.keep("mine", "mine too")
    story.keep("theirs", sampler=other)
    story.cache.forget(story.sampler)
    assert [story.has("mine"), story.has("mine too"), story.has("theirs", other)] == [False, False, True]
    story.now += 1e6
    story.cache.shrink(1000)
    assert story.cache.tokens == 0


def test_a_prompt_that_was_kept_twice_is_found_in_the_newer_block(story: Story) -> None:
    story.keep("a", "b")
    newer = story.keep("a")
    kept = story.cache.find(story.key("a"))
    assert kept is not None
    assert kept.block is newer
    story.cache.shrink(4)
    assert [story.has("a"), story.has("b")] == [True, False]
