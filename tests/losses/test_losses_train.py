"""Every ready-made loss trains the real model: after a few steps the better answers have gained on the worse."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tinker_hl import AdamParams, Datum, ModelInput, ServiceClient, TrainingClient, losses
from tinker_hl.losses.policy import PolicyLoss

MODEL = "tinker-hl/tiny"
PAIRS = (("the sky is blue", "the sky is soup"), ("two and two", "two and ten"))
STEPS = 5


def datum(text: str, **inputs: Any) -> Datum:
    tokens = [ord(letter) for letter in text]
    return Datum(ModelInput.from_ints(tokens[:-1]), {"target_tokens": tokens[1:], **inputs})


def pairs(training: TrainingClient) -> list[Datum]:
    """Chosen and rejected in turn, with the logprobs of the base model as reference and as those of the sampling."""
    data = [datum(text) for pair in PAIRS for text in pair]
    rows = losses.reference_logprobs(training, data)
    data = losses.with_reference(data, rows)
    signs = losses.grpo_advantages(np.array([[1.0, 0.0]] * len(PAIRS))).reshape(-1)
    found = []
    for each, row, sign in zip(data, rows, signs, strict=True):
        inputs = {
            "logprobs": row,
            "advantages": np.full(row.shape, sign),
            "teacher_logprobs": row + 0.3 * np.sign(sign),
        }
        found.append(Datum(each.model_input, {**each.loss_fn_inputs, **inputs}))
    return found


def scores(training: TrainingClient, data: list[Datum]) -> NDArray[np.float64]:
    return np.array([float(row.sum()) for row in losses.reference_logprobs(training, data)])


@pytest.mark.parametrize(
    "loss",
    [
        losses.DPO(),
        losses.IPO(),
        losses.SimPO(),
        losses.KTO(good=[1, 0, 1, 0]),
        losses.ImportanceSampling(),
        losses.PPO(),
        losses.CISPO(),
        losses.DRO(),
        losses.GSPO(low=0.5, high=2.0),
        losses.GRPO(beta=0.01),
        losses.ReinforcePlusPlus(),
        losses.OnPolicyDistillation(),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_the_better_answers_become_likelier_than_the_worse(local_service: ServiceClient, loss: Any) -> None:
    training = local_service.create_lora_training_client(MODEL, rank=8, seed=3)
    data = pairs(training)
    before, values = scores(training, data), []
    for _ in range(STEPS):
        passed = training.forward_backward_custom(data, loss)
        training.optim_step(AdamParams(learning_rate=2e-3))
        values.append(passed.result(60).metrics["loss:sum"])
    after = scores(training, data)
    gained = (after - before)[0::2] - (after - before)[1::2]
    assert (gained > 0.05).all(), gained
    # Surrogates of policy gradients are no measure of progress: their value depends on the ratios that they reach.
    assert values[-1] < values[0] or isinstance(loss, (PolicyLoss, losses.OnPolicyDistillation))
