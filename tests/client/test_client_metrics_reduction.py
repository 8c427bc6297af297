"""Results of chunks joined into one: what a service would have said without chunks."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.metrics_reduction import combine
from tinker_hl.types import ForwardBackwardOutput, TensorData


def output(metrics: dict[str, float], datums: int = 1, first: int = 0) -> ForwardBackwardOutput:
    records = [{"logprobs": TensorData([float(first + place)], "float32", [1])} for place in range(datums)]
    return ForwardBackwardOutput("ArrayRecord", records, metrics)


def reduced(key: str, values: list[float], weights: list[int] | None = None) -> dict[str, float]:
    weights = [1] * len(values) if weights is None else weights
    return combine([output({key: value}, weight) for value, weight in zip(values, weights, strict=True)]).metrics


def test_nothing_and_one() -> None:
    assert combine([]) == ForwardBackwardOutput("", [], {})
    only = output({"no_colon": 1.0, "x:strange": 2.0, "a:b:c": 3.0}, 0)
    assert combine([only]) is only


def test_outputs_keep_their_order() -> None:
    joined = combine([output({}, 2, 0), output({}, 0), output({}, 3, 2)])
    assert [record["logprobs"].data for record in joined.loss_fn_outputs] == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    assert joined.loss_fn_output_type == "ArrayRecord"


@pytest.mark.parametrize(
    ("key", "values", "weights", "expected"),
    [
        ("x:sum", [1, 2, 3], None, {"x:sum": 6}),
        ("x:mean", [1, 5], [3, 1], {"x:mean": 2}),
        ("x:min", [4, -1], None, {"x:min": -1}),
        ("x:max", [4, -1], None, {"x:max": 4}),
        ("x:slack", [1, 5], [3, 1], {"x:slack": 3}),
        ("x:unique", [7, 8, 9], None, {"x:unique": 7, "x:unique_1": 8, "x:unique_2": 9}),
        ("x:hash2", [2**64 - 1, 3], None, {"x:hash2": 2}),
        ("x:strange", [1, 5], [3, 1], {"x:strange": 2}),
        ("x", [1, 2], None, {"x": 1, "x_1": 2}),
        ("a:b:sum", [1, 2], None, {"a:b:sum": 1, "a:b:sum_1": 2}),
        ("x:mean", [1, 5], [0, 0], {"x:mean": 3}),
        ("x:slack", [1, 5], [0, 0], {"x:slack": 2}),
        ("x:sum", [math.inf, 1], None, {"x:sum": math.inf}),
    ],
)
def test_each_reduction(key: str, values: list[float], weights: list[int] | None, expected: dict[str, float]) -> None:
    assert reduced(key, values, weights) == expected


@pytest.mark.parametrize("key", ["h:hash2", "h:hash_unordered"])
def test_hashes_stay_whole_numbers(key: str) -> None:
    values = [2**63 + 1, 2**63 + 2, 2**53 + 1]
    found = reduced(key, values)[key]  # type: ignore[arg-type]  # whole numbers are numbers
    assert isinstance(found, int)
    assert found == sum(values) % 2**64


@pytest.mark.parametrize("values", [[math.nan, 1.0], [1.0, math.nan]])
def test_a_nan_is_not_hidden_by_the_order_of_chunks(values: list[float]) -> None:
    for key in ("x:min", "x:max", "x:sum", "x:mean", "x:slack"):
        assert math.isnan(reduced(key, values)[key])


def test_a_metric_that_a_chunk_lacks_is_left_out() -> None:
    joined = combine([output({"a:sum": 1.0, "b:sum": 1.0}), output({"a:sum": 1.0, "c:sum": 1.0})])
    assert joined.metrics == {"a:sum": 2.0}


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(10**400), 10**400)


@given(
    key=st.text(alphabet="ab:_", max_size=6)
    | st.sampled_from(["x:sum", "x:mean", "x:slack", "x:min", "x:max", "x:hash2", "x:hash_unordered", "x:unique"]),
    parts=st.lists(st.tuples(NUMBERS, st.integers(0, 3)), min_size=1, max_size=5),
)
def test_nothing_makes_it_raise(key: str, parts: list[tuple[float, int]]) -> None:
    combine([output({key: value}, weight) for value, weight in parts])


@given(
    losses=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=24),
    cuts=st.randoms(use_true_random=False),
)
def test_n05_many_chunks_say_what_one_would(losses: list[float], cuts: random.Random) -> None:
    """Sums, extremes and means over datums do not depend on where the data was cut; float32 losses add up exactly."""
    pieces: list[list[float]] = []
    rest = losses
    while rest:
        size = cuts.randint(1, len(rest))
        pieces.append(rest[:size])
        rest = rest[size:]

    def said(part: list[float]) -> ForwardBackwardOutput:
        total = math.fsum(part)
        metrics = {"loss:sum": total, "low:min": min(part), "high:max": max(part), "mean:mean": total / len(part)}
        return output(metrics, len(part))

    one, many = said(losses).metrics, combine([said(piece) for piece in pieces]).metrics
    for key in ("low:min", "high:max"):
        assert many[key] == one[key]
    assert many["loss:sum"] == pytest.approx(one["loss:sum"], rel=1e-15, abs=1e-9)
    assert many["mean:mean"] == pytest.approx(one["mean:mean"], rel=1e-12, abs=1e-9)


@given(
    values=st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=24),
    cut=st.integers(0, 24),
)
def test_n05_whole_numbers_are_exact_however_they_are_cut(values: list[int], cut: int) -> None:
    pieces = [piece for piece in (values[:cut], values[cut:]) if piece]
    joined = combine([output({"n:sum": float(sum(piece))}, len(piece)) for piece in pieces])
    assert joined.metrics["n:sum"] == float(sum(values))
