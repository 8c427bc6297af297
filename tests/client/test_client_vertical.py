"""The whole way of a call, against a server without any of the newer abilities: JSON, no configuration, no finish."""

import asyncio

import pytest
from scripted_server import OUTPUT, Reply, ScriptedServer

import tinker_hl
from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams


def datum(tokens: list[int] | None = None) -> Datum:
    tokens = tokens or [5, 6]
    inputs = {"target_tokens": tokens, "weights": [1.0] * len(tokens)}
    return Datum(model_input=ModelInput.from_ints(tokens), loss_fn_inputs=inputs)


def test_train_and_sample_on_a_server_of_the_oldest_kind() -> None:
    server = ScriptedServer()
    with server.client(user_metadata={"who": "me"}) as service:
        training = service.create_lora_training_client("base", rank=8, seed=3).result(10)
        step = training.forward_backward([datum()], "cross_entropy")
        update = training.optim_step(AdamParams(learning_rate=1e-3))
        sampling = training.save_weights_and_get_sampling_client()
        assert step.result(10).metrics == OUTPUT["metrics"]
        assert step.result().loss_fn_outputs[0]["logprobs"].tolist() == [-1.0, -2.0]
        assert update.result(10).metrics == {"grad_norm": 1.0}
        response = sampling.sample(ModelInput.from_ints([1, 2, 3]), 2, SamplingParams(max_tokens=4)).result(10)
        assert [sequence.tokens for sequence in response.sequences] == [[1, 2], [1, 2]]
        assert sampling.compute_logprobs(ModelInput.from_ints([1, 2, 3])).result(10) == [None, -1.0, -1.0]

    (created,) = server.paths("create_session")
    assert created.json["user_metadata"] == {"who": "me"}
    (made,) = server.paths("create_model")
    assert made.json["lora_config"] | {"type": 0} == {
        "rank": 8, "seed": 3, "train_mlp": True, "train_attn": True, "train_unembed": True, "type": 0,
    }  # fmt: skip
    order = [request for request in server.seen if "seq_id" in (request.json or {}) and "prompt" not in request.json]
    assert [(request.path.rsplit("/", 1)[-1], request.json["seq_id"]) for request in order] == [
        ("forward_backward", 1),
        ("optim_step", 2),
        ("save_weights_for_sampler", 3),
    ]
    (finished,) = server.paths("finish")
    assert finished.json == {"reason": {"type": "success"}, "detail": None}
    headers = server.paths("optim_step")[0].headers
    assert headers["x-api-key"] == "tml-secret"
    assert headers["x-sdk-method"] == "TrainingClient.optim_step"
    assert headers["user-agent"] == f"tinker-hl/{tinker_hl.__version__}"
    assert headers["x-idempotency-key"]


def test_an_empty_answer_of_success_is_no_error() -> None:
    """T-025: of a result, and of a call that has nothing to say."""
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [Reply(raw=b"")]
        assert training.optim_step(AdamParams()).result(10).metrics is None
        server.faults["publish"] = [Reply(raw=b""), Reply(204, raw=b"")]
        for _ in range(2):
            service.create_rest_client().publish_checkpoint_from_tinker_path("tinker://M/weights/a").result(10)


def test_a_client_future_is_usable_as_the_client() -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base")
        assert isinstance(training, tinker_hl.TrainingClient)
        assert training.model_id == "S:train:0"
        assert training.get_info().lora_rank == 8
        sampling = training.create_sampling_client("tinker://M/sampler_weights/x")
        assert isinstance(sampling, tinker_hl.SamplingClient)
        assert sampling.get_base_model() == "base"
        assert isinstance(training.result(), tinker_hl.TrainingClient)


def test_twins_give_what_the_official_ones_give() -> None:
    server = ScriptedServer()

    async def use() -> None:
        async with server.client() as service:
            training = await service.create_lora_training_client_async("base")
            future = await training.forward_backward_async([datum()], "cross_entropy")
            assert isinstance(future, tinker_hl.APIFuture)
            assert (await future).metrics == OUTPUT["metrics"]
            assert (await (await training.optim_step_async(AdamParams()))).metrics == {"grad_norm": 1.0}
            sampling = await training.save_weights_and_get_sampling_client_async()
            response = await sampling.sample_async(
                prompt=ModelInput.from_ints([1]), num_samples=1, sampling_params=SamplingParams()
            )
            assert response.sequences[0].stop_reason == "stop"
            assert (await training.get_info_async()).model_id == training.model_id
            capabilities = await service.get_server_capabilities_async()
            assert capabilities.supported_models[0].model_name == "base"

    asyncio.run(use())


def test_protobuf_is_tried_where_it_is_likely_and_dropped_where_it_is_refused() -> None:
    server = ScriptedServer(config={})
    server.faults["forward_backward"] = [Reply(415, {"detail": "only JSON here"})]
    with server.client() as service:
        training = service.create_lora_training_client("base")
        training.forward_backward([datum()], "cross_entropy").result(10)
        training.forward_backward([datum()], "cross_entropy").result(10)
        training.forward([datum()], "cross_entropy").result(10)
    types = [request.headers["content-type"] for request in server.paths("forward_backward")]
    assert types == ["application/x-protobuf", "application/json", "application/json"]
    assert [request.json["seq_id"] for request in server.paths("forward_backward")[1:]] == [1, 2]
    assert [request.json["seq_id"] for request in server.paths("/forward")] == [3]


def test_a_model_is_made_from_a_state_in_steps_where_one_does_not_do() -> None:
    server = ScriptedServer(config={})
    with server.client() as service:
        path = "tinker://M/weights/0001"
        training = service.create_training_client_from_state_with_optimizer(path).result(10)
        training.optim_step(AdamParams()).result(10)
    assert [request.json.get("model_id") for request in server.paths("load_weights")] == [None, "S:train:0"]
    assert server.paths("load_weights")[0].json["model_seq_id"] == 0
    assert server.paths("load_weights")[1].json["seq_id"] == 1
    assert server.paths("optim_step")[0].json["seq_id"] == 2


def test_a_refused_call_spends_no_id() -> None:
    server = ScriptedServer()
    server.faults["optim_step"] = [Reply(400, {"detail": "no"})]
    with server.client() as service:
        training = service.create_lora_training_client("base")
        refused, taken = training.optim_step(AdamParams()), training.optim_step(AdamParams())
        with pytest.raises(tinker_hl.BadRequestError, match="no"):
            refused.result(10)
        taken.result(10)
    assert [request.json["seq_id"] for request in server.paths("optim_step")] == [1, 1]


def test_an_unclear_failure_ends_all_later_calls() -> None:
    server = ScriptedServer()
    server.faults["optim_step"] = [None] * 1000
    with server.client() as service:
        training = service.create_lora_training_client("base")
        first = training.optim_step(AdamParams())
        second = training.save_state("x")
        with pytest.raises(tinker_hl.APIConnectionError):
            first.result(30)
        with pytest.raises(tinker_hl.SubmissionFailedError, match="optim_step") as caught:
            second.result(10)
        assert caught.value.first_failure is first.exception()
    keys = {request.headers["x-idempotency-key"] for request in server.paths("optim_step")}
    assert len(keys) == 1
    assert len(server.paths("optim_step")) > 2
    assert not server.paths("save_weights")


def test_chunks_go_side_by_side_with_the_first_one_last() -> None:
    server = ScriptedServer(config={"fwdbwd_max_chunk_len": 2})
    server.faults["forward_backward"] = [Reply(415, {"detail": "only JSON here"})] * 2
    with server.client() as service:
        training = service.create_lora_training_client("base")
        result = training.forward_backward([datum([index + 1, 2]) for index in range(5)], "cross_entropy").result(10)
    sent = [request.json for request in server.paths("forward_backward")[-3:]]
    assert [body["seq_id"] for body in sent][-1] == 1
    assert sorted(body["seq_id"] for body in sent) == [1, 2, 3]
    by_id = sorted(sent, key=lambda body: body["seq_id"])
    assert [len(body["forward_backward_input"]["data"]) for body in by_id] == [2, 2, 1]
    assert result.metrics["loss:sum"] == 9.0
    assert len(result.loss_fn_outputs) == 3


def test_a_call_is_not_changed_by_what_happens_to_its_data_later() -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base")
        data = [datum()]
        future = training.forward_backward(data, "cross_entropy")
        data[0].loss_fn_inputs["weights"] = datum([7, 8, 9]).loss_fn_inputs["weights"]
        data.clear()
        future.result(10)
    inputs = server.paths("forward_backward")[0].json["forward_backward_input"]["data"][0]["loss_fn_inputs"]
    assert inputs["weights"]["data"] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("bad", "where"),
    [
        (lambda: Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [1]}), "target_tokens"),
        (lambda: Datum(ModelInput.from_ints([1]), {"target_tokens": [1], "weights": [float("nan")]}), "weights"),
        (lambda: Datum(ModelInput.from_ints([1]), {"weights": [1.0]}), "target_tokens"),
    ],
)
def test_bad_data_is_refused_at_the_call_and_harms_nobody(bad: object, where: str) -> None:
    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        with pytest.raises(tinker_hl.InvalidDatumError, match=f"datum 1.*{where}") as caught:
            training.forward_backward([datum(), bad()], "cross_entropy")  # type: ignore[operator]
        assert caught.value.datum_index == 1
        with pytest.raises(ValueError, match="empty"):
            training.forward_backward([], "cross_entropy")
        training.forward_backward([datum()], "cross_entropy").result(10)
    assert [request.json["seq_id"] for request in server.paths("forward_backward")] == [1]


def test_a_failed_request_is_typed() -> None:
    server = ScriptedServer()
    server.results["ForwardBackward"] = {"error": "token 9 is out of range", "category": "user"}
    with server.client() as service:
        training = service.create_lora_training_client("base")
        with pytest.raises(tinker_hl.RequestFailedError, match="out of range") as caught:
            training.forward_backward([datum()], "cross_entropy").result(10)
        assert caught.value.category == "user"
        assert caught.value.request_id
