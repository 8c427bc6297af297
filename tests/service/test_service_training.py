"""Models over HTTP: made once, passed through in order, told apart from repeats, unloaded."""

from typing import Any

import numpy as np
import pytest
import zstandard
from service_bench import PROTOBUF, Api, Bench, GatedEngine, pass_body
from tinker_proto import tinker_public_pb2 as pb


def proto_pass(model_id: str, seq_id: int, token: int = 1, *, forward_only: bool = False) -> bytes:
    request = pb.ForwardBackwardRequest(
        model_id=model_id, seq_id=seq_id, loss_fn="cross_entropy", forward_only=forward_only
    )
    datum = request.data.add()
    datum.model_input.add().encoded_text.tokens = np.array([token, 2], "<i4").tobytes()
    targets = np.array([token, token], "<i8").tobytes()
    datum.loss_fn_inputs["target_tokens"].CopyFrom(pb.Tensor(dense=targets, dtype=pb.DTYPE_INT64, shape=[2]))
    return request.SerializeToString()


def test_a_model_is_described(api: Api) -> None:
    session_id = api.session()
    model_id = api.model(session_id)
    assert model_id == f"{session_id}:train:0"
    info = api.ok("get_info", body={"model_id": model_id})
    assert info["model_data"] == {"arch": "null", "model_name": "null/base", "tokenizer_id": "/models/null"}
    assert (info["is_lora"], info["lora_rank"]) == (True, 4)


def test_an_alias_is_kept_as_the_models_name(api: Api) -> None:
    body = {"session_id": api.session(), "model_seq_id": 0, "base_model": "null/alias"}
    model_id = api.result(api.ok("create_model", body=body))["model_id"]
    info = api.ok("get_info", body={"model_id": model_id})
    assert info["model_name"] == "null/alias"
    assert info["lora_rank"] == 32


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"base_model": "unknown"}, 400),
        ({"optimizer_config": {"type": "dimuon", "version": 2}}, 400),
        ({"optimizer_config": {"type": "sgd"}}, 400),
        ({"lora_config": {"rank": 0}}, 422),
        ({"lora_config": {"rank": 4096}}, 422),
        ({"lora_config": {"rank": 4, "train_attn": False, "train_mlp": False, "train_unembed": False}}, 422),
        ({"model_seq_id": -1}, 422),
        ({"session_id": "nobody's"}, 404),
    ],
)
def test_a_model_that_cannot_be_made_is_refused(api: Api, change: dict[str, Any], status: int) -> None:
    body = {"session_id": api.session(), "model_seq_id": 0, "base_model": "null/base", **change}
    api.refused(status, "create_model", body=body)


def test_a_model_with_dimuon_says_so_and_takes_its_steps_alone(api: Api) -> None:
    dimuon = {"type": "dimuon", "version": 1}
    session_id = api.session()
    body = {"session_id": session_id, "model_seq_id": 0, "base_model": "null/base", "optimizer_config": dimuon}
    model_id = api.result(api.ok("create_model", body=body))["model_id"]
    assert api.ok("get_info", body={"model_id": model_id})["optimizer_config"] == dimuon
    step = {"model_id": model_id, "seq_id": 1, "optimizer_params": {"type": "dimuon", "learning_rate": 1e-3}}
    api.result(api.ok("optim_step", body=step))
    adam = {"model_id": model_id, "seq_id": 2, "adam_params": {"learning_rate": 1e-3}}
    assert "the model's optimizer is dimuon, not 'adamw'" in str(api.refused(400, "optim_step", body=adam))
    wrong = {"model_id": model_id, "seq_id": 2, "optimizer_params": {**step["optimizer_params"], "eps": 1.0}}
    api.refused(422, "optim_step", body=wrong)
    save = {"model_id": model_id, "seq_id": 2, "path": "kept"}
    path = api.result(api.ok("save_weights", body=save))["path"]
    assert api.ok("get_weights_info", body={"tinker_path": path})["optimizer_config"] == dimuon
    for number, (asked, family) in enumerate([(None, dimuon), ({"type": "adamw"}, {"type": "adamw"})], start=1):
        load = {"session_id": session_id, "model_seq_id": number, "path": path, "optimizer": False}
        loaded = api.result(api.ok("load_weights", body=load | ({"optimizer_config": asked} if asked else {})))
        assert api.ok("get_info", body={"model_id": loaded["model_id"]})["optimizer_config"] == family


def test_a_model_that_reads_text_alone_refuses_images(api: Api) -> None:
    model_id = api.model()
    body = pass_body(model_id, 1)
    image = {"type": "image", "data": "AA==", "format": "png", "expected_tokens": 1}
    body["forward_backward_input"]["data"][0]["model_input"]["chunks"][0] = image
    body["forward_backward_input"]["data"][0]["loss_fn_inputs"] = {
        "target_tokens": {"data": [1], "dtype": "int64", "shape": [1]}
    }
    assert "null/base reads text alone" in str(api.refused(400, "forward_backward", body=body))
    asked = {"base_model": "null/base", "prompt": {"chunks": [image]}, "sampling_params": {"max_tokens": 1}}
    assert "null/base reads text alone" in str(api.refused(400, "sample", body=asked))
    api.result(api.forward_backward(model_id, 1))


def test_passes_and_steps_in_json(api: Api) -> None:
    model_id = api.model()
    passed = api.result(api.forward_backward(model_id, 1))
    assert passed["metrics"]["loss:sum"] == 0.0
    assert passed["loss_fn_outputs"][0]["logprobs"] == {"data": [0.0, 0.0], "dtype": "float32", "shape": [2]}
    step = api.ok("optim_step", body={"model_id": model_id, "seq_id": 2, "adam_params": {"learning_rate": 0.1}})
    assert api.result(step)["metrics"]["passes:sum"] == 1.0


@pytest.mark.parametrize("coding", [None, "zstd"])
def test_passes_in_protobuf(api: Api, coding: str | None) -> None:
    model_id = api.model()
    raw = proto_pass(model_id, 1)
    headers = {"content-type": PROTOBUF}
    if coding:
        raw, headers["content-encoding"] = zstandard.compress(raw), coding
    submitted = api.ok("forward_backward", content=raw, headers=headers)
    response = api.answer("retrieve_future", body={"request_id": submitted["request_id"]}, headers={"accept": PROTOBUF})
    output = pb.ForwardBackwardOutput.FromString(response.content)
    assert output.metrics["loss:sum"] == 0.0
    assert np.frombuffer(output.loss_fn_outputs[0].fields["logprobs"].data, "<f4").tolist() == [0.0, 0.0]


@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_large_bodies_and_results(api: Api, form: str) -> None:
    """Beyond 64 KiB a body is worked on in a thread, beyond 100,000 numbers a result too."""
    model_id = api.model()
    length = 120_000
    tokens = np.arange(length) % 50_000
    if form == "json":
        body = pass_body(model_id, 1)
        datum = body["forward_backward_input"]["data"][0]
        datum["model_input"]["chunks"][0]["tokens"] = tokens.tolist()
        datum["loss_fn_inputs"]["target_tokens"] = {"data": tokens.tolist(), "dtype": "int64"}
        submitted = api.ok("forward_backward", body=body)
    else:
        request = pb.ForwardBackwardRequest.FromString(proto_pass(model_id, 1))
        request.data[0].model_input[0].encoded_text.tokens = tokens.astype("<i4").tobytes()
        targets = pb.Tensor(dense=tokens.astype("<i8").tobytes(), dtype=pb.DTYPE_INT64)
        request.data[0].loss_fn_inputs["target_tokens"].CopyFrom(targets)
        raw, headers = request.SerializeToString(), {"content-type": PROTOBUF}
        submitted = api.ok("forward_backward", content=raw, headers=headers)
    assert api.result(submitted)["loss_fn_outputs"][0]["logprobs"]["shape"] == [length]


def test_a_forward_pass_gathers_no_gradient(api: Api) -> None:
    model_id = api.model()
    body = pass_body(model_id, 1)
    body["forward_input"] = body.pop("forward_backward_input")
    api.result(api.ok("forward", body=body))
    raw = proto_pass(model_id, 2, forward_only=True)
    api.result(api.ok("forward_backward", content=raw, headers={"content-type": PROTOBUF}))
    step = api.ok("optim_step", body={"model_id": model_id, "seq_id": 3, "adam_params": {}})
    assert api.result(step)["metrics"]["passes:sum"] == 0.0


def test_early_ids_are_accepted_at_once_and_run_in_order(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine, long_poll_seconds=0.05)
    model_id = api.model()
    submitted = [api.forward_backward(model_id, seq_id, token=seq_id) for seq_id in (3, 2, 4)]
    assert engine.told == []
    waiting = api.ok("retrieve_future", body={"request_id": submitted[0]["request_id"]})
    assert waiting["type"] == "try_again"
    assert "sequence id 1" in waiting["queue_state_reason"]
    last = api.forward_backward(model_id, 1, token=1)
    for promise in (*submitted, last):
        api.result(promise)
    assert engine.told == [("pass", 1), ("pass", 2), ("pass", 3), ("pass", 4)]


def test_a_repeat_is_the_same_request_and_another_body_is_refused(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    model_id = api.model()
    first = api.forward_backward(model_id, 1)
    assert api.forward_backward(model_id, 1) == first
    raw = proto_pass(model_id, 1)
    assert api.ok("forward_backward", content=raw, headers={"content-type": PROTOBUF}) == first
    response = api.answer("forward_backward", body=pass_body(model_id, 1, token=9))
    assert response.status_code == 409
    assert response.headers["x-should-retry"] == "false"
    step = {"model_id": model_id, "seq_id": 1, "adam_params": {}}
    api.refused(409, "optim_step", body=step)
    api.result(first)
    assert engine.told == [("pass", 1)]


def test_a_refused_id_stops_nobody(api: Api) -> None:
    """One client spends the id of a refused request, another uses it again: both go on."""
    model_id = api.model()
    bad = pass_body(model_id, 1)
    bad["forward_backward_input"]["loss_fn"] = "nonsense"
    api.refused(422, "forward_backward", body=bad)
    api.refused(422, "forward_backward", content=b"\x0a", headers={"content-type": PROTOBUF})
    assert "metrics" in api.result(api.forward_backward(model_id, 1))
    too_short = pass_body(model_id, 2)
    too_short["forward_backward_input"]["data"][0]["model_input"]["chunks"][0]["tokens"] = [1]
    fault = api.refused(422, "forward_backward", body=too_short)["detail"][0]
    assert fault["loc"][:4] == ["body", "forward_backward_input", "data", 0]
    assert "metrics" in api.result(api.forward_backward(model_id, 3))


@pytest.mark.parametrize("content_type", [PROTOBUF, "Application/X-Protobuf", f"{PROTOBUF}; charset=utf-8"])
def test_a_refused_id_of_a_protobuf_body_stops_nobody(api: Api, content_type: str) -> None:
    model_id = api.model()
    bad = pb.ForwardBackwardRequest(model_id=model_id, seq_id=1, loss_fn="cross_entropy").SerializeToString()
    fault = api.refused(422, "forward_backward", content=bad, headers={"content-type": content_type})["detail"][0]
    assert fault["loc"] == ["body", "data"]
    following = api.forward_backward(model_id, 2)
    assert "metrics" in api.ok("retrieve_future", body={"request_id": following["request_id"]}), "it waits for nobody"


def test_a_gap_that_is_never_filled_ends(bench: Bench) -> None:
    api = bench.start(session_timeout_seconds=60)
    session_id = api.session()
    model_id = api.model(session_id)
    held = api.forward_backward(model_id, 2)
    bench.clock.ahead += 61
    api.ok("heartbeat_session", body={"session_id": session_id})
    api.run(api.service.sweep())
    failure = api.result(held)
    assert failure["category"] == "user"
    assert "sequence id 1" in failure["error"]
    assert "metrics" in api.result(api.forward_backward(model_id, 3))


def test_requests_without_an_id_run_as_they_come(api: Api) -> None:
    model_id = api.model()
    first, second = api.forward_backward(model_id, None), api.forward_backward(model_id, None)
    assert first["request_id"] != second["request_id"]
    step = api.ok("optim_step", body={"model_id": model_id, "adam_params": {}})
    assert api.result(step)["metrics"]["passes:sum"] == 2.0


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"adam_params": {}, "optimizer_params": {"type": "adamw"}},
        {"optimizer_params": {"type": "adamw", "damping": 1}},
    ],
)
def test_a_step_needs_one_set_of_parameters(api: Api, params: dict[str, Any]) -> None:
    api.refused(422, "optim_step", body={"model_id": api.model(), "seq_id": 1, **params})


def test_another_optimizer_is_refused(api: Api) -> None:
    params = {"optimizer_params": {"type": "dimuon", "learning_rate": 0.1}}
    api.refused(400, "optim_step", body={"model_id": api.model(), "seq_id": 1, **params})


def test_unloading_comes_after_what_was_asked_before(api: Api) -> None:
    model_id = api.model()
    passed = api.forward_backward(model_id, 1)
    unloaded = api.ok("unload_model", body={"model_id": model_id})
    assert api.result(unloaded) == {"type": "unload_model", "model_id": model_id}
    assert "metrics" in api.result(passed)
    api.refused(404, "get_info", body={"model_id": model_id})


def test_models_of_others_are_not_found(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-one", "tml-two"))
    api.headers = {"x-api-key": "tml-one"}
    model_id = api.model()
    submitted = api.forward_backward(model_id, 1)
    api.headers = {"x-api-key": "tml-two"}
    api.refused(404, "get_info", body={"model_id": model_id})
    api.refused(404, "forward_backward", body=pass_body(model_id, 2))
    api.refused(404, "retrieve_future", body={"request_id": submitted["request_id"]})
