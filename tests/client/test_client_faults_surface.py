"""Faults of the official SDK in its surface and its documentation, none of which this client has; numbers as there."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scripted_server import ScriptedServer

import tinker_hl
from tinker_hl import Datum, ModelInput, SamplingParams, TensorData, types
from tinker_hl.types import EncodedTextChunk, ForwardBackwardOutput, SampledSequence, SampleResponse


def test_fault_34_values_are_listed_once_and_appended_tokens_are_one_chunk() -> None:
    tensor, chunk = TensorData([1.0, 2.0], "float32"), EncodedTextChunk(tokens=[1, 2])
    assert tensor.data is tensor.data
    assert chunk.tokens is chunk.tokens
    grown = ModelInput.empty()
    for token in range(2000):
        grown = grown.append_int(token)
    assert grown.chunks == [EncodedTextChunk(tokens=range(2000))]
    image = types.ImageChunk(data=b"png", format="png", expected_tokens=3)
    behind = grown.append(image).append_int(5).append_int(6)
    assert [part.length for part in behind.chunks] == [2000, 3, 2]
    assert grown.length == 2000, "what was appended to is as it was"
    for wrong in (-1, 1.5, 2**31):
        with pytest.raises(ValueError, match=str(wrong)):
            grown.append_int(wrong)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="read-only"):
        grown.chunks[0].ids[0] = 7  # type: ignore[union-attr]


def test_fault_38_what_the_documentation_shows_works() -> None:
    targets = ModelInput.from_ints([2, 3]).append_int(4)
    made = Datum(ModelInput.from_ints([1, 2, 3]), {"target_tokens": targets})
    assert made.loss_fn_inputs["target_tokens"] == TensorData([2, 3, 4], "int64", [3])
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        result = training.forward_backward([made], "cross_entropy").result(10)
    assert result.loss == result.metrics["loss:sum"]
    with pytest.raises(AttributeError, match="only accuracy:mean"):
        _ = ForwardBackwardOutput("x", [], {"accuracy:mean": 1.0}).loss
    image = types.ImageChunk(data=b"png", format="png", expected_tokens=1)
    with pytest.raises(ValueError, match=r"target_tokens.*ImageChunk"):
        Datum(ModelInput.from_ints([1]), {"target_tokens": ModelInput(chunks=[image])})


def test_fault_39_what_either_release_had_is_there_and_warns_of_nothing() -> None:
    sequence = SampledSequence(tokens=[1, 2], logprobs=[-0.5, -1.0], stop_reason="length")
    results: list[Any] = [
        SampleResponse([sequence]),
        ForwardBackwardOutput("x", [{"logprobs": TensorData([1.0], "float32")}], {"loss:sum": 1.0}),
        types.OptimStepResponse(),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for result in results:
            again = type(result).model_validate_json(result.model_dump_json())
            assert again == result == result.model_copy() == type(result).model_validate(result.model_dump())
    twins = ("forward_backward", "optim_step", "save_state", "forward", "save_weights_for_sampler")
    assert all(hasattr(tinker_hl.TrainingClient, f"{name}_async") for name in twins)
    server = ScriptedServer()
    with server.client(default_headers={"X-Mine": "yes"}) as service:
        service.get_server_capabilities()
    assert {request.headers.get("x-mine") for request in server.seen} == {"yes"}
    assert hasattr(tinker_hl.RestClient, "get_checkpoint_archive_url")


@pytest.mark.parametrize(
    "tokens",
    [
        (1, 2),
        range(1, 3),
        np.array([1, 2]),
        np.array([1, 2], dtype=np.uint16),
        np.array([9, 1, 9, 2])[1::2],
        torch.tensor([1, 2]),
        torch.tensor([1, 2], dtype=torch.uint8),
        torch.tensor([[1, 9], [2, 9]]).t()[0],
        [torch.tensor(1), torch.tensor(2)],
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_fault_41_arrays_of_every_kind_are_taken_wherever_lists_are(tokens: Any) -> None:
    assert ModelInput.from_ints(tokens).to_ints() == [1, 2]
    assert EncodedTextChunk(tokens=tokens).tokens == [1, 2]
    assert SamplingParams(stop=tokens).stop == [1, 2]
    made = Datum(ModelInput.from_ints(tokens), {"target_tokens": tokens, "weights": tokens, "advantages": tokens})
    assert {key: (value.dtype, value.tolist()) for key, value in made.loss_fn_inputs.items()} == {
        "target_tokens": ("int64", [1, 2]),
        "weights": ("float32", [1.0, 2.0]),
        "advantages": ("float32", [1.0, 2.0]),
    }
    assert TensorData(tokens, "int64", (2,)).tolist() == [1, 2]
    with pytest.raises(TypeError, match="stop takes a string, strings or token ids, got int"):
        SamplingParams(stop=5)
