"""With a local service that really trains: `base_url="local"`, custom losses, states and samples that agree."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient

MODEL = "tinker-hl/tiny"
WEIGHTS = [0.5, 2.0, -1.0, 0.0, 1.5]
TOKENS = [104, 101, 108, 108, 111, 33]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_HL_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("OMP_NUM_THREADS", "1")
        with ServiceClient(base_url="local") as client:
            client.create_lora_training_client(MODEL, rank=2).result(110)
            yield client


def datum() -> Datum:
    inputs = {"target_tokens": TOKENS[1:], "weights": WEIGHTS}
    return Datum(ModelInput.from_ints(TOKENS[:-1]), inputs)


def weighted(data: list[Datum], logprobs: list[torch.Tensor]) -> tuple[torch.Tensor, dict[str, Any]]:
    """The server's cross entropy, written by hand."""
    weights = [torch.tensor(item.loss_fn_inputs["weights"].tolist()) for item in data]
    return -sum((weight * values).sum() for weight, values in zip(weights, logprobs, strict=True)), {}


def test_a_custom_loss_gives_the_gradients_of_the_built_in_one(service: ServiceClient) -> None:
    built_in, custom = (service.create_lora_training_client(MODEL, rank=4, seed=7) for _ in range(2))
    for step in range(3):
        first = built_in.forward_backward([datum(), datum()], "cross_entropy")
        second = custom.forward_backward_custom([datum(), datum()], weighted)
        updates = [client.optim_step(AdamParams(learning_rate=1e-3)) for client in (built_in, custom)]
        losses = [future.result(60).metrics["loss:sum"] for future in (first, second)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4), step
        norms = [next(v for k, v in update.result(60).metrics.items() if "grad_norm" in k) for update in updates]
        assert norms[0] == pytest.approx(norms[1], rel=1e-3), step
        assert norms[0] > 0


def test_training_learns_and_a_resumed_run_goes_on_where_it_was(service: ServiceClient) -> None:
    training = service.create_lora_training_client(MODEL, rank=8, seed=1)
    data = [Datum(ModelInput.from_ints(TOKENS[:-1]), {"target_tokens": TOKENS[1:], "weights": [1.0] * 5})]

    def steps(client: Any, count: int) -> list[float]:
        futures = []
        for _ in range(count):
            futures.append(client.forward_backward(data, "cross_entropy"))
            client.optim_step(AdamParams(learning_rate=3e-3))
        return [future.result(60).metrics["loss:sum"] for future in futures]

    before = steps(training, 5)
    path = training.save_state("half").result(60).path
    whole = steps(training, 4)
    resumed = steps(service.create_training_client_from_state_with_optimizer(path), 4)
    assert before[-1] < before[0]
    assert resumed == pytest.approx(whole, rel=1e-5)


def test_sampling_and_training_agree_on_logprobs(service: ServiceClient) -> None:
    training = service.create_lora_training_client(MODEL, rank=4, seed=3)
    training.forward_backward([datum()], "cross_entropy")
    training.optim_step(AdamParams(learning_rate=1e-2))
    sampler = training.save_weights_and_get_sampling_client()
    scored = sampler.compute_logprobs(ModelInput.from_ints(TOKENS)).result(60)
    trained = training.forward([datum()], "cross_entropy").result(60).loss_fn_outputs[0]["logprobs"].tolist()
    assert scored[0] is None
    assert scored[1:] == pytest.approx(trained, abs=1e-4)
    params = SamplingParams(max_tokens=8, seed=5)
    twice = [sampler.sample(ModelInput.from_ints(TOKENS), 1, params).result(60).sequences[0].tokens for _ in range(2)]
    assert twice[0] == twice[1]
