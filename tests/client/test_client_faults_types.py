"""Faults of the official SDK in types, results and errors, none of which this client has; numbers as in the docs."""

import concurrent.futures
import multiprocessing
import pickle
import threading
from typing import Any

import numpy as np
import pytest
import torch
from scripted_server import OUTPUT, ScriptedServer

import tinker_hl
from tinker_hl import Datum, ModelInput, SamplingParams, TensorData, TrainingClient
from tinker_hl.codec import json as json_codec
from tinker_hl.metrics_reduction import combine
from tinker_hl.types import EncodedTextChunk, ForwardBackwardOutput, ImageAssetPointerChunk
from tinker_hl.types.loss_names import LOSS_NAMES, meant_instead


def datum(**inputs: Any) -> Datum:
    return Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3], "weights": [1.0, 1.0]} | inputs)


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()


@pytest.fixture
def training(server: ScriptedServer) -> Any:
    with server.client() as service:
        yield service.create_lora_training_client("base").result(10)


def test_fault_05_what_cannot_be_encoded_is_refused_at_the_call(server: ScriptedServer, training: Any) -> None:
    pointer = ImageAssetPointerChunk(format="png", location="https://x.test/a.png", expected_tokens=2)
    with pytest.raises(tinker_hl.InvalidDatumError, match=r"datum 1 model_input.*ImageChunk") as refused:
        training.forward_backward(
            [datum(), Datum(ModelInput(chunks=[pointer]), {"target_tokens": [2, 3]})], "cross_entropy"
        )
    assert refused.value.datum_index == 1
    with pytest.raises(ValueError, match="2147483648 at position 1"):
        ModelInput.from_ints([1, 2**31])
    with pytest.raises(ValueError, match="-1 at position 0"):
        EncodedTextChunk(tokens=[-1])
    with pytest.raises(tinker_hl.InvalidDatumError, match=r"my_key.*give an array"):
        datum(my_key=[1, 2])
    replaced = datum()
    replaced.loss_fn_inputs["my_key"] = [1, 2]  # type: ignore[assignment]  # as research code does
    with pytest.raises(tinker_hl.InvalidDatumError, match=r"datum 0.*my_key.*give an array"):
        training.forward_backward([replaced], "cross_entropy")
    with pytest.raises(TypeError, match=r"loss_fn_config\['clip'\].*list"):
        training.forward_backward([datum()], "cross_entropy", {"clip": [0.2]})
    with pytest.raises(ValueError, match=r"loss_fn_config\['clip'\].*finite"):
        training.forward_backward([datum()], "cross_entropy", {"clip": float("nan")})
    training.forward_backward(
        [datum(my_key=np.ones(3))], "cross_entropy", {"clip": np.float32(0.5), "mode": "x"}
    ).result(10)
    asked = [request.json for request in server.paths("forward_backward")]
    assert [body["seq_id"] for body in asked] == [1], "a refused call spends no sequence id"
    assert asked[0]["forward_backward_input"]["loss_fn_config"] == {"clip": 0.5, "mode": "x"}


def test_fault_06_misspelt_names_are_refused_with_the_one_that_was_meant(
    server: ScriptedServer, training: TrainingClient
) -> None:
    with pytest.raises(TypeError, match="did you mean 'max_tokens'"):
        SamplingParams(max_token=3)  # type: ignore[call-arg]  # on purpose
    with pytest.raises(ValueError, match="did you mean 'temperature'"):
        SamplingParams.model_validate({"temprature": 1.0})
    with pytest.raises(ValueError, match="did you mean 'cross_entropy'"):
        training.forward_backward([datum()], "cross_entrpy")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="did you mean 'ppo'"):
        training.forward([datum()], "PPO")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="forward_backward_custom"):
        training.forward_backward([datum()], lambda data, logprobs: None)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(tinker_hl.InvalidDatumError, match=r"(?s)weigths.*mean 'weights'"):
        datum(weigths=[1.0, 1.0])
    with pytest.raises(tinker_hl.InvalidDatumError, match=r"(?s)weigths.*mean 'weights'"):
        training.forward_backward([datum(weigths=np.ones(2))], "cross_entropy")
    assert server.paths("forward_backward") == []
    server.results["ForwardBackward"] = OUTPUT
    for name in (*LOSS_NAMES, "of_a_newer_server"):
        inputs = {"logprobs": [-1.0, -1.0], "advantages": [1.0, 1.0]}
        training.forward_backward([datum(**inputs)], name).result(10)  # type: ignore[arg-type]
    assert len(server.paths("forward_backward")) == len(LOSS_NAMES) + 1


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("cross_entropy", None),
        ("crossentropy", "cross_entropy"),
        ("Cross-Entropy", "cross_entropy"),
        ("importance_samplng", "importance_sampling"),
        ("cipso", "cispo"),
        ("pppo", "ppo"),
        ("grpo", None),
        ("dpo", None),
        ("ppo_clip", None),
        ("cross_entropy_v2", None),
        ("reinforce", None),
        ("", None),
    ],
)
def test_only_what_is_almost_a_known_name_is_taken_for_a_slip(name: str, meant: str | None) -> None:
    assert meant_instead(name, LOSS_NAMES) == meant


@pytest.mark.parametrize(
    "lossy",
    [
        lambda: TensorData([1.5, 2.5], "int64"),
        lambda: TensorData(np.array([1.5, 2.5]), "int64"),
        lambda: TensorData(torch.tensor([1.5, 2.5]), "int64"),
        lambda: TensorData([[1.0, 2.0], [3.0, 4.25]], "int64", [2, 2]),
        lambda: datum(target_tokens=[1.5, 2.5]),
        lambda: datum(target_tokens=[1.0, float("nan")]),
        lambda: TensorData([2**63], "int64"),
        lambda: TensorData(np.array([2**63], np.uint64), "int64"),
        lambda: ModelInput.from_ints([1.5]),
        lambda: SamplingParams(max_tokens=1.5),
    ],
)
def test_fault_07_casts_that_lose_something_are_refused(lossy: Any) -> None:
    with pytest.raises(ValueError, match=r"1\.5|4\.25|nan|9223372036854775808"):
        lossy()
    assert datum(target_tokens=[1.0, 2.0]).loss_fn_inputs["target_tokens"].data == [1, 2]


def output(metrics: dict[str, float], datums: int = 1) -> ForwardBackwardOutput:
    return ForwardBackwardOutput("ArrayRecord", [{} for _ in range(datums)], metrics)


def test_fault_08_metrics_of_any_name_never_fail_a_call_that_worked(
    server: ScriptedServer, training: TrainingClient
) -> None:
    odd = {"plain": 1.0, "two:colons:here": 2.0, "x:unknown": 3.0, ":": 4.0, "loss:mean": 5.0}
    server.results["ForwardBackward"] = OUTPUT | {"metrics": odd}
    assert training.forward_backward([datum()], "cross_entropy").result(10).metrics == odd
    server.results["ForwardBackward"] = OUTPUT | {"metrics": odd, "loss_fn_outputs": []}
    assert training.forward_backward([datum()], "cross_entropy").result(10).metrics == odd
    joined = combine([output(odd, 0), output(odd, 0)]).metrics
    assert joined["loss:mean"] == 5.0
    assert (joined["plain"], joined["plain_1"]) == (1.0, 1.0)
    assert joined["x:unknown"] == 3.0


def test_fault_09_a_hash_of_64_bits_is_exact(server: ScriptedServer, training: TrainingClient) -> None:
    parts = [2**63 + 12345, 2**62 + 1]
    server.results["ForwardBackward"] = OUTPUT | {"metrics": {"order:hash2": parts[0]}}
    found = training.forward_backward([datum()], "cross_entropy").result(10).metrics["order:hash2"]
    assert (type(found), found) == (int, parts[0])
    for key in ("order:hash2", "order:hash_unordered"):
        forth = combine([output({key: part}) for part in parts]).metrics[key]
        back = combine([output({key: part}) for part in reversed(parts)]).metrics[key]
        assert type(forth) is int
        assert forth == back == sum(parts) % 2**64


def _failed(kind: str) -> None:
    response = tinker_hl.errors.ResponseInfo(400, {"x-request-id": "r"}, b'{"detail":"no"}')
    raise {
        "timeout": tinker_hl.APITimeoutError(request=tinker_hl.errors.RequestInfo("GET", "http://x.test")),
        "bare": tinker_hl.APIError("m", tinker_hl.errors.RequestInfo("GET", "http://x.test"), body={"a": 1}),
        "status": tinker_hl.BadRequestError("m", response=response, body={"detail": "no"}),
    }[kind]


def test_fault_11_errors_come_back_whole_from_another_process() -> None:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        for kind in ("timeout", "bare", "status"):
            with pytest.raises(tinker_hl.APIError) as came:
                pool.submit(_failed, kind).result(60)
            with pytest.raises(tinker_hl.APIError) as here:
                _failed(kind)
            assert type(came.value) is type(here.value)
            assert (str(came.value), came.value.body) == (str(here.value), here.value.body)
            assert came.value.request == here.value.request
    assert isinstance(pickle.loads(pickle.dumps(tinker_hl.APITimeoutError(None))), tinker_hl.APIConnectionError)


def test_fault_12_a_queued_call_is_not_changed_by_what_happens_to_its_data(
    server: ScriptedServer, training: TrainingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that was given is changed after the call and before it is encoded, which waits for that."""
    array, tensor, tokens = np.ones(2, np.float32), torch.ones(2), [1, 2]
    given = Datum(ModelInput.from_ints(tokens), {"target_tokens": [2, 3], "weights": array, "advantages": tensor})
    data = [given]
    changed, encode = threading.Event(), json_codec.encode_datum

    def encode_late(datum: Datum) -> bytes:
        assert changed.wait(10)
        return encode(datum)

    monkeypatch.setattr(json_codec, "encode_datum", encode_late)
    future = training.forward_backward(data, "cross_entropy")
    array[:], tensor[:], tokens[0] = 7, 7, 99
    given.loss_fn_inputs["weights"] = TensorData([9.0, 9.0], "float32")
    data.clear()
    changed.set()
    future.result(10)
    sent = server.paths("forward_backward")[0].json["forward_backward_input"]["data"]
    assert len(sent) == 1
    assert sent[0]["loss_fn_inputs"]["weights"]["data"] == [1.0, 1.0]
    assert sent[0]["loss_fn_inputs"]["advantages"]["data"] == [1.0, 1.0]
    assert sent[0]["model_input"]["chunks"][0]["tokens"] == [1, 2]
    source = np.zeros(2, np.float32)
    kept = TensorData(source, "float32")
    source[:] = 5
    assert kept.data == [0.0, 0.0]
    with pytest.raises(ValueError, match="read-only"):
        kept.to_numpy()[0] = 3
