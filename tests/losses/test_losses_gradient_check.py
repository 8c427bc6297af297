"""`check_gradient` finds a gradient that is wrong, and its place; the other tests of this folder rely on it."""

from typing import Any

import pytest
import torch
from loss_rows import datum, some
from torch import Tensor

from tinker_hl.losses import check_gradient


class AlmostCubed(torch.autograd.Function):
    """x^3, whose derivative is wrong by 1 at one element."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        wrong = torch.zeros_like(x)
        wrong[2] = 1.0
        return gradient * (3 * x**2 + wrong)


def test_a_right_gradient_differs_by_rounding_only() -> None:
    data, logprobs = [datum(3), datum(2)], some((3, 2))
    check = check_gradient(lambda d, rows: (sum((row**3).sum() for row in rows), {}), data, logprobs)
    assert check.largest_difference < 1e-7


def test_a_wrong_gradient_is_found_where_it_is() -> None:
    logprobs = some((2, 4, 3))
    data = [datum(len(each)) for each in logprobs]

    def loss(data: Any, rows: list[Tensor]) -> Tensor:
        spoilt: Tensor = AlmostCubed.apply(rows[1])  # type: ignore[no-untyped-call]  # torch's own
        return (rows[0] ** 3).sum() + spoilt.sum() + (rows[2] ** 3).sum()

    check = check_gradient(loss, data, logprobs)
    assert (check.datum_index, check.element) == (1, 2)
    assert check.largest_difference == pytest.approx(1.0, abs=1e-6)
    assert check.finite_difference == pytest.approx(3 * logprobs[1][2] ** 2, abs=1e-6)
    assert check.autograd == pytest.approx(check.finite_difference + 1.0, abs=1e-6)


def test_a_datum_that_the_loss_does_not_look_at_has_no_gradient() -> None:
    check = check_gradient(lambda d, rows: rows[0].sum(), [datum(2), datum(2)], some((2, 2)))
    assert check.largest_difference < 1e-7
