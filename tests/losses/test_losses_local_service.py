"""With a local service that really trains: pipelines, references, reference logprobs."""

import asyncio
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tinker_hl import AdamParams, Datum, ForwardBackwardOutput, InvalidDatumError, ModelInput, ServiceClient, losses
from tinker_hl.losses import CustomLossOutput, Pipeline, Term

MODEL = "tinker-hl/tiny"
TEXTS = ("a longer way home", "copy: tree", "the sky is blue")


def data(seed: int = 0) -> list[Datum]:
    """Datums with every input that a loss of the protocol reads."""
    draws, found = np.random.default_rng(seed), []
    for text in TEXTS:
        tokens = [ord(letter) for letter in text]
        size = len(tokens) - 1
        inputs = {
            "target_tokens": tokens[1:],
            "logprobs": -draws.uniform(1, 6, size),
            "advantages": draws.normal(size=size),
            "sequence_ratio_mask": (draws.random(size) < 0.7).astype(np.float32),
            "weights": draws.uniform(0, 2, size),
        }
        found.append(Datum(ModelInput.from_ints(tokens[:-1]), inputs))
    return found


@pytest.mark.parametrize("name", losses.REFERENCE_DEFAULTS)
def test_references_agree_with_the_service_to_rounding(local_service: ServiceClient, name: Any) -> None:
    training = local_service.create_lora_training_client(MODEL, rank=2, seed=5)
    given = data()
    output = training.forward(given, name).result(60)
    rows = [each["logprobs"].to_numpy() for each in output.loss_fn_outputs]
    pairs = zip(rows, given, strict=True)
    size = sum(float(np.abs(losses.elementwise_loss(name, row, each.loss_fn_inputs)).sum()) for row, each in pairs)
    expected = losses.reference_loss(name, given, rows)
    assert abs(output.metrics["loss:sum"] - expected) <= 2e-6 * size


def squares(data: list[Datum], logprobs: list[Tensor]) -> Tensor:
    return torch.stack([torch.square(row).mean() for row in logprobs]).sum()


def test_a_pipeline_of_three_terms_trains_and_reports_each(local_service: ServiceClient) -> None:
    """GAP-LIB-003, S1-02, S3-19, T-103, T-106: value, share and gradient norm of each term, and the loss falls."""
    training = local_service.create_lora_training_client(MODEL, rank=8, seed=1)
    given = losses.with_reference(data(), losses.reference_logprobs(training, data()))
    terms = [
        Term("kl", losses.KLEstimate(), losses.AdaptiveKL(target=0.1, value=0.5)),
        Term("entropy", losses.Entropy(goal="maximise"), losses.Linear(0.5, 0.0, 10)),
        Term("squares", squares, 0.01),
    ]
    pipeline = Pipeline(losses.CrossEntropy(), terms, gradients=True, workers=2)
    reports = []
    for _ in range(4):
        future = training.forward_backward_custom(given, pipeline)
        training.optim_step(AdamParams(learning_rate=3e-3))
        metrics = future.result(60).metrics
        reports.append(CustomLossOutput.from_metrics(metrics))
        assert metrics["loss:sum"] == pytest.approx(reports[-1].total)
    assert reports[-1].total < reports[0].total
    first, last = reports[0].regularizer("kl"), reports[-1].regularizer("kl")
    assert first.value == pytest.approx(0.0, abs=1e-6), "the model is its reference still"
    assert last.value > 1e-3
    assert (last.gradient_norm or 0) > 0
    assert [report.regularizer("entropy").coefficient for report in reports] == pytest.approx([0.5, 0.45, 0.4, 0.35])
    assert first.coefficient == 0.5
    controller = losses.AdaptiveKL(target=0.1, value=0.5)
    for report in reports:
        assert report.regularizer("kl").coefficient == pytest.approx(controller.value)
        controller.observe(report.regularizer("kl").value)
    for report in reports[1:]:
        assert report.base is not None
        assert report.base.share + sum(each.share for each in report.regularizers) == pytest.approx(1)
        assert all((each.gradient_norm or 0) > 0 for each in report.regularizers)
        assert report.penalty_angle is not None
        assert 0 <= report.penalty_angle <= 180


def test_a_penalty_keeps_the_model_near_its_reference(local_service: ServiceClient) -> None:
    """T-120, done right: the KL's gradient is not zero, so that a larger coefficient ends nearer."""
    ends = []
    for coefficient in (0.0, 200.0):
        training = local_service.create_lora_training_client(MODEL, rank=8, seed=1)
        given = losses.with_reference(data(), losses.reference_logprobs(training, data()))
        pipeline = Pipeline(losses.CrossEntropy(), [Term("kl", losses.KLEstimate(), coefficient)])
        for _ in range(6):
            metrics = training.forward_backward_custom(given, pipeline)
            training.optim_step(AdamParams(learning_rate=3e-3))
        ends.append(CustomLossOutput.from_metrics(metrics.result(60).metrics).regularizer("kl").value)
    assert ends[1] < 0.5 * ends[0]


def test_the_async_form_takes_a_pipeline(local_service: ServiceClient) -> None:
    """GAP-LIB-004."""

    async def run() -> ForwardBackwardOutput:
        training = await local_service.create_lora_training_client_async(MODEL, rank=2, seed=1)
        pipeline = Pipeline(losses.CrossEntropy(), [Term("squares", squares, 0.1)])
        return await (await training.forward_backward_custom_async(data(), pipeline))

    output = asyncio.run(run())
    assert output.metrics["squares/contribution:sum"] == pytest.approx(0.1 * output.metrics["squares/value:sum"])


def test_a_traced_loss_can_be_a_part(local_service: ServiceClient) -> None:
    def focal(logprobs: Tensor, weights: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return -((1 - torch.exp(logprobs)) ** 2 * logprobs * weights).sum(), {"custom/least:mean": logprobs.min()}

    handle = local_service.create_custom_loss(focal, {"logprobs": 1, "weights": 1}).result(60)
    training = local_service.create_lora_training_client(MODEL, rank=2, seed=1)
    alone = training.forward_backward_custom(data(), handle).result(60).metrics
    pipeline = Pipeline(handle, [Term("again", handle, 2.0)])
    twice = training.forward_backward_custom(data(), pipeline).result(60).metrics
    assert twice["loss:sum"] == pytest.approx(3 * alone["loss:sum"], rel=1e-5)
    assert twice["again.custom/least:mean"] == pytest.approx(alone["custom/least:mean"], rel=1e-5)
    lacking = [Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3]})]
    with pytest.raises(InvalidDatumError, match=r"datum 0 loss_fn_inputs\['weights'\]"):
        training.forward_backward_custom(lacking, pipeline).result(60)


def test_reference_logprobs_of_training_and_sampling_clients_agree(local_service: ServiceClient) -> None:
    training = local_service.create_lora_training_client(MODEL, rank=2, seed=5)
    given = data()
    trained = losses.reference_logprobs(training, given)
    sampler = local_service.create_sampling_client(base_model=MODEL).result(60)
    sampled = losses.reference_logprobs(sampler, given)
    forward = training.forward(given, "cross_entropy").result(60).loss_fn_outputs
    for one, other, datum, output in zip(trained, sampled, given, forward, strict=True):
        assert one.dtype == other.dtype == np.float32
        assert one.shape == (datum.model_input.length,)
        assert one == pytest.approx(output["logprobs"].to_numpy(), abs=1e-6)
        assert other == pytest.approx(one, abs=1e-4)
    soft = Datum(ModelInput.from_ints([97, 98]), {"target_tokens": [[98, 99], [99, 100]]})
    (pairs,) = losses.reference_logprobs(training, [soft])
    assert pairs.shape == (2, 2)
    with pytest.raises(InvalidDatumError, match=r"datum 0 .*use a training client"):
        losses.reference_logprobs(sampler, [soft])
    carried = losses.with_reference(given, trained, key="mine")
    assert carried[0].loss_fn_inputs["mine"].to_numpy() == pytest.approx(trained[0])
    assert "mine" not in given[0].loss_fn_inputs
    odd = Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [3, 4]})
    with pytest.raises(InvalidDatumError, match=r"datum 1 .*not the model input one token on"):
        losses.reference_logprobs(sampler, [given[0], odd])
    with pytest.raises(InvalidDatumError, match=r"datum 0 loss_fn_inputs\['target_tokens'\]: it is what is scored"):
        losses.reference_logprobs(training, [Datum(ModelInput.from_ints([1]))])
