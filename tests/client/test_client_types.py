"""The public types together: names, strictness, construction of both generations, dumps, pickles."""

import ast
import copy
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch

from tinker_hl import types
from tinker_hl.types.optimizer import OptimParamsBase
from tinker_hl.types.record import Answer, Record

OFFICIAL_NAMES = """
    AccessibleSearchOwner ActiveSessionStatusQuery AdamOptimizerConfig AdamParams AuditLogEntry AuditLogResponse
    AuthTokenResponse BillingEventInfo BillingUsageEvent BillingUsageResponse BillingUsageSession
    CancelledSessionStatusQuery Checkpoint CheckpointArchiveUrlResponse CheckpointBillingEvent CheckpointType
    CheckpointsListResponse ClientConfigRequest ClientConfigResponse ClientDynamicConfigResponse
    ClientFinishedSessionStatusQuery ClientSessionFinishErrored ClientSessionFinishInterrupted
    ClientSessionFinishReason ClientSessionFinishReasonType ClientSessionFinishSuccess ClientSessionFinished
    CopyWeightsRequest CopyWeightsResponse CreateCustomLossRequest CreateCustomLossResponse CreateModelRequest
    CreateModelResponse CreateSamplingSessionRequest CreateSamplingSessionResponse CreateSessionRequest
    CreateSessionResponse CurrentCheckpointStorageUsageItem CurrentCheckpointStorageUsageResponse Cursor
    CustomLossGraph CustomLossInput CustomLossInputRank CustomLossNode Datum DimuonOptimizerConfig DimuonParams
    DmelChunk EncodedTextChunk EventType ExternalWeightsUrlsResponse FailedSessionStatusQuery ForwardBackwardInput
    ForwardBackwardOutput ForwardBackwardRequest ForwardRequest FutureCompletion FutureFailed FutureFinished
    FutureRetrieveRequest FutureRetrieveResponse FuturesRetrieveRequest FuturesRetrieveResponse GenericEvent
    GetBillingUsageRequest GetCurrentCheckpointStorageUsageRequest GetInfoRequest GetInfoResponse
    GetSamplerResponse GetServerCapabilitiesResponse GetSessionResponse HealthResponse ImageAssetPointerChunk
    ImageChunk JoinSamplingSessionRequest JoinSamplingSessionResponse ListSessionsResponse LoadWeightsRequest
    LoadWeightsResponse LoraConfig LossFnInputs LossFnOutput LossFnType ModelData ModelID ModelInput
    ModelInputChunk OptimParams OptimStepRequest OptimStepResponse OptimizerConfig OwnSearchOwner
    ParsedCheckpointTinkerPath PromptAltTokens PromptProvenanceSpan ProvenanceSpans RequestErrorCategory
    RequestFailedResponse RequestID SampleRequest SampleResponse SampledProvenanceSpan SampledSequence
    SamplingClientKind SamplingParams SamplingPrefillBillingEvent SamplingSampleBillingEvent
    SamplingSessionFuturesTarget SaveWeightsExternalRequest SaveWeightsExternalResponse
    SaveWeightsExternalResponseInternal SaveWeightsForSamplerRequest SaveWeightsForSamplerResponse
    SaveWeightsForSamplerResponseInternal SaveWeightsRequest SaveWeightsResponse SearchOwner SessionActive
    SessionCancelled SessionEndEvent SessionFailed SessionFailedReason SessionFailedRequestReason
    SessionFailedSamplingSessionReason SessionFailedTrainingRunReason SessionHeartbeatRequest
    SessionHeartbeatResponse SessionSearchCursor SessionSearchRequest SessionSearchResponse SessionStartEvent
    SessionStatus SessionStatusQuery SessionSummary Severity StopReason StorageBillingEvent SupportedModel
    TelemetryBatch TelemetryEvent TelemetryResponse TelemetrySendRequest TensorData TensorDtype
    TrainingBillingEvent TrainingRun TrainingRunsResponse TryAgainResponse UnhandledExceptionEvent
    UnloadModelRequest UnloadModelResponse UntypedAPIFuture UserSearchOwner WeightsInfoResponse WhoamiResponse
"""


def test_every_official_name_is_there() -> None:
    assert [name for name in OFFICIAL_NAMES.split() if name not in types.__all__] == []
    assert [name for name in types.__all__ if not hasattr(types, name)] == []


def test_import_paths_that_research_code_uses() -> None:
    from tinker_hl.types.image_chunk import ImageChunk
    from tinker_hl.types.tensor_data import TensorData

    assert ImageChunk is types.ImageChunk
    assert TensorData is types.TensorData


RECORDS = sorted(
    {kind for name in types.__all__ if inspect.isclass(kind := getattr(types, name)) and issubclass(kind, Record)},
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_type_is_an_immutable_record(kind: type[Record]) -> None:
    assert attrs.has(kind)
    assert not hasattr(kind, "__dict__") or "__slots__" in vars(kind)
    assert kind.__doc__


@pytest.mark.parametrize(
    ("kind", "argument", "says"),
    [
        (types.SamplingParams, "max_token", "did you mean 'max_tokens'"),
        (types.AdamParams, "learning_rat", "did you mean 'learning_rate'"),
        (types.AdamParams, "lr", "it takes learning_rate, beta1"),
        (types.LoraConfig, "ranks", "did you mean 'rank'"),
        (types.SampledSequence, "token", "did you mean 'tokens'"),
        (types.TensorData, "dtypes", "did you mean 'dtype'"),
        (types.EncodedTextChunk, "token", "did you mean 'tokens'"),
        (types.OptimStepResponse, "metric", "did you mean 'metrics'"),
    ],
)
def test_a_misspelt_argument_is_named(kind: type[Record], argument: str, says: str) -> None:
    with pytest.raises(TypeError, match=f"{kind.__name__} has no argument '{argument}'; .*{says}"):
        kind(**{argument: 1})


def test_a_missing_argument_is_named_by_python() -> None:
    with pytest.raises(TypeError, match="rank"):
        types.LoraConfig()  # type: ignore[call-arg]  # on purpose


def test_defaults_are_those_of_the_protocol() -> None:
    assert types.AdamParams().model_dump() == {
        "learning_rate": 0.0001,
        "beta1": 0.9,
        "beta2": 0.95,
        "eps": 1e-12,
        "weight_decay": 0.0,
        "grad_clip_norm": 0.0,
    }
    params = types.SamplingParams().model_dump()
    assert params == {"max_tokens": None, "seed": None, "stop": None, "temperature": 1.0, "top_k": -1, "top_p": 1.0}
    lora = types.LoraConfig(rank=8).model_dump()
    assert lora == {"rank": 8, "seed": None, "train_unembed": True, "train_mlp": True, "train_attn": True}


def test_numbers_of_numpy_and_torch_become_plain() -> None:
    params = types.SamplingParams(max_tokens=np.int64(3), temperature=torch.tensor(0.5), stop=np.array([1, 2]))  # type: ignore[arg-type]
    assert params == types.SamplingParams(max_tokens=3, temperature=0.5, stop=[1, 2])
    assert {type(value) for value in (params.max_tokens, params.temperature)} == {int, float}


@pytest.mark.parametrize(
    "make",
    [
        lambda: types.SamplingParams(max_tokens=1.5),
        lambda: types.SamplingParams(max_tokens="3.5"),
        lambda: types.SamplingParams(temperature=float("nan")),
        lambda: types.SamplingParams(stop=["a", 1]),
        lambda: types.AdamParams(learning_rate="nan"),
        lambda: types.AdamParams(learning_rate=float("inf")),
        lambda: types.AdamParams(learning_rate=-1e-4),
        lambda: types.AdamParams(beta1=1.0),
        lambda: types.AdamParams(beta2=-0.1),
        lambda: types.AdamParams(eps=-1e-12),
        lambda: types.AdamParams(weight_decay=-0.1),
        lambda: types.AdamParams(grad_clip_norm=-1.0),
        lambda: types.LoraConfig(rank=0),
        lambda: types.LoraConfig(rank=8, train_mlp="yes"),
        lambda: types.DimuonParams(learning_rate=-1.0),
        lambda: types.DimuonParams(learning_rate=0.1, beta1=1.0),
        lambda: types.SessionSearchRequest(limit=201),
        lambda: types.SessionSearchRequest(display_name=""),
        lambda: types.UserSearchOwner(owner_urns=[]),
        lambda: types.OptimStepRequest(model_id="m"),
    ],
)
def test_values_that_no_service_takes_are_refused(make: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: types.SamplingParams(temperature="hot"), "SamplingParams.temperature: a number is needed, got 'hot'"),
        (lambda: types.SamplingParams(max_tokens=2.5), "SamplingParams.max_tokens: a whole number is needed, got 2.5"),
        (lambda: types.AdamParams(beta2=None), "AdamParams.beta2: a number is needed, got None"),
        (lambda: types.AdamParams(learning_rate="x"), "AdamParams.learning_rate: a number is needed, got 'x'"),
        (lambda: types.SamplingParams(stop=[1.5]), "SamplingParams.stop: a whole number is needed, got 1.5"),
        (lambda: types.SamplingParams(stop=5), "^stop takes a string"),
    ],
)
def test_the_field_of_a_value_that_is_refused_is_named(make: Callable[[], object], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        make()


def test_records_do_not_change() -> None:
    params = types.AdamParams()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        params.learning_rate = 1.0  # type: ignore[misc]  # on purpose
    assert params.model_copy(update={"learning_rate": 1.0}).learning_rate == 1.0
    assert params.learning_rate == 0.0001
    with pytest.raises(TypeError, match="lr"):
        params.model_copy(update={"lr": 1.0})


def test_fields_are_listed_and_turned_into_a_dict_as_pydantics_are() -> None:
    wanted = {"max_tokens": 3, "temperature": 0.5, "epochs": 2}
    known = {name: value for name, value in wanted.items() if name in types.SamplingParams.model_fields}
    params = types.SamplingParams(**known)  # type: ignore[arg-type]  # by name
    assert dict(params) == params.model_dump()
    assert list(types.SamplingParams.model_fields) == [name for name, _ in params]
    assert types.AdamParams.model_fields["beta2"].default == 0.95


def test_fields_are_described_as_pydantics_are() -> None:
    described = types.LoraConfig.model_fields
    assert described["rank"].is_required()
    assert not described["seed"].is_required()
    assert (described["train_mlp"].annotation, described["train_mlp"].default) == (bool, True)
    inputs = types.Datum.model_fields["loss_fn_inputs"]
    assert inputs.default_factory is not None
    assert not inputs.is_required()


def test_some_fields_are_dumped() -> None:
    params = types.AdamParams(beta1=0.5)
    assert params.model_dump(exclude_defaults=True) == params.model_dump(exclude_unset=True) == {"beta1": 0.5}
    assert params.model_dump(include={"beta1", "beta2"}, exclude=["beta2"], by_alias=True) == {"beta1": 0.5}
    assert params.model_dump_json(include={"beta1"}) == '{"beta1":0.5}'
    request = types.SampleRequest(
        prompt=types.ModelInput.from_ints([1]), sampling_params=types.SamplingParams(max_tokens=3)
    )
    assert request.model_dump(exclude_defaults=True) == {
        "prompt": {"chunks": [{"tokens": [1]}]},
        "sampling_params": {"max_tokens": 3},
    }
    with pytest.raises(TypeError, match="names of fields"):
        request.model_dump(exclude={"prompt": {"chunks"}})


def test_a_dump_is_written_as_pydantic_writes_it() -> None:
    """Bytes are text in either mode, so that a logged input is JSON; a time in UTC ends with Z."""
    image = types.ImageChunk(data=b"abc", format="png")
    assert image.model_dump(exclude_none=True) == {"data": "YWJj", "format": "png", "type": "image"}
    assert types.ImageChunk.model_validate(image.model_dump()) == image
    cursor = types.SessionSearchCursor(last_created_at="2026-08-01T12:30:00Z", last_session_id="s")
    assert cursor.model_dump(mode="json")["last_created_at"] == "2026-08-01T12:30:00Z"


def test_a_text_that_spells_a_number_is_one() -> None:
    """What YAML's readers give for 1e-4, and command lines for everything."""
    assert types.AdamParams(learning_rate="1e-4").learning_rate == 1e-4
    assert types.SamplingParams(max_tokens="3", temperature="0.5") == types.SamplingParams(
        max_tokens=3, temperature=0.5
    )


def test_an_optimizer_step_is_sent_under_the_name_of_its_family() -> None:
    adam = types.OptimStepRequest(model_id="m", adam_params=types.AdamParams(), seq_id=2)
    assert adam.wire_dict()["adam_params"]["learning_rate"] == 0.0001
    assert adam == types.OptimStepRequest(model_id="m", optim_params=types.AdamParams(), seq_id=2)
    other = types.OptimStepRequest(model_id="m", optim_params=types.DimuonParams(learning_rate=0.1))
    assert other.wire_dict()["optimizer_params"]["type"] == "dimuon"
    assert "seq_id" not in other.wire_dict()


@pytest.mark.parametrize(
    ("settings", "family"),
    [
        ({"learning_rate": 0.1}, types.AdamParams),
        ({"type": "dimuon", "learning_rate": 0.1}, types.DimuonParams),
        ({"type": "sgd", "momentum": 0.9}, OptimParamsBase),
    ],
)
def test_an_optimizer_step_is_made_from_plain_dicts(settings: dict[str, object], family: type) -> None:
    for name in ("optim_params", "adam_params"):
        step = types.OptimStepRequest.model_validate({"model_id": "m", name: settings})
        assert step == types.OptimStepRequest(model_id="m", **{name: settings})  # type: ignore[arg-type]  # a dict
        assert type(step.optim_params) is family


def test_a_pass_is_read_back_from_its_dump() -> None:
    datum = types.Datum(types.ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3]})
    work = types.ForwardBackwardInput(data=[datum], loss_fn="ppo", loss_fn_config={"beta": 0.5, "kind": "x"})
    assert types.ForwardBackwardInput.model_validate_json(work.model_dump_json()) == work


def test_a_datum_does_not_lose_its_spans_when_it_is_read_back() -> None:
    spans: types.ProvenanceSpans = [types.PromptProvenanceSpan(sequence_id="a", length=2)]
    datum = types.Datum(types.ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3]}).with_provenance(spans, spans)
    dumped = datum.model_dump()
    with pytest.raises(ValueError, match="does not say of which kind"):
        types.Datum.model_validate(dumped)
    kept = {"model_input_spans": spans, "loss_fn_input_spans": spans}
    assert types.Datum.model_validate(dumped | kept) == datum


def test_an_unknown_optimizer_family_is_carried() -> None:
    params = OptimParamsBase(type="sgd", momentum=0.9)
    assert params.momentum == 0.9
    assert params.wire_dict() == {"type": "sgd", "momentum": 0.9}
    for again in (copy.deepcopy(params), pickle.loads(pickle.dumps(params)), params.model_copy()):
        assert again == params
    assert params.model_copy(update={"momentum": 0.5}).momentum == 0.5
    with pytest.raises(AttributeError, match="nesterov"):
        _ = params.nesterov


def test_checkpoint_paths_are_parsed() -> None:
    parse = types.ParsedCheckpointTinkerPath.from_tinker_path
    parsed = parse("tinker://run:train:0/sampler_weights/0001")
    assert (parsed.training_run_id, parsed.checkpoint_type, parsed.checkpoint_id) == (
        "run:train:0",
        "sampler",
        "sampler_weights/0001",
    )
    assert parse("tinker://r/weights/a").checkpoint_type == "training"
    assert parse("tinker://r/external_weights/a").checkpoint_type == "external"
    for wrong in ("tinker://r/a", "r/weights/a", "tinker://r/weights/a/b", "tinker://r/other/a", "tinker://r/weights/"):
        with pytest.raises(ValueError, match="Invalid tinker path"):
            parse(wrong)


def test_pages_of_the_console() -> None:
    saved = types.SaveWeightsForSamplerResponse(path="tinker://run:train:0/sampler_weights/x")
    base = "https://tinker.thinkingmachines.ai"
    assert saved.get_console_url() == f"{base}/checkpoints/run%3Atrain%3A0/sampler_weights%2Fx"
    assert saved.get_playground_url().endswith("checkpoint=tinker%3A%2F%2Frun%3Atrain%3A0%2Fsampler_weights%2Fx")


def test_secrets_are_not_shown() -> None:
    assert "abc" not in repr(types.AuthTokenResponse(jwt="abc"))
    request = types.LoadWeightsRequest(path="tinker://r/weights/x", optimizer=False, weights_access_token="abc")
    assert "abc" not in repr(request)


def test_what_is_sent_has_tags_and_no_nulls() -> None:
    request = types.SampleRequest(
        prompt=types.ModelInput.from_ints([7]).append(types.ImageChunk(data=b"ab", format="png")),
        sampling_params=types.SamplingParams(max_tokens=3, stop=[]),
        seq_id=0,
    )
    from tinker_hl.codec.json import encode_record, loads

    assert loads(encode_record(request)) == {
        "num_samples": 1,
        "prompt": {
            "chunks": [
                {"tokens": [7], "type": "encoded_text"},
                {"data": "YWI=", "format": "png", "type": "image"},
            ]
        },
        "sampling_params": {"max_tokens": 3, "stop": [], "temperature": 1.0, "top_k": -1, "top_p": 1.0},
        "seq_id": 0,
        "topk_prompt_logprobs": 0,
        "topk_sample_logprobs": 0,
        "prompt_alt_tokens_k": 0,
        "type": "sample",
    }


def test_answers_drop_unknown_fields_and_requests_refuse_them() -> None:
    assert issubclass(types.GetSamplerResponse, Answer)
    known = {"sampler_id": "s", "base_model": "b"}
    assert types.GetSamplerResponse.model_validate({**known, "new": 1}) == types.GetSamplerResponse(**known)
    with pytest.raises(ValueError, match="max_token"):
        types.SamplingParams.model_validate({"max_token": 3})


def test_what_a_type_checker_sees_is_what_is_loaded_on_demand() -> None:
    tree = ast.parse(Path(str(types.__file__)).read_text(encoding="utf-8"))
    seen = [
        (str(node.module).removeprefix("tinker_hl.types."), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tinker_hl.types.")
        for alias in node.names
    ]
    assert sorted(seen) == sorted((module, name) for name, module in types._MODULES.items())
    for name in types.__all__:
        assert getattr(types, name) is not None
    assert set(types.__all__) <= set(dir(types))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        types.Nonsense  # noqa: B018  # reading it is the test
