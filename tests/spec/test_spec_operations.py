"""The spec describes the whole API: each pair of method and path, under the name that the code knows it by."""

from typing import Any

import pytest

CHECKPOINT = "/training_runs/{training_run_id}/checkpoints/{checkpoint_kind}/{checkpoint_name}"

# (method, path below /api/v1, operationId, tag)
OPERATIONS = [
    ("get", "/healthz", "get_health", "service"),
    ("get", "/get_server_capabilities", "get_server_capabilities", "service"),
    ("post", "/client/config", "get_client_config", "service"),
    ("post", "/client/dynamic_config", "get_client_dynamic_config", "service"),
    ("post", "/auth/token", "exchange_token", "auth"),
    ("get", "/auth/apikey/me", "get_api_key", "auth"),
    ("delete", "/auth/apikey/me", "delete_api_key", "auth"),
    ("post", "/create_session", "create_session", "sessions"),
    ("post", "/session_heartbeat", "heartbeat_session", "sessions"),
    ("post", "/sessions/{session_id}/finish", "finish_session", "sessions"),
    ("get", "/sessions", "list_sessions", "sessions"),
    ("get", "/sessions/{session_id}", "get_session", "sessions"),
    ("post", "/sessions/search", "search_sessions", "sessions"),
    ("put", "/sessions/{session_id}/project", "assign_session_project", "sessions"),
    ("get", "/sessions/{session_id}/trace_export", "export_session_trace", "sessions"),
    ("post", "/create_sampling_session", "create_sampling_session", "sampling"),
    ("post", "/join_sampling_session", "join_sampling_session", "sampling"),
    ("get", "/samplers/{sampler_id}", "get_sampler", "sampling"),
    ("post", "/create_model", "create_model", "training"),
    ("post", "/get_info", "get_info", "training"),
    ("post", "/unload_model", "unload_model", "training"),
    ("post", "/forward", "forward", "training"),
    ("post", "/forward_backward", "forward_backward", "training"),
    ("post", "/optim_step", "optim_step", "training"),
    ("post", "/load_weights", "load_weights", "weights"),
    ("post", "/save_weights", "save_weights", "weights"),
    ("post", "/save_weights_for_sampler", "save_weights_for_sampler", "weights"),
    ("post", "/save_weights_external", "save_weights_external", "weights"),
    ("post", "/copy_weights", "copy_weights", "weights"),
    ("post", "/import_weights", "import_weights", "weights"),
    ("post", "/create_custom_loss", "create_custom_loss", "training"),
    ("post", "/asample", "sample", "sampling"),
    ("post", "/retrieve_future", "retrieve_future", "futures"),
    ("post", "/retrieve_futures", "retrieve_futures", "futures"),
    ("post", "/cancel_future", "cancel_future", "futures"),
    ("post", "/telemetry", "send_telemetry", "telemetry"),
    ("get", "/training_runs", "list_training_runs", "training_runs"),
    ("get", "/training_runs/{training_run_id}", "get_training_run", "training_runs"),
    ("get", "/training_runs/{training_run_id}/checkpoints", "list_training_run_checkpoints", "training_runs"),
    ("delete", CHECKPOINT, "delete_checkpoint", "checkpoints"),
    ("post", CHECKPOINT + "/publish", "publish_checkpoint", "checkpoints"),
    ("delete", CHECKPOINT + "/publish", "unpublish_checkpoint", "checkpoints"),
    ("put", CHECKPOINT + "/ttl", "set_checkpoint_ttl", "checkpoints"),
    ("get", CHECKPOINT + "/archive", "get_checkpoint_archive", "checkpoints"),
    ("get", CHECKPOINT + "/external_weights_urls", "get_external_weights_urls", "checkpoints"),
    ("get", "/checkpoints", "list_checkpoints", "checkpoints"),
    ("post", "/weights_info", "get_weights_info", "weights"),
    ("get", "/audit", "get_audit_log", "admin"),
    ("get", "/billing/usage/events", "get_billing_usage", "admin"),
    ("get", "/billing/usage/checkpoints/current", "get_checkpoint_storage_usage", "admin"),
]

FUTURES = {
    "create_model": "CreateModelResponse",
    "unload_model": "UnloadModelResponse",
    "forward": "ForwardBackwardOutput",
    "forward_backward": "ForwardBackwardOutput",
    "optim_step": "OptimStepResponse",
    "load_weights": "LoadWeightsResponse",
    "save_weights": "SaveWeightsResponse",
    "save_weights_for_sampler": "SaveWeightsForSamplerResponseInternal",
    "save_weights_external": "SaveWeightsExternalResponseInternal",
    "create_custom_loss": "CreateCustomLossResponse",
    "sample": "SampleResponse",
}


def by_id(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {operation["operationId"]: operation for item in spec["paths"].values() for operation in item.values()}


def test_spec_holds_exactly_the_50_operations(canonical: dict[str, Any]) -> None:
    described = {
        (method, path.removeprefix("/api/v1"), operation["operationId"], *operation["tags"])
        for path, item in canonical["paths"].items()
        for method, operation in item.items()
    }
    assert len(OPERATIONS) == 50
    assert described == set(OPERATIONS)


def test_promises_name_what_they_resolve_to(canonical: dict[str, Any]) -> None:
    operations = by_id(canonical)
    named = {name: operation["x-future-of"] for name, operation in operations.items() if "x-future-of" in operation}
    assert named == FUTURES
    for name in FUTURES:
        answer = operations[name]["responses"]["200"]["content"]
        assert answer["application/json"]["schema"] == {"$ref": "#/components/schemas/UntypedAPIFuture"}
        assert list(answer) == ["application/json"]


@pytest.mark.parametrize(
    ("name", "releases"), [("forward", "0.24"), ("unload_model", "0.25"), ("get_checkpoint_archive", "0.25")]
)
def test_legacy_operations_say_who_uses_them(canonical: dict[str, Any], name: str, releases: str) -> None:
    operation = by_id(canonical)[name]
    assert operation["deprecated"] is True
    assert operation["x-releases"].endswith(releases)


def test_tensors_travel_as_protobuf_where_the_protocol_has_it(canonical: dict[str, Any]) -> None:
    operations = by_id(canonical)
    body = operations["forward_backward"]["requestBody"]
    assert set(body["content"]) == {"application/json", "application/x-protobuf"}
    assert body["x-content-encodings"] == ["zstd"]
    assert {"$ref": "#/components/parameters/ContentEncoding"} in operations["forward_backward"]["parameters"]
    answer = operations["retrieve_future"]["responses"]["200"]["content"]
    assert set(answer) == {"application/json", "application/x-protobuf"}
    both = {
        name for name, operation in operations.items() if "application/x-protobuf" in str(operation.get("requestBody"))
    }
    assert both == {"forward_backward"}


def test_a_key_is_wanted_everywhere(canonical: dict[str, Any]) -> None:
    assert canonical["security"] == [{"apiKey": []}]
    scheme = canonical["components"]["securitySchemes"]["apiKey"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")
    assert not [name for name, operation in by_id(canonical).items() if "security" in operation]


def test_a_poll_may_be_told_to_come_again_by_408(canonical: dict[str, Any], faults: Any) -> None:
    assert "408" in by_id(canonical)["retrieve_future"]["responses"]
    content = canonical["components"]["responses"]["RequestTimeout"]["content"]["application/json"]
    assert {"$ref": "#/components/schemas/TryAgainResponse"} in content["schema"]["anyOf"]
    assert faults("TryAgainResponse", content["example"]) == []
