"""Schedules and the adaptive controller: their formulas, their ends, what is refused (features 4.4)."""

import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tinker_hl import LossOptionError
from tinker_hl.losses import AdaptiveKL, Controller, Cosine, Linear, WarmUp


@given(start=st.floats(0, 10), end=st.floats(0, 10), steps=st.integers(1, 1000), step=st.integers(0, 3000))
def test_linear_and_cosine_go_from_start_to_end_and_stay_there(start: float, end: float, steps: int, step: int) -> None:
    for kind in (Linear, Cosine):
        schedule = kind(start, end, steps)
        assert schedule(0) == pytest.approx(start)
        assert schedule(steps) == pytest.approx(end) == schedule(steps + step)
        assert min(start, end) - 1e-9 <= schedule(step) <= max(start, end) + 1e-9


def test_linear_and_cosine_in_between() -> None:
    assert [Linear(1.0, 0.0, 4)(step) for step in range(6)] == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    expected = [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(5)]
    assert [Cosine(1.0, 0.0, 4)(step) for step in range(5)] == pytest.approx(expected)


def test_a_warm_up_ends_in_what_comes_then() -> None:
    assert [WarmUp(4, 2.0)(step) for step in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    falling = WarmUp(2, Linear(1.0, 0.0, 2))
    assert [falling(step) for step in range(5)] == [0.5, 1.0, 1.0, 0.5, 0.0]


@given(values=st.lists(st.floats(0, 100), max_size=40), target=st.floats(0.01, 50))
def test_the_controller_is_the_papers_formula_step_by_step(values: list[float], target: float) -> None:
    controller, beta = AdaptiveKL(target, 0.2), 0.2
    for value in values:
        controller.observe(value)
        error = min(max(value / target - 1, -0.2), 0.2)
        beta = beta * (1 + 0.1 * error)
        assert controller.value == pytest.approx(beta)


def test_the_controller_seeks_its_target() -> None:
    """A divergence that falls as the coefficient rises ends where it should."""
    controller = AdaptiveKL(target=2.0, value=0.1)
    for _ in range(500):
        controller.observe(1 / controller.value)
    assert 1 / controller.value == pytest.approx(2.0, rel=1e-3)


def test_the_controller_stays_in_its_bounds() -> None:
    controller = AdaptiveKL(1.0, 0.5, lowest=0.4, highest=0.6)
    for value, bound in ((100.0, 0.6), (0.0, 0.4)):
        for _ in range(100):
            controller.observe(value)
        assert controller.value == bound
    assert isinstance(controller, Controller)
    assert not isinstance(Linear(0, 1, 2), Controller)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Linear(-1, 1, 5), "start"),
        (lambda: Cosine(0, math.inf, 5), "end"),
        (lambda: Linear(0, 1, 0), "steps"),
        (lambda: WarmUp(2.5), "steps"),
        (lambda: WarmUp(2, -1.0), "then"),
        (lambda: AdaptiveKL(0), "target"),
        (lambda: AdaptiveKL(1, 0), "value"),
        (lambda: AdaptiveKL(1, 5.0, highest=2.0), "value"),
        (lambda: AdaptiveKL(1, clip=1.5), "clip"),
        (lambda: AdaptiveKL(1, gain=True), "gain"),
    ],
)
def test_options_are_refused_by_name(make: Any, field: str) -> None:
    with pytest.raises(LossOptionError, match=rf"\.{field} ") as caught:
        make()
    assert caught.value.field == field
