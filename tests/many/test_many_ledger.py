import pickle
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinker_hl import Datum, ModelInput
from tinker_hl.many import BudgetExceededError, TokenLedger


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60)), max_size=20))
def test_the_budget_is_never_passed(budget: int, calls: list[tuple[int, int]]) -> None:
    ledger = TokenLedger(budget)
    under_way: list[tuple[int, int]] = []
    for most, taken in calls:
        free = ledger.left
        assert free is not None
        if most > free:
            with pytest.raises(BudgetExceededError):
                ledger.reserve(most)
        else:
            under_way.append((ledger.reserve(most), min(most, taken)))
        left = ledger.left
        assert left is not None
        assert ledger.total + sum(reserved for reserved, _ in under_way) + left == budget
        if len(under_way) > 2:
            reserved, taken = under_way.pop(0)
            ledger.settle(reserved, {"sampled": taken})
    assert ledger.total <= budget


def test_many_threads_share_one() -> None:
    ledger, refused = TokenLedger(1000), []

    def work() -> None:
        for _ in range(100):
            try:
                ledger.settle(ledger.reserve(3), {"prompt": 1, "sampled": 2})
            except BudgetExceededError:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert ledger.total == 999
    assert len(refused) == 800 - 333


def test_training_is_counted_before_it_is_sent() -> None:
    data = [Datum(ModelInput.from_ints([1, 2, 3]), {"target_tokens": [2, 3, 4]})] * 2
    ledger = TokenLedger(10)
    ledger.train(data)
    assert ledger.tokens["trained"] == 6
    with pytest.raises(BudgetExceededError, match="6 tokens may be needed, and 4") as caught:
        ledger.train(data)
    assert ledger.total == 6
    assert pickle.loads(pickle.dumps(caught.value)).left == 4


def test_without_a_limit_everything_is_counted_and_nothing_refused() -> None:
    ledger = TokenLedger()
    ledger.settle(ledger.reserve(None), {"prompt": 5})
    assert ledger.left is None
    assert ledger.total == 5


def test_arguments_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="budget"):
        TokenLedger(-1)
    with pytest.raises(ValueError, match="prices"):
        TokenLedger(prices={"drawn": 1.0})  # type: ignore[dict-item]
    with pytest.raises(BudgetExceededError):
        TokenLedger(0).reserve(None)
