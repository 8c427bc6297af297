"""Heavy work takes turns with the event loop: whatever came meanwhile is dealt with before the next work begins."""

import asyncio
import threading

import pytest

from tinker_local.beside import beside


def test_between_two_works_the_loop_goes_round() -> None:
    """A request that comes while one work is done is answered before the next begins, however many wait."""

    async def story() -> list[str]:
        loop = asyncio.get_running_loop()
        happened: list[str] = []

        def work(number: int) -> None:
            happened.append(f"work {number}")
            loop.call_soon_threadsafe(happened.append, f"heartbeat {number}")

        await asyncio.gather(*(beside(lambda number=number: work(number)) for number in range(20)))
        return happened

    assert asyncio.run(story()) == [f"{what} {number}" for number in range(20) for what in ("work", "heartbeat")]


def test_one_work_at_a_time_in_a_thread_of_its_own() -> None:
    async def story() -> tuple[set[int], int]:
        threads: set[int] = set()
        at_once = most = 0

        def work() -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            threads.add(threading.get_ident())
            at_once -= 1

        await asyncio.gather(*(beside(work) for _ in range(50)))
        return threads, most

    threads, most = asyncio.run(story())
    assert (threading.get_ident() in threads, len(threads), most) == (False, 1, 1)


def test_a_fault_is_the_callers_and_a_waiter_that_leaves_holds_nobody_up() -> None:
    async def story() -> str:
        begun, go_on = threading.Event(), threading.Event()

        def held() -> None:
            begun.set()
            go_on.wait(30)

        first = asyncio.create_task(beside(held))
        await asyncio.to_thread(begun.wait, 30)
        leaves = asyncio.create_task(beside(lambda: "never"))
        last = asyncio.create_task(beside(lambda: "last"))
        await asyncio.sleep(0)
        leaves.cancel()
        first.cancel()
        go_on.set()
        with pytest.raises(ZeroDivisionError):
            await beside(lambda: 1 // 0)
        return await last

    assert asyncio.run(story()) == "last"


def test_each_loop_has_turns_of_its_own() -> None:
    assert [asyncio.run(beside(threading.get_ident)) for _ in range(2)] != [threading.get_ident()] * 2
