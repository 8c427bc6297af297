import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.chunking import estimate_bytes, plan_chunks
from tinker_hl.sending_plan import plan_sending
from tinker_hl.types import Datum, ModelInput


def datum(length: int, counted: int | None = None) -> Datum:
    inputs = {"target_tokens": list(range(length))}
    weights = {} if counted is None else {"weights": [1.0] * counted + [0.0] * (length - counted)}
    return Datum(ModelInput.from_ints(range(length)), inputs | weights)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 12), st.integers(1, 5), st.integers(1, 2000)
)
def test_it_is_what_a_client_would_send(lengths: list[int], batch: int, max_items: int, max_bytes: int) -> None:
    data = [datum(length) for length in lengths]
    batches = [data[start : start + batch] for start in range(0, len(data), batch)]
    sent = [
        [sum(estimate_bytes(part[place]) for place in run) for run in plan_chunks(part, max_items, max_bytes)]
        for part in batches
    ]
    plan = plan_sending(data, batch_size=batch, max_items=max_items, max_bytes=max_bytes)
    assert plan.steps == len(batches)
    assert plan.requests == sum(map(len, sent))
    assert plan.most_requests_a_step == max(map(len, sent))
    assert plan.largest_request_bytes == max(size for sizes in sent for size in sizes)
    assert plan.size_bytes == sum(size for sizes in sent for size in sizes)
    assert plan.oversized == [place for place, one in enumerate(data) if estimate_bytes(one) > max_bytes]


def test_tokens() -> None:
    plan = plan_sending([datum(4, 1), datum(10), datum(7, 7)])
    assert (plan.datums, plan.tokens, plan.counted_tokens) == (3, 21, 18)
    assert (plan.shortest, plan.median, plan.longest) == (4, 7.0, 10)
    assert (plan.batch_size, plan.steps, plan.requests) == (3, 1, 1)


def test_nothing_cannot_be_planned() -> None:
    with pytest.raises(ValueError, match="no data"):
        plan_sending([])
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"batch_size must be 1 or above, got {size}"):
            plan_sending([datum(3)], batch_size=size)
