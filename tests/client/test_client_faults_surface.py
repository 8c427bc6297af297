"""Faults of the official SDK in its surface and its documentation, none of which this client has; numbers as there."""

import asyncio
import threading
import warnings
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AsgiTransport, Datum, ModelInput, SamplingParams, TensorData, loop, types
from tinker_hl.retry import InstantClock
from tinker_hl.transport import Request, Response
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


class Listening(AsgiTransport):
    """A transport of the user's own, which keeps the time that each request was given."""

    def __init__(self, server: ScriptedServer) -> None:
        super().__init__(server, lifespan=False)
        self.timeouts: dict[str, float] = {}

    async def send(self, request: Request) -> Response:
        self.timeouts[request.url.rpartition("/")[2]] = request.timeout
        return await super().send(request)


def test_fault_40_how_calls_travel_and_are_retried_is_the_users_to_say() -> None:
    for name in ("RetryConfig", "RetryPolicy", "NetworkTransport", "AsgiTransport", "call_options"):
        assert name in tinker_hl.__all__
    server = ScriptedServer()
    transport = Listening(server)
    once = tinker_hl.RetryPolicy(enabled=False)
    with tinker_hl.ServiceClient(
        base_url="http://x", api_key="tml-x", transport=transport, retry_policy=once, default_headers={"X-Mine": "1"}
    ) as service:
        config = tinker_hl.RetryConfig(max_connections=3, retry_delay_base=0.25)
        sampler = service.create_sampling_client(base_model="base", retry_config=config).result(10)
        with tinker_hl.call_options(timeout=7.5):
            sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams()).result(10)
        server.faults["optim_step"] = [Reply(503)]
        training = service.create_lora_training_client("base").result(10)
        with pytest.raises(tinker_hl.InternalServerError):
            training.optim_step(tinker_hl.AdamParams()).result(10)
    assert transport.timeouts["asample"] == 7.5
    assert len(server.paths("optim_step")) == 1, "retries are off"
    assert sampler._sampler.retry_config == config
    assert all(request.headers["x-mine"] == "1" for request in server.seen)
    made = tinker_hl.NetworkTransport(max_connections=5, connect_timeout=0.5)
    assert (made._max_connections, made._connect_timeout) == (5, 0.5)


def test_fault_42_every_checkpoint_is_had_by_one_loop() -> None:
    names = [f"weights/{number}" for number in range(7)]
    server = ScriptedServer()

    async def page(request: Seen) -> Reply:
        server.faults["checkpoints"].append(page)
        asked = {name: int(value) for name, value in parse_qsl(request.query)}
        given = names[asked["offset"] :][: min(asked["limit"], 3)]  # a server may give fewer than were asked for
        rows = [
            {
                "checkpoint_id": name,
                "checkpoint_type": "training",
                "time": "2026-01-02T03:04:05Z",
                "tinker_path": f"tinker://r/{name}",
            }
            for name in given
        ]
        return Reply(body={"checkpoints": rows, "cursor": {**asked, "total_count": len(names)}})

    server.faults["checkpoints"] = [page]
    with server.client() as service:
        every = service.create_rest_client().iter_user_checkpoints(page_size=5)
        assert [found.checkpoint_id for found in every] == names

        async def asynchronously() -> list[str]:
            return [found.checkpoint_id async for found in every]

        assert asyncio.run(asynchronously()) == names
        assert next(iter(every)).checkpoint_id == names[0]
        with pytest.raises(ValueError, match="page_size"):
            service.create_rest_client().iter_training_runs(page_size=0)
    assert len(server.paths("checkpoints")) == 3 + 3 + 1, "a page is asked for when it is needed"


def test_fault_42_there_is_a_deadline_for_a_call_and_word_of_its_progress() -> None:
    server, clock, told = ScriptedServer(), InstantClock(), []
    server.faults["retrieve_future"] = [Reply(body={"type": "try_again", "queue_state": "paused_capacity"})]
    with server.client(clock=clock) as service:
        service.subscribe(lambda event: told.append((event.call, event.kind)))
        training = service.create_lora_training_client("base").result(10)
        training.save_state("kept").result(10)
        server.faults["optim_step"] = [Reply(503)] * 100
        began = clock.now()
        with tinker_hl.call_options(retry_policy=tinker_hl.RetryPolicy(deadline=20.0)):
            step = training.optim_step(tinker_hl.AdamParams())
        with pytest.raises(tinker_hl.InternalServerError):
            step.result(10)
        assert clock.now() - began <= 21.0
    kinds = {kind for call, kind in told if call in ("TrainingClient.save_state", "TrainingClient.optim_step")}
    assert {"queued", "sent", "done", "retried", "failed"} <= kinds
    assert "queue_state" in {kind for _, kind in told}, "why something waits is told, too"


def test_fault_43_a_cancelled_call_reaches_nobody_or_is_told() -> None:
    """A queued pass is never sent, and the next takes its place; of a sample that is under way the server hears."""
    server = ScriptedServer(config={})
    server.faults["dynamic_config"] = [Reply(body={"sample_cancel_enabled": True})]
    begun, told, go_on = threading.Event(), threading.Event(), asyncio.Event()

    async def hold(request: Seen) -> Reply:
        begun.set()
        await go_on.wait()
        return Reply(body=server.promise(server.results["Pass"]))

    async def heard(request: Seen) -> Reply:
        told.set()
        return Reply()

    server.results["Pass"] = {"loss_fn_output_type": "x", "loss_fn_outputs": [{}], "metrics": {"loss:sum": 3.0}}
    data = [Datum(ModelInput.from_ints([1]), {"target_tokens": [1]})]
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        sampler = service.create_sampling_client(base_model="base").result(10)
        server.faults["forward_backward"] = [hold]
        first, second, third = (training.forward_backward(data, "cross_entropy") for _ in range(3))
        assert begun.wait(10)
        assert second.cancel()
        with pytest.raises(TimeoutError):
            first.result(timeout=0.001)
        loop.event_loop().call_soon_threadsafe(go_on.set)
        assert (first.result(10).loss, third.result(10).loss) == (3.0, 3.0), "a timeout cancels nothing"
        begun.clear()
        go_on.clear()
        server.faults["cancel_future"] = [heard]
        server.faults["retrieve_future"] = [hold]
        sample = sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams())
        assert begun.wait(10)
        assert sample.cancel()
        assert told.wait(10)
    assert len(server.paths("forward_backward")) == 2


def test_fault_48_a_round_trip_that_is_told_was_measured() -> None:
    server, clock = ScriptedServer(), InstantClock("fault 48")

    async def takes_seconds(request: Seen) -> Reply:
        await clock.sleep(2.5)
        return Reply(body=server.on_asample(request))

    server.faults["asample"] = [takes_seconds]
    with server.client(clock=clock) as service:
        sampler = service.create_sampling_client(base_model="base").result(10)
        sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams()).result(10)
    (told,) = [
        float(request.headers["x-tinker-create-promise-roundtrip-time"])
        for request in server.paths("retrieve_future")
        if request.headers["x-tinker-request-type"] == "Sample"
    ]
    assert 2.5 <= told < 2.6
