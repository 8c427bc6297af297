"""Health, capabilities, and the settings that clients ask for."""

from collections.abc import Mapping

from tinker_local.engine.protocol import BaseModelInfo
from tinker_local.handlers.call import Call, Handler, Result

__all__ = ["HANDLERS", "LIMITS"]

_CLIENT_CONFIG = {
    "parallel_fwdbwd_chunks": True,
    "proto_compress_fwdbwd": False,  # on loopback compressing costs more than it saves
    "proto_write_fwdbwd": True,
    "fwdbwd_max_chunk_len": 1024,
    "fwdbwd_max_chunk_bytes_count": 5_000_000,
    "sample_use_retrieve_futures": True,
    "sample_join_sampling_session": True,
    "custom_loss_server_side": True,
    "create_model_via_load_weights": True,
}
LIMITS = (
    "max_lora_rank",
    "max_num_samples",
    "max_pending_samples",
    "max_pending_requests",
    "max_unfetched_results",
    "max_unfetched_bytes",
    "max_body_bytes",
    "max_inflated_bytes",
    "max_small_body_bytes",
    "max_bytes_under_way",
    "max_spooled_bytes",
    "max_autosave_bytes",
    "max_metadata_bytes",
    "max_sessions",
    "max_models",
    "max_samplers",
    "max_custom_losses",
    "max_checkpoints",
)
"""The settings that say what is refused."""
_DYNAMIC_CONFIG = {"refresh_interval_sec": 300, "sample_cancel_enabled": True, "sample_cancel_max_batch_size": 64}


async def get_health(call: Call) -> Result:
    """Ready means that training and sampling work now."""
    call.service.draining.check_open()
    call.service.supervision.require()
    return {"status": "ok"}


async def get_server_capabilities(call: Call) -> Result:
    """Each base model under each of its names."""
    infos, settings = call.service.supervision.models, call.service.settings
    return {
        "supported_models": [_supported(info, name) for info in infos for name in (info.name, *info.aliases)],
        "limits": {name: getattr(settings, name) for name in LIMITS},
    }


async def get_client_config(call: Call) -> Result:
    """Settings for clients, once."""
    return {**_CLIENT_CONFIG, "pjwt_auth_enabled": call.service.settings.token_auth}


async def get_client_dynamic_config(_: Call) -> Result:
    """Settings for clients, again and again."""
    return _DYNAMIC_CONFIG


def _supported(info: BaseModelInfo, name: str) -> Mapping[str, object]:
    return {
        "model_name": name,
        "max_context_length": info.max_context_length,
        "trainable": True,
        "sampleable": True,
        "tokenizer_id": info.directory,
        "kv_cache_tokens": info.kv_cache_tokens,
    }


HANDLERS: Mapping[str, Handler] = {
    "get_health": get_health,
    "get_server_capabilities": get_server_capabilities,
    "get_client_config": get_client_config,
    "get_client_dynamic_config": get_client_dynamic_config,
}
