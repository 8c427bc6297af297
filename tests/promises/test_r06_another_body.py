"""R6: a sequence id that was taken with another body is refused with a typed 409, and the model is unchanged."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import attrs
import orjson
import pytest
from safetensors.numpy import load_file
from tinker_api.api.training import forward, forward_backward, optim_step
from tinker_api.api.weights import load_weights, save_weights, save_weights_external, save_weights_for_sampler

from tinker_hl import AdamParams, ConflictError, Datum, ModelInput, ServiceClient, TrainingClient, loop
from tinker_hl.generated_client import EncodedBody
from tinker_hl.poller import Promise
from tinker_hl.testing import no_waiting
from tinker_local.embedded import EmbeddedService
from tinker_local.spec import load_spec

MODEL = "tinker-hl/tiny"
TOKENS = [11, 12, 13, 14]


@attrs.frozen
class Verb:
    """A generated function, its body, and another body for the same sequence id."""

    function: Callable[..., Awaitable[Any]]
    body: dict[str, Any]
    other: dict[str, Any]


def passed(field: str, weight: float) -> dict[str, Any]:
    inputs = {
        "target_tokens": {"data": TOKENS[1:], "dtype": "int64", "shape": [3]},
        "weights": {"data": [weight] * 3, "dtype": "float32", "shape": [3]},
    }
    datum = {"model_input": {"chunks": [{"type": "encoded_text", "tokens": TOKENS[:-1]}]}, "loss_fn_inputs": inputs}
    return {field: {"data": [datum], "loss_fn": "cross_entropy"}}


def stepped(rate: float) -> dict[str, Any]:
    return {"adam_params": {"learning_rate": rate}}


VERBS = {
    "forward": Verb(forward.asyncio_detailed, passed("forward_input", 1.0), passed("forward_input", 0.5)),
    "forward_backward": Verb(
        forward_backward.asyncio_detailed, passed("forward_backward_input", 1.0), passed("forward_backward_input", 0.5)
    ),
    "optim_step": Verb(optim_step.asyncio_detailed, stepped(1e-3), stepped(2e-3)),
    "save_state": Verb(save_weights.asyncio_detailed, {"path": "one"}, {"path": "two"}),
    "save_weights_for_sampler": Verb(save_weights_for_sampler.asyncio_detailed, {"path": "one"}, {"path": "two"}),
    "save_weights_and_get_sampling_client": Verb(
        # Another number of the sampling session is the same request: clients that try again count on.
        save_weights_for_sampler.asyncio_detailed,
        {"sampling_session_seq_id": 70},
        {"path": "one"},
    ),
    "save_weights_external": Verb(save_weights_external.asyncio_detailed, {"path": "one"}, {"path": "two"}),
    "load_state": Verb(load_weights.asyncio_detailed, {"optimizer": False}, {"optimizer": True}),
}


@pytest.fixture
def service(real_service: EmbeddedService) -> Iterator[ServiceClient]:
    with no_waiting(), ServiceClient(base_url=real_service.base_url, api_key=real_service.api_key) as client:
        yield client


def datum(weight: float) -> Datum:
    return Datum(ModelInput.from_ints(TOKENS[:-1]), {"target_tokens": TOKENS[1:], "weights": [weight] * 3})


def trained(service: ServiceClient) -> TrainingClient:
    """A model with a step behind it and gradients gathered for the next one."""
    training = service.create_lora_training_client(MODEL, rank=4, seed=2).result(60)
    training.forward_backward([datum(1.0)], "cross_entropy").result(60)
    training.optim_step(AdamParams(learning_rate=1e-2)).result(60)
    training.forward_backward([datum(0.7)], "cross_entropy").result(60)
    return training


def submit(service: ServiceClient, function: Callable[..., Awaitable[Any]], body: dict[str, Any]) -> Any:
    """A request made by hand, through all of the client but its order."""
    session = service._session
    return loop.run(session.request(function, "by hand", body=EncodedBody(orjson.dumps(body)))).result(60)


def state(real: EmbeddedService, training: TrainingClient, seq_id: int, name: str) -> dict[str, bytes]:
    """Every bit of the model after one more step, which shows the gradients too."""
    session = training._model.calls.session
    for number, (function, body) in enumerate(
        [(optim_step.asyncio_detailed, stepped(1e-2)), (save_weights.asyncio_detailed, {"path": name})]
    ):
        asked = {"model_id": training.model_id, "seq_id": seq_id + number, **body}
        answer = loop.run(session.request(function, "by hand", body=EncodedBody(orjson.dumps(asked)))).result(60)
        loop.run(_result(training, answer.parsed.request_id)).result(60)
    folder = real.data_dir / "checkpoints" / training.model_id / "weights" / name
    tensors = {
        f"{file.name}: {key}": tensor.tobytes()
        for file in folder.glob("*.safetensors")
        for key, tensor in load_file(file).items()
    }
    assert len(tensors) > 10
    return tensors


async def _result(training: TrainingClient, request_id: str) -> None:
    await training._model.calls.session.result(Promise(request_id=request_id, request_type="Any", call="by hand"))


@pytest.mark.parametrize("name", VERBS)
def test_r06_the_same_seq_id_with_another_body_is_a_typed_409(
    real_service: EmbeddedService, service: ServiceClient, name: str
) -> None:
    verb, models = VERBS[name], [trained(service), trained(service)]
    path = models[0].save_state("before").result(60).path
    models[1].save_state("before").result(60)
    states = []
    for refused, training in zip((True, False), models, strict=True):
        ids = {"model_id": training.model_id, "seq_id": 5}
        more = {"path": path} if name == "load_state" else {}
        body, other = ({**ids, **more, **part} for part in (verb.body, verb.other))
        if "sampling_session_seq_id" in body:
            # The models share a session, which numbers its samplers.
            body["sampling_session_seq_id"] += refused
        first = submit(service, verb.function, body)
        loop.run(_result(training, first.parsed.request_id)).result(60)
        if refused:
            with pytest.raises(ConflictError) as error:
                submit(service, verb.function, other)
            assert error.value.status_code == 409
            assert "was used for another request" in error.value.message
            again = submit(service, verb.function, body)
            assert again.parsed.request_id == first.parsed.request_id, "the same body is the same request"
        states.append(state(real_service, training, 6, "after"))
    assert [key for key in states[0] if states[0][key] != states[1][key]] == [], "as if nobody had tried"


def test_r06_every_training_verb_is_here() -> None:
    """Each operation of the spec whose body takes a place in a model's order."""
    spec = load_spec()
    fields = {
        operation.operation_id: spec.schema(operation.body).get("properties", {}).keys()
        for operation in spec.operations
        if operation.body is not None
    }
    ordered = {name for name, given in fields.items() if {"model_id", "seq_id"} <= given}
    assert {verb.function.__module__.rpartition(".")[2] for verb in VERBS.values()} == ordered
