"""The research client for the Tinker API.

Importing it is cheap: every name below is loaded from its module on first use (PEP 562), and neither torch nor numpy
nor an HTTP library before a client or a type is.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from tinker_hl.version import __title__, __version__

if TYPE_CHECKING:
    from tinker_hl import auth as auth
    from tinker_hl import types as types
    from tinker_hl.call_settings import call_options as call_options
    from tinker_hl.circuit_breaker import CircuitBreaker as CircuitBreaker
    from tinker_hl.clients.admin import AdminClient as AdminClient
    from tinker_hl.clients.rest import RestClient as RestClient
    from tinker_hl.clients.sampling import PendingSamplingClient as PendingSamplingClient
    from tinker_hl.clients.sampling import SamplingClient as SamplingClient
    from tinker_hl.clients.service import ServiceClient as ServiceClient
    from tinker_hl.clients.training import PendingTrainingClient as PendingTrainingClient
    from tinker_hl.clients.training import TrainingClient as TrainingClient
    from tinker_hl.custom_loss.handle import LossHandle as LossHandle
    from tinker_hl.custom_loss.handle import PerDatumLossFn as PerDatumLossFn
    from tinker_hl.errors import APIConnectionError as APIConnectionError
    from tinker_hl.errors import APIError as APIError
    from tinker_hl.errors import APIResponseValidationError as APIResponseValidationError
    from tinker_hl.errors import APIStatusError as APIStatusError
    from tinker_hl.errors import APITimeoutError as APITimeoutError
    from tinker_hl.errors import AuthenticationError as AuthenticationError
    from tinker_hl.errors import BadRequestError as BadRequestError
    from tinker_hl.errors import BillingError as BillingError
    from tinker_hl.errors import CircuitOpenError as CircuitOpenError
    from tinker_hl.errors import ConfigurationError as ConfigurationError
    from tinker_hl.errors import ConflictError as ConflictError
    from tinker_hl.errors import CustomLossError as CustomLossError
    from tinker_hl.errors import InternalServerError as InternalServerError
    from tinker_hl.errors import InvalidDatumError as InvalidDatumError
    from tinker_hl.errors import LossOptionError as LossOptionError
    from tinker_hl.errors import ModelLostError as ModelLostError
    from tinker_hl.errors import NoProgressError as NoProgressError
    from tinker_hl.errors import NotFoundError as NotFoundError
    from tinker_hl.errors import PermissionDeniedError as PermissionDeniedError
    from tinker_hl.errors import RateLimitError as RateLimitError
    from tinker_hl.errors import RequestFailedError as RequestFailedError
    from tinker_hl.errors import ResultExpiredError as ResultExpiredError
    from tinker_hl.errors import SessionClosedError as SessionClosedError
    from tinker_hl.errors import SubmissionFailedError as SubmissionFailedError
    from tinker_hl.errors import TinkerError as TinkerError
    from tinker_hl.errors import UnexpectedAnswerError as UnexpectedAnswerError
    from tinker_hl.errors import UnprocessableEntityError as UnprocessableEntityError
    from tinker_hl.errors import VerificationError as VerificationError
    from tinker_hl.events import Event as Event
    from tinker_hl.experimental import ExperimentalWarning as ExperimentalWarning
    from tinker_hl.futures import APIFuture as APIFuture
    from tinker_hl.generated_client import Timeout as Timeout
    from tinker_hl.request_options import RequestOptions as RequestOptions
    from tinker_hl.retry import RetryConfig as RetryConfig
    from tinker_hl.retry import RetryPolicy as RetryPolicy
    from tinker_hl.transport import AsgiTransport as AsgiTransport
    from tinker_hl.transport import NetworkTransport as NetworkTransport
    from tinker_hl.transport import Transport as Transport
    from tinker_hl.types import AdamOptimizerConfig as AdamOptimizerConfig
    from tinker_hl.types import AdamParams as AdamParams
    from tinker_hl.types import Checkpoint as Checkpoint
    from tinker_hl.types import CheckpointType as CheckpointType
    from tinker_hl.types import Datum as Datum
    from tinker_hl.types import DimuonOptimizerConfig as DimuonOptimizerConfig
    from tinker_hl.types import DimuonParams as DimuonParams
    from tinker_hl.types import DmelChunk as DmelChunk
    from tinker_hl.types import EncodedTextChunk as EncodedTextChunk
    from tinker_hl.types import ForwardBackwardOutput as ForwardBackwardOutput
    from tinker_hl.types import ImageChunk as ImageChunk
    from tinker_hl.types import LoraConfig as LoraConfig
    from tinker_hl.types import LossFnType as LossFnType
    from tinker_hl.types import ModelID as ModelID
    from tinker_hl.types import ModelInput as ModelInput
    from tinker_hl.types import ModelInputChunk as ModelInputChunk
    from tinker_hl.types import OptimParams as OptimParams
    from tinker_hl.types import OptimStepRequest as OptimStepRequest
    from tinker_hl.types import OptimStepResponse as OptimStepResponse
    from tinker_hl.types import ParsedCheckpointTinkerPath as ParsedCheckpointTinkerPath
    from tinker_hl.types import PromptProvenanceSpan as PromptProvenanceSpan
    from tinker_hl.types import SampledProvenanceSpan as SampledProvenanceSpan
    from tinker_hl.types import SampledSequence as SampledSequence
    from tinker_hl.types import SampleRequest as SampleRequest
    from tinker_hl.types import SampleResponse as SampleResponse
    from tinker_hl.types import SamplingParams as SamplingParams
    from tinker_hl.types import StopReason as StopReason
    from tinker_hl.types import TensorData as TensorData
    from tinker_hl.types import TensorDtype as TensorDtype
    from tinker_hl.types import TrainingRun as TrainingRun

    BackcompatSamplingClientFuture = PendingSamplingClient
    BackcompatTrainingClientFuture = PendingTrainingClient

_NAMES_BY_MODULE: dict[str, tuple[str, ...]] = {
    "call_settings": ("call_options",),
    "circuit_breaker": ("CircuitBreaker",),
    "clients.admin": ("AdminClient",),
    "clients.rest": ("RestClient",),
    "clients.sampling": ("SamplingClient",),
    "clients.service": ("ServiceClient",),
    "clients.training": ("TrainingClient",),
    "custom_loss.handle": ("LossHandle", "PerDatumLossFn"),
    "errors": (
        "APIConnectionError",
        "APIError",
        "APIResponseValidationError",
        "APIStatusError",
        "APITimeoutError",
        "AuthenticationError",
        "BadRequestError",
        "BillingError",
        "CircuitOpenError",
        "ConfigurationError",
        "ConflictError",
        "CustomLossError",
        "InternalServerError",
        "InvalidDatumError",
        "LossOptionError",
        "ModelLostError",
        "NoProgressError",
        "NotFoundError",
        "PermissionDeniedError",
        "RateLimitError",
        "RequestFailedError",
        "ResultExpiredError",
        "SessionClosedError",
        "SubmissionFailedError",
        "TinkerError",
        "UnexpectedAnswerError",
        "UnprocessableEntityError",
        "VerificationError",
    ),
    "events": ("Event",),
    "experimental": ("ExperimentalWarning",),
    "futures": ("APIFuture",),
    "generated_client": ("Timeout",),
    "request_options": ("RequestOptions",),
    "retry": ("RetryConfig", "RetryPolicy"),
    "transport": ("AsgiTransport", "NetworkTransport", "Transport"),
    "types": (
        "AdamOptimizerConfig",
        "AdamParams",
        "Checkpoint",
        "CheckpointType",
        "Datum",
        "DimuonOptimizerConfig",
        "DimuonParams",
        "DmelChunk",
        "EncodedTextChunk",
        "ForwardBackwardOutput",
        "ImageChunk",
        "LoraConfig",
        "LossFnType",
        "ModelID",
        "ModelInput",
        "ModelInputChunk",
        "OptimParams",
        "OptimStepRequest",
        "OptimStepResponse",
        "ParsedCheckpointTinkerPath",
        "PromptProvenanceSpan",
        "SampleRequest",
        "SampleResponse",
        "SampledProvenanceSpan",
        "SampledSequence",
        "SamplingParams",
        "StopReason",
        "TensorData",
        "TensorDtype",
        "TrainingRun",
    ),
}
_RENAMED = {
    "BackcompatSamplingClientFuture": ("clients.sampling", "PendingSamplingClient"),
    "BackcompatTrainingClientFuture": ("clients.training", "PendingTrainingClient"),
}
_PLACES = {name: (module, name) for module, names in _NAMES_BY_MODULE.items() for name in names} | _RENAMED

__all__ = [*_PLACES, "__title__", "__version__", "auth", "types"]  # pyright: ignore[reportUnsupportedDunderAll]  # tied to the above by a test


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once."""
    if name in ("auth", "types"):
        return importlib.import_module(f"tinker_hl.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'tinker_hl' has no attribute {name!r}")
    module, original = _PLACES[name]
    value = getattr(importlib.import_module(f"tinker_hl.{module}"), original)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})


if os.environ.get("TINKER_LOG"):
    importlib.import_module("tinker_hl.log_output").show_log()
