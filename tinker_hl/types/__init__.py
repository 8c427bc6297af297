"""Public data types, under the official names: immutable, numpy inside, built by keyword.

One concept a module. Each is loaded when one of its names is first asked for (PEP 562): most programs use a few of
them, and making the classes takes its time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinker_hl.types.arrays import TensorDtype as TensorDtype
    from tinker_hl.types.audit import ApiKeyDetails as ApiKeyDetails
    from tinker_hl.types.audit import ApiKeyInfo as ApiKeyInfo
    from tinker_hl.types.audit import ApiKeyOrg as ApiKeyOrg
    from tinker_hl.types.audit import ApiKeyUser as ApiKeyUser
    from tinker_hl.types.audit import AuditLogEntry as AuditLogEntry
    from tinker_hl.types.audit import AuditLogResponse as AuditLogResponse
    from tinker_hl.types.audit import WhoamiResponse as WhoamiResponse
    from tinker_hl.types.billing import BillingEventInfo as BillingEventInfo
    from tinker_hl.types.billing import BillingUsageEvent as BillingUsageEvent
    from tinker_hl.types.billing import BillingUsageResponse as BillingUsageResponse
    from tinker_hl.types.billing import BillingUsageSession as BillingUsageSession
    from tinker_hl.types.billing import CheckpointBillingEvent as CheckpointBillingEvent
    from tinker_hl.types.billing import CurrentCheckpointStorageUsageItem as CurrentCheckpointStorageUsageItem
    from tinker_hl.types.billing import CurrentCheckpointStorageUsageResponse as CurrentCheckpointStorageUsageResponse
    from tinker_hl.types.billing import GetBillingUsageRequest as GetBillingUsageRequest
    from tinker_hl.types.billing import (
        GetCurrentCheckpointStorageUsageRequest as GetCurrentCheckpointStorageUsageRequest,
    )
    from tinker_hl.types.billing import SamplingPrefillBillingEvent as SamplingPrefillBillingEvent
    from tinker_hl.types.billing import SamplingSampleBillingEvent as SamplingSampleBillingEvent
    from tinker_hl.types.billing import StorageBillingEvent as StorageBillingEvent
    from tinker_hl.types.billing import TrainingBillingEvent as TrainingBillingEvent
    from tinker_hl.types.config import AuthTokenResponse as AuthTokenResponse
    from tinker_hl.types.config import ClientConfigRequest as ClientConfigRequest
    from tinker_hl.types.config import ClientConfigResponse as ClientConfigResponse
    from tinker_hl.types.config import ClientDynamicConfigResponse as ClientDynamicConfigResponse
    from tinker_hl.types.custom_loss import CreateCustomLossRequest as CreateCustomLossRequest
    from tinker_hl.types.custom_loss import CreateCustomLossResponse as CreateCustomLossResponse
    from tinker_hl.types.custom_loss import CustomLossGraph as CustomLossGraph
    from tinker_hl.types.custom_loss import CustomLossInput as CustomLossInput
    from tinker_hl.types.custom_loss import CustomLossInputRank as CustomLossInputRank
    from tinker_hl.types.custom_loss import CustomLossNode as CustomLossNode
    from tinker_hl.types.datum import Datum as Datum
    from tinker_hl.types.datum import LossFnInputs as LossFnInputs
    from tinker_hl.types.dmel_chunk import DmelChunk as DmelChunk
    from tinker_hl.types.futures import FutureCompletion as FutureCompletion
    from tinker_hl.types.futures import FutureFailed as FutureFailed
    from tinker_hl.types.futures import FutureFinished as FutureFinished
    from tinker_hl.types.futures import FutureRetrieveRequest as FutureRetrieveRequest
    from tinker_hl.types.futures import FuturesRetrieveRequest as FuturesRetrieveRequest
    from tinker_hl.types.futures import FuturesRetrieveResponse as FuturesRetrieveResponse
    from tinker_hl.types.futures import RequestErrorCategory as RequestErrorCategory
    from tinker_hl.types.futures import RequestFailedResponse as RequestFailedResponse
    from tinker_hl.types.futures import RequestID as RequestID
    from tinker_hl.types.futures import SamplingSessionFuturesTarget as SamplingSessionFuturesTarget
    from tinker_hl.types.futures import TryAgainResponse as TryAgainResponse
    from tinker_hl.types.futures import UntypedAPIFuture as UntypedAPIFuture
    from tinker_hl.types.image_chunk import ImageAssetPointerChunk as ImageAssetPointerChunk
    from tinker_hl.types.image_chunk import ImageChunk as ImageChunk
    from tinker_hl.types.lora import LoraConfig as LoraConfig
    from tinker_hl.types.model_input import EncodedTextChunk as EncodedTextChunk
    from tinker_hl.types.model_input import ModelInput as ModelInput
    from tinker_hl.types.model_input import ModelInputChunk as ModelInputChunk
    from tinker_hl.types.models import CreateModelRequest as CreateModelRequest
    from tinker_hl.types.models import CreateModelResponse as CreateModelResponse
    from tinker_hl.types.models import GetInfoRequest as GetInfoRequest
    from tinker_hl.types.models import GetInfoResponse as GetInfoResponse
    from tinker_hl.types.models import GetServerCapabilitiesResponse as GetServerCapabilitiesResponse
    from tinker_hl.types.models import HealthResponse as HealthResponse
    from tinker_hl.types.models import ModelData as ModelData
    from tinker_hl.types.models import ModelID as ModelID
    from tinker_hl.types.models import SupportedModel as SupportedModel
    from tinker_hl.types.models import UnloadModelRequest as UnloadModelRequest
    from tinker_hl.types.models import UnloadModelResponse as UnloadModelResponse
    from tinker_hl.types.open_record import Unrecognized as Unrecognized
    from tinker_hl.types.optimizer import AdamOptimizerConfig as AdamOptimizerConfig
    from tinker_hl.types.optimizer import AdamParams as AdamParams
    from tinker_hl.types.optimizer import DimuonOptimizerConfig as DimuonOptimizerConfig
    from tinker_hl.types.optimizer import DimuonParams as DimuonParams
    from tinker_hl.types.optimizer import OptimizerConfig as OptimizerConfig
    from tinker_hl.types.optimizer import OptimizerConfigBase as OptimizerConfigBase
    from tinker_hl.types.optimizer import OptimParams as OptimParams
    from tinker_hl.types.optimizer import OptimParamsBase as OptimParamsBase
    from tinker_hl.types.optimizer import OptimStepRequest as OptimStepRequest
    from tinker_hl.types.optimizer import OptimStepResponse as OptimStepResponse
    from tinker_hl.types.polled import FutureRetrieveResponse as FutureRetrieveResponse
    from tinker_hl.types.provenance import PromptProvenanceSpan as PromptProvenanceSpan
    from tinker_hl.types.provenance import ProvenanceSpans as ProvenanceSpans
    from tinker_hl.types.provenance import SampledProvenanceSpan as SampledProvenanceSpan
    from tinker_hl.types.runs import Checkpoint as Checkpoint
    from tinker_hl.types.runs import CheckpointArchiveUrlResponse as CheckpointArchiveUrlResponse
    from tinker_hl.types.runs import CheckpointsListResponse as CheckpointsListResponse
    from tinker_hl.types.runs import CheckpointType as CheckpointType
    from tinker_hl.types.runs import Cursor as Cursor
    from tinker_hl.types.runs import ParsedCheckpointTinkerPath as ParsedCheckpointTinkerPath
    from tinker_hl.types.runs import TrainingRun as TrainingRun
    from tinker_hl.types.runs import TrainingRunsResponse as TrainingRunsResponse
    from tinker_hl.types.sample_response import PromptAltTokens as PromptAltTokens
    from tinker_hl.types.sample_response import SampledSequence as SampledSequence
    from tinker_hl.types.sample_response import SampleResponse as SampleResponse
    from tinker_hl.types.sampling import CreateSamplingSessionRequest as CreateSamplingSessionRequest
    from tinker_hl.types.sampling import CreateSamplingSessionResponse as CreateSamplingSessionResponse
    from tinker_hl.types.sampling import GetSamplerResponse as GetSamplerResponse
    from tinker_hl.types.sampling import JoinSamplingSessionRequest as JoinSamplingSessionRequest
    from tinker_hl.types.sampling import JoinSamplingSessionResponse as JoinSamplingSessionResponse
    from tinker_hl.types.sampling import SampleRequest as SampleRequest
    from tinker_hl.types.sampling import SamplingClientKind as SamplingClientKind
    from tinker_hl.types.sampling import SamplingParams as SamplingParams
    from tinker_hl.types.sampling import StopReason as StopReason
    from tinker_hl.types.sessions import AccessibleSearchOwner as AccessibleSearchOwner
    from tinker_hl.types.sessions import ActiveSessionStatusQuery as ActiveSessionStatusQuery
    from tinker_hl.types.sessions import CancelledSessionStatusQuery as CancelledSessionStatusQuery
    from tinker_hl.types.sessions import ClientFinishedSessionStatusQuery as ClientFinishedSessionStatusQuery
    from tinker_hl.types.sessions import ClientSessionFinished as ClientSessionFinished
    from tinker_hl.types.sessions import ClientSessionFinishErrored as ClientSessionFinishErrored
    from tinker_hl.types.sessions import ClientSessionFinishInterrupted as ClientSessionFinishInterrupted
    from tinker_hl.types.sessions import ClientSessionFinishReason as ClientSessionFinishReason
    from tinker_hl.types.sessions import ClientSessionFinishReasonType as ClientSessionFinishReasonType
    from tinker_hl.types.sessions import ClientSessionFinishSuccess as ClientSessionFinishSuccess
    from tinker_hl.types.sessions import CreateSessionRequest as CreateSessionRequest
    from tinker_hl.types.sessions import CreateSessionResponse as CreateSessionResponse
    from tinker_hl.types.sessions import FailedSessionStatusQuery as FailedSessionStatusQuery
    from tinker_hl.types.sessions import GetSessionResponse as GetSessionResponse
    from tinker_hl.types.sessions import ListSessionsResponse as ListSessionsResponse
    from tinker_hl.types.sessions import OwnSearchOwner as OwnSearchOwner
    from tinker_hl.types.sessions import SearchOwner as SearchOwner
    from tinker_hl.types.sessions import SessionActive as SessionActive
    from tinker_hl.types.sessions import SessionCancelled as SessionCancelled
    from tinker_hl.types.sessions import SessionFailed as SessionFailed
    from tinker_hl.types.sessions import SessionFailedReason as SessionFailedReason
    from tinker_hl.types.sessions import SessionFailedRequestReason as SessionFailedRequestReason
    from tinker_hl.types.sessions import SessionFailedSamplingSessionReason as SessionFailedSamplingSessionReason
    from tinker_hl.types.sessions import SessionFailedTrainingRunReason as SessionFailedTrainingRunReason
    from tinker_hl.types.sessions import SessionHeartbeatRequest as SessionHeartbeatRequest
    from tinker_hl.types.sessions import SessionHeartbeatResponse as SessionHeartbeatResponse
    from tinker_hl.types.sessions import SessionSearchCursor as SessionSearchCursor
    from tinker_hl.types.sessions import SessionSearchRequest as SessionSearchRequest
    from tinker_hl.types.sessions import SessionSearchResponse as SessionSearchResponse
    from tinker_hl.types.sessions import SessionStatus as SessionStatus
    from tinker_hl.types.sessions import SessionStatusQuery as SessionStatusQuery
    from tinker_hl.types.sessions import SessionSummary as SessionSummary
    from tinker_hl.types.sessions import TraceExportResponse as TraceExportResponse
    from tinker_hl.types.sessions import UserSearchOwner as UserSearchOwner
    from tinker_hl.types.telemetry import EventType as EventType
    from tinker_hl.types.telemetry import GenericEvent as GenericEvent
    from tinker_hl.types.telemetry import SessionEndEvent as SessionEndEvent
    from tinker_hl.types.telemetry import SessionStartEvent as SessionStartEvent
    from tinker_hl.types.telemetry import Severity as Severity
    from tinker_hl.types.telemetry import TelemetryBatch as TelemetryBatch
    from tinker_hl.types.telemetry import TelemetryEvent as TelemetryEvent
    from tinker_hl.types.telemetry import TelemetryResponse as TelemetryResponse
    from tinker_hl.types.telemetry import TelemetrySendRequest as TelemetrySendRequest
    from tinker_hl.types.telemetry import UnhandledExceptionEvent as UnhandledExceptionEvent
    from tinker_hl.types.tensor_data import TensorData as TensorData
    from tinker_hl.types.topk import TopkLogprobs as TopkLogprobs
    from tinker_hl.types.training import ForwardBackwardInput as ForwardBackwardInput
    from tinker_hl.types.training import ForwardBackwardOutput as ForwardBackwardOutput
    from tinker_hl.types.training import ForwardBackwardRequest as ForwardBackwardRequest
    from tinker_hl.types.training import ForwardRequest as ForwardRequest
    from tinker_hl.types.training import LossFnOutput as LossFnOutput
    from tinker_hl.types.training import LossFnType as LossFnType
    from tinker_hl.types.weights import CopyWeightsRequest as CopyWeightsRequest
    from tinker_hl.types.weights import CopyWeightsResponse as CopyWeightsResponse
    from tinker_hl.types.weights import ExternalWeightsUrlsResponse as ExternalWeightsUrlsResponse
    from tinker_hl.types.weights import LoadWeightsRequest as LoadWeightsRequest
    from tinker_hl.types.weights import LoadWeightsResponse as LoadWeightsResponse
    from tinker_hl.types.weights import SaveWeightsExternalRequest as SaveWeightsExternalRequest
    from tinker_hl.types.weights import SaveWeightsExternalResponse as SaveWeightsExternalResponse
    from tinker_hl.types.weights import SaveWeightsExternalResponseInternal as SaveWeightsExternalResponseInternal
    from tinker_hl.types.weights import SaveWeightsForSamplerRequest as SaveWeightsForSamplerRequest
    from tinker_hl.types.weights import SaveWeightsForSamplerResponse as SaveWeightsForSamplerResponse
    from tinker_hl.types.weights import SaveWeightsForSamplerResponseInternal as SaveWeightsForSamplerResponseInternal
    from tinker_hl.types.weights import SaveWeightsRequest as SaveWeightsRequest
    from tinker_hl.types.weights import SaveWeightsResponse as SaveWeightsResponse
    from tinker_hl.types.weights import WeightsInfoResponse as WeightsInfoResponse

_NAMES_BY_MODULE: dict[str, tuple[str, ...]] = {
    "arrays": ("TensorDtype",),
    "audit": (
        "ApiKeyDetails",
        "ApiKeyInfo",
        "ApiKeyOrg",
        "ApiKeyUser",
        "AuditLogEntry",
        "AuditLogResponse",
        "WhoamiResponse",
    ),
    "billing": (
        "BillingEventInfo",
        "BillingUsageEvent",
        "BillingUsageResponse",
        "BillingUsageSession",
        "CheckpointBillingEvent",
        "CurrentCheckpointStorageUsageItem",
        "CurrentCheckpointStorageUsageResponse",
        "GetBillingUsageRequest",
        "GetCurrentCheckpointStorageUsageRequest",
        "SamplingPrefillBillingEvent",
        "SamplingSampleBillingEvent",
        "StorageBillingEvent",
        "TrainingBillingEvent",
    ),
    "config": (
        "AuthTokenResponse",
        "ClientConfigRequest",
        "ClientConfigResponse",
        "ClientDynamicConfigResponse",
    ),
    "custom_loss": (
        "CreateCustomLossRequest",
        "CreateCustomLossResponse",
        "CustomLossGraph",
        "CustomLossInput",
        "CustomLossInputRank",
        "CustomLossNode",
    ),
    "datum": (
        "Datum",
        "LossFnInputs",
    ),
    "dmel_chunk": ("DmelChunk",),
    "futures": (
        "FutureCompletion",
        "FutureFailed",
        "FutureFinished",
        "FutureRetrieveRequest",
        "FuturesRetrieveRequest",
        "FuturesRetrieveResponse",
        "RequestErrorCategory",
        "RequestFailedResponse",
        "RequestID",
        "SamplingSessionFuturesTarget",
        "TryAgainResponse",
        "UntypedAPIFuture",
    ),
    "image_chunk": (
        "ImageAssetPointerChunk",
        "ImageChunk",
    ),
    "lora": ("LoraConfig",),
    "model_input": (
        "EncodedTextChunk",
        "ModelInput",
        "ModelInputChunk",
    ),
    "models": (
        "CreateModelRequest",
        "CreateModelResponse",
        "GetInfoRequest",
        "GetInfoResponse",
        "GetServerCapabilitiesResponse",
        "HealthResponse",
        "ModelData",
        "ModelID",
        "SupportedModel",
        "UnloadModelRequest",
        "UnloadModelResponse",
    ),
    "open_record": ("Unrecognized",),
    "optimizer": (
        "AdamOptimizerConfig",
        "AdamParams",
        "DimuonOptimizerConfig",
        "DimuonParams",
        "OptimParams",
        "OptimParamsBase",
        "OptimStepRequest",
        "OptimStepResponse",
        "OptimizerConfig",
        "OptimizerConfigBase",
    ),
    "polled": ("FutureRetrieveResponse",),
    "provenance": (
        "PromptProvenanceSpan",
        "ProvenanceSpans",
        "SampledProvenanceSpan",
    ),
    "runs": (
        "Checkpoint",
        "CheckpointArchiveUrlResponse",
        "CheckpointType",
        "CheckpointsListResponse",
        "Cursor",
        "ParsedCheckpointTinkerPath",
        "TrainingRun",
        "TrainingRunsResponse",
    ),
    "sample_response": (
        "PromptAltTokens",
        "SampleResponse",
        "SampledSequence",
    ),
    "sampling": (
        "CreateSamplingSessionRequest",
        "CreateSamplingSessionResponse",
        "GetSamplerResponse",
        "JoinSamplingSessionRequest",
        "JoinSamplingSessionResponse",
        "SampleRequest",
        "SamplingClientKind",
        "SamplingParams",
        "StopReason",
    ),
    "sessions": (
        "AccessibleSearchOwner",
        "ActiveSessionStatusQuery",
        "CancelledSessionStatusQuery",
        "ClientFinishedSessionStatusQuery",
        "ClientSessionFinishErrored",
        "ClientSessionFinishInterrupted",
        "ClientSessionFinishReason",
        "ClientSessionFinishReasonType",
        "ClientSessionFinishSuccess",
        "ClientSessionFinished",
        "CreateSessionRequest",
        "CreateSessionResponse",
        "FailedSessionStatusQuery",
        "GetSessionResponse",
        "ListSessionsResponse",
        "OwnSearchOwner",
        "SearchOwner",
        "SessionActive",
        "SessionCancelled",
        "SessionFailed",
        "SessionFailedReason",
        "SessionFailedRequestReason",
        "SessionFailedSamplingSessionReason",
        "SessionFailedTrainingRunReason",
        "SessionHeartbeatRequest",
        "SessionHeartbeatResponse",
        "SessionSearchCursor",
        "SessionSearchRequest",
        "SessionSearchResponse",
        "SessionStatus",
        "SessionStatusQuery",
        "SessionSummary",
        "TraceExportResponse",
        "UserSearchOwner",
    ),
    "telemetry": (
        "EventType",
        "GenericEvent",
        "SessionEndEvent",
        "SessionStartEvent",
        "Severity",
        "TelemetryBatch",
        "TelemetryEvent",
        "TelemetryResponse",
        "TelemetrySendRequest",
        "UnhandledExceptionEvent",
    ),
    "tensor_data": ("TensorData",),
    "topk": ("TopkLogprobs",),
    "training": (
        "ForwardBackwardInput",
        "ForwardBackwardOutput",
        "ForwardBackwardRequest",
        "ForwardRequest",
        "LossFnOutput",
        "LossFnType",
    ),
    "weights": (
        "CopyWeightsRequest",
        "CopyWeightsResponse",
        "ExternalWeightsUrlsResponse",
        "LoadWeightsRequest",
        "LoadWeightsResponse",
        "SaveWeightsExternalRequest",
        "SaveWeightsExternalResponse",
        "SaveWeightsExternalResponseInternal",
        "SaveWeightsForSamplerRequest",
        "SaveWeightsForSamplerResponse",
        "SaveWeightsForSamplerResponseInternal",
        "SaveWeightsRequest",
        "SaveWeightsResponse",
        "WeightsInfoResponse",
    ),
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__all__ = [*_MODULES]  # pyright: ignore[reportUnsupportedDunderAll]  # tied to the above by a test


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
