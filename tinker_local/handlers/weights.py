"""Weights: saved, loaded, copied, described."""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

import attrs

from tinker_local.engine.protocol import LoraSpec, UserFaultError
from tinker_local.errors import bad_request, conflict, invalid
from tinker_local.futures import Answer, JsonAnswer
from tinker_local.handlers.call import Call, Handler, Result
from tinker_local.handlers.labels import check_labels
from tinker_local.handlers.training import new_model, slot_taken
from tinker_local.runs.models import Model, model_id_of
from tinker_local.runs.samplers import sampler_id_of
from tinker_local.runs.submission import fingerprint_of
from tinker_local.sealing import Seal
from tinker_local.store.paths import EXTERNAL, SAMPLER, TRAINING, CheckpointPath
from tinker_local.store.records import RunRecord, SamplerRecord, SavedOutcome
from tinker_local.wire.optimizer import family_of, shown_family

__all__ = ["HANDLERS"]

_TOKEN_HEADER = "x-tinker-weights-access-token"
"""Where `copy_weights` of the official SDK sends its token, so that it does not show in a log of bodies."""


async def save_weights(call: Call) -> Result:
    """Save a model and its optimizer's state under a name."""
    return _save_named(call, TRAINING, "save_weights", overwrite=call.body["overwrite"])


async def save_weights_for_sampler(call: Call) -> Result:
    """Make weights ready to sample: under a name, or as a sampling session."""
    if call.body.get("path") is not None:
        return _save_named(call, SAMPLER, "save_weights_for_sampler", overwrite=False)
    if call.body.get("sampling_session_seq_id") is None:
        raise invalid(("body", "path"), "either path or sampling_session_seq_id is needed", "required")
    return _save_unnamed(call)


async def save_weights_external(call: Call) -> Result:
    """Save a model's weights to be downloaded, without the optimizer's state, encrypted if asked."""
    recipients = call.body.get("age_encryption_recipients")
    if recipients is not None and not recipients:  # neither "nobody may read it" nor "everybody may" is safe to guess
        raise invalid(("body", "age_encryption_recipients"), "it is empty; name a recipient, or leave it out")
    seal = None if recipients is None else Seal(recipients)
    return _save_named(call, EXTERNAL, "save_weights_external", overwrite=False, seal=seal)


async def load_weights(call: Call) -> Result:
    """Load a checkpoint: into a model, or as a new one."""
    body = call.body
    into, fresh = body.get("model_id") is not None, body.get("session_id") is not None
    if into == fresh:
        raise invalid(("body", "model_id"), "exactly one of model_id and session_id is needed")
    if fresh and body.get("model_seq_id") is None:
        raise invalid(("body", "model_seq_id"), "it is needed beside session_id", "required")
    return _load_into(call) if into else _load_as_new(call)


async def copy_weights(call: Call) -> Result:
    """Copy a checkpoint; the same idempotency key makes one copy."""
    async with call.service.copying:
        return await _copied(call)


async def _copied(call: Call) -> Result:
    service, body = call.service, call.body
    key = call.idempotency_key
    done = service.records.copy(call.owner, key) if key else None
    if done is not None:
        return {"tinker_path": done}
    check_labels(call)
    service.checkpoints.check_room(call.owner)
    token = call.request.headers.get(_TOKEN_HEADER) or body.get("weights_access_token")
    source = service.checkpoints.loadable(CheckpointPath.parse(body["source_path"]), call.whose, token)
    service.audit.note_checkpoint("read", call.owner, source, purpose="copy")
    service.checkpoints.expiry(body.get("ttl_seconds"))
    run = await _home_of_copy(call, source.base_model, source.lora)
    path = CheckpointPath(run.run_id, source.path.kind, source.path.name)
    staged = service.folders.stage()
    service.folders.copy(source.path, staged)
    await service.records.write(service.records.put_run(run), service.records.put_origin(run.run_id, source.path))
    await service.checkpoints.commit(
        staged,
        path,
        owner=call.owner,
        base_model=source.base_model,
        lora=source.lora,
        ttl_seconds=body.get("ttl_seconds"),
        user_metadata=source.user_metadata,
        overwrite=False,
    )
    if key:
        await service.records.write(service.records.put_copy(call.owner, key, path, service.clock.wall()))
    return {"tinker_path": str(path)}


async def get_weights_info(call: Call) -> Result:
    """What is needed to load weights."""
    record = call.service.checkpoints.readable(CheckpointPath.parse(call.body["tinker_path"]), call.whose)
    return {
        "base_model": record.base_model,
        "is_lora": True,
        "lora_rank": record.lora.rank,
        "train_unembed": record.lora.train_unembed,
        "train_mlp": record.lora.train_mlp,
        "train_attn": record.lora.train_attn,
        "optimizer_config": shown_family(record.lora.optimizer),
    }


def _save_named(call: Call, kind: str, operation_id: str, *, overwrite: bool, seal: Seal | None = None) -> Result:
    service, body = call.service, call.body
    model = service.models.get(body["model_id"], call.owner)
    seq_id = body.get("seq_id")
    fingerprint = fingerprint_of(operation_id, body)
    repeated = service.intake.repeated(model, seq_id, fingerprint, call.idempotency_key)
    if repeated is not None:
        return repeated
    check_labels(call)
    service.checkpoints.check_room(call.owner)
    name = body["path"] if body.get("path") is not None else f"unnamed-{uuid.uuid4().hex[:12]}"
    path = CheckpointPath.make(model.model_id, kind, name)
    service.checkpoints.expiry(body.get("ttl_seconds"))
    if call.replayed:
        overwrite = True  # a checkpoint of that name is what its first time has left
    if not overwrite:
        service.checkpoints.check_free(path)

    async def run() -> Answer:
        staged = service.folders.stage()
        try:
            await service.supervision.engine.save_adapter(model.model_id, staged, optimizer=kind == TRAINING)
            if seal is not None:
                await asyncio.to_thread(seal.close, staged)
        except BaseException:
            service.folders.discard(staged)
            raise
        record = await service.checkpoints.commit(
            staged,
            path,
            owner=call.owner,
            base_model=model.record.base_model,
            lora=model.record.lora,
            ttl_seconds=body.get("ttl_seconds"),
            user_metadata=body.get("user_metadata"),
            overwrite=overwrite,
        )
        outcome: dict[str, Any] = {"type": operation_id, "path": str(path)}
        if kind == EXTERNAL:
            outcome["size_bytes"] = record.size_bytes
        if seq_id is not None:
            await _keep_outcome(call, f"{model.model_id}:{seq_id}", fingerprint, outcome)
        return JsonAnswer(outcome)

    return service.intake.submit(model, seq_id, fingerprint, run, call.idempotency_key)


async def _keep_outcome(call: Call, request_id: str, fingerprint: bytes, outcome: dict[str, Any]) -> None:
    records = call.service.records
    saved = SavedOutcome(request_id=request_id, owner=call.owner, fingerprint=fingerprint, outcome=outcome)
    await records.write(records.put_outcome(saved, call.service.clock.wall()))


def _save_unnamed(call: Call) -> Result:
    """A sampling session on a copy of the weights in the engine's memory, as they are when its turn comes.

    An `inflight` save is the same: what it promises, these weights or newer ones, a copy of these keeps.
    """
    service, body = call.service, call.body
    model = service.models.get(body["model_id"], call.owner)
    # A client that tries again gives the same sequence id, but counts its sampling sessions on.
    fingerprint = fingerprint_of("save_weights_for_sampler", body, without=("sampling_session_seq_id",))
    repeated = service.intake.repeated(model, body.get("seq_id"), fingerprint, call.idempotency_key)
    if repeated is not None:
        return repeated
    service.samplers.check_room(call.owner)
    sampler_id = sampler_id_of(model.record.session_id, body["sampling_session_seq_id"])
    if service.samplers.find(sampler_id) is not None and not call.replayed:
        raise conflict(f"sampling session {sampler_id} exists already; count on")
    record = SamplerRecord(
        sampler_id=sampler_id,
        session_id=model.record.session_id,
        owner=call.owner,
        created_at=service.clock.wall(),
        base_model=model.record.base_model,
        model_id=model.model_id,
    )

    async def run() -> Answer:
        sampler = service.samplers.find(sampler_id) or service.samplers.add(record)
        try:
            made = service.supervision.engine.create_sampler(sampler_id, None, model_id=model.model_id)
            if service.autosaves.on:
                saved = service.autosaves.snapshot(model.model_id, sampler_id)
                await asyncio.gather(made, saved)
            else:
                await made
            if not await service.engine_samplers.made(sampler.source):
                raise UserFaultError(f"session {record.session_id} ended before {sampler_id} was ready")
            await service.records.write(service.records.put_sampler(record))
        except BaseException:
            await service.samplers.forget(sampler)
            raise
        return JsonAnswer({"type": "save_weights_for_sampler", "path": None, "sampling_session_id": sampler_id})

    return service.intake.submit(model, body.get("seq_id"), fingerprint, run, call.idempotency_key)


def _fingerprint_of_load(body: Mapping[str, Any]) -> bytes:
    """Without the token, which the journal leaves out: a repeat is the same before a restart and after it."""
    return fingerprint_of("load_weights", body, without=("weights_access_token",))


def _load_into(call: Call) -> Result:
    service, body = call.service, call.body
    model = service.models.get(body["model_id"], call.owner)
    fingerprint = _fingerprint_of_load(body)
    repeated = service.intake.repeated(model, body.get("seq_id"), fingerprint, call.idempotency_key)
    if repeated is not None:
        return repeated
    path = CheckpointPath.parse(body["path"])
    saved = service.checkpoints.loadable(path, call.whose, body.get("weights_access_token"))
    base_model = service.supervision.model(model.record.base_model).name
    if service.supervision.model(saved.base_model).name != base_model:
        raise bad_request(
            f"{path} was trained on {saved.base_model}, {model.model_id} is on {model.record.base_model}", "mismatch"
        )

    async def run() -> Answer:
        lora = await service.supervision.engine.load_adapter(
            model.model_id,
            base_model,
            service.folders.at(path),
            optimizer=body["optimizer"],
            family=model.record.lora.optimizer,
        )
        await _remember(call, model, lora)
        if path.run_id != model.model_id:  # a run that goes back to a state of its own began elsewhere
            await service.records.write(service.records.put_origin(model.model_id, path))
        service.audit.note_checkpoint("read", call.owner, saved, purpose="load", into=model.model_id)
        return JsonAnswer({"type": "load_weights", "path": str(path), "model_id": model.model_id})

    return service.intake.submit(model, body.get("seq_id"), fingerprint, run, call.idempotency_key, "load")


def _load_as_new(call: Call) -> Result:
    service, body = call.service, call.body
    session = service.sessions.get(body["session_id"], call.owner)
    fingerprint = _fingerprint_of_load(body)
    model_id = model_id_of(session.session_id, body["model_seq_id"])
    taken = slot_taken(service, model_id, fingerprint)
    if taken is not None:
        return taken
    engine = service.supervision.require()
    path = CheckpointPath.parse(body["path"])
    saved = service.checkpoints.loadable(path, call.whose, body.get("weights_access_token"))
    family = family_of(body.get("optimizer_config")) or saved.lora.optimizer
    name = body["base_model"] if body.get("base_model") is not None else saved.base_model
    base_model = service.supervision.model(name).name
    lora = attrs.evolve(saved.lora, optimizer=family)
    model = new_model(call, model_id, session.session_id, name, lora, fingerprint)

    async def run() -> Answer:
        lora = await engine.load_adapter(
            model_id, base_model, service.folders.at(path), optimizer=body["optimizer"], family=family
        )
        model.life = service.supervision.life
        await _remember(call, model, lora)
        await service.records.write(service.records.put_origin(model_id, path))
        service.audit.note("run_create", call.owner, model_id=model_id, base_model=name)
        service.audit.note_checkpoint("read", call.owner, saved, purpose="load", into=model_id)
        return JsonAnswer({"type": "load_weights", "path": str(path), "model_id": model_id})

    return service.intake.create(model, run, "load")


async def _remember(call: Call, model: Model, lora: LoraSpec) -> None:
    """The shape of an adapter is its checkpoint's."""
    model.reshape(lora)
    await call.service.records.write(call.service.records.put_run(model.record))


async def _home_of_copy(call: Call, base_model: str, lora: LoraSpec) -> RunRecord:
    """A run that cannot be trained, in a session of the caller's or in a new one."""
    service, body = call.service, call.body
    project_id, session_id = body.get("destination_project_id"), body.get("session_id")
    if (project_id is None) == (session_id is None):
        raise invalid(
            ("body", "destination_project_id"), "either destination_project_id or session_id is needed, not both"
        )
    if session_id is not None:
        if body.get("model_seq_id") is None:
            raise invalid(("body", "model_seq_id"), "it is needed beside session_id", "required")
        session = service.sessions.get(session_id, call.owner)
    else:
        session = await service.sessions.create(
            call.owner, tags=["copy"], user_metadata=None, sdk_version="", project_id=project_id, display_name=None
        )
    run_id = model_id_of(session.session_id, body.get("model_seq_id") or 0)
    if service.records.run(run_id) is not None or service.models.find(run_id) is not None:
        raise conflict(f"run {run_id} exists already; count on")
    now = service.clock.wall()
    return RunRecord(
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


HANDLERS: Mapping[str, Handler] = {
    "save_weights": save_weights,
    "save_weights_external": save_weights_external,
    "save_weights_for_sampler": save_weights_for_sampler,
    "load_weights": load_weights,
    "copy_weights": copy_weights,
    "get_weights_info": get_weights_info,
}
