"""Test mode: each call has a time of its own. And the page on testing names everything that is there."""

import asyncio
import re
from pathlib import Path

import pytest

from tinker_hl import testing
from tinker_hl.testing import KINDS, TimelessClock

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")


def test_only_a_calls_own_waits_move_its_time() -> None:
    clock = TimelessClock()

    async def call(waits: int) -> float:
        began = clock.now()
        for _ in range(waits):
            await clock.sleep(10.0)
        return clock.now() - began

    async def at_once() -> list[float]:
        return await asyncio.gather(call(1), call(30), call(2))

    assert asyncio.run(at_once()) == [10.0, 300.0, 20.0]
    assert sum(clock.slept) == 330.0


def test_a_call_begins_at_the_latest_moment_that_any_has_reached() -> None:
    clock = TimelessClock()
    asyncio.run(clock.sleep(50.0))

    async def later() -> float:
        return clock.now()

    assert asyncio.run(later()) == 50.0


def test_two_clocks_know_nothing_of_each_other() -> None:
    first, second = TimelessClock(), TimelessClock()

    async def both() -> tuple[float, float]:
        await first.sleep(5.0)
        return second.now(), first.now()

    assert asyncio.run(both()) == (0.0, 5.0)
    assert first.timeline != second.timeline


def test_a_wait_for_something_gives_it_a_moment_and_then_is_over() -> None:
    clock = TimelessClock()

    async def waits() -> None:
        running = asyncio.get_running_loop()
        done: asyncio.Future[str] = running.create_future()
        running.call_later(0.001, done.set_result, "done")
        assert await clock.wait_for(done, 60.0) == "done"
        assert clock.now() == 0.0
        never: asyncio.Future[str] = running.create_future()
        with pytest.raises(TimeoutError):
            await clock.wait_for(never, 60.0)
        assert not never.cancelled()
        assert clock.now() == 60.0

    asyncio.run(asyncio.wait_for(waits(), 20))


@pytest.mark.parametrize("name", sorted(set(testing.__all__) - {"InjectedKind"}))
def test_the_page_names_each_public_name(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_says_what_each_fault_is(kind: str) -> None:
    assert re.search(rf"^\|.*`{kind}`.*\|", PAGE, re.MULTILINE)
