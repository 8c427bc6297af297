"""The modules of the official package that programs import from, and the few names that we call otherwise.

A test holds the list against the installed official packages. What is left out on purpose is their inside (`resources`,
`proto`, the connection holder): those objects do not exist here, and docs/compatibility.md says so.
"""

from typing import Final

__all__ = ["ELSEWHERE", "MODULES", "PACKAGES"]

_INTERFACES: Final = """
admin_client api_future backcompat_client_future backcompat_sampling_client_future backcompat_training_client_future
custom_loss rest_client sampling_client service_client training_client
"""

_TYPES: Final = """
audit_log_entry audit_log_response auth_token_response billing_usage_request billing_usage_response checkpoint
checkpoint_archive_url_response checkpoints_list_response client_config_request client_config_response
client_dynamic_config_response copy_weights_request copy_weights_response create_custom_loss_request
create_custom_loss_response create_model_request create_model_response create_sampling_session_request
create_sampling_session_response create_session_request create_session_response
current_checkpoint_storage_usage_request current_checkpoint_storage_usage_response cursor custom_loss_graph
custom_loss_input datum dmel_chunk encoded_text_chunk event_type external_weights_urls_response
forward_backward_input forward_backward_output forward_backward_request forward_request future_completion
future_retrieve_request future_retrieve_response futures_retrieve_request futures_retrieve_response generic_event
get_info_request get_info_response get_sampler_response get_server_capabilities_response get_session_response
health_response image_asset_pointer_chunk image_chunk join_sampling_session_request join_sampling_session_response
list_sessions_response load_weights_request load_weights_response lora_config loss_fn_inputs loss_fn_output
loss_fn_type model_id model_input model_input_chunk optim_step_request optim_step_response optimizer
prompt_alt_tokens provenance_spans request_error_category request_failed_response request_id sample_request
sample_response sampled_sequence sampling_client_kind sampling_params save_weights_external_request
save_weights_external_response save_weights_for_sampler_request save_weights_for_sampler_response
save_weights_request save_weights_response search_owner session_end_event session_heartbeat_request
session_heartbeat_response session_search_cursor session_search_request session_search_response session_start_event
session_status session_status_query session_summary severity stop_reason telemetry_batch telemetry_event
telemetry_response telemetry_send_request tensor_data tensor_dtype topk_logprobs training_run training_runs_response
try_again_response unhandled_exception_event unload_model_request unload_model_response weights_info_response
whoami_response
"""

PACKAGES: Final = frozenset(
    {"tinker", "tinker.lib", "tinker.lib.public_interfaces", "tinker.types", "tinker.types.shared"}
)

MODULES: Final = frozenset(
    {
        *PACKAGES,
        "tinker._exceptions",
        "tinker._types",
        "tinker._version",
        "tinker.auth",
        "tinker.lib.api_future_impl",
        "tinker.lib.experimental",
        "tinker.lib.retry_handler",
        "tinker.lib.retryable_exception",
        "tinker.lib.telemetry",
        "tinker.types.shared.untyped_api_future",
        *(f"tinker.lib.public_interfaces.{name}" for name in _INTERFACES.split()),
        *(f"tinker.types.{name}" for name in _TYPES.split()),
    }
)

ELSEWHERE: Final = {
    "AwaitableConcurrentFuture": ("tinker_hl.futures", "APIFuture"),
    "BackcompatClientFuture": ("tinker_hl.compat.official_names", "BackcompatClientFuture"),
    "BaseModel": ("tinker_hl.types.record", "Record"),
    "DEFAULT_CONNECTION_LIMITS": ("tinker_hl.compat.official_names", "DEFAULT_CONNECTION_LIMITS"),
    "DEFAULT_MAX_RETRIES": ("tinker_hl.compat.official_names", "DEFAULT_MAX_RETRIES"),
    "DEFAULT_TIMEOUT": ("tinker_hl.compat.official_names", "DEFAULT_TIMEOUT"),
    "NOT_GIVEN": ("tinker_hl.request_options", "NOT_GIVEN"),
    "NoneType": ("types", "NoneType"),
    "QueueState": ("tinker_hl.queue_state", "QueueState"),
    "QueueStateObserver": ("tinker_hl.queue_state", "QueueObserver"),
    "NotGiven": ("tinker_hl.request_options", "NotGiven"),
    "Omit": ("tinker_hl.request_options", "Omit"),
    "RetryableException": ("tinker_hl.errors", "ResultExpiredError"),
    "is_retryable_status_code": ("tinker_hl.compat.official_names", "is_retryable_status_code"),
}
"""Official name -> our module and our name, for what is not under its own name in `tinker_hl` or `tinker_hl.types`."""
