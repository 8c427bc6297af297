"""The mathematics of a custom loss: what is sent for which loss, and what is refused, without any service."""

import gc
import math
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tinker_hl import (
    APIResponseValidationError,
    CustomLossError,
    Datum,
    ForwardBackwardOutput,
    InvalidDatumError,
    ModelInput,
    TensorData,
)
from tinker_hl.custom_loss.metrics import metric_numbers, with_surrogate_metrics
from tinker_hl.custom_loss.rules import Rule
from tinker_hl.custom_loss.surrogate import Surrogate, evaluate, forward_datums

Losses = list[Tensor]


def datum(length: int = 3, **inputs: Any) -> Datum:
    return Datum(ModelInput.from_ints(list(range(length))), {"target_tokens": list(range(length)), **inputs})


def wide_datum(rows: int, columns: int, **inputs: Any) -> Datum:
    targets = np.arange(rows * columns).reshape(rows, columns)
    return Datum(ModelInput.from_ints(list(range(rows))), {"target_tokens": targets, **inputs})


def forward_output(*logprobs: Any) -> ForwardBackwardOutput:
    outputs = [{"logprobs": TensorData.from_numpy(np.asarray(values, dtype=np.float32))} for values in logprobs]
    return ForwardBackwardOutput("ArrayRecord", outputs, {"loss:sum": 0.0})


def evaluated(loss: Callable[[list[Datum], Losses], Any], *logprobs: Any, data: list[Datum] | None = None) -> Surrogate:
    output = forward_output(*logprobs)
    given = data or [datum(len(values)) for values in logprobs]
    return evaluate(loss, given, output)


def weights(surrogate: Surrogate, index: int = 0) -> TensorData:
    return surrogate.data[index].loss_fn_inputs["weights"]


# What is sent.


def test_the_weights_are_minus_the_gradient() -> None:
    surrogate = evaluated(lambda data, logprobs: (torch.square(logprobs[0]).sum(), {}), [-1.0, -2.0, -3.0])
    assert weights(surrogate).tolist() == [2.0, 4.0, 6.0]
    assert surrogate.loss == 14.0
    assert surrogate.data[0].loss_fn_inputs["target_tokens"].tolist() == [0, 1, 2]


def test_weights_have_the_shape_of_the_targets_also_where_the_server_answers_flat() -> None:
    flat, shaped = np.arange(6.0) - 6, (np.arange(6.0) - 6).reshape(3, 2)
    for logprobs in (flat, shaped):
        surrogate = evaluated(lambda data, found: (torch.square(found[0]).sum(), {}), logprobs, data=[wide_datum(3, 2)])
        assert weights(surrogate).shape == [3, 2]
        assert weights(surrogate).tolist() == (-2 * shaped).tolist()


def test_mostly_empty_gradients_of_two_axes_go_as_sparse_rows() -> None:
    surrogate = evaluated(
        lambda data, logprobs: (2 * logprobs[0][1, 3] - logprobs[0][2, 0], {}),
        -np.ones((4, 8)),
        data=[wide_datum(4, 8)],
    )
    sent = weights(surrogate)
    assert sent.is_sparse
    dense = np.zeros((4, 8))
    dense[1, 3], dense[2, 0] = -2.0, 1.0
    assert np.array_equal(sent.to_numpy(), dense)


def test_targets_may_be_sparse_rows() -> None:
    targets = torch.zeros((4, 8), dtype=torch.int64)
    targets[2, 5] = 7
    sparse = Datum(ModelInput.from_ints([1, 2, 3, 4]), {"target_tokens": targets})
    assert sparse.loss_fn_inputs["target_tokens"].is_sparse
    assert forward_datums([sparse])[0].loss_fn_inputs["weights"].to_numpy().shape == (4, 8)
    surrogate = evaluated(lambda data, logprobs: (logprobs[0][2].sum(), {}), -np.ones((4, 8)), data=[sparse])
    assert weights(surrogate).to_numpy().sum(axis=1).tolist() == [0, 0, -8, 0]
    assert surrogate.data[0].loss_fn_inputs["target_tokens"].is_sparse


def test_a_datum_that_the_loss_leaves_out_has_zeros() -> None:
    surrogate = evaluated(lambda data, logprobs: (logprobs[1].sum(), {}), [-1.0, -1.0], [-1.0, -1.0, -1.0])
    assert weights(surrogate, 0).tolist() == [0.0, 0.0]
    assert weights(surrogate, 1).tolist() == [-1.0, -1.0, -1.0]


def test_the_first_pass_sends_targets_and_weights_only() -> None:
    given = [datum(2, weights=[0.5, 2.0], advantages=[1.0, 1.0], mine=np.ones(5)), datum(3)]
    sent = forward_datums(given)
    assert [set(each.loss_fn_inputs) for each in sent] == [{"target_tokens", "weights"}] * 2
    assert sent[0].loss_fn_inputs["weights"].tolist() == [0.5, 2.0]
    assert sent[1].loss_fn_inputs["weights"].tolist() == [0.0, 0.0, 0.0]
    assert sent[1].loss_fn_inputs["weights"].dtype == "float32"


def test_weights_of_another_shape_are_for_the_loss_alone() -> None:
    given = wide_datum(3, 2, weights=[1.0, 0.0, 1.0])
    assert forward_datums([given])[0].loss_fn_inputs["weights"].tolist() == [[0.0, 0.0]] * 3


def test_sparse_weights_are_sent_dense_so_that_the_second_pass_is_no_larger() -> None:
    given = wide_datum(4, 8, weights=torch.eye(4, 8))
    assert given.loss_fn_inputs["weights"].is_sparse
    sent = forward_datums([given])[0].loss_fn_inputs["weights"]
    assert not sent.is_sparse
    assert np.array_equal(sent.to_numpy(), np.eye(4, 8))


def test_soft_targets_over_candidates() -> None:
    distribution = np.array([[0.25, 0.75], [0.5, 0.5]], dtype=np.float32)
    given = Datum(
        ModelInput.from_ints([1, 2]), {"target_tokens": [[2, 3], [4, 5]], "target_distribution": distribution}
    )

    def loss(data: list[Datum], logprobs: Losses) -> tuple[Tensor, dict[str, float]]:
        targets = data[0].loss_fn_inputs["target_distribution"].to_torch()
        return -(targets * logprobs[0]).sum(), {}

    surrogate = evaluated(loss, -np.ones((2, 2)), data=[given])
    assert weights(surrogate).tolist() == distribution.tolist()
    assert set(surrogate.data[0].loss_fn_inputs) == {"target_tokens", "weights"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_loss_may_have_any_real_dtype(dtype: torch.dtype) -> None:
    surrogate = evaluated(lambda data, logprobs: ((2 * logprobs[0].to(dtype)).sum(), {}), [-1.0, -2.0])
    assert surrogate.loss == -6.0
    assert weights(surrogate).tolist() == [-2.0, -2.0]
    assert weights(surrogate).dtype == "float32"


def test_a_loss_of_one_element_is_a_scalar() -> None:
    assert evaluated(lambda data, logprobs: (logprobs[0].sum().reshape(1, 1), {}), [-1.0]).loss == -1.0


# What the loss is called with.


def test_the_loss_gets_the_objects_that_it_is_to_be_shown_and_lists_of_its_own() -> None:
    shown, sent = [datum(2), datum(2)], [datum(2), datum(2)]

    def loss(data: list[Datum], logprobs: Losses) -> tuple[Tensor, dict[str, float]]:
        assert all(each is other for each, other in zip(data, shown, strict=True))
        data.pop()
        return logprobs.pop().sum(), {}

    surrogate = evaluate(loss, sent, forward_output([-1.0, -1.0], [-1.0, -1.0]), shown)
    assert [weights(surrogate, index).tolist() for index in (0, 1)] == [[0.0, 0.0], [-1.0, -1.0]]


def test_what_the_loss_differentiates_itself_is_not_counted() -> None:
    def loss(data: list[Datum], logprobs: Losses) -> tuple[Tensor, dict[str, float]]:
        torch.square(logprobs[0]).sum().backward()  # type: ignore[no-untyped-call]
        (inner,) = torch.autograd.grad((logprobs[0] ** 3).sum(), logprobs[0], create_graph=True)
        return inner.sum(), {}

    assert weights(evaluated(loss, [-1.0, -2.0])).tolist() == [6.0, 12.0]


def test_gradients_are_on_whatever_the_thread_was_left_in() -> None:
    with torch.no_grad():
        assert weights(evaluated(lambda data, logprobs: (logprobs[0].sum(), {}), [-1.0])).tolist() == [-1.0]


def test_nothing_of_the_users_graph_outlives_the_call() -> None:
    seen: list[weakref.ref[Tensor]] = []

    def loss(data: list[Datum], logprobs: Losses) -> tuple[Tensor, dict[str, Any]]:
        hidden = torch.exp(logprobs[0])
        total = hidden.sum()
        seen.extend(weakref.ref(each) for each in (logprobs[0], hidden, total))
        return total, {"hidden": hidden.mean(), "total": total}

    surrogate = evaluated(loss, [-1.0, -2.0])
    gc.collect()
    assert [each() for each in seen] == [None, None, None]
    assert surrogate.metrics["total"] == pytest.approx(surrogate.loss)


# What is refused.


@pytest.mark.parametrize(
    ("returned", "rule", "says"),
    [
        (lambda p: 3.0, Rule.RETURNS, "got float"),
        (lambda p: (p.sum(), {}, 1), Rule.RETURNS, r"tuple of \(Tensor, dict, int\)"),
        (lambda p: (p.sum(), None), Rule.RETURNS, "NoneType"),
        (lambda p: (1.0, {}), Rule.RETURNS, "float, dict"),
        (lambda p: p.sum(), Rule.RETURNS, "got Tensor"),
        (lambda p: (p, {}), Rule.SCALAR, r"shape \[2\]"),
        (lambda p: ((p > 0).sum(), {}), Rule.REAL, "int64"),
        (lambda p: (p.sum() * 1j, {}), Rule.REAL, "complex64"),
        (lambda p: (p.sum().to("meta"), {}), Rule.REAL, "meta device"),
        (lambda p: (p.detach().sum(), {}), Rule.GRADIENT, "no gradient"),
        (lambda p: (torch.ones(()).requires_grad_() * 2, {}), Rule.GRADIENT, "no gradient"),
        (lambda p: (torch.tensor(math.nan), {}), Rule.GRADIENT, "no gradient"),
    ],
)
def test_what_is_no_loss_is_refused_by_name(returned: Callable[[Tensor], Any], rule: Rule, says: str) -> None:
    with pytest.raises(CustomLossError, match=says) as caught:
        evaluated(lambda data, logprobs: returned(logprobs[0]), [-1.0, -2.0])
    assert caught.value.rule == rule
    assert isinstance(caught.value, ValueError)


def test_a_coroutine_is_refused_and_closed() -> None:
    async def later(logprobs: Losses) -> tuple[Tensor, dict[str, float]]:
        return logprobs[0].sum(), {}

    with pytest.raises(CustomLossError, match="async") as caught:  # an unclosed coroutine would warn
        evaluated(lambda data, logprobs: later(logprobs), [-1.0])
    gc.collect()
    assert caught.value.rule == Rule.NOT_ASYNC


@pytest.mark.parametrize(
    ("loss", "index", "says"),
    [
        (lambda p: p[0].sum() + p[1].sum() * math.nan, 1, "the custom loss is nan"),
        (lambda p: p[0].sum() + torch.log(p[1] * 0).sum(), 1, "the custom loss is -inf"),
        (lambda p: p[0].sum() + torch.sqrt(p[1] + 1)[0], 1, "the gradient .* inf at element 0"),
        (lambda p: p[0].sum() + p[1].sum() + torch.tensor(math.inf), None, "the custom loss is inf"),
    ],
)
def test_a_loss_or_gradient_that_is_not_finite_names_its_datum(
    loss: Callable[[Losses], Tensor], index: int | None, says: str
) -> None:
    with pytest.raises(InvalidDatumError, match=says) as caught:
        evaluated(lambda data, logprobs: (loss(logprobs), {}), [-2.0, -2.0], [-1.0, -2.0])
    assert caught.value.datum_index == index


def test_logprobs_that_are_not_finite_name_their_datum_before_the_loss_is_called() -> None:
    def loss(data: list[Datum], logprobs: Losses) -> tuple[Tensor, dict[str, float]]:
        raise AssertionError("not to be called")

    with pytest.raises(InvalidDatumError, match="-inf at element 1") as caught:
        evaluated(loss, [-1.0, -1.0], [-1.0, -np.inf])
    assert (caught.value.datum_index, caught.value.field) == (1, "logprobs")


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (forward_output([-1.0, -1.0]), "answered for 1 datums, not for 2"),
        (ForwardBackwardOutput("", [{}, {}], {}), "no logprobs for datum 0"),
        (forward_output([-1.0, -1.0], [-1.0] * 3), r"datum 1 have shape \[3\], not \[2\]"),
        (forward_output([-1.0, -1.0], [[-1.0, -1.0]]), r"datum 1 have shape \[1, 2\], not \[2\]"),
    ],
)
def test_a_server_that_keeps_back_logprobs_is_found_out(output: ForwardBackwardOutput, says: str) -> None:
    with pytest.raises(APIResponseValidationError, match=says):
        evaluate(lambda data, logprobs: (logprobs[0].sum(), {}), [datum(2), datum(2)], output)


def test_what_the_loss_raises_is_passed_on() -> None:
    error = LookupError("mine")

    def loss(data: list[Datum], logprobs: Losses) -> Any:
        raise error

    with pytest.raises(LookupError) as caught:
        evaluated(loss, [-1.0])
    assert caught.value is error


def test_targets_are_needed() -> None:
    bare = Datum(ModelInput.from_ints([1]), {})
    with pytest.raises(InvalidDatumError, match=r"datum 1 .*target_tokens"):
        forward_datums([datum(), bare])


# Metrics.


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (0.5, 0.5),
        (True, 1.0),
        (np.float32(0.25), 0.25),
        (np.int64(7), 7.0),
        (np.array([[2.5]]), 2.5),
        (torch.tensor(1 / 3, dtype=torch.float64), 1 / 3),
        (torch.tensor([2]), 2.0),
        (torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True), 0.5),
        (math.inf, math.inf),
    ],
)
def test_numbers_of_all_kinds_are_metrics(value: object, number: float) -> None:
    assert metric_numbers({"a": value}) == {"a": number}
    assert type(metric_numbers({"a": value})["a"]) is float


@pytest.mark.parametrize(
    ("metrics", "name", "says"),
    [
        ({"fine": 1, "text": "3"}, "text", "got str"),
        ({"none": None}, "none", "NoneType"),
        ({"many": torch.ones(3)}, "many", r"got 3 of them, of shape \[3\]"),
        ({"empty": np.zeros(0)}, "empty", "got 0"),
        ({"nested": {"a": 1}}, "nested", "dict"),
        ({"complex": 1j}, "complex", "complex"),
        ({"complex_tensor": torch.tensor(1j)}, "complex_tensor", "complex64"),
        ({"meta": torch.ones((), device="meta")}, "meta", "Tensor"),
        ({"strings": np.array(["a"])}, "strings", "ndarray"),
        ({"huge": 10**400}, "huge", "integer"),
        ({3: 1.0}, "3", "is text"),
    ],
)
def test_anything_else_is_refused_with_the_metrics_name(metrics: Mapping[Any, Any], name: str, says: str) -> None:
    with pytest.raises(CustomLossError, match=says) as caught:
        metric_numbers(metrics)
    assert (caught.value.metric, caught.value.rule) == (name, Rule.METRICS)


def test_metrics_join_those_of_the_server() -> None:
    output = ForwardBackwardOutput("", [], {"loss:sum": 9.0, "clock_cycle:unique": 4.0, "mine": 0.0})
    joined = with_surrogate_metrics(output, 2.0, {"mine": 1.0, "loss:sum": 5.0})
    assert joined.metrics == {"loss:sum": 2.0, "surrogate_loss:sum": 9.0, "clock_cycle:unique": 4.0, "mine": 1.0}
    assert output.metrics["loss:sum"] == 9.0


def test_a_server_without_a_loss_is_no_error() -> None:
    assert with_surrogate_metrics(ForwardBackwardOutput("", [], {}), 2.0, {}).metrics == {"loss:sum": 2.0}
