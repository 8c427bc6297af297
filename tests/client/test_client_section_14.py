"""What research code does with the SDK: every symbol, method, argument and attribute that is known to be used.

Both generations' habits, as counted in the recipes that were written for the official SDK: each is done here as they do
it, with a local service that really trains.
"""

import asyncio
import concurrent.futures
import contextvars
import inspect
import multiprocessing
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import httpx
import numpy as np
import pytest
import torch

import tinker_hl as tinker
from tinker_hl import types

MODEL = "tinker-hl/tiny"
TOKENS = [104, 101, 108, 108, 111, 33]
PARAMS = types.SamplingParams(max_tokens=2, temperature=0.0)
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tinker.ServiceClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_HL_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("OMP_NUM_THREADS", "1")
        with tinker.ServiceClient(
            base_url="local", user_metadata={"recipe": "test"}, project_id="project", display_name="a run"
        ) as client:
            yield client


@pytest.fixture(scope="module")
def trainer(service: tinker.ServiceClient) -> tinker.TrainingClient:
    return service.create_lora_training_client(MODEL, rank=2, user_metadata={"run": "one"}).result(110)


@pytest.fixture(scope="module")
def sampler(trainer: tinker.TrainingClient) -> tinker.SamplingClient:
    return trainer.save_weights_and_get_sampling_client().result(60)


@pytest.fixture(scope="module")
def state(trainer: tinker.TrainingClient) -> str:
    return trainer.save_state("state", ttl_seconds=3600).result(60).path


@pytest.fixture
def rest(service: tinker.ServiceClient) -> tinker.RestClient:
    return service.create_rest_client()


def prompt() -> types.ModelInput:
    return types.ModelInput.from_ints(TOKENS)


def supervised() -> types.Datum:
    return types.Datum(
        model_input=types.ModelInput.from_ints(TOKENS[:-1]),
        loss_fn_inputs={
            "target_tokens": types.TensorData.from_torch(torch.tensor(TOKENS[1:])),
            "weights": types.TensorData(data=[1.0] * 5, dtype="float32", shape=[5]),
        },
    )


def rewarded(**more: Any) -> types.Datum:
    row = types.TensorData.from_numpy(np.full(5, -0.5, dtype=np.float32))
    target = types.TensorData.from_torch(torch.tensor(TOKENS[1:]))
    return types.Datum(
        model_input=types.ModelInput.from_ints(TOKENS[:-1]),
        loss_fn_inputs={"target_tokens": target, "logprobs": row, "advantages": row, **more},
    )


# 14.1: symbols.

SYMBOLS = """
Datum Datum.with_provenance ModelInput ModelInput.empty ModelInput.from_ints ModelInputChunk EncodedTextChunk ImageChunk
TensorData TensorData.from_torch TensorData.from_numpy TensorData.from_torch_sparse SamplingParams AdamParams LossFnType
ForwardBackwardOutput OptimStepResponse SampleResponse SampledSequence StopReason PromptProvenanceSpan
SampledProvenanceSpan ParsedCheckpointTinkerPath.from_tinker_path ServiceClient TrainingClient SamplingClient RestClient
AdminClient APIFuture __version__ TinkerError BadRequestError AuthenticationError RateLimitError APITimeoutError
APIConnectionError
"""
IN_TYPES = "ImageAssetPointerChunk ExternalWeightsUrlsResponse AuditLogEntry AuditLogResponse LossFnType"


@pytest.mark.parametrize("symbol", SYMBOLS.split())
def test_symbols_of_the_package(symbol: str) -> None:
    found: Any = tinker
    for part in symbol.split("."):
        found = getattr(found, part)
    assert found is not None


@pytest.mark.parametrize("symbol", IN_TYPES.split())
def test_symbols_of_types(symbol: str) -> None:
    assert getattr(tinker.types, symbol) is not None


def test_every_type_of_the_package_is_also_in_types() -> None:
    for name in SYMBOLS.split():
        if hasattr(types, name):
            assert getattr(types, name) is getattr(tinker, name)


# 14.2: errors.


def test_errors_are_constructed_as_tests_of_recipes_do() -> None:
    response = httpx.Response(400, request=httpx.Request("POST", "http://x/api/v1/asample"), text="prompt too long")
    error = tinker.BadRequestError("the prompt is too long", response=response, body={"detail": "too long"})
    assert isinstance(error, tinker.TinkerError)
    assert (error.status_code, error.body, error.response) == (400, {"detail": "too long"}, response)
    assert "too long" in str(error)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, "AuthenticationError"), (429, "RateLimitError"), (400, "BadRequestError")],
)
def test_errors_are_told_apart_in_the_order_that_a_provider_asks(status: int, expected: str) -> None:
    kinds = ("AuthenticationError", "RateLimitError", "APITimeoutError", "APIConnectionError", "BadRequestError")
    response = httpx.Response(status, request=httpx.Request("GET", "http://x"))
    error = getattr(tinker, expected)("message", response=response, body=None)
    assert next(name for name in kinds if isinstance(error, getattr(tinker, name))) == expected


def test_a_timeout_is_found_before_the_connection_error_that_it_is() -> None:
    timed_out = tinker.APITimeoutError(request=httpx.Request("GET", "http://x"))
    assert isinstance(timed_out, tinker.APIConnectionError)
    assert not isinstance(tinker.APIConnectionError(request=None), tinker.APITimeoutError)


def test_a_checkpoint_lookup_that_fails_is_caught_as_recipes_catch_it(rest: tinker.RestClient) -> None:
    for path in ("tinker://no-such-run/weights/x", "not a path"):
        with pytest.raises((tinker.TinkerError, ValueError)):
            rest.get_training_run_by_tinker_path(path).result(30)


# 14.3 and 14.4: methods, with the arguments that are used, and the attributes of what they give.


def test_clients_are_made_the_blocking_way_and_the_future_way(service: tinker.ServiceClient, state: str) -> None:
    made = [
        service.create_lora_training_client(base_model=MODEL, rank=2, user_metadata={"a": "b"}),
        service.create_training_client_from_state(state, user_metadata={"a": "b"}, weights_access_token=None),
        service.create_training_client_from_state_with_optimizer(state, user_metadata={"a": "b"}),
    ]
    for client in made:
        assert isinstance(client, tinker.TrainingClient)
        assert client.model_id == client.result(60).model_id  # used at once, and as a future
    samplers = [
        service.create_sampling_client(base_model=MODEL),
        service.create_sampling_client(base_model=MODEL, record_stability_info=True),
    ]
    for sampling in samplers:
        assert isinstance(sampling, tinker.SamplingClient)
        assert sampling.get_base_model() == MODEL
        assert sampling.sample(prompt(), 1, PARAMS).result(60).sequences


def test_clients_are_made_by_twins(service: tinker.ServiceClient, trainer: tinker.TrainingClient, state: str) -> None:
    async def use() -> None:
        capabilities = await service.get_server_capabilities_async()
        assert MODEL in [model.model_name for model in capabilities.supported_models]
        fresh = await service.create_lora_training_client_async(MODEL, rank=2)
        loaded = await service.create_training_client_from_state_async(state)
        resumed = await service.create_training_client_from_state_with_optimizer_async(state)
        await (await fresh.load_state_async(state))
        for client in (fresh, loaded, resumed):
            assert (await client.get_info_async()).model_id == client.model_id
        path = (await (await trainer.save_weights_for_sampler_async("twin", ttl_seconds=3600))).path
        for made in (
            await service.create_sampling_client_async(model_path=path),
            await service.create_sampling_client_async(base_model=MODEL),
            await trainer.create_sampling_client_async(path),
            await trainer.save_weights_and_get_sampling_client_async(),
            await trainer.save_weights_and_get_sampling_client_submit(),
        ):
            assert type(made) is tinker.SamplingClient
            assert len(await made.compute_logprobs_async(prompt())) == len(TOKENS)

    asyncio.run(use())


@pytest.mark.parametrize("loss", ["importance_sampling", "ppo", "cispo", "dro"])
def test_rl_losses(trainer: tinker.TrainingClient, loss: types.LossFnType) -> None:
    config = {"beta": 0.1} if loss == "dro" else None
    output = trainer.forward_backward([rewarded()], loss_fn=loss, loss_fn_config=config).result(60)
    assert output.loss_fn_outputs[0]["logprobs"].to_torch().shape == (5,)


def test_passes_and_steps_the_future_way(trainer: tinker.TrainingClient) -> None:
    passed = trainer.forward_backward([supervised()], loss_fn="cross_entropy")
    stepped = trainer.optim_step(types.AdamParams(learning_rate=1e-4, beta1=0.9, beta2=0.95, eps=1e-8))
    output = passed.result()
    assert isinstance(output.metrics["loss:sum"], float)
    logprobs = output.loss_fn_outputs[0]["logprobs"]
    assert logprobs.data == logprobs.tolist() == logprobs.to_numpy().tolist()
    assert stepped.result().metrics is None or isinstance(stepped.result().metrics, dict)
    scored = trainer.forward([supervised()], "cross_entropy").result()
    assert len(scored.loss_fn_outputs[0]["logprobs"].data) == 5

    def loss(data: list[types.Datum], rows: list[torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        return -rows[0].sum(), {"count": float(len(data))}

    assert trainer.forward_backward_custom([supervised()], loss).result().metrics["count"] == 1.0


def test_a_step_without_settings_of_a_kind_is_refused_at_the_call(trainer: tinker.TrainingClient) -> None:
    for wrong in (None, {"learning_rate": 0.1}, 0.1):
        with pytest.raises(TypeError, match="such as AdamParams"):
            trainer.optim_step(wrong)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="not both"):
        trainer.optim_step(types.AdamParams(), adam_params=types.AdamParams())


def test_passes_and_steps_by_twins(trainer: tinker.TrainingClient) -> None:
    async def use() -> None:
        passed = await trainer.forward_backward_async([supervised()], loss_fn="cross_entropy")
        stepped = await trainer.optim_step_async(types.AdamParams(learning_rate=1e-4))
        scored = await trainer.forward_async([supervised()], "cross_entropy")
        custom = await trainer.forward_backward_custom_async([supervised()], lambda _, rows: (-rows[0].sum(), {}))
        for future in (passed, stepped, scored, custom):
            assert isinstance(future, tinker.APIFuture)
        assert (await passed.result_async()).metrics
        await stepped.result_async()
        assert await asyncio.create_task(scored.coroutine()) is scored.result()
        assert (await custom).metrics

    asyncio.run(use())


def test_saves(trainer: tinker.TrainingClient, rest: tinker.RestClient) -> None:
    saved = trainer.save_state("kept", ttl_seconds=3600).result(60)
    for_sampler = trainer.save_weights_for_sampler(name="for-sampler", ttl_seconds=None).result(60)
    external = trainer.save_weights_external("outside", age_encryption_recipients=None).result(60)
    assert saved.path.endswith("/weights/kept")
    assert for_sampler.path.endswith("/sampler_weights/for-sampler")
    parsed = types.ParsedCheckpointTinkerPath.from_tinker_path(saved.path)
    assert (parsed.training_run_id, parsed.checkpoint_type) == (trainer.model_id, "training")
    assert rest.get_external_weights_urls(external.path).result(60).urls

    async def twins() -> None:
        assert (await (await trainer.save_state_async("kept-too"))).path

    asyncio.run(twins())


def test_samples(sampler: tinker.SamplingClient) -> None:
    answer = sampler.sample(
        prompt=prompt(),
        num_samples=2,
        sampling_params=types.SamplingParams(max_tokens=3, temperature=1.0, top_p=0.9, top_k=20, seed=1, stop=[257]),
        include_prompt_logprobs=True,
        topk_prompt_logprobs=2,
    ).result(60)
    for sequence in answer.sequences:
        assert len(sequence.tokens) == len(sequence.logprobs or [])
        assert sequence.stop_reason in ("stop", "length")
        assert isinstance(sequence.sequence_id, str)
    assert answer.prompt_logprobs is not None
    assert answer.topk_prompt_logprobs is not None
    assert (len(answer.prompt_logprobs), len(answer.topk_prompt_logprobs)) == (len(TOKENS), len(TOKENS))
    assert answer.prompt_cache_hit_tokens >= 0
    targets = types.TensorData.from_numpy(np.array([TOKENS[1:]]).T)
    scored = sampler.sample(prompt(), 1, PARAMS, target_prompt_logprobs=targets).result(60)
    assert scored.target_prompt_logprobs is not None
    stopped = sampler.sample(prompt(), 1, types.SamplingParams(max_tokens=2, stop=["\n\n", "END"])).result(60)
    assert len(stopped.sequences) == 1
    assert len(sampler.compute_logprobs(prompt()).result(60)) == len(TOKENS)


def test_samples_by_twins_together(sampler: tinker.SamplingClient) -> None:
    async def use() -> list[Any]:
        twins = (sampler.sample_async(prompt=prompt(), num_samples=1, sampling_params=PARAMS) for _ in range(3))
        return await asyncio.gather(
            *twins, sampler.sample(prompt(), 1, PARAMS), sampler.compute_logprobs_async(prompt())
        )

    *answers, logprobs = asyncio.run(use())
    assert len({tuple(answer.sequences[0].tokens) for answer in answers}) == 1
    assert len(logprobs) == len(TOKENS)


def test_tokenizers(trainer: tinker.TrainingClient, sampler: tinker.SamplingClient) -> None:
    for tokenizer in (trainer.get_tokenizer(), sampler.get_tokenizer()):
        assert tokenizer.decode(tokenizer.encode("a way home")) == "a way home"


def test_records(service: tinker.ServiceClient, rest: tinker.RestClient, trainer: tinker.TrainingClient) -> None:
    path = trainer.save_state("record").result(60).path
    run = rest.get_training_run_by_tinker_path(path).result(60)
    assert (run.base_model, run.user_metadata) == (MODEL, {"run": "one"})
    rest.set_checkpoint_ttl_from_tinker_path(path, 3600).result(60)
    assert rest.get_weights_info_by_tinker_path(path).result(60).base_model == MODEL
    sampler_path = trainer.save_weights_for_sampler("record").result(60).path
    assert rest.get_checkpoint_archive_url_from_tinker_path(sampler_path).result(60).url
    assert rest.get_audit_log().result(60).entries is not None

    async def twins() -> None:
        assert (await rest.get_training_run_by_tinker_path_async(path)).training_run_id == trainer.model_id
        await rest.publish_checkpoint_from_tinker_path_async(path)
        await rest.unpublish_checkpoint_from_tinker_path_async(path)
        await rest.set_checkpoint_ttl_from_tinker_path_async(path, None)
        listed = (await rest.list_checkpoints_async(trainer.model_id)).checkpoints
        assert path in [checkpoint.tinker_path for checkpoint in listed]
        assert (await rest.list_user_checkpoints_async(limit=5)).checkpoints
        await rest.delete_checkpoint_from_tinker_path_async(path)

    asyncio.run(twins())
    rest.delete_checkpoint_from_tinker_path(sampler_path).result(60)
    with pytest.raises(tinker.TinkerError):
        rest.get_weights_info_by_tinker_path(path).result(60)


def test_an_audit_entry_has_its_fields() -> None:
    entry = types.AuditLogEntry(timestamp=datetime.now(UTC), event="checkpoint_created")
    assert (entry.model_id, entry.tinker_path, entry.purpose) == (None, None, None)
    assert types.AuditLogResponse(entries=[entry]).entries == [entry]


def test_a_token_says_who_one_is(rest: tinker.RestClient) -> None:
    who = rest.whoami().result(30)
    assert who.user_urn.startswith("tml:")
    assert who.org_urn.startswith("tml:organization:")


def test_model_inputs_are_built_and_read() -> None:
    built = types.ModelInput.empty().append(types.EncodedTextChunk(tokens=[1, 2])).append_int(3)
    assert (built.to_ints(), built.length) == ([1, 2, 3], 3)
    text = [chunk for chunk in built.chunks if isinstance(chunk, types.EncodedTextChunk)]
    assert [token for chunk in text for token in chunk.tokens] == [1, 2, 3]
    assert sum(chunk.length for chunk in text) == 3
    image = types.ImageChunk(data=b"bytes", format="png", expected_tokens=4)
    pointer = types.ImageAssetPointerChunk(format="jpeg", location="https://x/y.jpg", expected_tokens=5)
    mixed = types.ModelInput(chunks=[types.EncodedTextChunk(tokens=[1]), image, pointer])
    assert mixed.length == 10
    with pytest.raises(ValueError, match="text"):
        mixed.to_ints()


def test_loss_inputs_are_read_assigned_and_removed() -> None:
    datum = rewarded(mask=types.TensorData(data=[1.0] * 5, dtype="float32", shape=[5]))
    advantages = datum.loss_fn_inputs["advantages"]
    assert (advantages.data[0], sum(advantages.data), advantages.shape) == (-0.5, -2.5, (5,)) or advantages.shape == [5]
    datum.loss_fn_inputs["advantages"] = types.TensorData.from_torch(torch.ones(5))
    datum.loss_fn_inputs.pop("mask")
    assert sorted(datum.loss_fn_inputs) == ["advantages", "logprobs", "target_tokens"]
    without = {key: value for key, value in datum.loss_fn_inputs.items() if key != "logprobs"}
    assert types.Datum(model_input=datum.model_input, loss_fn_inputs=without).model_input.length == 5


def test_provenance_is_attached() -> None:
    datum = supervised().with_provenance(
        model_input=[types.PromptProvenanceSpan(sequence_id="a", length=5)],
        loss_fn_inputs=[types.SampledProvenanceSpan(sequence_id="a", length=5)],
    )
    assert datum.model_input_spans is not None


def test_a_mask_is_removed_before_sending_as_recipes_do(trainer: tinker.TrainingClient) -> None:
    datum = rewarded(mask=types.TensorData(data=[1.0] * 5, dtype="float32", shape=[5]))
    inputs = {key: value for key, value in datum.loss_fn_inputs.items() if key != "mask"}
    sent = types.Datum(model_input=datum.model_input, loss_fn_inputs=inputs)
    assert trainer.forward_backward([sent], loss_fn="importance_sampling").result(60).metrics


# 14.5: what the code around it expects of the classes.

WRAPPED = {
    tinker.TrainingClient: (
        "forward forward_backward forward_backward_custom optim_step save_state save_weights_for_sampler "
        "save_weights_external save_weights_and_get_sampling_client create_sampling_client load_state "
        "load_state_with_optimizer get_info"
    ),
    tinker.SamplingClient: "sample compute_logprobs get_base_model",
    tinker.ServiceClient: (
        "create_lora_training_client create_training_client_from_state create_sampling_client get_server_capabilities "
        "create_training_client_from_state_with_optimizer"
    ),
}
METHODS = [
    (kind, f"{name}{suffix}") for kind, names in WRAPPED.items() for name in names.split() for suffix in ("", "_async")
]


@pytest.mark.parametrize(("kind", "name"), METHODS, ids=lambda value: getattr(value, "__name__", value))
def test_methods_are_ordinary_functions_that_can_be_replaced(
    kind: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hasattr(kind, name)
    original = inspect.getattr_static(kind, name)
    assert inspect.isfunction(original)
    assert inspect.iscoroutinefunction(original) is name.endswith("_async")
    monkeypatch.setattr(kind, name, lambda self, *args, **kwargs: (name, args, kwargs))
    assert getattr(kind.__new__(kind), name)(1, two=2) == (name, (1,), {"two": 2})


def test_a_wrapped_method_records_every_call(trainer: tinker.TrainingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[Any] = []
    original = tinker.TrainingClient.forward_backward

    def wrapped(self: Any, data: Any, loss_fn: Any, loss_fn_config: Any = None) -> Any:
        future = original(self, data, loss_fn, loss_fn_config)
        future.add_done_callback(lambda done: recorded.append(done.result().metrics))
        return future

    monkeypatch.setattr(tinker.TrainingClient, "forward_backward", wrapped)
    output = trainer.forward_backward([supervised()], "cross_entropy").result(60)
    # A waiter may be served before the callbacks are.
    concurrent.futures.wait([trainer.forward([supervised()], "cross_entropy")], 60)
    assert recorded == [output.metrics]


inside = contextvars.ContextVar("inside", default=False)


@pytest.mark.parametrize(
    ("kind", "name", "arguments"),
    [
        (tinker.TrainingClient, "forward_backward", ([supervised()], "cross_entropy")),
        (tinker.TrainingClient, "optim_step", (types.AdamParams(learning_rate=0.0),)),
        (tinker.TrainingClient, "save_weights_for_sampler", ("twin-context",)),
        (tinker.SamplingClient, "sample", (prompt(), 1, PARAMS)),
        (tinker.SamplingClient, "compute_logprobs", (prompt(),)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_twin_calls_the_method_in_the_callers_context(
    kind: type,
    name: str,
    arguments: tuple[Any, ...],
    trainer: tinker.TrainingClient,
    sampler: tinker.SamplingClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bool] = []
    original = getattr(kind, name)

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(inside.get())
        return original(self, *args, **kwargs)

    monkeypatch.setattr(kind, name, wrapped)

    async def use() -> None:
        inside.set(True)
        client = trainer if kind is tinker.TrainingClient else sampler
        await getattr(client, f"{name}_async")(*arguments)

    asyncio.run(use())
    assert seen == [True]


@pytest.mark.parametrize(
    "kind", [tinker.ServiceClient, tinker.TrainingClient, tinker.SamplingClient, tinker.RestClient, tinker.AdminClient]
)
def test_mocks_with_the_class_as_their_spec(kind: type) -> None:
    mock = MagicMock(spec=kind)
    assert isinstance(mock, kind)
    for name in vars(kind):
        if name.endswith("_async"):
            assert isinstance(getattr(mock, name), AsyncMock)
    with pytest.raises(AttributeError):
        mock.no_such_method()


def test_a_mocked_sampler_answers_as_a_recipes_test_has_it_answer() -> None:
    mock = MagicMock(spec=tinker.SamplingClient)
    sequence = types.SampledSequence(stop_reason="stop", tokens=[1, 2], logprobs=[-0.1, -0.2])
    mock.sample_async.return_value = types.SampleResponse(sequences=[sequence])
    answer = asyncio.run(mock.sample_async(prompt=prompt(), num_samples=1, sampling_params=PARAMS))
    assert answer.sequences[0].tokens == [1, 2]


def rollout(client: tinker.SamplingClient) -> Any:
    return client.sample(prompt(), 1, PARAMS).result(60)


def test_a_sampler_and_its_answers_pass_to_spawned_processes_and_back(sampler: tinker.SamplingClient) -> None:
    here = sampler.sample(prompt(), 1, PARAMS).result(60)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(rollout, (sampler,))
    assert there.sequences[0].tokens == here.sequences[0].tokens
    assert there.sequences[0].stop_reason == here.sequences[0].stop_reason


def test_a_tracer_reads_which_sampling_session_a_sample_belongs_to(
    trainer: tinker.TrainingClient, rest: tinker.RestClient
) -> None:
    making = trainer.save_weights_and_get_sampling_client()
    assert getattr(making, "_sampling_session_id", None) is None
    sampling_session = making.result(60)._sampling_session_id
    assert rest.get_sampler(sampling_session).result(10).sampler_id == sampling_session


def test_results_and_errors_can_be_pickled(trainer: tinker.TrainingClient) -> None:
    output = trainer.forward([supervised()], "cross_entropy").result(60)
    again = pickle.loads(pickle.dumps(output))
    assert again.metrics == output.metrics
    assert again.loss_fn_outputs[0]["logprobs"].tolist() == output.loss_fn_outputs[0]["logprobs"].tolist()
    response = httpx.Response(429, request=httpx.Request("GET", "http://x"))
    errors = [
        tinker.RateLimitError("slow down", response=response, body=None),
        tinker.APITimeoutError(request=response.request),
        tinker.APIConnectionError(request=response.request, message="broken"),
        tinker.RequestFailedError("failed", "id", types.RequestErrorCategory.User),
    ]
    for error in errors:
        copied = pickle.loads(pickle.dumps(error))
        assert (type(copied), str(copied)) == (type(error), str(error))


def test_futures_take_callbacks_and_serve_the_standard_library(sampler: tinker.SamplingClient) -> None:
    futures = [sampler.sample(prompt(), 1, PARAMS) for _ in range(2)]
    done, waiting = concurrent.futures.wait([future.future() for future in futures], timeout=60)
    assert (len(done), len(waiting)) == (2, 0)
    called: list[Any] = []
    futures[0].add_done_callback(called.append)
    assert called == [futures[0]]

    async def wrapped() -> Any:
        return await asyncio.wrap_future(futures[1].future())

    assert asyncio.run(wrapped()) is futures[1].result()


# 14.6: the constructor.


@pytest.mark.parametrize("arguments", [{}, {"base_url": "http://localhost:1", "api_key": "tml-key"}])
def test_a_service_client_is_made_without_a_request(arguments: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", "http://localhost:1")
    monkeypatch.setenv("TINKER_API_KEY", "tml-key")
    tinker.ServiceClient(**arguments).close().result(10)
