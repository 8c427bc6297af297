"""R5: each training call is applied exactly once, whatever the network does to it.

50 steps with chunked passes, saves and a sampler, all under way at once, through 200 faults: the adapter that comes out
has the same bits as the one of a run without faults.
"""

import itertools
from collections import Counter
from typing import Any

import attrs
import orjson
import pytest
from client_bench import KEY, MODEL, SocketService
from safetensors.numpy import load_file

from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient
from tinker_hl.testing import FaultPlan, FaultTransport, InjectedKind, no_waiting
from tinker_hl.transport import NetworkTransport
from tinker_hl.transport.base import Request, Response
from tinker_local.embedded import EmbeddedService

STEPS, FAULTS = 50, 200
KINDS: tuple[InjectedKind, ...] = (
    "cut_before_send",
    "cut_after_commit",
    "cut_during_response",
    "429",
    "429_retry_after",
    "500",
    "503",
    "503_after_commit",
    "duplicate",
)


class SmallChunks(NetworkTransport):
    """The network, to a server that takes two datums a request: what is tested is the same with small data."""

    async def send(self, request: Request) -> Response:
        response = await super().send(request)
        if not request.url.endswith("/client/config"):
            return response
        config = orjson.loads(response.content) | {"fwdbwd_max_chunk_len": 2}
        return attrs.evolve(response, content=orjson.dumps(config))


def batch(step: int) -> list[Datum]:
    """Five datums of different lengths: three requests."""
    data = []
    for row in range(5):
        tokens = [(7 * step + 13 * row + place) % 250 + 3 for place in range(4 + row)]
        inputs = {"target_tokens": tokens[1:], "weights": [1.0] * (len(tokens) - 1)}
        data.append(Datum(ModelInput.from_ints(tokens[:-1]), inputs))
    return data


def train(service: ServiceClient, seed: int) -> dict[str, Any]:
    """The run; what its caller saw."""
    training = service.create_lora_training_client(MODEL, rank=4, seed=seed).result(60)
    passes, steps, saves = [], [], []
    for step in range(STEPS):
        passes.append(training.forward_backward(batch(step), "cross_entropy"))
        steps.append(training.optim_step(AdamParams(learning_rate=2e-3, grad_clip_norm=1.0)))
        if step % 20 == 19:
            saves.append(training.save_state(f"step-{step}"))
    sampler = training.save_weights_and_get_sampling_client()
    saves.append(training.save_weights_for_sampler("sampler"))
    saves.append(training.save_state("final"))
    seen = {
        "losses": [future.result(60).metrics["loss:sum"] for future in passes],
        "steps": [dict(future.result(60).metrics) for future in steps],
        "saves": [future.result(60).path.partition("/weights/")[2] for future in saves],
    }
    sample = sampler.sample(ModelInput.from_ints([5, 6, 7]), 1, SamplingParams(max_tokens=4, seed=1)).result(60)
    return seen | {"sampled": sample.sequences[0].tokens, "model_id": training.model_id}


def run(url: str, key: str, plan: FaultPlan, seed: int = 3) -> tuple[dict[str, Any], FaultTransport]:
    """The run through a plan's faults."""
    with (
        no_waiting(),
        FaultTransport(SmallChunks(), plan) as transport,
        ServiceClient(base_url=url, api_key=key, transport=transport) as service,
    ):
        return train(service, seed), transport


def weights(service: EmbeddedService, seen: dict[str, Any]) -> dict[str, bytes]:
    """The bits of every tensor that the run saved."""
    folder = service.data_dir / "checkpoints" / seen["model_id"]
    files = sorted(folder.rglob("*.safetensors"))
    assert len(files) == 7, "three states with an optimizer, and a sampler's weights"
    return {
        f"{file.relative_to(folder)}: {name}": tensor.tobytes()
        for file in files
        for name, tensor in load_file(file).items()
    }


def without_id(seen: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in seen.items() if name != "model_id"}


@pytest.fixture(scope="module")
def plain(real_service: EmbeddedService) -> dict[str, Any]:
    """What the run is without faults, on the real engine."""
    seen, calls = run(real_service.base_url, real_service.api_key, FaultPlan())
    assert len(calls.calls_to("forward_backward")) == 3 * STEPS, "each pass is three requests"
    assert calls.faults == []
    return seen


def test_r05_two_hundred_faults_leave_no_trace(real_service: EmbeddedService, plain: dict[str, Any]) -> None:
    faulty, transport = run(real_service.base_url, real_service.api_key, FaultPlan.random(5, rate=0.45, kinds=KINDS))
    met = Counter(call.fault.kind for call in transport.faults if call.fault is not None)
    print(f"{len(transport.faults)} faults in {len(transport.calls)} requests: {dict(met)}")
    assert len(transport.faults) >= FAULTS
    assert set(met) == set(KINDS)
    in_training = [call for call in transport.faults if call.endpoint in ("forward_backward", "optim_step")]
    assert len(in_training) >= FAULTS // 2
    assert_equal(weights(real_service, faulty), weights(real_service, plain))
    assert without_id(faulty) == without_id(plain)


@pytest.mark.parametrize("kind", ["cut_after_commit", "duplicate"])
def test_r05_the_first_delivery_of_every_call_meets_the_fault(
    real_service: EmbeddedService, plain: dict[str, Any], kind: InjectedKind
) -> None:
    """Not some of them but each: the worst case for what was committed already."""
    plan = FaultPlan()
    for endpoint, number in itertools.product(("forward_backward", "optim_step", "save_*"), range(1, 400, 2)):
        plan |= FaultPlan.at((endpoint, number), kind)
    faulty, transport = run(real_service.base_url, real_service.api_key, plan)
    assert len(transport.faults) >= FAULTS // 2
    assert_equal(weights(real_service, faulty), weights(real_service, plain))


def test_r05_the_comparison_sees_a_difference(real_service: EmbeddedService, plain: dict[str, Any]) -> None:
    other, _ = run(real_service.base_url, real_service.api_key, FaultPlan(), seed=4)
    with pytest.raises(AssertionError):
        assert_equal(weights(real_service, other), weights(real_service, plain))


@pytest.mark.parametrize("seed", [1, 2])
def test_r05_with_other_seeds_and_an_engine_that_computes_nothing(socket_service: SocketService, seed: int) -> None:
    plain, _ = run(socket_service.base_url, KEY, FaultPlan())
    faulty, transport = run(socket_service.base_url, KEY, FaultPlan.random(seed, rate=0.4, kinds=KINDS))
    assert len(transport.faults) >= FAULTS
    assert without_id(faulty) == without_id(plain)


def assert_equal(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """The same tensors with the same bits; a failure names them and does not print them."""
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
