"""One line a type and shape: the arguments that both generations of the official SDK and ours are built from.

Objects inside are `{"$": type, ...}`. What is legal stands first, what each refuses at the end.
"""

from typing import Any, Final

__all__ = ["ACCEPTED", "REFUSED"]

Case = tuple[str, dict[str, Any]]

WHEN: Final = "2026-08-01T12:30:00Z"
TEXT: Final = {"$": "ModelInput", "ints": [5, 6, 7]}
IMAGE: Final = {"$": "ImageChunk", "data": "iVBORw==", "format": "png", "expected_tokens": 4}
POINTER: Final = {"$": "ImageAssetPointerChunk", "location": "https://x.test/a.jpg", "format": "jpeg"}
PARAMS: Final = {"$": "SamplingParams", "max_tokens": 4, "stop": ["a", "b"]}
TARGETS: Final = {"$": "TensorData", "data": [6, 7], "dtype": "int64", "shape": [2]}
WEIGHTS: Final = {"$": "TensorData", "data": [1.0, 0.5], "dtype": "float32", "shape": [2]}
MATRIX: Final = {"$": "TensorData", "data": [6, -1, 7, 8], "dtype": "int64", "shape": [2, 2]}
DATUM: Final = {"$": "Datum", "model_input": TEXT, "loss_fn_inputs": {"target_tokens": TARGETS, "weights": WEIGHTS}}
PASS: Final = {"$": "ForwardBackwardInput", "data": [DATUM], "loss_fn": "ppo", "loss_fn_config": {"clip": 0.2}}
DMEL: Final = {"$": "DmelChunk", "dmel": "AAIDBA=="}
RICH_PASS: Final = {
    "$": "ForwardBackwardInput",
    "data": [
        {
            "$": "Datum",
            "model_input": {"$": "ModelInput", "chunks": [{"$": "EncodedTextChunk", "tokens": [1, 2]}, IMAGE, DMEL]},
            "loss_fn_inputs": {"target_tokens": {**TARGETS, "data": [6, 7, 8, 9], "shape": [2, 2]}, "weights": WEIGHTS},
        },
        DATUM,
    ],
    "loss_fn": "importance_sampling",
    "loss_fn_config": {"clip_low": 0.2, "mode": "text"},
}
SPARSE: Final = {
    "$": "TensorData",
    "data": [6, 7],
    "dtype": "int64",
    "shape": [3, 9],
    "sparse_crow_indices": [0, 1, 1, 2],
    "sparse_col_indices": [8, 0],
}
SPARSE_PASS: Final = {
    "$": "ForwardBackwardInput",
    "data": [{"$": "Datum", "model_input": TEXT, "loss_fn_inputs": {"target_tokens": SPARSE}}],
    "loss_fn": "cross_entropy",
}
SPANS: Final = [
    {"$": "PromptProvenanceSpan", "sequence_id": "q", "length": 1},
    {"$": "SampledProvenanceSpan", "sequence_id": "q", "offset": 1, "length": 2},
]
TOLD_PASS: Final = {
    "$": "ForwardBackwardInput",
    "data": [
        {
            "$": "Datum",
            "model_input": TEXT,
            "loss_fn_inputs": {"target_tokens": {**TARGETS, "data": [6, 7, 8], "shape": [3]}},
            "model_input_spans": SPANS,
            "loss_fn_input_spans": SPANS,
        }
    ],
    "loss_fn": "stable_reinforce",
    "loss_fn_config": {"kl_coeff": 0.1},
}
NODE: Final = {"$": "CustomLossNode", "op": "call_function", "name": "add", "target": "aten.add", "args": [1, 2.5]}
GRAPH: Final = {"$": "CustomLossGraph", "nodes": [NODE]}
EVENT: Final = {"event_id": "e", "event_session_index": 3, "severity": "INFO", "timestamp": WHEN}
CHECKPOINT: Final = {
    "checkpoint_id": "weights/1",
    "checkpoint_type": "training",
    "time": WHEN,
    "tinker_path": "tinker://r/weights/1",
    "size_bytes": 10,
    "public": True,
}
RUN: Final = {
    "training_run_id": "r",
    "base_model": "b",
    "model_owner": "o",
    "is_lora": True,
    "lora_rank": 8,
    "last_request_time": WHEN,
}
CURSOR: Final = {"offset": 1, "limit": 2, "total_count": 30}
FAILED: Final = {"type": "failed", "category": "user", "message": "m"}
USAGE: Final = {"bucket_start": WHEN, "bucket_end": WHEN, "base_model": "b", "estimated_cost_usd": 0.25}

ACCEPTED: Final[tuple[Case, ...]] = (
    # What a model reads.
    ("EncodedTextChunk", {"tokens": [1, 2, 3]}),
    ("EncodedTextChunk", {"tokens": []}),
    ("ImageChunk", {"data": "iVBORw==", "format": "png"}),
    ("ImageChunk", {"data": "iVBORw==", "format": "jpeg", "expected_tokens": 9}),
    ("ImageAssetPointerChunk", {"location": "https://x.test/a.jpg", "format": "jpeg", "expected_tokens": 3}),
    ("DmelChunk", {"dmel": "AAIDBA=="}),
    ("ModelInput", {"chunks": []}),
    ("ModelInput", {"ints": [1, 2, 3]}),
    (
        "ModelInput",
        {"chunks": [{"type": "encoded_text", "tokens": [1]}, {"type": "image", "data": "AA==", "format": "png"}]},
    ),
    ("ModelInput", {"chunks": [{"$": "EncodedTextChunk", "tokens": [1]}, IMAGE, POINTER]}),
    ("ModelInput", {"chunks": [{"$": "EncodedTextChunk", "tokens": [1]}, {"$": "DmelChunk", "dmel": "AAIDBA=="}]}),
    # What a loss reads.
    ("TensorData", {"data": [1, 2, 3, 4], "dtype": "int64", "shape": [2, 2]}),
    ("TensorData", {"data": [1.5, -2.0], "dtype": "float32", "shape": [2]}),
    ("TensorData", {"data": [], "dtype": "float32", "shape": [0]}),
    ("TensorData", {"data": [1, 2], "dtype": "int64"}),
    ("Datum", {"model_input": TEXT, "loss_fn_inputs": {"target_tokens": TARGETS, "weights": WEIGHTS}}),
    ("Datum", {"model_input": TEXT, "loss_fn_inputs": {"target_tokens": [6, 7, 8], "advantages": [0.5, 1.0, 2.0]}}),
    ("PromptProvenanceSpan", {"sequence_id": "s", "offset": 2, "length": 3}),
    ("SampledProvenanceSpan", {"sequence_id": "s", "length": 0}),
    # Training.
    ("LoraConfig", {"rank": 32}),
    ("LoraConfig", {"rank": 8, "seed": 3, "train_unembed": False, "train_mlp": False, "train_attn": True}),
    ("AdamParams", {}),
    ("AdamParams", {"learning_rate": 1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-8, "weight_decay": 0.1}),
    ("AdamParams", {"learning_rate": 3e-5, "grad_clip_norm": 1.0}),
    ("AdamParams", {"learning_rate": "1e-4", "eps": "1"}),
    ("LoraConfig", {"rank": "8"}),
    ("DimuonParams", {"learning_rate": 0.02}),
    ("DimuonParams", {"learning_rate": 0.02, "grad_clip_norm": -1.0, "beta1": 0.0}),
    ("AdamOptimizerConfig", {}),
    ("DimuonOptimizerConfig", {}),
    ("OptimStepRequest", {"adam_params": {"$": "AdamParams", "learning_rate": 0.5}, "model_id": "m", "seq_id": 2}),
    ("OptimStepRequest", {"adam_params": {"learning_rate": 0.5}, "model_id": "m", "seq_id": 2}),
    ("OptimStepRequest", {"optim_params": {"$": "DimuonParams", "learning_rate": 0.5}, "model_id": "m"}),
    ("ForwardBackwardInput", {"data": [DATUM], "loss_fn": "cross_entropy"}),
    ("ForwardBackwardInput", {"data": [DATUM, DATUM], "loss_fn": "ppo", "loss_fn_config": {"clip": 0.2}}),
    ("ForwardBackwardRequest", {"forward_backward_input": PASS, "model_id": "m", "seq_id": 4}),
    ("ForwardBackwardRequest", {"forward_backward_input": RICH_PASS, "model_id": "m", "seq_id": 1}),
    ("ForwardBackwardRequest", {"forward_backward_input": SPARSE_PASS, "model_id": "m", "seq_id": 1}),
    ("ForwardBackwardRequest", {"forward_backward_input": TOLD_PASS, "model_id": "m", "seq_id": 2}),
    ("ForwardRequest", {"forward_input": PASS, "model_id": "m"}),
    ("ForwardBackwardOutput", {"loss_fn_output_type": "T", "loss_fn_outputs": [], "metrics": {"loss:sum": 1.5}}),
    (
        "ForwardBackwardOutput",
        {"loss_fn_output_type": "T", "loss_fn_outputs": [{"logprobs": WEIGHTS}], "metrics": {"loss:sum": 1.5}},
    ),
    ("OptimStepResponse", {}),
    ("OptimStepResponse", {"metrics": {"grad_norm": 1.25}}),
    ("CreateModelRequest", {"session_id": "s", "model_seq_id": 0, "base_model": "b"}),
    (
        "CreateModelRequest",
        {
            "session_id": "s",
            "model_seq_id": 1,
            "base_model": "b",
            "user_metadata": {"a": "b"},
            "lora_config": {"$": "LoraConfig", "rank": 4},
        },
    ),
    ("CreateModelRequest", {"session_id": "s", "model_seq_id": 1, "base_model": "b", "lora_config": {"rank": 4}}),
    ("CreateModelResponse", {"model_id": "m"}),
    ("GetInfoRequest", {"model_id": "m"}),
    ("ModelData", {"arch": "a", "model_name": "n", "tokenizer_id": "t"}),
    ("GetInfoResponse", {"model_data": {"model_name": "n"}, "model_id": "m", "is_lora": True, "lora_rank": 8}),
    ("UnloadModelRequest", {"model_id": "m"}),
    ("UnloadModelResponse", {"model_id": "m"}),
    ("SaveWeightsRequest", {"model_id": "m", "path": "p", "seq_id": 3}),
    ("SaveWeightsRequest", {"model_id": "m", "ttl_seconds": 60, "overwrite": True, "user_metadata": {"a": "b"}}),
    ("SaveWeightsResponse", {"path": "tinker://m/weights/1"}),
    ("SaveWeightsForSamplerRequest", {"model_id": "m", "path": "p", "seq_id": 3}),
    ("SaveWeightsForSamplerRequest", {"model_id": "m", "sampling_session_seq_id": 0, "kind": "inflight"}),
    ("SaveWeightsForSamplerResponse", {"path": "tinker://m/sampler_weights/1"}),
    ("SaveWeightsForSamplerResponseInternal", {"sampling_session_id": "x"}),
    ("SaveWeightsExternalRequest", {"model_id": "m", "path": "p", "age_encryption_recipients": ["age1x"]}),
    ("SaveWeightsExternalResponse", {"path": "tinker://m/external_weights/1"}),
    ("SaveWeightsExternalResponseInternal", {"path": "p", "size_bytes": 3}),
    ("LoadWeightsRequest", {"model_id": "m", "path": "tinker://m/weights/1", "optimizer": True, "seq_id": 1}),
    ("LoadWeightsRequest", {"session_id": "s", "model_seq_id": 0, "path": "p", "optimizer": False}),
    ("LoadWeightsResponse", {"path": "p"}),
    ("WeightsInfoResponse", {"base_model": "b", "is_lora": True, "lora_rank": 8}),
    ("WeightsInfoResponse", {"base_model": "b", "is_lora": True, "train_mlp": False, "unknown": 1}),
    ("CopyWeightsRequest", {"source_path": "p", "destination_project_id": "d", "ttl_seconds": 60}),
    ("CopyWeightsResponse", {"tinker_path": "p"}),
    # Custom losses.
    ("CustomLossInput", {"name": "weights", "rank": 1}),
    ("CustomLossNode", {"op": "placeholder", "name": "x", "target": "x"}),
    ("CustomLossNode", {"op": "call_function", "name": "y", "target": "t", "args": [1, "x"], "kwargs": {"dim": 0}}),
    ("CustomLossGraph", {"nodes": [NODE]}),
    (
        "CreateCustomLossRequest",
        {
            "session_id": "s",
            "custom_loss_seq_id": 0,
            "name": "n",
            "inputs": [{"$": "CustomLossInput", "name": "w", "rank": 0}],
            "graph": GRAPH,
        },
    ),
    ("CreateCustomLossResponse", {"loss_id": "l"}),
    # Sampling.
    ("SamplingParams", {}),
    ("SamplingParams", {"max_tokens": 5, "seed": 0, "stop": "x", "temperature": 0, "top_k": 3, "top_p": 0.5}),
    ("SamplingParams", {"stop": ["a", "b"]}),
    ("SamplingParams", {"stop": [1, 2]}),
    ("SamplingParams", {"stop": []}),
    ("SampleRequest", {"prompt": TEXT, "sampling_params": PARAMS}),
    (
        "SampleRequest",
        {
            "num_samples": 3,
            "prompt": TEXT,
            "sampling_params": PARAMS,
            "sampling_session_id": "x",
            "seq_id": 0,
            "prompt_logprobs": True,
            "topk_prompt_logprobs": 2,
        },
    ),
    ("SampleRequest", {"prompt": TEXT, "sampling_params": PARAMS, "model_path": "tinker://m/sampler_weights/1"}),
    (
        "SampleRequest",
        {
            "prompt": TEXT,
            "sampling_params": PARAMS,
            "prompt_logprobs": True,
            "topk_sample_logprobs": 2,
            "target_prompt_logprobs": {"data": [6, -1, 7, 8], "dtype": "int64", "shape": [2, 2]},
            "prompt_alt_tokens_k": 3,
            "prompt_logprobs_last_n": 1,
            "record_stability_info": True,
        },
    ),
    (
        "SampleRequest",
        {
            "prompt": {"chunks": [{"type": "encoded_text", "tokens": [1, 2]}, {"tokens": [3], "type": "encoded_text"}]},
            "sampling_params": {"max_tokens": 3, "stop": [1]},
        },
    ),
    ("SampledSequence", {"stop_reason": "stop", "tokens": [1, 2], "logprobs": [-0.5, -0.25]}),
    ("SampledSequence", {"stop_reason": "length", "tokens": []}),
    ("SampledSequence", {"stop_reason": "length", "sequence_id": "q"}),
    ("SampleResponse", {"sequences": [{"$": "SampledSequence", "stop_reason": "stop", "tokens": [1]}]}),
    ("SampleResponse", {"sequences": [], "prompt_logprobs": [None, -0.5]}),
    ("SampleResponse", {"sequences": [], "topk_prompt_logprobs": [None, [[3, -0.5], [4, -1.5]]]}),
    ("SampleResponse", {"sequences": [], "target_prompt_logprobs": WEIGHTS, "prompt_cache_hit_tokens": 2}),
    ("PromptAltTokens", {"tokens": MATRIX, "logprobs": WEIGHTS}),
    ("CreateSamplingSessionRequest", {"session_id": "s", "sampling_session_seq_id": 0, "base_model": "b"}),
    ("CreateSamplingSessionResponse", {"sampling_session_id": "x"}),
    ("JoinSamplingSessionRequest", {"sampling_session_id": "x"}),
    ("JoinSamplingSessionResponse", {"client_counter": 3}),
    ("GetSamplerResponse", {"sampler_id": "x", "base_model": "b"}),
    ("GetSamplerResponse", {"sampler_id": "x", "base_model": "b", "model_path": "p"}),
    # Sessions.
    ("CreateSessionRequest", {"tags": ["a"], "sdk_version": "1", "user_metadata": {"k": "v"}}),
    ("CreateSessionResponse", {"session_id": "s", "info_message": "hello"}),
    ("SessionHeartbeatRequest", {"session_id": "s"}),
    ("SessionHeartbeatResponse", {}),
    ("GetSessionResponse", {"training_run_ids": ["a"], "sampler_ids": []}),
    ("GetSessionResponse", {"training_run_ids": [], "sampler_ids": [], "user_metadata": {"a": "b"}}),
    ("ListSessionsResponse", {"sessions": ["a", "b"]}),
    ("SessionSearchRequest", {}),
    (
        "SessionSearchRequest",
        {
            "session_id": "s",
            "project_ids": ["p"],
            "user_metadata": {"a": "b"},
            "display_name": "d",
            "owner": {"$": "UserSearchOwner", "owner_urns": ["u"]},
            "statuses": [{"$": "ActiveSessionStatusQuery"}, {"$": "ClientFinishedSessionStatusQuery"}],
            "limit": 7,
            "cursor": {"$": "SessionSearchCursor", "last_created_at": WHEN, "last_session_id": "z"},
        },
    ),
    ("SessionSearchRequest", {"owner": {"$": "AccessibleSearchOwner"}}),
    (
        "SessionSearchRequest",
        {
            "owner": {"type": "user", "owner_urns": ["u"]},
            "statuses": [{"type": "failed"}],
            "cursor": {"last_created_at": WHEN, "last_session_id": "z"},
        },
    ),
    ("SessionSearchResponse", {"sessions": []}),
    (
        "SessionSearchResponse",
        {
            "sessions": [
                {
                    "session_id": "s",
                    "created_at": WHEN,
                    "owner": "o",
                    "project_id": "p",
                    "status": {**FAILED, "reason": {"type": "training_run", "training_run_id": "r"}},
                    "checkpoints_count": 3,
                    "user_metadata": {},
                }
            ],
            "next_cursor": {"last_created_at": WHEN, "last_session_id": "s"},
        },
    ),
    ("SessionSearchCursor", {"last_created_at": WHEN, "last_session_id": "s"}),
    (
        "SessionSummary",
        {
            "session_id": "s",
            "created_at": WHEN,
            "owner": "o",
            "project_id": "p",
            "status": {"type": "client_finished", "reason": {"type": "errored"}, "detail": "d"},
            "checkpoints_count": 0,
            "checkpoint_storage_bytes": 5,
        },
    ),
    ("OwnSearchOwner", {}),
    ("AccessibleSearchOwner", {}),
    ("UserSearchOwner", {"owner_urns": ["a", "b"]}),
    ("ActiveSessionStatusQuery", {}),
    ("CancelledSessionStatusQuery", {}),
    ("FailedSessionStatusQuery", {}),
    ("ClientFinishedSessionStatusQuery", {"reasons": ["success", "errored"]}),
    ("SessionActive", {}),
    ("SessionCancelled", {"detail": "d"}),
    ("SessionFailed", {**FAILED, "reason": {"type": "request", "request_id": "r", "request_type": "t"}}),
    ("SessionFailed", {**FAILED, "reason": {"type": "sampling_session", "sampling_session_id": "x"}}),
    ("SessionFailedRequestReason", {"request_id": "r", "request_type": "t"}),
    ("SessionFailedTrainingRunReason", {"training_run_id": "r"}),
    ("SessionFailedSamplingSessionReason", {"sampling_session_id": "x"}),
    ("ClientSessionFinished", {"reason": {"type": "success"}}),
    ("ClientSessionFinishSuccess", {}),
    ("ClientSessionFinishErrored", {}),
    ("ClientSessionFinishInterrupted", {}),
    # Runs, checkpoints, the service.
    ("Checkpoint", CHECKPOINT),
    ("Checkpoint", {**CHECKPOINT, "user_metadata": {"a": "b"}, "expires_at": WHEN, "unknown": [1]}),
    ("CheckpointsListResponse", {"checkpoints": [CHECKPOINT], "cursor": CURSOR}),
    ("CheckpointArchiveUrlResponse", {"url": "https://x.test", "expires": WHEN}),
    (
        "ParsedCheckpointTinkerPath",
        {
            "tinker_path": "tinker://r/weights/1",
            "training_run_id": "r",
            "checkpoint_type": "training",
            "checkpoint_id": "weights/1",
        },
    ),
    ("Cursor", CURSOR),
    ("TrainingRun", RUN),
    ("TrainingRun", {**RUN, "corrupted": True, "last_checkpoint": CHECKPOINT, "user_metadata": {"a": "b"}}),
    ("TrainingRunsResponse", {"training_runs": [RUN, RUN], "cursor": CURSOR}),
    ("ExternalWeightsUrlsResponse", {"urls": {"a/b": "https://x.test"}, "expires": WHEN}),
    ("SupportedModel", {"model_name": "b"}),
    ("SupportedModel", {"model_name": "b", "max_context_length": 10, "trainable": True, "sampleable": False}),
    ("GetServerCapabilitiesResponse", {"supported_models": [{"model_name": "a"}, {}]}),
    ("HealthResponse", {"status": "ok"}),
    ("ClientConfigRequest", {"sdk_version": "1"}),
    ("ClientConfigResponse", {}),
    ("ClientConfigResponse", {"pjwt_auth_enabled": True, "fwdbwd_max_chunk_len": 3, "new_flag": 1}),
    ("ClientDynamicConfigResponse", {}),
    ("AuthTokenResponse", {"jwt": "eyJ"}),
    ("WhoamiResponse", {"user_urn": "u", "org_urn": "o"}),
    # Futures.
    ("UntypedAPIFuture", {"request_id": "r"}),
    ("UntypedAPIFuture", {"request_id": "r", "model_id": "m"}),
    ("FutureRetrieveRequest", {"request_id": "r"}),
    ("FutureRetrieveRequest", {"request_id": "r", "allow_metadata_only": True}),
    ("FuturesRetrieveRequest", {"target": {"$": "SamplingSessionFuturesTarget", "sampling_session_id": "x"}}),
    ("SamplingSessionFuturesTarget", {"sampling_session_id": "x", "cloned_sampler_id": 4}),
    (
        "FuturesRetrieveResponse",
        {
            "completions": [
                {"state": "finished", "request_id": "a", "response_payload_uncompressed_size": 3},
                {"state": "failed", "request_id": "b"},
            ],
            "cursor": 2,
        },
    ),
    ("FutureFinished", {"request_id": "a"}),
    ("FutureFailed", {"request_id": "a"}),
    ("RequestFailedResponse", {"error": "e", "category": "user"}),
    ("RequestFailedResponse", {"error": "e", "category": "server"}),
    # Money and logs.
    ("GetBillingUsageRequest", {"starting_on": WHEN, "ending_before": WHEN}),
    ("GetCurrentCheckpointStorageUsageRequest", {"project_id": "p"}),
    ("BillingUsageEvent", {**USAGE, "event_info": {"type": "training", "token_count": 5}}),
    ("BillingUsageEvent", {**USAGE, "event_info": {"type": "storage", "gigabyte_hours": 0.5}}),
    (
        "BillingUsageResponse",
        {
            "data": [{**USAGE, "event_info": {"type": "sampling_prefill", "cached": True, "token_count": 5}}],
            "sessions": {"s": {"user_metadata": {"a": "b"}}},
            "cost_data_through": WHEN,
        },
    ),
    ("BillingUsageSession", {}),
    ("TrainingBillingEvent", {"token_count": 1}),
    ("SamplingPrefillBillingEvent", {"cached": False, "token_count": 1}),
    ("SamplingSampleBillingEvent", {"token_count": 1}),
    ("CheckpointBillingEvent", {"count": 1}),
    ("StorageBillingEvent", {"gigabyte_hours": 1.5, "free": True}),
    ("CurrentCheckpointStorageUsageItem", {"checkpoint_count": 1, "size_bytes": 2, "size_gigabytes": 0.5}),
    (
        "CurrentCheckpointStorageUsageResponse",
        {
            "effective_rate_usd_per_gigabyte_month": 0.1,
            "data": [{"project_id": "p", "checkpoint_count": 1, "size_bytes": 2, "size_gigabytes": 0.5}],
        },
    ),
    ("AuditLogEntry", {"timestamp": WHEN, "event": "e", "event_details": {"a": 1}}),
    ("AuditLogResponse", {"entries": [{"timestamp": WHEN, "event": "e", "model_id": "m"}]}),
    # Telemetry.
    ("SessionStartEvent", {"event": "SESSION_START", **EVENT}),
    ("SessionEndEvent", {"event": "SESSION_END", "duration": "0:00:01", **EVENT}),
    (
        "UnhandledExceptionEvent",
        {
            "event": "UNHANDLED_EXCEPTION",
            "error_message": "m",
            "error_type": "T",
            "traceback": "t",
            **EVENT,
        },
    ),
    ("TelemetryBatch", {"events": [], "platform": "p", "sdk_version": "1", "session_id": "s", "process_uuid": "u"}),
    (
        "TelemetrySendRequest",
        {
            "events": [{"$": "SessionStartEvent", "event": "SESSION_START", **EVENT}],
            "platform": "p",
            "sdk_version": "1",
            "session_id": "s",
            "process_uuid": "u",
        },
    ),
    ("TelemetryResponse", {"status": "accepted"}),
)

REFUSED: Final[tuple[Case, ...]] = (
    ("AdamParams", {"lr": 1.0}),
    ("AdamParams", {"learning_rate": "fast"}),
    ("DimuonParams", {"learning_rate": -1.0}),
    ("DimuonParams", {"learning_rate": 0.1, "beta1": 1.0}),
    ("OptimStepRequest", {"adam_params": 3, "model_id": "m"}),
    ("LoraConfig", {}),
    ("LoraConfig", {"rank": 8, "alpha": 1}),
    ("LoraConfig", {"rank": 1.5}),
    ("EncodedTextChunk", {"tokens": [1.5]}),
    ("EncodedTextChunk", {"tokens": [1], "text": "x"}),
    ("ImageChunk", {"data": "iVBORw==", "format": "gif"}),
    ("ImageChunk", {"data": "not base64!", "format": "png"}),
    ("ModelInput", {"chunks": [1, 2]}),
    ("TensorData", {"data": [1], "dtype": "float64"}),
    ("TensorData", {"data": [1, 2, 3], "dtype": "int64", "shape": [2, 2]}),
    ("PromptProvenanceSpan", {"sequence_id": "", "length": 1}),
    ("SampledProvenanceSpan", {"sequence_id": "s", "length": -1}),
    ("SampleRequest", {"prompt": TEXT, "sampling_params": PARAMS, "samples": 3}),
    ("SampleRequest", {"prompt": {"chunks": [{"tokens": ["x"], "type": "encoded_text"}]}, "sampling_params": PARAMS}),
    ("CreateModelRequest", {"session_id": "s", "model_seq_id": 1, "base_model": "b", "lora_config": {"ranks": 4}}),
    ("SamplingParams", {"max_tokens": "many"}),
    ("SessionSearchRequest", {"limit": 0}),
    ("SessionSearchRequest", {"limit": 201}),
    ("SessionSearchRequest", {"display_name": ""}),
    ("SessionSearchRequest", {"statuses": []}),
    ("UserSearchOwner", {"owner_urns": []}),
    ("GetBillingUsageRequest", {"starting_on": "yesterday", "ending_before": WHEN}),
    ("SessionSearchCursor", {"last_created_at": "2026-08-01T12:30:00", "last_session_id": "s"}),
)
