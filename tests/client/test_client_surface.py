"""What `import tinker_hl` costs and offers."""

import subprocess
import sys
from unittest.mock import MagicMock

import pytest

import tinker_hl

HEAVY = ("torch", "transformers", "tokenizers", "numpy", "aiohttp", "httpx", "attrs", "google.protobuf", "tinker_api")

NAMES = """
APIConnectionError APIError APIFuture APIResponseValidationError APIStatusError APITimeoutError AdamOptimizerConfig
AdamParams AdminClient AsgiTransport AuthenticationError BackcompatSamplingClientFuture BackcompatTrainingClientFuture
BadRequestError BillingError Checkpoint CheckpointType CircuitBreaker CircuitOpenError ConfigurationError ConflictError
CustomLossError Datum DimuonOptimizerConfig DimuonParams DmelChunk EncodedTextChunk Event ExperimentalWarning
ForwardBackwardOutput ImageChunk InternalServerError InvalidDatumError LoraConfig LossFnType LossHandle LossOptionError
ModelID ModelInput ModelInputChunk ModelLostError NetworkTransport NoProgressError NotFoundError OptimParams
OptimStepRequest OptimStepResponse ParsedCheckpointTinkerPath PerDatumLossFn PermissionDeniedError PromptProvenanceSpan
RateLimitError RequestFailedError RequestOptions RestClient ResultExpiredError RetryConfig RetryPolicy SampleRequest
SampleResponse SampledProvenanceSpan SampledSequence SamplingClient SamplingParams ServiceClient SessionClosedError
StopReason SubmissionFailedError TensorData TensorDtype Timeout TinkerError TrainingClient TrainingRun Transport
UnexpectedAnswerError UnprocessableEntityError VerificationError __title__ __version__ auth call_options types
"""


def loaded_after(statement: str) -> list[str]:
    program = f"import sys; {statement}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return list(eval(done.stdout))


def test_importing_it_loads_nothing_heavy() -> None:
    assert loaded_after("import tinker_hl") == []


def test_clients_and_types_load_neither_torch_nor_tokenizers() -> None:
    loaded = loaded_after("from tinker_hl import *; import tinker_hl.types")
    assert not {"torch", "transformers", "tokenizers"} & set(loaded)


def test_the_public_names_are_these() -> None:
    assert sorted(tinker_hl.__all__) == sorted(NAMES.split())


def test_each_public_name_is_there_and_listed() -> None:
    for name in tinker_hl.__all__:
        assert getattr(tinker_hl, name) is not None
        assert name in dir(tinker_hl)
    with pytest.raises(AttributeError, match="Nonsense"):
        tinker_hl.Nonsense  # noqa: B018  # reading it is the test


@pytest.mark.parametrize("kind", [tinker_hl.SamplingClient, tinker_hl.TrainingClient, tinker_hl.ServiceClient])
def test_clients_can_be_mocked_and_patched(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    mock = MagicMock(spec=kind)
    assert isinstance(mock, kind)
    with pytest.raises(AttributeError):
        mock.no_such_method()
    method = next(name for name in vars(kind) if not name.startswith("_"))
    monkeypatch.setattr(kind, method, lambda self: "patched")
    assert getattr(kind, method)(None) == "patched"


def test_each_method_that_gives_a_future_has_a_twin() -> None:
    missing = []
    for kind in (tinker_hl.TrainingClient, tinker_hl.SamplingClient, tinker_hl.ServiceClient, tinker_hl.RestClient):
        for name, method in vars(kind).items():
            returns = str(getattr(method, "__annotations__", {}).get("return", ""))
            if "APIFuture" in returns and not name.startswith("_") and not name.endswith("_async"):
                missing += [f"{kind.__name__}.{name}"] if not hasattr(kind, f"{name}_async") else []
    # The official client has no twins of these either.
    assert missing == [
        "ServiceClient.create_custom_loss",
        "ServiceClient.copy_weights",
        "ServiceClient.close",
        "RestClient.get_server_capabilities",
        "RestClient.get_weights_info_by_tinker_path",
        "RestClient.search_sessions",
        "RestClient.whoami",
    ]
