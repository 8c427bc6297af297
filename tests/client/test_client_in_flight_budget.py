"""The limit on what is under way: kept for any sizes, cancellations and orders; the first come, first served."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinker_hl.in_flight_budget import InFlightBudget

LIMIT = 10


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 25), min_size=1, max_size=25), seed=st.integers(0, 2**32))
def test_the_limit_holds_and_everybody_gets_a_turn_whatever_is_cancelled(sizes: list[int], seed: int) -> None:
    draw = random.Random(seed)
    budget, held, finished = InFlightBudget(), [], []

    async def holder(number: int, size: int) -> None:
        async with budget.held(size, LIMIT):
            held.append(size)
            try:
                assert sum(held) <= budget.used
                assert budget.used <= LIMIT or held == [size]
                for _ in range(draw.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                held.remove(size)
        finished.append(number)

    async def scene() -> None:
        tasks = [asyncio.create_task(holder(number, size)) for number, size in enumerate(sizes)]
        cancelled = {number for number in range(len(sizes)) if draw.random() < 0.3}
        for number in sorted(cancelled, key=lambda _: draw.random()):
            await asyncio.sleep(0)
            tasks[number].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert [number for number in range(len(sizes)) if number not in cancelled and number not in finished] == []
        assert budget.used == 0

    asyncio.run(scene())


def test_the_first_come_is_served_first_and_a_large_one_is_not_passed_by_small_ones() -> None:
    async def scene() -> list[str]:
        budget, order = InFlightBudget(), []

        async def one(name: str, size: int) -> None:
            await budget.take(size, LIMIT)
            order.append(name)

        await budget.take(8, LIMIT)
        tasks = [asyncio.create_task(one(name, size)) for name, size in (("large", 9), ("small", 1))]
        await _settle()
        assert order == []
        budget.give_back(8)
        await _settle()
        assert order == ["large", "small"]
        await asyncio.gather(*tasks)
        return order

    asyncio.run(scene())


def test_one_larger_than_the_limit_goes_alone() -> None:
    async def scene() -> None:
        budget = InFlightBudget()
        await budget.take(1, LIMIT)
        large = asyncio.create_task(budget.take(1000, LIMIT))
        await _settle()
        assert not large.done()
        budget.give_back(1)
        await large
        small = asyncio.create_task(budget.take(1, LIMIT))
        await _settle()
        assert not small.done()
        budget.give_back(1000)
        await small
        assert budget.used == 1

    asyncio.run(scene())


@pytest.mark.parametrize("admitted", [False, True])
def test_a_cancelled_wait_takes_nothing_even_in_the_moment_it_is_admitted(admitted: bool) -> None:
    async def scene() -> None:
        budget = InFlightBudget()
        await budget.take(LIMIT, LIMIT)
        first = asyncio.create_task(budget.take(LIMIT, LIMIT))
        second = asyncio.create_task(budget.take(2, LIMIT))
        await _settle()
        if admitted:
            budget.give_back(LIMIT)
        first.cancel()
        await _settle()
        assert first.cancelled()
        if not admitted:
            assert not second.done()
            budget.give_back(LIMIT)
        await second
        assert budget.used == 2

    asyncio.run(scene())


def test_a_forked_child_begins_with_nothing_under_way() -> None:
    async def scene() -> None:
        budget = InFlightBudget()
        await budget.take(LIMIT, LIMIT)
        waiting = asyncio.create_task(budget.take(1, LIMIT))
        await _settle()
        budget.after_fork()
        await budget.take(LIMIT, LIMIT)
        assert budget.used == LIMIT
        assert not waiting.done()
        waiting.cancel()

    asyncio.run(scene())
