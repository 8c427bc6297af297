"""`verify=True`: what a server returned is held against the reference, and the first datum that differs named (4.4)."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from loss_rows import datum
from loss_server import LossServer
from torch import Tensor

from tinker_hl import (
    AdamParams,
    Datum,
    ForwardBackwardOutput,
    LossOptionError,
    ModelInput,
    ServiceClient,
    VerificationError,
    losses,
)
from tinker_hl.losses import verification
from tinker_hl.losses.verification import Expectation, disagreement
from tinker_hl.types import TensorData

SPOILT = 5
"""The token whose weight the wrong server takes for one more than it is."""


class WrongServer(LossServer):
    """Computes cross entropy, but for the weight of one token; `only_backward` in passes with gradient alone."""

    def __init__(self, *, only_backward: bool = False) -> None:
        super().__init__()
        self.only_backward = only_backward

    def _losses(self, asked: Any, data: list[dict[str, Tensor]], logprobs: list[Tensor]) -> Any:
        right, metrics = super()._losses(asked, data, logprobs)
        if self.only_backward and self.passes[-1][0] == "forward":
            return right, metrics
        spoilt = [(each["target_tokens"] == SPOILT).to(p.dtype) * p for each, p in zip(data, logprobs, strict=True)]
        return right - sum(each.sum() for each in spoilt), metrics


def texts(*targets: list[int]) -> list[Datum]:
    return [
        Datum(ModelInput.from_ints([1] * len(each)), {"target_tokens": each, "weights": [1.0] * len(each)})
        for each in targets
    ]


def made(server: LossServer, *, verify: bool = True) -> Any:
    return server.client().create_lora_training_client("base", verify=verify).result(20)


# Through a training client.


@pytest.mark.parametrize("call", ["forward", "forward_backward"])
def test_the_first_datum_and_the_position_that_differ_are_named_with_both_values(call: str) -> None:
    data = texts([1, 2, 3], [4, 2], [1, 2, 7, SPOILT, 2], [3], [SPOILT], [1, 2])
    with pytest.raises(VerificationError) as caught:
        getattr(made(WrongServer()), call)(data, "cross_entropy").result(20)
    error = caught.value
    assert (error.datum_index, error.position) == (2, 3)
    assert error.expected == pytest.approx((SPOILT + 1) / 4)
    assert error.returned == pytest.approx(2 * (SPOILT + 1) / 4)
    assert "datum 2, position 3: the server's cross_entropy is 3, the reference says 1.5" in str(error)


def test_a_right_server_is_asked_for_nothing_more() -> None:
    for verify in (False, True):
        server = LossServer()
        training = made(server, verify=verify)
        training.forward_backward(texts([1, 2], [3]), "cross_entropy").result(20)
        assert len(server.passes) == 1


def test_without_verify_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("it compared")

    monkeypatch.setattr(verification, "verify_pass", never)
    output = made(WrongServer(), verify=False).forward_backward(texts([SPOILT]), "cross_entropy").result(20)
    assert output.metrics["loss:sum"] == 3.0
    with pytest.raises(AssertionError, match="it compared"):
        made(WrongServer()).forward_backward(texts([SPOILT]), "cross_entropy").result(20)


def test_what_a_pass_without_gradient_does_not_show_has_no_place() -> None:
    with pytest.raises(VerificationError, match="adds up to") as caught:
        made(WrongServer(only_backward=True)).forward_backward(texts([1], [SPOILT]), "cross_entropy").result(20)
    assert (caught.value.datum_index, caught.value.position) == (None, None)
    assert (caught.value.returned, caught.value.expected) == (3.5, 2.0)


def test_calls_after_one_that_differs_go_on() -> None:
    server = WrongServer()
    training = made(server)
    wrong = training.forward_backward(texts([SPOILT]), "cross_entropy")
    right = training.forward_backward(texts([1, 2]), "cross_entropy")
    with pytest.raises(VerificationError):
        wrong.result(20)
    assert right.result(20).metrics["loss:sum"] == pytest.approx(1.25)


def test_the_passes_of_custom_losses_are_verified_too() -> None:
    def squares(data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        return torch.square(torch.cat(logprobs)).sum(), {}

    right = made(LossServer()).forward_backward_custom(texts([1, 2], [3]), squares).result(20)
    assert right.metrics["loss:sum"] == pytest.approx(0.25 + 0.5625 + 1)
    with pytest.raises(VerificationError):
        made(WrongServer()).forward_backward_custom(texts([1, 2], [SPOILT]), squares).result(20)


def test_settings_without_a_reference_are_refused_before_anything_is_sent() -> None:
    server = LossServer()
    with pytest.raises(LossOptionError, match=r"loss_fn_config\['x'\]"):
        made(server).forward(texts([1]), "cross_entropy", {"x": 1.0})
    assert server.passes == []


# What is found in a result.


def output_of(name: str, data: list[Datum], *, elementwise: bool) -> tuple[ForwardBackwardOutput, list[Any]]:
    rows = [-np.linspace(0.5, 2.0, len(each.loss_fn_inputs["target_tokens"].to_numpy())) for each in data]
    terms = [losses.elementwise_loss(name, row, each.loss_fn_inputs) for row, each in zip(rows, data, strict=True)]
    records = [{"logprobs": TensorData.from_numpy(row.astype(np.float32))} for row in rows]
    if elementwise:
        for record, term in zip(records, terms, strict=True):
            record["elementwise_loss"] = TensorData.from_numpy(term.astype(np.float32))
    total = float(sum(np.float32(term.sum()) for term in terms))
    return ForwardBackwardOutput("ArrayRecord", records, {"loss:sum": total}), terms


def policy_data() -> list[Datum]:
    draws = np.random.default_rng(2)
    return [
        datum(
            size,
            logprobs=-draws.uniform(0.2, 3, size),
            advantages=draws.normal(size=size),
            sequence_ratio_mask=np.ones(size, dtype=np.float32),
        )
        for size in (3, 4)
    ]


@pytest.mark.parametrize("name", losses.REFERENCE_DEFAULTS)
@pytest.mark.parametrize("elementwise", [False, True])
def test_a_right_result_of_each_loss_passes_and_a_wrong_one_does_not(name: str, elementwise: bool) -> None:
    data = policy_data()
    output, terms = output_of(name, data, elementwise=elementwise)
    assert disagreement(Expectation(data, name), output) is None
    wrong = copy.deepcopy(output)
    if elementwise:
        spoilt = terms[1].astype(np.float32)
        spoilt[2] += 0.01
        wrong.loss_fn_outputs[1]["elementwise_loss"] = TensorData.from_numpy(spoilt)
    else:
        wrong.metrics["loss:sum"] += 0.01
    found = disagreement(Expectation(data, name), wrong)
    assert found is not None
    assert (found.datum_index, found.position) == ((1, 2) if elementwise else (None, None))
    assert found.returned - found.expected == pytest.approx(0.01, rel=1e-3)
    if not elementwise and losses.REFERENCE_DEFAULTS[name]:
        assert "It was held against the defaults" in (found.hint or "")


@pytest.mark.parametrize(
    ("values", "position", "message"),
    [
        ([-1.0, math.nan, -2.0], 1, "datum 1, position 1: the logprob nan is no logarithm of a probability"),
        ([-1.0, -1.0, 0.5], 2, "datum 1, position 2: the logprob 0.5 is no logarithm"),
        ([-1.0, -1.0], None, "datum 1: the server returned 2 logprobs, the reference says 3"),
    ],
)
def test_logprobs_that_are_none_are_named(values: list[float], position: int | None, message: str) -> None:
    data = [datum(3), datum(3)]
    output, _ = output_of("cross_entropy", data, elementwise=False)
    output.loss_fn_outputs[1]["logprobs"] = TensorData.from_numpy(np.array(values, dtype=np.float32))
    found = disagreement(Expectation(data, "cross_entropy"), output)
    assert found is not None
    assert found.position == position
    assert message in str(found)


def test_what_cannot_be_compared_is_told() -> None:
    data = [datum(3), datum(3)]
    output, _ = output_of("cross_entropy", data, elementwise=False)
    for spoil, message in (
        (lambda each: each.metrics.clear(), "reported no loss:sum"),
        (lambda each: each.loss_fn_outputs.pop(), "answered for 1 datums"),
        (lambda each: each.loss_fn_outputs[0].clear(), "datum 0: the server returned no logprobs"),
    ):
        spoilt = copy.deepcopy(output)
        spoil(spoilt)
        assert message in str(disagreement(Expectation(data, "cross_entropy"), spoilt))
    assert not Expectation(data, "stable_reinforce").is_known


def test_candidates_and_weights_near_rounding() -> None:
    """[T, K]; and a sum of many terms that cancel, which float32 cannot add up to the last digit."""
    size = 4000
    weights = np.random.default_rng(1).normal(size=(size, 2)) * 100
    data = [
        Datum(ModelInput.from_ints([1] * size), {"target_tokens": np.ones((size, 2), np.int64), "weights": weights})
    ]
    row = -np.random.default_rng(2).uniform(0.1, 9, (size, 2)).astype(np.float32)
    total = float(np.float32(0) + (-weights.astype(np.float32) * row).astype(np.float32).cumsum(dtype=np.float32)[-1])
    output = ForwardBackwardOutput("x", [{"logprobs": TensorData.from_numpy(row)}], {"loss:sum": total})
    assert disagreement(Expectation(data, "cross_entropy"), output) is None
    row[7, 1] = 0.25
    output.loss_fn_outputs[0]["logprobs"] = TensorData.from_numpy(row)
    found = disagreement(Expectation(data, "cross_entropy"), output)
    assert found is not None
    assert found.position == 7


# With the real service.


@pytest.mark.parametrize("name", losses.REFERENCE_DEFAULTS)
def test_the_local_service_passes(local_service: ServiceClient, name: Any) -> None:
    training = local_service.create_lora_training_client("tinker-hl/tiny", rank=2, seed=5, verify=True)
    data = policy_data()
    for _ in range(2):
        passed = training.forward_backward(data, name)
        training.optim_step(AdamParams(learning_rate=1e-2))
        passed.result(60)
    custom = training.forward_backward_custom(
        data, losses.Pipeline(losses.PPO(), [losses.Term("l2", losses.L2(), 0.1)])
    )
    assert "l2/value:sum" in custom.result(60).metrics


def test_every_way_to_a_training_client_takes_it(local_service: ServiceClient) -> None:
    training = local_service.create_lora_training_client("tinker-hl/tiny", rank=2, verify=True)
    path = training.save_state("verified").result(60).path
    for make in (
        local_service.create_training_client_from_state,
        local_service.create_training_client_from_state_with_optimizer,
    ):
        assert make(path, verify=True)._calls.verifies
        assert not make(path)._calls.verifies
    assert training.result(60).recover()._calls.verifies
