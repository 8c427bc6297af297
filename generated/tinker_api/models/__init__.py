"""Every type of the API, by name. Each is imported when it is first asked for: all of them together take long."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .access_scope import AccessScope
    from .accessible_owner import AccessibleOwner
    from .active_status import ActiveStatus
    from .active_status_query import ActiveStatusQuery
    from .adam_optimizer_config import AdamOptimizerConfig
    from .adam_params import AdamParams
    from .adapter_config import AdapterConfig
    from .api_key_details import ApiKeyDetails
    from .api_key_info import ApiKeyInfo
    from .assign_session_project_request import AssignSessionProjectRequest
    from .audit_event_details import AuditEventDetails
    from .audit_event_type import AuditEventType
    from .audit_log_entry import AuditLogEntry
    from .audit_log_response import AuditLogResponse
    from .auth_token_request import AuthTokenRequest
    from .auth_token_response import AuthTokenResponse
    from .billing_session import BillingSession
    from .billing_sessions import BillingSessions
    from .billing_usage_event import BillingUsageEvent
    from .billing_usage_response import BillingUsageResponse
    from .cancel_future_request import CancelFutureRequest
    from .cancelled_status import CancelledStatus
    from .cancelled_status_query import CancelledStatusQuery
    from .checkpoint import Checkpoint
    from .checkpoint_archive_url_response import CheckpointArchiveUrlResponse
    from .checkpoint_billing_event import CheckpointBillingEvent
    from .checkpoint_kind import CheckpointKind
    from .checkpoint_storage_usage import CheckpointStorageUsage
    from .checkpoint_type import CheckpointType
    from .checkpoints_list_response import CheckpointsListResponse
    from .client_config_request import ClientConfigRequest
    from .client_config_response import ClientConfigResponse
    from .client_dynamic_config_response import ClientDynamicConfigResponse
    from .client_finished_status import ClientFinishedStatus
    from .client_finished_status_query import ClientFinishedStatusQuery
    from .complete_metadata_response import CompleteMetadataResponse
    from .copy_weights_request import CopyWeightsRequest
    from .copy_weights_response import CopyWeightsResponse
    from .create_custom_loss_request import CreateCustomLossRequest
    from .create_custom_loss_response import CreateCustomLossResponse
    from .create_model_request import CreateModelRequest
    from .create_model_response import CreateModelResponse
    from .create_sampling_session_request import CreateSamplingSessionRequest
    from .create_sampling_session_response import CreateSamplingSessionResponse
    from .create_session_request import CreateSessionRequest
    from .create_session_response import CreateSessionResponse
    from .current_checkpoint_storage_usage_response import (
        CurrentCheckpointStorageUsageResponse,
    )
    from .cursor import Cursor
    from .custom_loss_graph import CustomLossGraph
    from .custom_loss_input import CustomLossInput
    from .custom_loss_kwargs import CustomLossKwargs
    from .custom_loss_node import CustomLossNode
    from .custom_loss_op import CustomLossOp
    from .datum import Datum
    from .dimuon_optimizer_config import DimuonOptimizerConfig
    from .dimuon_params import DimuonParams
    from .dmel_chunk import DmelChunk
    from .encoded_text_chunk import EncodedTextChunk
    from .error_response import ErrorResponse
    from .event_data import EventData
    from .external_weights_urls_response import ExternalWeightsUrlsResponse
    from .failed_status import FailedStatus
    from .failed_status_query import FailedStatusQuery
    from .finish_reason import FinishReason
    from .finish_reason_type import FinishReasonType
    from .finish_session_request import FinishSessionRequest
    from .forward_backward_input import ForwardBackwardInput
    from .forward_backward_output import ForwardBackwardOutput
    from .forward_backward_request import ForwardBackwardRequest
    from .forward_request import ForwardRequest
    from .free_form_metadata import FreeFormMetadata
    from .future_failed import FutureFailed
    from .future_finished import FutureFinished
    from .future_retrieve_request import FutureRetrieveRequest
    from .futures_retrieve_request import FuturesRetrieveRequest
    from .futures_retrieve_response import FuturesRetrieveResponse
    from .generic_event import GenericEvent
    from .get_info_request import GetInfoRequest
    from .get_info_response import GetInfoResponse
    from .get_sampler_response import GetSamplerResponse
    from .get_server_capabilities_response import GetServerCapabilitiesResponse
    from .get_session_response import GetSessionResponse
    from .health_response import HealthResponse
    from .image_asset_pointer_chunk import ImageAssetPointerChunk
    from .image_chunk import ImageChunk
    from .image_format import ImageFormat
    from .import_weights_request import ImportWeightsRequest
    from .import_weights_response import ImportWeightsResponse
    from .join_sampling_session_request import JoinSamplingSessionRequest
    from .join_sampling_session_response import JoinSamplingSessionResponse
    from .list_sessions_response import ListSessionsResponse
    from .load_weights_request import LoadWeightsRequest
    from .load_weights_response import LoadWeightsResponse
    from .lora_config import LoraConfig
    from .loss_fn_config import LossFnConfig
    from .loss_fn_inputs import LossFnInputs
    from .loss_fn_output import LossFnOutput
    from .loss_fn_type import LossFnType
    from .metrics import Metrics
    from .model_data import ModelData
    from .model_input import ModelInput
    from .open_optimizer_config import OpenOptimizerConfig
    from .open_optimizer_params import OpenOptimizerParams
    from .optim_step_request import OptimStepRequest
    from .optim_step_response import OptimStepResponse
    from .org_details import OrgDetails
    from .own_owner import OwnOwner
    from .queue_state import QueueState
    from .request_error_category import RequestErrorCategory
    from .request_failed_response import RequestFailedResponse
    from .request_failure import RequestFailure
    from .sample_request import SampleRequest
    from .sample_response import SampleResponse
    from .sampled_sequence import SampledSequence
    from .sampling_client_kind import SamplingClientKind
    from .sampling_params import SamplingParams
    from .sampling_prefill_billing_event import SamplingPrefillBillingEvent
    from .sampling_sample_billing_event import SamplingSampleBillingEvent
    from .sampling_session_failure import SamplingSessionFailure
    from .sampling_session_target import SamplingSessionTarget
    from .save_weights_external_request import SaveWeightsExternalRequest
    from .save_weights_external_response_internal import (
        SaveWeightsExternalResponseInternal,
    )
    from .save_weights_for_sampler_request import SaveWeightsForSamplerRequest
    from .save_weights_for_sampler_response_internal import (
        SaveWeightsForSamplerResponseInternal,
    )
    from .save_weights_request import SaveWeightsRequest
    from .save_weights_response import SaveWeightsResponse
    from .server_limits import ServerLimits
    from .session_end_event import SessionEndEvent
    from .session_failure_category import SessionFailureCategory
    from .session_heartbeat_request import SessionHeartbeatRequest
    from .session_heartbeat_response import SessionHeartbeatResponse
    from .session_search_cursor import SessionSearchCursor
    from .session_search_request import SessionSearchRequest
    from .session_search_response import SessionSearchResponse
    from .session_start_event import SessionStartEvent
    from .session_summary import SessionSummary
    from .set_checkpoint_ttl_request import SetCheckpointTtlRequest
    from .severity import Severity
    from .signed_urls import SignedUrls
    from .stop_reason import StopReason
    from .storage_billing_event import StorageBillingEvent
    from .supported_model import SupportedModel
    from .telemetry_response import TelemetryResponse
    from .telemetry_send_request import TelemetrySendRequest
    from .tensor_data import TensorData
    from .tensor_dtype import TensorDtype
    from .trace_export_response import TraceExportResponse
    from .trace_export_status import TraceExportStatus
    from .training_billing_event import TrainingBillingEvent
    from .training_run import TrainingRun
    from .training_run_failure import TrainingRunFailure
    from .training_runs_response import TrainingRunsResponse
    from .try_again_response import TryAgainResponse
    from .unhandled_exception_event import UnhandledExceptionEvent
    from .unknown_billing_event_info import UnknownBillingEventInfo
    from .unknown_future_completion import UnknownFutureCompletion
    from .unknown_session_failure_reason import UnknownSessionFailureReason
    from .unknown_session_status import UnknownSessionStatus
    from .unload_model_request import UnloadModelRequest
    from .unload_model_response import UnloadModelResponse
    from .untyped_api_future import UntypedAPIFuture
    from .user_details import UserDetails
    from .user_metadata import UserMetadata
    from .user_owner import UserOwner
    from .validation_issue import ValidationIssue
    from .weights_info_request import WeightsInfoRequest
    from .weights_info_response import WeightsInfoResponse
    from .whoami_response import WhoamiResponse

__all__ = (
    "AccessibleOwner",
    "AccessScope",
    "ActiveStatus",
    "ActiveStatusQuery",
    "AdamOptimizerConfig",
    "AdamParams",
    "AdapterConfig",
    "ApiKeyDetails",
    "ApiKeyInfo",
    "AssignSessionProjectRequest",
    "AuditEventDetails",
    "AuditEventType",
    "AuditLogEntry",
    "AuditLogResponse",
    "AuthTokenRequest",
    "AuthTokenResponse",
    "BillingSession",
    "BillingSessions",
    "BillingUsageEvent",
    "BillingUsageResponse",
    "CancelFutureRequest",
    "CancelledStatus",
    "CancelledStatusQuery",
    "Checkpoint",
    "CheckpointArchiveUrlResponse",
    "CheckpointBillingEvent",
    "CheckpointKind",
    "CheckpointsListResponse",
    "CheckpointStorageUsage",
    "CheckpointType",
    "ClientConfigRequest",
    "ClientConfigResponse",
    "ClientDynamicConfigResponse",
    "ClientFinishedStatus",
    "ClientFinishedStatusQuery",
    "CompleteMetadataResponse",
    "CopyWeightsRequest",
    "CopyWeightsResponse",
    "CreateCustomLossRequest",
    "CreateCustomLossResponse",
    "CreateModelRequest",
    "CreateModelResponse",
    "CreateSamplingSessionRequest",
    "CreateSamplingSessionResponse",
    "CreateSessionRequest",
    "CreateSessionResponse",
    "CurrentCheckpointStorageUsageResponse",
    "Cursor",
    "CustomLossGraph",
    "CustomLossInput",
    "CustomLossKwargs",
    "CustomLossNode",
    "CustomLossOp",
    "Datum",
    "DimuonOptimizerConfig",
    "DimuonParams",
    "DmelChunk",
    "EncodedTextChunk",
    "ErrorResponse",
    "EventData",
    "ExternalWeightsUrlsResponse",
    "FailedStatus",
    "FailedStatusQuery",
    "FinishReason",
    "FinishReasonType",
    "FinishSessionRequest",
    "ForwardBackwardInput",
    "ForwardBackwardOutput",
    "ForwardBackwardRequest",
    "ForwardRequest",
    "FreeFormMetadata",
    "FutureFailed",
    "FutureFinished",
    "FutureRetrieveRequest",
    "FuturesRetrieveRequest",
    "FuturesRetrieveResponse",
    "GenericEvent",
    "GetInfoRequest",
    "GetInfoResponse",
    "GetSamplerResponse",
    "GetServerCapabilitiesResponse",
    "GetSessionResponse",
    "HealthResponse",
    "ImageAssetPointerChunk",
    "ImageChunk",
    "ImageFormat",
    "ImportWeightsRequest",
    "ImportWeightsResponse",
    "JoinSamplingSessionRequest",
    "JoinSamplingSessionResponse",
    "ListSessionsResponse",
    "LoadWeightsRequest",
    "LoadWeightsResponse",
    "LoraConfig",
    "LossFnConfig",
    "LossFnInputs",
    "LossFnOutput",
    "LossFnType",
    "Metrics",
    "ModelData",
    "ModelInput",
    "OpenOptimizerConfig",
    "OpenOptimizerParams",
    "OptimStepRequest",
    "OptimStepResponse",
    "OrgDetails",
    "OwnOwner",
    "QueueState",
    "RequestErrorCategory",
    "RequestFailedResponse",
    "RequestFailure",
    "SampledSequence",
    "SampleRequest",
    "SampleResponse",
    "SamplingClientKind",
    "SamplingParams",
    "SamplingPrefillBillingEvent",
    "SamplingSampleBillingEvent",
    "SamplingSessionFailure",
    "SamplingSessionTarget",
    "SaveWeightsExternalRequest",
    "SaveWeightsExternalResponseInternal",
    "SaveWeightsForSamplerRequest",
    "SaveWeightsForSamplerResponseInternal",
    "SaveWeightsRequest",
    "SaveWeightsResponse",
    "ServerLimits",
    "SessionEndEvent",
    "SessionFailureCategory",
    "SessionHeartbeatRequest",
    "SessionHeartbeatResponse",
    "SessionSearchCursor",
    "SessionSearchRequest",
    "SessionSearchResponse",
    "SessionStartEvent",
    "SessionSummary",
    "SetCheckpointTtlRequest",
    "Severity",
    "SignedUrls",
    "StopReason",
    "StorageBillingEvent",
    "SupportedModel",
    "TelemetryResponse",
    "TelemetrySendRequest",
    "TensorData",
    "TensorDtype",
    "TraceExportResponse",
    "TraceExportStatus",
    "TrainingBillingEvent",
    "TrainingRun",
    "TrainingRunFailure",
    "TrainingRunsResponse",
    "TryAgainResponse",
    "UnhandledExceptionEvent",
    "UnknownBillingEventInfo",
    "UnknownFutureCompletion",
    "UnknownSessionFailureReason",
    "UnknownSessionStatus",
    "UnloadModelRequest",
    "UnloadModelResponse",
    "UntypedAPIFuture",
    "UserDetails",
    "UserMetadata",
    "UserOwner",
    "ValidationIssue",
    "WeightsInfoRequest",
    "WeightsInfoResponse",
    "WhoamiResponse",
)

_MODULES = {
    "AccessScope": ".access_scope",
    "AccessibleOwner": ".accessible_owner",
    "ActiveStatus": ".active_status",
    "ActiveStatusQuery": ".active_status_query",
    "AdamOptimizerConfig": ".adam_optimizer_config",
    "AdamParams": ".adam_params",
    "AdapterConfig": ".adapter_config",
    "ApiKeyDetails": ".api_key_details",
    "ApiKeyInfo": ".api_key_info",
    "AssignSessionProjectRequest": ".assign_session_project_request",
    "AuditEventDetails": ".audit_event_details",
    "AuditEventType": ".audit_event_type",
    "AuditLogEntry": ".audit_log_entry",
    "AuditLogResponse": ".audit_log_response",
    "AuthTokenRequest": ".auth_token_request",
    "AuthTokenResponse": ".auth_token_response",
    "BillingSession": ".billing_session",
    "BillingSessions": ".billing_sessions",
    "BillingUsageEvent": ".billing_usage_event",
    "BillingUsageResponse": ".billing_usage_response",
    "CancelFutureRequest": ".cancel_future_request",
    "CancelledStatus": ".cancelled_status",
    "CancelledStatusQuery": ".cancelled_status_query",
    "Checkpoint": ".checkpoint",
    "CheckpointArchiveUrlResponse": ".checkpoint_archive_url_response",
    "CheckpointBillingEvent": ".checkpoint_billing_event",
    "CheckpointKind": ".checkpoint_kind",
    "CheckpointStorageUsage": ".checkpoint_storage_usage",
    "CheckpointType": ".checkpoint_type",
    "CheckpointsListResponse": ".checkpoints_list_response",
    "ClientConfigRequest": ".client_config_request",
    "ClientConfigResponse": ".client_config_response",
    "ClientDynamicConfigResponse": ".client_dynamic_config_response",
    "ClientFinishedStatus": ".client_finished_status",
    "ClientFinishedStatusQuery": ".client_finished_status_query",
    "CompleteMetadataResponse": ".complete_metadata_response",
    "CopyWeightsRequest": ".copy_weights_request",
    "CopyWeightsResponse": ".copy_weights_response",
    "CreateCustomLossRequest": ".create_custom_loss_request",
    "CreateCustomLossResponse": ".create_custom_loss_response",
    "CreateModelRequest": ".create_model_request",
    "CreateModelResponse": ".create_model_response",
    "CreateSamplingSessionRequest": ".create_sampling_session_request",
    "CreateSamplingSessionResponse": ".create_sampling_session_response",
    "CreateSessionRequest": ".create_session_request",
    "CreateSessionResponse": ".create_session_response",
    "CurrentCheckpointStorageUsageResponse": ".current_checkpoint_storage_usage_response",
    "Cursor": ".cursor",
    "CustomLossGraph": ".custom_loss_graph",
    "CustomLossInput": ".custom_loss_input",
    "CustomLossKwargs": ".custom_loss_kwargs",
    "CustomLossNode": ".custom_loss_node",
    "CustomLossOp": ".custom_loss_op",
    "Datum": ".datum",
    "DimuonOptimizerConfig": ".dimuon_optimizer_config",
    "DimuonParams": ".dimuon_params",
    "DmelChunk": ".dmel_chunk",
    "EncodedTextChunk": ".encoded_text_chunk",
    "ErrorResponse": ".error_response",
    "EventData": ".event_data",
    "ExternalWeightsUrlsResponse": ".external_weights_urls_response",
    "FailedStatus": ".failed_status",
    "FailedStatusQuery": ".failed_status_query",
    "FinishReason": ".finish_reason",
    "FinishReasonType": ".finish_reason_type",
    "FinishSessionRequest": ".finish_session_request",
    "ForwardBackwardInput": ".forward_backward_input",
    "ForwardBackwardOutput": ".forward_backward_output",
    "ForwardBackwardRequest": ".forward_backward_request",
    "ForwardRequest": ".forward_request",
    "FreeFormMetadata": ".free_form_metadata",
    "FutureFailed": ".future_failed",
    "FutureFinished": ".future_finished",
    "FutureRetrieveRequest": ".future_retrieve_request",
    "FuturesRetrieveRequest": ".futures_retrieve_request",
    "FuturesRetrieveResponse": ".futures_retrieve_response",
    "GenericEvent": ".generic_event",
    "GetInfoRequest": ".get_info_request",
    "GetInfoResponse": ".get_info_response",
    "GetSamplerResponse": ".get_sampler_response",
    "GetServerCapabilitiesResponse": ".get_server_capabilities_response",
    "GetSessionResponse": ".get_session_response",
    "HealthResponse": ".health_response",
    "ImageAssetPointerChunk": ".image_asset_pointer_chunk",
    "ImageChunk": ".image_chunk",
    "ImageFormat": ".image_format",
    "ImportWeightsRequest": ".import_weights_request",
    "ImportWeightsResponse": ".import_weights_response",
    "JoinSamplingSessionRequest": ".join_sampling_session_request",
    "JoinSamplingSessionResponse": ".join_sampling_session_response",
    "ListSessionsResponse": ".list_sessions_response",
    "LoadWeightsRequest": ".load_weights_request",
    "LoadWeightsResponse": ".load_weights_response",
    "LoraConfig": ".lora_config",
    "LossFnConfig": ".loss_fn_config",
    "LossFnInputs": ".loss_fn_inputs",
    "LossFnOutput": ".loss_fn_output",
    "LossFnType": ".loss_fn_type",
    "Metrics": ".metrics",
    "ModelData": ".model_data",
    "ModelInput": ".model_input",
    "OpenOptimizerConfig": ".open_optimizer_config",
    "OpenOptimizerParams": ".open_optimizer_params",
    "OptimStepRequest": ".optim_step_request",
    "OptimStepResponse": ".optim_step_response",
    "OrgDetails": ".org_details",
    "OwnOwner": ".own_owner",
    "QueueState": ".queue_state",
    "RequestErrorCategory": ".request_error_category",
    "RequestFailedResponse": ".request_failed_response",
    "RequestFailure": ".request_failure",
    "SampleRequest": ".sample_request",
    "SampleResponse": ".sample_response",
    "SampledSequence": ".sampled_sequence",
    "SamplingClientKind": ".sampling_client_kind",
    "SamplingParams": ".sampling_params",
    "SamplingPrefillBillingEvent": ".sampling_prefill_billing_event",
    "SamplingSampleBillingEvent": ".sampling_sample_billing_event",
    "SamplingSessionFailure": ".sampling_session_failure",
    "SamplingSessionTarget": ".sampling_session_target",
    "SaveWeightsExternalRequest": ".save_weights_external_request",
    "SaveWeightsExternalResponseInternal": ".save_weights_external_response_internal",
    "SaveWeightsForSamplerRequest": ".save_weights_for_sampler_request",
    "SaveWeightsForSamplerResponseInternal": ".save_weights_for_sampler_response_internal",
    "SaveWeightsRequest": ".save_weights_request",
    "SaveWeightsResponse": ".save_weights_response",
    "ServerLimits": ".server_limits",
    "SessionEndEvent": ".session_end_event",
    "SessionFailureCategory": ".session_failure_category",
    "SessionHeartbeatRequest": ".session_heartbeat_request",
    "SessionHeartbeatResponse": ".session_heartbeat_response",
    "SessionSearchCursor": ".session_search_cursor",
    "SessionSearchRequest": ".session_search_request",
    "SessionSearchResponse": ".session_search_response",
    "SessionStartEvent": ".session_start_event",
    "SessionSummary": ".session_summary",
    "SetCheckpointTtlRequest": ".set_checkpoint_ttl_request",
    "Severity": ".severity",
    "SignedUrls": ".signed_urls",
    "StopReason": ".stop_reason",
    "StorageBillingEvent": ".storage_billing_event",
    "SupportedModel": ".supported_model",
    "TelemetryResponse": ".telemetry_response",
    "TelemetrySendRequest": ".telemetry_send_request",
    "TensorData": ".tensor_data",
    "TensorDtype": ".tensor_dtype",
    "TraceExportResponse": ".trace_export_response",
    "TraceExportStatus": ".trace_export_status",
    "TrainingBillingEvent": ".training_billing_event",
    "TrainingRun": ".training_run",
    "TrainingRunFailure": ".training_run_failure",
    "TrainingRunsResponse": ".training_runs_response",
    "TryAgainResponse": ".try_again_response",
    "UnhandledExceptionEvent": ".unhandled_exception_event",
    "UnknownBillingEventInfo": ".unknown_billing_event_info",
    "UnknownFutureCompletion": ".unknown_future_completion",
    "UnknownSessionFailureReason": ".unknown_session_failure_reason",
    "UnknownSessionStatus": ".unknown_session_status",
    "UnloadModelRequest": ".unload_model_request",
    "UnloadModelResponse": ".unload_model_response",
    "UntypedAPIFuture": ".untyped_api_future",
    "UserDetails": ".user_details",
    "UserMetadata": ".user_metadata",
    "UserOwner": ".user_owner",
    "ValidationIssue": ".validation_issue",
    "WeightsInfoRequest": ".weights_info_request",
    "WeightsInfoResponse": ".weights_info_response",
    "WhoamiResponse": ".whoami_response",
}

# Out of a type checker's sight, so that it still finds a name that does not exist.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULES[name], __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
