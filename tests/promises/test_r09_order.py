"""R9: calls run in the order in which they were made, whatever else happens to them.

All training verbs, from threads and event loops, cancelled at any moment, refused, cut off before or after the server
took them, failing in the engine or in the user's own loss: against the real service, whose engine computes nothing.
"""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from order_drill import FATES, PLACES, VERBS, Drill

INTERLEAVINGS = 10_000
OF_ONE_MODEL = 100
WEIGHTS = (6, 6, 1, 8, 1, 1, 1, 2, 1, 1)
"""How often each verb is drawn: those that write files, and those with two requests, more rarely."""


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    made = Drill(tmp_path)
    yield made
    made.close()


@pytest.mark.timeout(600)
def test_r09_ten_thousand_interleavings_keep_the_order(drill: Drill) -> None:
    chooser = random.Random(9)
    taken = 0
    for number in range(INTERLEAVINGS):
        for _ in range(chooser.choice((2, 2, 3))):
            (verb,) = chooser.choices(VERBS, WEIGHTS)
            fate = chooser.choice(FATES) if chooser.random() < 0.15 else ""
            cancel_after = chooser.randrange(12) if chooser.random() < 0.2 else None
            drill.make(verb, chooser.choice(PLACES), fate, cancel_after)
        drill.settle()
        if number % OF_ONE_MODEL == OF_ONE_MODEL - 1:
            taken += drill.verify()
            drill.begin()
    assert taken > INTERLEAVINGS


class OrderMachine(RuleBasedStateMachine):
    """Hypothesis makes, cancels and settles calls in any order, and makes a failure small."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.drill = Drill(Path(self._folder.name))

    @rule(
        verb=st.sampled_from(VERBS),
        place=st.sampled_from(PLACES),
        fate=st.sampled_from(("", "", "", *FATES)),
        cancel_after=st.none() | st.integers(0, 20),
    )
    def make(self, verb: str, place: str, fate: str, cancel_after: int | None) -> None:
        self.drill.make(verb, place, fate, cancel_after)

    @rule(index=st.integers(0, 30), after=st.integers(0, 3))
    def cancel(self, index: int, after: int) -> None:
        if self.drill.made:
            self.drill.cancel(self.drill.made[index % len(self.drill.made)], after)

    @rule()
    def settle(self) -> None:
        self.drill.settle()
        self.drill.verify()

    @invariant()
    def nothing_surprises_the_server(self) -> None:
        assert self.drill.network.surprises == []

    def teardown(self) -> None:
        self.drill.settle()
        self.drill.verify()
        self.drill.close()
        self._folder.cleanup()


@pytest.mark.timeout(600)
def test_r09_no_sequence_of_calls_cancellations_and_faults_breaks_the_order() -> None:
    run_state_machine_as_test(OrderMachine, settings=settings(max_examples=60, stateful_step_count=20, deadline=None))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("fate", FATES)
def test_r09_each_verb_with_each_fate(drill: Drill, verb: str, fate: str) -> None:
    drill.make("forward_backward")
    drill.make(verb, fate=fate)
    drill.make("optim_step")
    drill.make(verb)
    drill.settle()
    drill.make("save_state")
    drill.settle()
    assert drill.verify()
