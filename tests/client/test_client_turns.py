"""The order of training calls, with cancellations, refusals and uncertain failures (promise R9)."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinker_hl import loop
from tinker_hl.futures import APIFuture
from tinker_hl.turns import PartlyTakenError, Turn, Turns, waited_for


class RefusedError(Exception):
    pass


class UnclearError(Exception):
    pass


class BrokenError(Exception):
    def __init__(self, name: str, failed: str, error: BaseException) -> None:
        super().__init__(name, failed, error)
        self.failed = failed
        self.first = error


def turns_of_test() -> Turns:
    return Turns(lambda error: isinstance(error, RefusedError), BrokenError)


def call(turns: Turns, name: str, send: Callable[[range], Awaitable[Any]], count: int = 1) -> APIFuture[Any]:
    turn = turns.reserve(name)

    async def run() -> Any:
        return await turn.submit(count, send)

    return APIFuture(run(), on_end=turn.give_up)


@attrs.frozen
class Step:
    count: int
    outcome: str
    pauses: int


STEPS = st.lists(
    st.builds(
        Step,
        count=st.integers(1, 4),
        outcome=st.sampled_from(["taken", "taken", "refused", "local_failure", "cancel_early", "cancel_late"]),
        pauses=st.integers(0, 4),
    ),
    min_size=1,
    max_size=14,
)


@settings(deadline=None)
@given(steps=STEPS)
def test_ids_leave_no_gap_and_order_is_kept(steps: list[Step]) -> None:
    turns = turns_of_test()
    taken: list[tuple[int, range]] = []
    futures: list[APIFuture[Any]] = []

    for index, step in enumerate(steps):
        turn = turns.reserve(f"call {index}")
        futures.append(APIFuture(_run(turn, index, step, taken), on_end=turn.give_up))
        if step.outcome == "cancel_early":
            futures[-1].cancel()
    for step, future in zip(steps, futures, strict=True):
        if step.outcome == "cancel_late":
            future.cancel()
    for future in futures:
        with contextlib.suppress(concurrent.futures.CancelledError):
            future.exception(10)
    call(turns, "last", _nothing, 0).result(10)

    assert [index for index, _ in taken] == sorted(index for index, _ in taken)
    spent = [number for _, ids in taken for number in ids]
    assert spent == list(range(1, len(spent) + 1))
    for index, step in enumerate(steps):
        if step.outcome == "taken":
            assert any(index == taker for taker, _ in taken)


async def _nothing(ids: range) -> None:
    return None


async def _run(turn: Turn, index: int, step: Step, taken: list[tuple[int, range]]) -> range:
    for _ in range(step.pauses):
        await asyncio.sleep(0)
    if step.outcome == "local_failure":
        raise ValueError("could not be encoded")

    async def send(ids: range) -> range:
        for _ in range(step.pauses):
            await asyncio.sleep(0)
        if step.outcome == "refused":
            raise RefusedError
        taken.append((index, ids))
        return ids

    return await turn.submit(step.count, send)


def test_a_submission_goes_on_when_its_caller_is_cancelled() -> None:
    turns = turns_of_test()
    begun, may_end = asyncio.Event(), asyncio.Event()
    ended = []

    async def send(ids: range) -> None:
        begun.set()
        await may_end.wait()
        ended.append(ids)

    async def wait_begun() -> None:
        await begun.wait()

    first = call(turns, "first", send)
    loop.run(wait_begun()).result(10)
    second = call(turns, "second", _collect(ended))
    assert first.cancel()
    with pytest.raises(TimeoutError):
        second.result(0.05)
    loop.event_loop().call_soon_threadsafe(may_end.set)
    second.result(10)
    assert ended == [range(1, 2), range(2, 3)]


def _collect(into: list[range]) -> Callable[[range], Awaitable[None]]:
    async def send(ids: range) -> None:
        into.append(ids)

    return send


def test_an_unclear_failure_breaks_all_later_calls_and_names_itself() -> None:
    turns = turns_of_test()
    error = UnclearError("no answer")

    async def fail(ids: range) -> None:
        raise error

    first = call(turns, "forward_backward", fail)
    later = [call(turns, f"call {index}", _nothing) for index in range(3)]
    with pytest.raises(UnclearError):
        first.result(10)
    for future in later:
        with pytest.raises(BrokenError) as caught:
            future.result(10)
        assert caught.value.failed == "forward_backward"
        assert caught.value.first is error


def test_a_partly_taken_call_raises_its_cause_and_breaks_the_order() -> None:
    turns = turns_of_test()

    async def partly(ids: range) -> None:
        raise PartlyTakenError from RefusedError("chunk 2")

    first, second = call(turns, "first", partly, 3), call(turns, "second", _nothing)
    with pytest.raises(RefusedError):
        first.result(10)
    with pytest.raises(BrokenError):
        second.result(10)


def test_a_kept_turn_lets_nobody_in_between() -> None:
    turns = turns_of_test()
    order: list[range] = []
    turn = turns.reserve("two passes")

    async def two_passes() -> None:
        await turn.submit(2, _collect(order), keep=True)
        await asyncio.sleep(0)
        await turn.submit(2, _collect(order))

    first = APIFuture(two_passes(), on_end=turn.give_up)
    second = call(turns, "after", _collect(order))
    first.result(10)
    second.result(10)
    assert order == [range(1, 3), range(3, 5), range(5, 6)]


def test_a_turn_that_is_kept_ends_with_its_call() -> None:
    turns = turns_of_test()
    turn = turns.reserve("fails between its passes")

    async def fails() -> None:
        await turn.submit(1, _nothing, keep=True)
        raise ValueError("the user's loss")

    first = APIFuture(fails(), on_end=turn.give_up)
    second = call(turns, "after", _nothing)
    with pytest.raises(ValueError, match="user's loss"):
        first.result(10)
    second.result(10)


def test_code_that_a_turn_waits_for_cannot_reserve_one() -> None:
    turns = turns_of_test()
    token = waited_for.set(turns)
    try:
        with pytest.raises(RuntimeError, match="custom loss"):
            turns.reserve("forward")
    finally:
        waited_for.reset(token)
