"""Contains all the data models used in inputs/outputs"""

from .access_scope import AccessScope
from .accessible_owner import AccessibleOwner
from .active_status import ActiveStatus
from .active_status_query import ActiveStatusQuery
from .adam_optimizer_config import AdamOptimizerConfig
from .adam_params import AdamParams
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
from .save_weights_external_response_internal import SaveWeightsExternalResponseInternal
from .save_weights_for_sampler_request import SaveWeightsForSamplerRequest
from .save_weights_for_sampler_response_internal import (
    SaveWeightsForSamplerResponseInternal,
)
from .save_weights_request import SaveWeightsRequest
from .save_weights_response import SaveWeightsResponse
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
