"""Adapters that were trained elsewhere, made checkpoints of here."""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from tinker_local import durable
from tinker_local.engine.protocol import EngineError, LoraSpec, UserFaultError
from tinker_local.errors import bad_request, conflict, invalid, unavailable
from tinker_local.handlers.call import Call, Handler, Result
from tinker_local.runs.models import model_id_of
from tinker_local.store.paths import TRAINING, CheckpointPath
from tinker_local.store.records import RunRecord

__all__ = ["HANDLERS"]

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


async def import_weights(call: Call) -> Result:
    """Make a checkpoint of what is sent, once the engine has loaded it; the same idempotency key makes one."""
    async with call.service.copying:
        return await _imported(call)


async def _imported(call: Call) -> Result:
    service, body = call.service, call.body
    session = service.sessions.get(body["session_id"], call.owner)
    key = call.idempotency_key
    done = service.records.copy(call.owner, key) if key else None
    if done is not None:
        return {"tinker_path": done}
    service.checkpoints.check_room(call.owner)
    service.checkpoints.expiry(body.get("ttl_seconds"))
    base_model = service.supervision.model(body["base_model"]).name
    config = _checked_config(body["adapter_config"], service.settings.max_lora_rank)
    run_id = model_id_of(session.session_id, body["model_seq_id"])
    if service.records.run(run_id) is not None or service.models.find(run_id) is not None:
        raise conflict(f"run {run_id} exists already; count on")
    path = CheckpointPath.make(run_id, TRAINING, body["path"])
    staged = service.folders.stage()
    try:
        await asyncio.to_thread(_write, staged, config, body["adapter_model"])
        lora = await _tried(call, base_model, staged)
    except BaseException:
        service.folders.discard(staged)
        raise
    now = service.clock.wall()
    run = RunRecord(
        run_id=run_id,
        session_id=session.session_id,
        owner=call.owner,
        created_at=now,
        last_request_at=now,
        base_model=base_model,
        lora=lora,
        user_metadata=None,
        trainable=False,
    )
    await service.records.write(service.records.put_run(run))
    await service.checkpoints.commit(
        staged,
        path,
        owner=call.owner,
        base_model=base_model,
        lora=lora,
        ttl_seconds=body.get("ttl_seconds"),
        user_metadata=None,
        overwrite=False,
    )
    if key:
        await service.records.write(service.records.put_copy(call.owner, key, path, now))
    return {"tinker_path": str(path)}


async def _tried(call: Call, base_model: str, staged: Path) -> LoraSpec:
    """Have the engine load the adapter, which checks every tensor against the base model, and forget it again.

    It is no model of anybody's meanwhile: its name in the engine is that of the folder.
    """
    engine = call.service.supervision.require()
    try:
        lora = await engine.load_adapter(staged.name, base_model, staged, optimizer=False)
        await engine.unload_adapter(staged.name)
    except UserFaultError as error:
        raise bad_request(f"the adapter cannot be imported: {error}", "bad_adapter") from error
    except EngineError as error:
        raise unavailable(f"the adapter could not be tried: {error}") from error
    return lora


def _checked_config(config: Mapping[str, Any], max_rank: int) -> dict[str, Any]:
    if config["r"] > max_rank:
        loc = ("body", "adapter_config", "r")
        raise invalid(loc, f"{config['r']} is more than the most that is served, {max_rank}", "maximum")
    return dict(config)


def _write(staged: Path, config: Mapping[str, Any], weights: str) -> None:
    """Write the adapter's two files; it may take seconds. Raises `ApiError` 422 for weights that are not base64."""
    try:
        decoded = base64.b64decode(weights, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(("body", "adapter_model"), f"it is not base64: {error}") from None
    durable.write(staged / _CONFIG, orjson.dumps(config, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    durable.write(staged / _WEIGHTS, decoded)


HANDLERS: Mapping[str, Handler] = {"import_weights": import_weights}
