"""The retry policy: its formula, its deadline, its shared budget (promise R10)."""

import asyncio
import os
import random
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinker_hl import retry
from tinker_hl.configuration import PROFILES
from tinker_hl.poller import _pause
from tinker_hl.retry import AttemptLog, InstantClock, RetryBudget, RetryConfig, RetryPolicy


class Always(random.Random):
    """Draws one number only."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def random(self) -> float:
        return self.number


def rich() -> RetryBudget:
    return RetryBudget(reserve=1e9)


@settings(deadline=None)
@given(number=st.integers(1, 10_000), uniform=st.floats(0, 1, exclude_max=True))
def test_the_wait_is_the_documented_formula(number: int, uniform: float) -> None:
    policy = RetryPolicy(delay_base=0.5, delay_max=10.0)
    expected = uniform * min(10.0, 0.5 * 2.0 ** min(number - 1, 100))
    assert policy.delay(number, uniform) == pytest.approx(expected)


def test_waits_draw_from_a_generator_of_the_clients_own() -> None:
    """A program that has seeded Python's shared one draws the same whatever the client waits for in its own thread."""
    before = random.getstate()
    log = AttemptLog(RetryPolicy(), rich(), InstantClock())
    assert asyncio.run(log.wait())
    assert asyncio.run(log.wait(named=1.0))
    assert len({_pause(PROFILES["default"], 1) for _ in range(5)}) == 5
    assert random.getstate() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_waits_other_times_than_its_parent() -> None:
    program = """if True:
        import os
        from tinker_hl.retry import JITTER
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, str(JITTER.random()).encode())
            os._exit(0)
        assert os.read(read, 100).decode() != str(JITTER.random())
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_there_is_no_retry_after_the_deadline() -> None:
    clock = InstantClock()

    async def attempts(policy: RetryPolicy, unreachable: bool) -> float:
        log = AttemptLog(policy, rich(), clock, Always(0.9))
        while await log.wait(unreachable=unreachable):
            pass
        return log.elapsed

    assert 290 < asyncio.run(attempts(RetryPolicy(), False)) <= 300
    assert asyncio.run(attempts(RetryPolicy(), True)) <= 5
    assert asyncio.run(attempts(RetryPolicy(enabled=False), False)) == 0


def test_a_named_wait_is_kept_and_costs_no_token() -> None:
    clock, budget = InstantClock(), RetryBudget()

    async def attempts() -> None:
        log = AttemptLog(RetryPolicy(), budget, clock, Always(0.5))
        for _ in range(8):
            assert await log.wait(named=3.0)

    asyncio.run(attempts())
    assert clock.slept == [pytest.approx(3.15)] * 8
    assert budget.tokens == retry.RESERVE


def test_a_dead_server_gets_at_most_a_tenth_more_requests_in_a_minute() -> None:
    callers, clock, budget = 100, InstantClock(), RetryBudget()
    extra = 0

    async def caller() -> None:
        nonlocal extra
        log = AttemptLog(RetryPolicy(deadline=60.0), budget, clock)
        while await log.wait():
            if clock.now() <= 60.0:
                extra += 1

    async def all_callers() -> None:
        await asyncio.gather(*(caller() for _ in range(callers)))

    asyncio.run(all_callers())
    assert extra <= callers // 10
    assert callers / 10 >= retry.RESERVE + 60 / retry.TRICKLE_SECONDS


def test_half_of_those_who_wait_follow_each_success() -> None:
    """A poll that the server holds gives its token back only when it is answered; the others must not wait for that."""

    async def story() -> None:
        clock, budget = retry.LoopClock(), RetryBudget(reserve=1.0, trickle_seconds=1000.0)
        assert await budget.take(clock, clock.now())
        waiting = [asyncio.ensure_future(budget.take(clock, clock.now() + 100)) for _ in range(40)]
        await asyncio.sleep(0)
        left = []
        for _ in range(4):
            budget.give_back(0)
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
            await asyncio.wait(waiting, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
            left.append(sum(not one.done() for one in waiting))
        assert left == [20, 10, 5, 2]
        for one in waiting:
            one.cancel()

    asyncio.run(story())


def test_success_gives_the_tokens_to_whoever_waits() -> None:
    async def scene() -> None:
        clock, budget = retry.LoopClock(), RetryBudget(trickle_seconds=1000.0)
        first = AttemptLog(RetryPolicy(delay_base=0.0), budget, clock)
        for _ in range(int(retry.RESERVE)):
            assert await first.wait()
        second = asyncio.create_task(AttemptLog(RetryPolicy(delay_base=0.0), budget, clock).wait())
        third = asyncio.create_task(AttemptLog(RetryPolicy(delay_base=0.0), budget, clock).wait())
        await asyncio.sleep(0)
        assert not second.done()
        first.succeeded()
        assert await asyncio.wait_for(second, 10)
        assert await asyncio.wait_for(third, 10)

    asyncio.run(scene())


@settings(deadline=None)
@given(
    taken=st.lists(st.integers(0, 3), max_size=30),
    seconds=st.lists(st.floats(0, 100), max_size=30),
)
def test_the_budget_never_holds_more_than_its_reserve(taken: list[int], seconds: list[float]) -> None:
    clock, budget = InstantClock(), RetryBudget()

    async def scene() -> None:
        for retries, wait in zip(taken, seconds, strict=False):
            for _ in range(retries):
                await budget.take(clock, clock.now() + wait)
            budget.give_back(retries)
            assert -1e-9 <= budget.tokens <= retry.RESERVE

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("status", "headers", "again"),
    [
        (400, {}, False),
        (401, {}, False),
        (404, {}, False),
        (409, {}, False),
        (409, {"x-should-retry": "true"}, True),
        (410, {}, False),
        (422, {}, False),
        (408, {}, True),
        (425, {}, True),
        (429, {}, True),
        (500, {}, True),
        (500, {"x-should-retry": "false"}, False),
        (501, {}, False),
        (502, {}, True),
        (503, {}, True),
        (520, {}, True),
    ],
)
def test_which_statuses_are_retried(status: int, headers: dict[str, str], again: bool) -> None:
    assert retry.status_is_retryable(status, headers) is again


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422])
def test_refusals_are_certain(status: int) -> None:
    assert retry.status_refuses(status)


@pytest.mark.parametrize("status", [200, 408, 425, 429, 500, 503])
def test_other_failures_are_not(status: int) -> None:
    assert not retry.status_refuses(status)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Sun, 01 Nov 2026 00:00:10 GMT"}, 10.0),
        ({"retry-after": "61"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_named_waits(headers: dict[str, str], seconds: float | None) -> None:
    assert retry.named_wait(headers, datetime(2026, 11, 1, tzinfo=UTC)) == seconds


def test_retry_config_is_the_official_one_and_becomes_a_policy() -> None:
    config = RetryConfig(retry_delay_base=0.1, retry_delay_max=2.0, progress_timeout=60.0, enable_retry_logic=False)
    expected = RetryPolicy(deadline=60.0, delay_base=0.1, delay_max=2.0, jitter_factor=0.25, enabled=False)
    assert config.policy() == expected
    assert hash(RetryConfig()) == hash(RetryConfig())
    with pytest.raises(ValueError, match="max_connections"):
        RetryConfig(max_connections=0)
