"""Requests without a sequence id are told from their repeats by the idempotency key."""

from typing import Any

import pytest
from service_bench import Api, Bench, GatedEngine, pass_body

VERBS: dict[str, dict[str, Any]] = {
    "forward_backward": {},
    "optim_step": {"adam_params": {}},
    "save_weights": {"path": "once"},
    "save_weights_for_sampler": {"path": "once"},
    "unload_model": {},
}


def body_of(operation_id: str, model_id: str) -> dict[str, Any]:
    if operation_id == "forward_backward":
        return pass_body(model_id, None)
    return {"model_id": model_id, **VERBS[operation_id]}


@pytest.mark.parametrize("operation_id", VERBS)
def test_r05_the_same_key_is_applied_once(api: Api, operation_id: str) -> None:
    model_id = api.model()
    body = body_of(operation_id, model_id)
    api.headers["X-Idempotency-Key"] = "one call"
    first = api.ok(operation_id, body=body)
    assert api.ok(operation_id, body=body) == first
    api.result(first)
    assert api.ok(operation_id, body=body) == first, "also when it is done"


def test_r05_passes_with_the_same_key_are_one_and_with_others_several(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    model_id = api.model()
    for key in ("a", "a", "b"):
        api.headers["X-Idempotency-Key"] = key
        api.result(api.forward_backward(model_id, None))
    del api.headers["X-Idempotency-Key"]
    api.result(api.forward_backward(model_id, None))
    assert [kind for kind, _ in engine.told] == ["pass"] * 3


def test_r06_another_body_under_the_same_key_is_refused(api: Api) -> None:
    model_id = api.model()
    api.headers["X-Idempotency-Key"] = "one call"
    api.result(api.forward_backward(model_id, None, token=1))
    assert "was used for another request" in str(
        api.refused(409, "forward_backward", body=pass_body(model_id, None, 2))
    )


def test_keys_of_different_models_and_callers_are_apart(api: Api) -> None:
    session_id = api.session()
    models = [api.model(session_id, number) for number in range(2)]
    api.headers["X-Idempotency-Key"] = "same"
    promises = {api.forward_backward(model_id, None)["request_id"] for model_id in models}
    assert len(promises) == 2


def test_a_session_is_opened_once_for_a_key_while_it_is_open(api: Api) -> None:
    first = api.session()
    assert api.session() != first
    api.headers["X-Idempotency-Key"] = "open"
    opened = api.session()
    assert api.session() == opened
    api.ok("finish_session", path={"session_id": opened}, body={"reason": {"type": "success"}})
    assert api.session() != opened
