"""With a local service that really trains: `base_url="local"`, custom losses, states and samples that agree."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import torch

from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient, TrainingClient

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


# Saved states: what is loaded is what was saved, its optimizer only where asked for.


@pytest.fixture(scope="module")
def trained(service: ServiceClient) -> TrainingClient:
    """Three steps, so that Adam's moments are not zero."""
    training = service.create_lora_training_client(MODEL, rank=4, seed=1)
    for _ in range(3):
        step(training)
    return training


@pytest.fixture(scope="module")
def path(trained: TrainingClient) -> str:
    return trained.save_state("three-steps", ttl_seconds=3600).result(60).path


@pytest.fixture(scope="module")
def goes_on(service: ServiceClient, trained: TrainingClient, path: str) -> tuple[list[float], list[float]]:
    """Logprobs of the state, and after one more step without an interruption."""
    return logprobs(trained), after_a_step(trained)


def supervised() -> Datum:
    return Datum(ModelInput.from_ints(TOKENS[:-1]), {"target_tokens": TOKENS[1:]})


def step(training: TrainingClient) -> None:
    training.forward_backward([supervised()], "cross_entropy")
    training.optim_step(AdamParams(learning_rate=1e-2))


def logprobs(training: TrainingClient) -> list[float]:
    values: list[float] = (
        training.forward([supervised()], "cross_entropy").result(60).loss_fn_outputs[0]["logprobs"].tolist()
    )
    return values


def after_a_step(training: TrainingClient) -> list[float]:
    step(training)
    return logprobs(training)


def fresh(service: ServiceClient) -> TrainingClient:
    return service.create_lora_training_client(MODEL, rank=4, seed=2)


async def loaded(service: ServiceClient, path: str, *, optimizer: bool) -> TrainingClient:
    client = fresh(service)
    await (await (client.load_state_with_optimizer_async(path) if optimizer else client.load_state_async(path)))
    return client


def then(client: TrainingClient, load: Callable[[TrainingClient], object]) -> TrainingClient:
    """The load is not waited for: what is called next comes after it all the same."""
    load(client)
    return client


WITH_OPTIMIZER: dict[str, Callable[[ServiceClient, str], TrainingClient]] = {
    "load": lambda service, path: then(fresh(service), lambda made: made.load_state_with_optimizer(path)),
    "load, awaited": lambda service, path: asyncio.run(loaded(service, path, optimizer=True)),
    "create": lambda service, path: service.create_training_client_from_state_with_optimizer(path),
    "create, awaited": lambda service, path: asyncio.run(
        service.create_training_client_from_state_with_optimizer_async(path)
    ),
}
WITHOUT: dict[str, Callable[[ServiceClient, str], TrainingClient]] = {
    "load": lambda service, path: then(fresh(service), lambda made: made.load_state(path)),
    "load, awaited": lambda service, path: asyncio.run(loaded(service, path, optimizer=False)),
    "create": lambda service, path: service.create_training_client_from_state(path),
    "create, awaited": lambda service, path: asyncio.run(service.create_training_client_from_state_async(path)),
}


@pytest.mark.parametrize("way", WITH_OPTIMIZER)
def test_with_the_optimizer_the_next_step_is_the_one_that_would_have_come(
    service: ServiceClient, path: str, goes_on: tuple[list[float], list[float]], way: str
) -> None:
    """GAP-LIB-010, GAP-LIB-011, T-042, T-048, S0-07: weights and moments are the state's, and nothing waits."""
    resumed = WITH_OPTIMIZER[way](service, path)
    now, next_step = goes_on
    assert logprobs(resumed) == now
    assert after_a_step(resumed) == next_step


@pytest.mark.parametrize("way", WITHOUT)
def test_without_the_optimizer_the_weights_are_the_states_and_the_moments_begin_anew(
    service: ServiceClient, path: str, goes_on: tuple[list[float], list[float]], way: str
) -> None:
    """GAP-LIB-008, GAP-LIB-009, GAP-LIB-028, GAP-LIB-029, T-042, T-048, S0-07, S2-11."""
    resumed = WITHOUT[way](service, path)
    now, next_step = goes_on
    assert logprobs(resumed) == now
    assert after_a_step(resumed) != pytest.approx(next_step, abs=1e-6)


def test_another_adapter_is_not_mistaken_for_the_state(
    service: ServiceClient, goes_on: tuple[list[float], list[float]]
) -> None:
    """Or the tests above would prove nothing."""
    assert logprobs(fresh(service)) != pytest.approx(goes_on[0], abs=1e-3)


def test_a_state_ends_when_it_was_told_to(service: ServiceClient, trained: TrainingClient, path: str) -> None:
    """T-053: for states and for weights to sample from; without an end they have none."""
    told = {
        path: True,
        trained.save_state("kept").result(60).path: False,
        trained.save_weights_for_sampler("short", ttl_seconds=3600).result(60).path: True,
        trained.save_weights_for_sampler("long").result(60).path: False,
    }
    listed = service.create_rest_client().list_checkpoints(trained.model_id).result(60).checkpoints
    ends = {checkpoint.tinker_path: checkpoint.expires_at for checkpoint in listed}
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    for place, has_end in told.items():
        end = ends[place]
        assert (end is not None) == has_end, place
        assert end is None or in_an_hour - timedelta(minutes=10) < end <= in_an_hour


@pytest.mark.parametrize("awaited", [False, True])
def test_what_is_sampled_from_is_the_model_as_it_is_at_the_call(service: ServiceClient, awaited: bool) -> None:
    """GAP-LIB-013, GAP-LIB-014, S0-12, S4-03: a later step changes the model, and not what was taken of it before."""
    training = fresh(service)
    for _ in range(3):
        step(training)
    before = logprobs(training)
    if awaited:
        sampler = asyncio.run(training.save_weights_and_get_sampling_client_async())
    else:
        sampler = training.save_weights_and_get_sampling_client()
    step(training)
    scored = sampler.compute_logprobs(ModelInput.from_ints(TOKENS)).result(60)
    assert scored[1:] == pytest.approx(before, abs=1e-4)
    assert scored[1:] != pytest.approx(logprobs(training), abs=1e-3)
    params = SamplingParams(max_tokens=1, temperature=0.0)
    assert sampler.sample(ModelInput.from_ints(TOKENS[:2]), 1, params).result(60).sequences
