"""The order of one model: whatever the order of arrival, requests are released by id, each once, none forgotten."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tinker_local.runs.order import FIRST, SequenceOrder


@given(st.permutations(range(1, 30)))
def test_any_order_of_arrival_gives_the_order_of_ids(arrival: list[int]) -> None:
    order = SequenceOrder[int]()
    released = [item for seq_id in arrival for item in order.accept(seq_id, seq_id)]
    assert released == sorted(arrival)
    assert len(order) == 0


def test_an_id_is_accepted_once() -> None:
    order = SequenceOrder[str]()
    assert order.accept(2, "b") == []
    assert order.accept(1, "a") == ["a", "b"]
    for seq_id in (1, 2):
        with pytest.raises(ValueError, match="accepted before"):
            order.accept(seq_id, "again")


def test_a_refused_id_is_passed_by_a_later_one_or_used_again() -> None:
    order = SequenceOrder[str]()
    order.refuse(1)
    assert order.accept(1, "used again") == ["used again"]
    order.refuse(2)
    assert order.accept(3, "passes 2") == ["passes 2"]
    order.refuse(3)  # was released: nothing to refuse
    assert order.accept(4, "next") == ["next"]


def test_giving_up_a_gap_hands_back_what_waited_and_goes_on() -> None:
    order = SequenceOrder[str]()
    order.accept(5, "e")
    order.accept(3, "c")
    assert order.abandon() == ["c", "e"]
    assert order.accept(6, "f") == ["f"]


class Orders(RuleBasedStateMachine):
    """Senders use ids in any order, and some are turned away; the model is a list and a few sets."""

    def __init__(self) -> None:
        super().__init__()
        self.order = SequenceOrder[int]()
        self.released: list[int] = []
        self.accepted: set[int] = set()
        self.refused: set[int] = set()

    @rule(seq_id=st.integers(FIRST, 40))
    def accept(self, seq_id: int) -> None:
        if seq_id in self.accepted or seq_id < self.order.next_id:
            return
        self.refused.discard(seq_id)
        self.accepted.add(seq_id)
        self.released += self.order.accept(seq_id, seq_id)

    @rule(seq_id=st.integers(FIRST, 40))
    def refuse(self, seq_id: int) -> None:
        self.order.refuse(seq_id)
        if seq_id not in self.accepted and seq_id >= self.order.next_id:
            self.refused.add(seq_id)

    @precondition(lambda self: len(self.order) > 0)
    @rule()
    def abandon(self) -> None:
        waiting = self.order.abandon()
        assert waiting == sorted(self.accepted - set(self.released))
        self.accepted -= set(waiting)
        self.refused = {seq_id for seq_id in self.refused if seq_id >= self.order.next_id}

    @invariant()
    def released_in_order_and_once(self) -> None:
        assert self.released == sorted(set(self.released))

    @invariant()
    def nothing_that_could_go_waits(self) -> None:
        """What waits has a gap before it that was neither accepted nor refused, or a refusal came since."""
        waiting = self.accepted - set(self.released)
        assert len(self.order) == len(waiting)
        assert all(seq_id > self.order.next_id - 1 for seq_id in waiting)

    @invariant()
    def passed_over_only_what_was_refused(self) -> None:
        passed = set(range(FIRST, self.order.next_id)) - set(self.released)
        assert not passed & self.accepted


TestOrders = Orders.TestCase


def test_ten_thousand_interleavings_keep_the_order() -> None:
    """R9, the bookkeeping's part: arrivals shuffled, a tenth of them refused for good."""
    source = random.Random(9)
    for _ in range(10_000):
        arrival = list(range(1, 9))
        source.shuffle(arrival)
        order = SequenceOrder[int]()
        released: list[int] = []
        refused = set()
        for seq_id in arrival:
            if source.random() < 0.1:
                order.refuse(seq_id)
                refused.add(seq_id)
            elif seq_id >= order.next_id:
                released += order.accept(seq_id, seq_id)
        released += order.accept(9, 9)
        assert released == sorted(released)
        assert set(released) == set(range(1, 10)) - refused
