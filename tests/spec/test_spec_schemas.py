"""The types of the spec: requests of every generation of clients fit, mistakes do not, and a fault names its place."""

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TENSOR = {"data": [8, 9], "dtype": "int64", "shape": [2]}
WEIGHTS = {"data": [0.0, 1.0], "dtype": "float32", "shape": [2]}
LORA = {"rank": 32, "train_unembed": True, "train_mlp": True, "train_attn": True}
SAMPLE = {"num_samples": 1, "sampling_session_id": "S:sample:0", "seq_id": 0, "topk_prompt_logprobs": 0}

# Bodies as release 0.7.0 sends them: no tags, explicit nulls, partial parameters.
LEGACY = [
    ("CreateSessionRequest", {"tags": [], "user_metadata": {}, "sdk_version": "0.7.0"}),
    ("CreateSessionRequest", {"tags": [], "user_metadata": None, "sdk_version": "0.7.0"}),
    (
        "CreateModelRequest",
        {
            "session_id": "S",
            "model_seq_id": 0,
            "base_model": "B",
            "user_metadata": None,
            "lora_config": {**LORA, "seed": None},
        },
    ),
    (
        "ForwardBackwardRequest",
        {
            "forward_backward_input": {
                "data": [
                    {
                        "loss_fn_inputs": {"target_tokens": TENSOR, "weights": WEIGHTS},
                        "model_input": {"chunks": [{"tokens": [7, 8]}]},
                    }
                ],
                "loss_fn": "cross_entropy",
                "loss_fn_config": None,
            },
            "model_id": "M",
            "seq_id": 1,
        },
    ),
    ("OptimStepRequest", {"adam_params": {"learning_rate": 0.0001}, "model_id": "M", "seq_id": 2}),
    ("OptimStepRequest", {"adam_params": {"learning_rate": 1, "weight_decay": 0}, "model_id": "M", "seq_id": 2}),
    ("SaveWeightsRequest", {"model_id": "M", "path": "ck", "seq_id": 3}),
    ("SaveWeightsForSamplerRequest", {"model_id": "M", "sampling_session_seq_id": 0, "seq_id": 4}),
    (
        "SampleRequest",
        {
            **SAMPLE,
            "prompt": {"chunks": [{"tokens": [7]}]},
            "sampling_params": {"max_tokens": 3, "seed": None, "stop": None},
            "prompt_logprobs": False,
        },
    ),
    (
        "CreateSamplingSessionRequest",
        {"session_id": "S", "sampling_session_seq_id": 1, "base_model": "B", "model_path": None},
    ),
    ("FutureRetrieveRequest", {"request_id": "r1"}),
    ("LoadWeightsRequest", {"model_id": "M", "path": "tinker://R/weights/ck", "optimizer": False, "seq_id": 1}),
]

# Bodies as release 0.38.0 sends them: every default and tag, no nulls.
CURRENT = [
    ("CreateSessionRequest", {"tags": [], "user_metadata": {}, "sdk_version": "0.38.0", "type": "create_session"}),
    (
        "CreateSessionRequest",
        {"tags": [], "sdk_version": "0.38.0", "type": "create_session", "display_name": "d", "project_id": "p"},
    ),
    (
        "CreateModelRequest",
        {
            "session_id": "S",
            "model_seq_id": 0,
            "base_model": "B",
            "lora_config": LORA,
            "optimizer_config": {"type": "adamw"},
            "type": "create_model",
        },
    ),
    (
        "OptimStepRequest",
        {
            "model_id": "M",
            "seq_id": 2,
            "type": "optim_step",
            "adam_params": {
                "learning_rate": 0.0001,
                "beta1": 0.9,
                "beta2": 0.95,
                "eps": 1e-12,
                "weight_decay": 0.0,
                "grad_clip_norm": 0.0,
            },
        },
    ),
    (
        "OptimStepRequest",
        {"model_id": "M", "optimizer_params": {"type": "dimuon", "learning_rate": 0.01, "beta1": 0.9}},
    ),
    ("OptimStepRequest", {"model_id": "M", "optimizer_params": {"type": "invented", "sharpness": 3}}),
    ("SaveWeightsRequest", {"model_id": "M", "path": "ck", "seq_id": 3, "overwrite": False, "type": "save_weights"}),
    (
        "SaveWeightsForSamplerRequest",
        {
            "model_id": "M",
            "sampling_session_seq_id": 0,
            "kind": "snapshot",
            "seq_id": 4,
            "type": "save_weights_for_sampler",
        },
    ),
    (
        "SampleRequest",
        {
            **SAMPLE,
            "prompt": {"chunks": [{"tokens": [7], "type": "encoded_text"}]},
            "sampling_params": {"max_tokens": 3, "temperature": 1.0, "top_k": -1, "top_p": 1.0, "stop": []},
            "topk_sample_logprobs": 0,
            "prompt_alt_tokens_k": 0,
            "record_stability_info": False,
            "type": "sample",
        },
    ),
    ("SampleRequest", {"prompt": {"chunks": []}, "sampling_params": {}, "sampling_session_id": "S", "seq_id": 10**18}),
    (
        "LoadWeightsRequest",
        {
            "session_id": "S",
            "model_seq_id": 1,
            "path": "tinker://R/weights/ck",
            "optimizer": False,
            "type": "load_weights",
        },
    ),
    ("FinishSessionRequest", {"reason": {"type": "success"}, "detail": None}),
    ("SetCheckpointTtlRequest", {"ttl_seconds": None}),
    ("SetCheckpointTtlRequest", {"ttl_seconds": 60}),
    ("FuturesRetrieveRequest", {"target": {"type": "sampling_session", "sampling_session_id": "S"}, "timeout": 0}),
]

NO_MODEL = {"session_id": "S", "base_model": "B"}

# (type, body, where the fault must be found, a word of what is said)
REFUSED = [
    ("CreateModelRequest", {**NO_MODEL, "model_seq_id": 0, "lora_config": {"rank": 0}}, "lora_config", "rank"),
    ("LoraConfig", {"rank": True}, "rank", "integer"),
    ("CreateModelRequest", NO_MODEL, "", "model_seq_id"),
    ("SamplingParams", {"max_token": 3}, "", "max_token"),
    ("SamplingParams", {"max_tokens": 0}, "max_tokens", "1"),
    ("SamplingParams", {"top_p": 1.5}, "top_p", "1"),
    ("SamplingParams", {"temperature": "hot"}, "temperature", "number"),
    ("SampleRequest", {"prompt": {"chunks": []}, "sampling_params": {}, "num_samples": 0}, "num_samples", "1"),
    ("AdamParams", {"beta1": 1.0}, "beta1", "1"),
    ("TensorData", {"data": [1], "dtype": "float16"}, "dtype", "float16"),
    ("TensorData", {"data": ["1"], "dtype": "int64"}, "data/0", "number"),
    ("ForwardBackwardInput", {"data": [], "loss_fn": "ppo"}, "data", "1"),
    ("Datum", {"model_input": {"chunks": [{"token": [1]}]}, "loss_fn_inputs": {}}, "model_input/chunks/0", "token"),
    ("CreateSessionRequest", {"tags": [], "sdk_version": "1", "type": "create_model"}, "type", "create_session"),
    ("FinishSessionRequest", {"reason": {"type": "bored"}}, "reason/type", "bored"),
    ("SaveWeightsRequest", {"model_id": "M", "seq_id": 0}, "seq_id", "1"),
    ("CustomLossInput", {"name": "logprobs", "rank": 3}, "rank", "2"),
]


@pytest.mark.parametrize(("name", "body"), LEGACY + CURRENT)
def test_requests_of_both_generations_fit(faults: Any, name: str, body: object) -> None:
    assert faults(name, body) == []


@pytest.mark.parametrize(("name", "body", "place", "word"), REFUSED)
def test_a_mistake_is_refused_where_it_is(faults: Any, name: str, body: object, place: str, word: str) -> None:
    found = faults(name, body)
    assert any(fault.startswith(place) and word in fault for fault in found), found


def test_every_schema_compiles(canonical: dict[str, Any]) -> None:
    for name in canonical["components"]["schemas"]:
        jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": canonical["components"]}
        )


def test_declared_defaults_fit_their_schemas(canonical: dict[str, Any]) -> None:
    tried = 0
    for name, schema in canonical["components"]["schemas"].items():
        for member, value in schema.get("properties", {}).items():
            if "default" in value:
                validator = jsonschema_rs.Draft202012Validator({**value, "components": canonical["components"]})
                assert validator.is_valid(value["default"]), f"{name}.{member}"
                tried += 1
    assert tried > 50


@settings(deadline=None)
@given(
    data=st.lists(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False), max_size=8),
    dtype=st.sampled_from(["int64", "float32"]),
    shape=st.none() | st.lists(st.integers(0, 2**40), max_size=3),
)
def test_any_tensor_of_numbers_fits(faults: Any, data: list[float], dtype: str, shape: list[int] | None) -> None:
    tensor = json.loads(json.dumps({"data": data, "dtype": dtype, "shape": shape}))
    assert faults("TensorData", tensor) == []


@settings(deadline=None)
@given(tag=st.text(max_size=12), extra=st.dictionaries(st.text(max_size=5), st.integers(), max_size=3))
def test_an_optimizer_is_known_or_open_and_never_both(faults: Any, tag: str, extra: dict[str, int]) -> None:
    closed = tag in ("adamw", "dimuon")
    extra.pop("type", None)
    fits = faults("OptimizerConfig", {**extra, "type": tag}) == []
    assert fits or (closed and extra)


def test_results_of_the_json_generation_fit_the_poll(faults: Any) -> None:
    output = {
        "loss_fn_output_type": "ArrayRecord",
        "loss_fn_outputs": [{"logprobs": WEIGHTS}],
        "metrics": {"loss:sum": 0.2},
    }
    sampled = {"sequences": [{"stop_reason": "stop", "tokens": [1, 2], "logprobs": [-0.5, -0.1]}]}
    scored = {**sampled, "prompt_logprobs": [None, -1.5], "topk_prompt_logprobs": [None, [[7, -0.1], [8, -2.0]]]}
    for payload in (output, sampled, scored, {"error": "text", "category": "user"}):
        assert faults("FutureResult", payload) == []
    assert faults("RequestFailedResponse", {"error": "text"})
    assert faults("SampleResponse", {**sampled, "topk_prompt_logprobs": [[[7]]]})
