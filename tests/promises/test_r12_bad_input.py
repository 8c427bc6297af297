"""R12: bad input is refused by a typed error that names the datum and the field, and harms nobody.

The bodies are made by hand, past every check of a client, as other clients might send them.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.embedded import EmbeddedService

MODEL = "tinker-hl/tiny"
TOKENS = list(b"hello wor")
SECONDS = 1.0
CONTEXT = 2048
"""More than the tiny model's."""


class Service:
    """Plain requests to the real service."""

    def __init__(self, service: EmbeddedService) -> None:
        self._http = httpx.Client(
            base_url=f"{service.base_url}/api/v1", headers={"X-API-Key": service.api_key}, timeout=60
        )
        body = {"tags": [], "user_metadata": {}, "sdk_version": "0.38.0"}
        self._session_id = self.post("create_session", json=body).json()["session_id"]
        self._models = iter(range(1000))

    def close(self) -> None:
        self._http.close()

    def post(self, path: str, **content: Any) -> httpx.Response:
        return self._http.post(path, **content)

    def result(self, submitted: httpx.Response) -> dict[str, Any]:
        while True:
            answer = self.post("retrieve_future", json={"request_id": submitted.json()["request_id"]})
            if answer.json().get("type") != "try_again":
                return dict(answer.json())

    def model(self) -> str:
        body = {"session_id": self._session_id, "model_seq_id": next(self._models), "base_model": MODEL}
        made = self.post("create_model", json={**body, "lora_config": {"rank": 4, "seed": 1}})
        return str(self.result(made)["model_id"])

    def send(self, request: pb.ForwardBackwardRequest) -> httpx.Response:
        headers = {"Content-Type": "application/x-protobuf"}
        return self.post("forward_backward", content=request.SerializeToString(), headers=headers)

    def step(self, model_id: str, seq_id: int) -> list[float]:
        """A valid pass and a step; what they came to, to the last bit."""
        loss = self.result(self.send(passed(model_id, seq_id)))["metrics"]["loss:sum"]
        body = {"model_id": model_id, "seq_id": seq_id + 1, "adam_params": {"learning_rate": 1e-2}}
        return [loss, self.result(self.post("optim_step", json=body))["metrics"]["grad_norm"]]


@pytest.fixture(scope="module")
def service(real_service: EmbeddedService) -> Iterator[Service]:
    made = Service(real_service)
    yield made
    made.close()


def passed(model_id: str, seq_id: int) -> pb.ForwardBackwardRequest:
    """Two data that are right."""
    request = pb.ForwardBackwardRequest(model_id=model_id, seq_id=seq_id, loss_fn="cross_entropy")
    for _ in range(2):
        fill(request.data.add(), TOKENS)
    return request


def fill(datum: pb.Datum, tokens: list[int]) -> None:
    del datum.model_input[:]
    datum.model_input.add().encoded_text.tokens = np.array(tokens[:-1], "<i4").tobytes()
    put(datum, "target_tokens", np.array(tokens[1:], "<i8"))
    put(datum, "weights", np.ones(len(tokens) - 1, "<f4"))


def put(datum: pb.Datum, name: str, values: np.ndarray[Any, Any]) -> None:
    dtype = pb.DTYPE_INT64 if values.dtype.kind == "i" else pb.DTYPE_FLOAT32
    datum.loss_fn_inputs[name].CopyFrom(pb.Tensor(dense=values.tobytes(), dtype=dtype, shape=list(values.shape)))


def with_weight(value: float) -> Callable[[pb.ForwardBackwardRequest], None]:
    def change(request: pb.ForwardBackwardRequest) -> None:
        weights = np.ones(len(TOKENS) - 1, "<f4")
        weights[3] = value
        put(request.data[1], "weights", weights)

    return change


def empty(request: pb.ForwardBackwardRequest) -> None:
    del request.data[:]


def over_long(request: pb.ForwardBackwardRequest) -> None:
    fill(request.data[1], [5] * (CONTEXT + 2))


def wrong_shape(request: pb.ForwardBackwardRequest) -> None:
    put(request.data[1], "weights", np.ones(3, "<f4"))


def wrong_dtype(request: pb.ForwardBackwardRequest) -> None:
    put(request.data[1], "target_tokens", np.ones(len(TOKENS) - 1, "<f4"))


def missing(request: pb.ForwardBackwardRequest) -> None:
    del request.data[1].loss_fn_inputs["target_tokens"]


def unknown_token(request: pb.ForwardBackwardRequest) -> None:
    request.data[1].model_input[0].encoded_text.tokens = np.array([5] * 7 + [10**6], "<i4").tobytes()


def unknown_target(request: pb.ForwardBackwardRequest) -> None:
    put(request.data[1], "target_tokens", np.array([5] * 7 + [10**6], "<i8"))


def unknown_loss(request: pb.ForwardBackwardRequest) -> None:
    request.loss_fn = "cross_entropi"


BAD: dict[str, tuple[Callable[[pb.ForwardBackwardRequest], None], tuple[str, ...]]] = {
    "NaN": (with_weight(float("nan")), ("1", "weights")),
    "Inf": (with_weight(float("inf")), ("1", "weights")),
    "an overflow": (with_weight(3e38), ("datum 1", "not finite", "weights")),
    "an empty batch": (empty, ("data",)),
    "an over-long datum": (over_long, ("1", "model_input", "context")),
    "a wrong shape": (wrong_shape, ("1", "weights", "shape")),
    "a wrong dtype": (wrong_dtype, ("1", "target_tokens", "int64")),
    "a missing field": (missing, ("1", "target_tokens")),
    "an unknown token": (unknown_token, ("1", "model_input", "1000000")),
    "an unknown target": (unknown_target, ("1", "target_tokens", "1000000")),
    "an unknown loss": (unknown_loss, ("cross_entropi",)),
}


@pytest.mark.parametrize("kind", BAD)
def test_r12_bad_input_is_refused_by_name_and_the_next_step_is_as_without_it(service: Service, kind: str) -> None:
    change, named = BAD[kind]
    model_id, twin = service.model(), service.model()
    assert service.step(model_id, 1) == service.step(twin, 1)
    request = passed(model_id, 3)
    change(request)
    began = time.monotonic()
    answer = service.send(request)
    if answer.status_code == 200:
        failure = service.result(answer)
        assert failure["category"] == "user"
        told, spent = str(failure["error"]), 1
    else:
        assert answer.status_code in (400, 422)
        told, spent = answer.text, 0
    assert time.monotonic() - began < SECONDS
    assert all(name in told for name in named), told
    assert service.step(model_id, 3 + spent) == service.step(twin, 3)
    assert service.step(model_id, 5 + spent) == service.step(twin, 5)


def test_r12_weights_of_zero_are_no_error_and_add_nothing(service: Service) -> None:
    """Masked data are normal (a group of rollouts with equal rewards has no advantage): they must only be harmless."""
    model_id, twin = service.model(), service.model()
    assert service.step(model_id, 1) == service.step(twin, 1)
    request = passed(model_id, 3)
    for datum in request.data:
        put(datum, "weights", np.zeros(len(TOKENS) - 1, "<f4"))
    assert service.result(service.send(request))["metrics"]["loss:sum"] == 0.0
    assert service.step(model_id, 4) == service.step(twin, 3)
