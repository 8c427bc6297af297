"""Plans of micro-batches: complete, within the limit, and the cheapest there is."""

from functools import cache

import hypothesis.strategies as st
from hypothesis import given

from tinker_local.engine.batching import plan_batches

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=30)


@given(LENGTHS, st.integers(1, 2000), st.integers(0, 500))
def test_a_plan_holds_every_sequence_once_within_the_limit(lengths: list[int], limit: int, overhead: int) -> None:
    plan = plan_batches(lengths, max_positions=limit, overhead=overhead)
    assert sorted(index for batch in plan for index in batch) == list(range(len(lengths)))
    for batch in plan:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= limit


@given(LENGTHS, st.integers(300, 2000), st.integers(0, 500))
def test_no_cut_of_the_sorted_sequences_is_cheaper(lengths: list[int], limit: int, overhead: int) -> None:
    ordered = sorted(lengths, reverse=True)

    @cache
    def best(start: int) -> int:
        if start == len(ordered):
            return 0
        rows = range(1, min(len(ordered) - start, limit // ordered[start]) + 1)
        return min(overhead + count * ordered[start] + best(start + count) for count in rows)

    plan = plan_batches(lengths, max_positions=limit, overhead=overhead)
    cost = sum(overhead + len(batch) * max(lengths[index] for index in batch) for batch in plan)
    assert cost == best(0)


def test_equal_lengths_share_one_batch() -> None:
    assert plan_batches([7] * 9, max_positions=63) == [list(range(9))]
