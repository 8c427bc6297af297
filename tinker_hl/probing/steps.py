"""How each operation is called: a table from its id to the call, in the order in which they are made."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tinker_hl.errors import TinkerError
from tinker_hl.probing.operations import AUDIT_ALL, TOKENS, TTL_SECONDS, NotToBeHadError, Probe, Step, unique
from tinker_hl.types import AdamParams, Datum, ModelInput, SampleRequest, SamplingParams
from tinker_hl.version import SDK_VERSION, __version__

__all__ = ["STEPS"]

PROJECT: Final = "probe"
POLICY_LOSSES: Final = ("importance_sampling", "ppo", "cispo", "dro", "gspo")
VERSION: Final = {"sdk_version": SDK_VERSION}


def _pass(key: str, probe: Probe, seq: int) -> dict[str, Any]:
    datum = Datum(
        ModelInput.from_ints(TOKENS[:-1]), {"target_tokens": list(TOKENS[1:]), "weights": [1.0] * (len(TOKENS) - 1)}
    )
    content = {"data": [datum.wire_dict()], "loss_fn": "cross_entropy"}
    return {key: content, "model_id": probe.known("create_model", "model_id"), "seq_id": seq}


async def _create_session(probe: Probe) -> Any:
    tags = {"tags": [], "user_metadata": {"made by": "tinker-hl probe"}}
    return await probe.call("create_session", {"type": "create_session", "sdk_version": SDK_VERSION, **tags})


async def _create_model(probe: Probe) -> Any:
    lora = {"rank": 1, "seed": 1}
    body = {"session_id": probe.session, "model_seq_id": 0, "base_model": probe.model, "lora_config": lora}
    return await probe.promised("create_model", {"type": "create_model", **body})


async def _custom_loss(probe: Probe) -> Any:
    nodes = [
        {"op": "placeholder", "name": "logprobs", "target": "logprobs"},
        {"op": "call_function", "name": "total", "target": "torch.sum", "args": [{"ref": "logprobs"}]},
        {"op": "call_function", "name": "loss", "target": "operator.neg", "args": [{"ref": "total"}]},
        {"op": "output", "name": "output", "target": "output", "args": [{"tuple": [{"ref": "loss"}, {"dict": {}}]}]},
    ]
    body = {"name": "nll", "inputs": [{"name": "logprobs", "rank": 1}], "graph": {"format": 1, "nodes": nodes}}
    kind = {"type": "create_custom_loss", "session_id": probe.session, "custom_loss_seq_id": 0}
    return await probe.promised("create_custom_loss", {**kind, **body})


async def _optim_step(probe: Probe) -> Any:
    body = {"adam_params": AdamParams(learning_rate=1e-4).wire_dict(), "seq_id": probe.next_seq()}
    return await probe.promised("optim_step", {"model_id": probe.known("create_model", "model_id"), **body})


def _saving(operation: str, *, sampler: bool = False) -> Step:
    async def save(probe: Probe) -> Any:
        body = {"path": unique("probe"), "ttl_seconds": TTL_SECONDS, "seq_id": probe.next_seq()}
        kind = {"sampling_session_seq_id": None} if sampler else {}
        return await probe.promised(operation, {"model_id": probe.known("create_model", "model_id"), **kind, **body})

    return save


async def _load_weights(probe: Probe) -> Any:
    """The newer form, which makes a model."""
    path = probe.known("save_weights", "path")
    body = {"session_id": probe.session, "model_seq_id": 1, "path": path, "optimizer": True, "type": "load_weights"}
    return await probe.promised("load_weights", body)


async def _create_sampling_session(probe: Probe) -> Any:
    kind = {"type": "create_sampling_session", "sampling_session_seq_id": 0}
    return await probe.call("create_sampling_session", {**kind, "session_id": probe.session, "base_model": probe.model})


async def _sample(probe: Probe) -> Any:
    request = SampleRequest(
        num_samples=2,
        prompt=ModelInput.from_ints(TOKENS),
        sampling_params=SamplingParams(max_tokens=2, temperature=1.0, seed=1),
        sampling_session_id=probe.known("create_sampling_session", "sampling_session_id"),
        seq_id=0,
        prompt_logprobs=True,
    )
    return await probe.promised("sample", request.wire_dict())


async def _retrieve_futures(probe: Probe) -> Any:
    sampler = probe.known("create_sampling_session", "sampling_session_id")
    target = {"type": "sampling_session", "sampling_session_id": sampler, "cloned_sampler_id": 0}
    return await probe.call("retrieve_futures", {"target": target, "prev_cursor": 0, "timeout": 0.0})


async def _retrieve_future(probe: Probe) -> Any:
    """Every promise was kept through it; one that was delivered may be asked for again."""
    promise = probe.promises.get("create_model") or probe.promises.get("sample")
    if promise is None:
        raise NotToBeHadError("no operation promised anything")
    return await probe.call("retrieve_future", {"request_id": promise["request_id"]})


async def _cancel_future(probe: Probe) -> Any:
    promise = probe.promises.get("sample")
    if promise is None:
        raise NotToBeHadError("sample promised nothing")
    return await probe.call("cancel_future", {"request_id": promise["request_id"]})


async def _billing(probe: Probe) -> Any:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return await probe.call("get_billing_usage", starting_on=hour - timedelta(hours=1), ending_before=hour)


async def _telemetry(probe: Probe) -> Any:
    # Nothing is reported: the batch is empty.
    body = {"events": [], "platform": "probe", "process_uuid": unique("probe"), "session_id": probe.session}
    return await probe.call("send_telemetry", {**body, "sdk_version": __version__})


async def _delete_all(probe: Probe) -> Any:
    deleted = [
        await probe.call("delete_checkpoint", **probe.checkpoint(saved))
        for saved in ("save_weights", "save_weights_for_sampler", "save_weights_external")
        if probe.answers.get(saved)
    ]
    if not deleted:
        raise NotToBeHadError("no operation saved anything")
    copy = probe.answers.get("copy_weights")
    if copy:
        probe.answers["save_weights"] = {"path": copy["tinker_path"]}
        await probe.call("delete_checkpoint", **probe.checkpoint("save_weights"))
    return None


async def _unload(probe: Probe) -> Any:
    await _try_losses(probe)
    body = {"type": "unload_model", "model_id": probe.known("create_model", "model_id")}
    return await probe.promised("unload_model", body)


async def _try_losses(probe: Probe) -> None:
    """Note which of the losses the server does not know, while there is a model to ask with."""
    count = len(TOKENS) - 1
    numbers = {"logprobs": [-1.0] * count, "advantages": [1.0] * count, "sequence_ratio_mask": [1.0] * count}
    datum = Datum(ModelInput.from_ints(TOKENS[:-1]), {"target_tokens": list(TOKENS[1:]), **numbers})
    model = probe.known("create_model", "model_id")
    for loss in POLICY_LOSSES:
        content = {"data": [datum.wire_dict()], "loss_fn": loss}
        body = {"forward_input": content, "model_id": model, "seq_id": probe.next_seq()}
        try:
            await probe.promised("forward", body)
            probe.losses[loss] = None
        except TinkerError as error:
            probe.losses[loss] = error.message or str(error)


def _of_session(operation: str, body: dict[str, Any] | None = None) -> Step:
    async def ask(probe: Probe) -> Any:
        return await probe.call(operation, body, session_id=probe.session)

    return ask


def _of_run(operation: str) -> Step:
    async def ask(probe: Probe) -> Any:
        return await probe.call(operation, training_run_id=probe.known("create_model", "model_id"))

    return ask


def _of_checkpoint(operation: str, saved: str, body: dict[str, Any] | None = None) -> Step:
    async def ask(probe: Probe) -> Any:
        return await probe.call(operation, body, **probe.checkpoint(saved))

    return ask


def _plain(operation: str, body: dict[str, Any] | None = None, **arguments: Any) -> Step:
    async def ask(probe: Probe) -> Any:
        return await probe.call(operation, body, **arguments)

    return ask


STEPS: Final[dict[str, Step | str]] = {
    "get_health": _plain("get_health"),
    "get_client_config": _plain("get_client_config", VERSION),
    "get_client_dynamic_config": _plain("get_client_dynamic_config", VERSION),
    "get_server_capabilities": _plain("get_server_capabilities"),
    "exchange_token": _plain("exchange_token", {}, raw_key=True),
    "get_api_key": _plain("get_api_key", raw_key=True),
    "delete_api_key": "it would delete the key in use",
    "create_session": _create_session,
    "heartbeat_session": lambda probe: probe.call(
        "heartbeat_session", {"type": "session_heartbeat", "session_id": probe.session}
    ),
    "create_model": _create_model,
    "get_info": lambda probe: probe.call(
        "get_info", {"type": "get_info", "model_id": probe.known("create_model", "model_id")}
    ),
    "forward": lambda probe: probe.promised("forward", _pass("forward_input", probe, probe.next_seq())),
    "forward_backward": lambda probe: probe.promised(
        "forward_backward", _pass("forward_backward_input", probe, probe.next_seq())
    ),
    "optim_step": _optim_step,
    "create_custom_loss": _custom_loss,
    "save_weights": _saving("save_weights"),
    "save_weights_for_sampler": _saving("save_weights_for_sampler", sampler=True),
    "save_weights_external": _saving("save_weights_external"),
    "load_weights": _load_weights,
    "import_weights": "it needs an adapter that fits the base model; `tinker-hl checkpoint import` tries one",
    "get_weights_info": lambda probe: probe.call(
        "get_weights_info", {"tinker_path": probe.known("save_weights", "path")}
    ),
    "create_sampling_session": _create_sampling_session,
    "join_sampling_session": lambda probe: probe.call(
        "join_sampling_session",
        {
            "type": "join_sampling_session",
            "sampling_session_id": probe.known("create_sampling_session", "sampling_session_id"),
        },
    ),
    "get_sampler": lambda probe: probe.call(
        "get_sampler", sampler_id=probe.known("create_sampling_session", "sampling_session_id")
    ),
    "sample": _sample,
    "retrieve_future": _retrieve_future,
    "retrieve_futures": _retrieve_futures,
    "cancel_future": _cancel_future,
    "list_training_runs": _plain("list_training_runs", limit=1, offset=0),
    "get_training_run": _of_run("get_training_run"),
    "list_training_run_checkpoints": _of_run("list_training_run_checkpoints"),
    "list_checkpoints": _plain("list_checkpoints", limit=1, offset=0),
    "publish_checkpoint": _of_checkpoint("publish_checkpoint", "save_weights"),
    "unpublish_checkpoint": _of_checkpoint("unpublish_checkpoint", "save_weights"),
    "set_checkpoint_ttl": _of_checkpoint("set_checkpoint_ttl", "save_weights", {"ttl_seconds": TTL_SECONDS}),
    "get_checkpoint_archive": _of_checkpoint("get_checkpoint_archive", "save_weights_for_sampler"),
    "get_external_weights_urls": _of_checkpoint("get_external_weights_urls", "save_weights_external"),
    "copy_weights": lambda probe: probe.call(
        "copy_weights",
        {
            "source_path": probe.known("save_weights", "path"),
            "destination_project_id": PROJECT,
            "ttl_seconds": TTL_SECONDS,
        },
    ),
    "list_sessions": _plain("list_sessions", limit=1, offset=0),
    "get_session": _of_session("get_session"),
    "search_sessions": _plain("search_sessions", {"limit": 1, "owner": {"type": "own"}}),
    "assign_session_project": _of_session("assign_session_project", {"project_id": PROJECT}),
    "export_session_trace": _of_session("export_session_trace"),
    "get_audit_log": _plain("get_audit_log", event_type=AUDIT_ALL),
    "get_billing_usage": _billing,
    "get_checkpoint_storage_usage": _plain("get_checkpoint_storage_usage"),
    "send_telemetry": _telemetry,
    "delete_checkpoint": _delete_all,
    "unload_model": _unload,
    "finish_session": _of_session("finish_session", {"reason": {"type": "success"}}),
}
