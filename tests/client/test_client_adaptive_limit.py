"""Adaptive concurrency and tenants that do not hold each other up; rank 10 of 4.12."""

import asyncio
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_server import Reply, ScriptedServer

from tinker_hl import ModelInput, SamplingParams, loop
from tinker_hl.adaptive_limit import EPOCH, LEAST, QUIET, AdaptiveLimit
from tinker_hl.backpressure import backpressure_of
from tinker_hl.in_flight_budget import InFlightBudget
from tinker_hl.retry import InstantClock

PROMPT = ModelInput.from_ints([1, 2, 3])


def test_without_a_push_back_the_servers_limit_holds() -> None:
    limit = AdaptiveLimit()
    for _ in range(10):
        limit.succeeded(2000, 0.0)
    assert limit.under(2000) == 2000


def test_it_is_halved_once_in_a_moment_and_earned_back_one_a_round() -> None:
    limit = AdaptiveLimit()
    for _ in range(50):
        limit.pushed_back(100, 0.0)
    assert limit.under(2000) == 50
    for _ in range(52):
        limit.succeeded(2000, 0.0)
    assert limit.under(2000) == 51
    limit.pushed_back(100, EPOCH)
    assert limit.under(2000) == 25
    assert limit.under(10) == 10


def test_at_the_servers_limit_it_is_forgotten() -> None:
    limit = AdaptiveLimit()
    limit.pushed_back(40, 0.0)
    for _ in range(1000):
        limit.succeeded(40, 0.0)
    assert limit.under(100) == 100


def test_a_single_refusal_holds_up_neither_ten_nor_anybody_for_long() -> None:
    limit = AdaptiveLimit()
    limit.pushed_back(1, 0.0)
    assert limit.under(2000) == LEAST
    limit.succeeded(2000, QUIET - 1)
    assert limit.under(2000) == LEAST
    limit.succeeded(2000, QUIET)
    assert limit.under(2000) == 2000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=60))
def test_one_may_always_be_under_way(events: list[tuple[bool, int]]) -> None:
    limit, now = AdaptiveLimit(), 0.0
    for pushed, in_flight in events:
        now += EPOCH
        if pushed:
            limit.pushed_back(in_flight, now)
        else:
            limit.succeeded(64, now)
        assert 1 <= limit.under(64) <= 64


def test_programs_that_share_a_server_come_to_equal_shares() -> None:
    """A server of 60 places; one program begins with all of them, the other comes later with a single one."""
    random.seed(3)
    first, second = AdaptiveLimit(), AdaptiveLimit()
    first.pushed_back(120, 0.0)
    second.pushed_back(2, 0.0)
    shares: list[tuple[int, int]] = []
    for moment in range(1, 800):
        wanted = first.under(1000), second.under(1000)
        for limit, count in zip((first, second), wanted, strict=True):
            if sum(wanted) > 60:
                limit.pushed_back(count, float(moment))
            else:
                for _ in range(count):
                    limit.succeeded(1000, float(moment))
        shares.append(wanted)
    means = [sum(share[place] for share in shares[-200:]) / 200 for place in (0, 1)]
    assert abs(means[0] - means[1]) < 3
    assert sum(means) > 60 * 0.7


def test_a_limit_that_grows_lets_those_in_who_wait() -> None:
    async def run() -> list[int]:
        budget, allowed, most = InFlightBudget(), 1, 0
        gates = [asyncio.Event() for _ in range(4)]

        async def hold(number: int) -> None:
            nonlocal most
            async with budget.held(1, lambda: allowed):
                most = max(most, budget.used)
                await gates[number].wait()

        tasks = [asyncio.create_task(hold(number)) for number in range(4)]
        await asyncio.sleep(0)
        before = budget.used
        allowed = 3
        gates[0].set()
        await tasks[0]
        await asyncio.sleep(0)
        after = budget.used
        for gate in gates:
            gate.set()
        await asyncio.gather(*tasks)
        return [before, after, most, budget.used]

    assert loop.run(run()).result(10) == [1, 3, 3, 0]


def test_a_tenant_that_is_pushed_back_does_not_hold_up_another() -> None:
    """One key's flood is answered by 429; the other key's samples neither pause nor go fewer at once."""
    server = ScriptedServer()
    refusals: list[Any] = [Reply(429, {"detail": "slow down"})] * 3
    clock, calm = InstantClock("flooded"), InstantClock("calm")
    with (
        server.client(api_key="tml-flooded", clock=clock) as flooded,
        server.client(api_key="tml-calm", clock=calm) as other,
    ):
        loud = flooded.create_sampling_client(base_model="base").result(10)
        quiet = other.create_sampling_client(base_model="base").result(10)
        server.faults["asample"] = refusals
        for future in [loud.sample(PROMPT, 1, SamplingParams()) for _ in range(8)]:
            future.result(30)
        slept = sum(clock.slept)
        for future in [quiet.sample(PROMPT, 1, SamplingParams()) for _ in range(8)]:
            future.result(30)
        limits = [
            backpressure_of(service._session.connection.server).adaptive.under(2000) for service in (flooded, other)
        ]
    assert slept > 0
    assert calm.slept == []
    assert limits[0] < 2000
    assert limits[1] == 2000
