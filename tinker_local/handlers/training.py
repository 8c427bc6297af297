"""Models: made, described, passed through, stepped, unloaded."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tinker_local.beside import beside
from tinker_local.engine.protocol import LoraSpec, TrainingDatum
from tinker_local.errors import bad_request, conflict, invalid
from tinker_local.futures import Answer, JsonAnswer, TrainingAnswer
from tinker_local.handlers.call import LARGE, Call, Handler, Result
from tinker_local.handlers.custom_losses import CUSTOM, definition_of
from tinker_local.handlers.labels import check_labels
from tinker_local.runs.models import Model, model_id_of
from tinker_local.runs.replay import REPLAYED, had_its_result
from tinker_local.runs.submission import fingerprint_of, fingerprint_of_pass
from tinker_local.scheduler import Handover, Mark
from tinker_local.service import Service
from tinker_local.store.records import RunRecord
from tinker_local.store.spool import Spooled
from tinker_local.wire.optimizer import family_of, settings_of, shown_family
from tinker_local.wire.training import ForwardBackwardCall, decode_json, decode_proto

__all__ = ["HANDLERS", "check_images", "new_model", "slot_taken"]


async def create_model(call: Call) -> Result:
    """Make an adapter."""
    service, body = call.service, call.body
    session = service.sessions.get(body["session_id"], call.owner)
    fingerprint = fingerprint_of("create_model", body)
    model_id = model_id_of(session.session_id, body["model_seq_id"])
    taken = slot_taken(service, model_id, fingerprint)
    if taken is not None:
        return taken
    engine = service.supervision.require()
    base_model = service.supervision.model(body["base_model"]).name
    lora = _lora(body.get("lora_config"), service.settings.max_lora_rank)
    lora = attrs.evolve(lora, optimizer=family_of(body.get("optimizer_config")) or lora.optimizer)
    if lora.seed is None and service.autosaves.on:
        lora = attrs.evolve(lora, seed=_seed_of(model_id))
    model = new_model(call, model_id, session.session_id, body["base_model"], lora, fingerprint)

    had = had_its_result()

    async def run() -> Answer:
        await engine.create_adapter(model_id, base_model, lora)
        model.life = service.supervision.life
        await service.records.write(service.records.put_run(model.record))
        if not had:
            service.audit.note("run_create", call.owner, model_id=model_id, base_model=body["base_model"])
        return JsonAnswer({"type": "create_model", "model_id": model_id})

    return service.intake.create(model, run)


async def get_info(call: Call) -> Result:
    """Describe a model."""
    record = call.service.models.record(call.body["model_id"], call.whose)
    info = call.service.supervision.model(record.base_model)
    return {
        "type": "get_info",
        "model_id": record.run_id,
        "model_data": {
            "arch": info.architecture,
            "model_name": record.base_model,
            "tokenizer_id": info.directory,
        },
        "optimizer_config": shown_family(record.lora.optimizer),
        "is_lora": True,
        "lora_rank": record.lora.rank,
        "model_name": record.base_model,
    }


async def unload_model(call: Call) -> Result:
    """Free a model, after all that was asked of it before."""
    service, fingerprint = call.service, fingerprint_of("unload_model", call.body)
    known = service.models.in_memory(call.body["model_id"])
    if known is not None and known.unloaded and known.record.owner == call.owner:
        repeated = service.intake.repeated(known, None, fingerprint, call.idempotency_key)
        if repeated is not None:
            return repeated
    model = service.models.get(call.body["model_id"], call.owner)
    repeated = service.intake.repeated(model, None, fingerprint, call.idempotency_key)
    if repeated is not None:
        return repeated
    engine = service.supervision.require()

    async def run() -> Answer:
        await engine.unload_adapter(model.model_id)
        service.models.freed(model)
        if service.autosaves.on:
            service.in_background(service.autosaves.drop(model.model_id))
        service.audit.note("run_unload", call.owner, model_id=model.model_id)
        return JsonAnswer({"type": "unload_model", "model_id": model.model_id})

    return service.intake.submit(model, None, fingerprint, run, call.idempotency_key)


async def forward(call: Call) -> Result:
    """A pass without gradients, as clients before 0.25 ask for it."""
    return await _pass(call, await _decoded(call, forward=True))


async def forward_backward(call: Call) -> Result:
    """A pass, with gradients unless `forward_only`."""
    return await _pass(call, await _decoded(call, forward=False))


async def optim_step(call: Call) -> Result:
    """Apply the gradients."""
    service, body = call.service, call.body
    model = service.models.get(body["model_id"], call.owner)
    fingerprint = fingerprint_of("optim_step", body)
    repeated = service.intake.repeated(model, body.get("seq_id"), fingerprint, call.idempotency_key)
    if repeated is not None:
        return repeated
    settings = settings_of(body, model.record.lora.optimizer)

    async def run() -> Answer:
        metrics = await service.supervision.engine.optim_step(model.model_id, settings)
        return JsonAnswer({"metrics": dict(metrics)})

    return service.intake.submit(model, body.get("seq_id"), fingerprint, run, call.idempotency_key, "step")


async def _decoded(call: Call, *, forward: bool) -> tuple[ForwardBackwardCall, bytes]:
    def decode() -> tuple[ForwardBackwardCall, bytes]:
        protobuf = call.protobuf
        decoded = decode_proto(protobuf) if protobuf is not None else decode_json(call.body, forward=forward)
        return decoded, fingerprint_of_pass(decoded)

    return decode() if call.size < LARGE else await beside(decode)


async def _pass(call: Call, decoded: tuple[ForwardBackwardCall, bytes]) -> Result:
    service, share, (request, fingerprint) = call.service, call.share, decoded
    model = service.models.get(request.model_id, call.owner)
    check_images(service, model.record.base_model, any(datum.images for datum in request.data))
    spooled = await _set_aside(call, request, model)  # the last wait: all else is one step
    if spooled is not None:
        request = attrs.evolve(request, data=())
        model = service.models.get(request.model_id, call.owner)
    repeated = service.intake.repeated(model, request.seq_id, fingerprint, call.idempotency_key)
    if repeated is not None:
        return repeated

    if not call.replayed and not model.order.fills_gap(request.seq_id):
        service.autosaves.check_room(call.size)
    config: Mapping[str, float | str] = request.loss_fn_config
    if request.loss_fn == CUSTOM:
        config = definition_of(service, model.record.session_id, config)

    had = had_its_result()

    async def passed(data: Sequence[TrainingDatum]) -> Answer:
        output = await service.supervision.engine.forward_backward(
            model.model_id, data, request.loss_fn, config, backward=request.backward
        )
        if not had:
            service.usage.trained(model.record, data)
        return TrainingAnswer(output)

    handover = None if spooled is None else Handover()

    async def run() -> Answer:
        if spooled is None or handover is None:
            return await passed(request.data)
        async with service.spool.room_in_memory:
            data = await spooled.read()
            share.take(spooled.size)
            try:
                handover.called()
                return await passed(data)
            finally:
                share.take(0)

    mark: Mark = "gather" if request.backward else ""
    return service.intake.submit(
        model, request.seq_id, fingerprint, run, call.idempotency_key, mark, share=share, handover=handover
    )


async def _set_aside(call: Call, request: ForwardBackwardCall, model: Model) -> Spooled | None:
    """Write a pass's data to the disk if they will have to wait, and there is no room for them in memory."""
    share = call.share
    if call.replayed:
        room = not share.beyond
    else:
        room = request.seq_id is None or not model.order.waits(request.seq_id) or share.wait()
    if room:
        return None
    spooled = await call.service.spool.put(request.data, bounded=not call.replayed)
    share.on_release = spooled.delete
    share.take(0)
    return spooled


def check_images(service: Service, base_model: str, given: bool) -> None:
    """Raises `ApiError` 400 for images that are given to a model that reads text alone."""
    if given and not service.supervision.model(base_model).reads_images:
        raise bad_request(f"{base_model} reads text alone, and the input has an image", "text_only")


def slot_taken(service: Service, model_id: str, fingerprint: bytes) -> dict[str, Any] | None:
    """The answer to a repeated creation; None if there is no such model. Raises `ApiError` 409 for another creation."""
    if REPLAYED.get() is not None:
        return None
    service.models.check_restored(model_id)
    model = service.models.find(model_id)
    if model is not None:
        return service.intake.created(model, fingerprint)
    if service.records.run(model_id) is not None:
        raise conflict(f"{model_id} holds a copy of a checkpoint; count on")
    return None


def new_model(call: Call, model_id: str, session_id: str, base_model: str, lora: LoraSpec, fingerprint: bytes) -> Model:
    """Take a model in, which the engine has yet to make.

    Raises:
        ApiError: there is no room for another one, or its labels are too long.
    """
    check_labels(call)
    call.service.models.check_room(call.owner)
    if not call.replayed:
        call.service.autosaves.check_room()
    now = call.service.clock.wall()
    record = RunRecord(
        run_id=model_id,
        session_id=session_id,
        owner=call.owner,
        created_at=now,
        last_request_at=now,
        base_model=base_model,
        lora=lora,
        user_metadata=call.body.get("user_metadata"),
    )
    model = Model(record, fingerprint=fingerprint)
    call.service.models.add(model)
    return model


def _seed_of(model_id: str) -> int:
    """A seed for whoever gave none, so that the same adapter can be made again; model ids cannot be guessed."""
    return int.from_bytes(hashlib.blake2b(model_id.encode(), digest_size=4).digest()) >> 1


def _lora(config: Mapping[str, Any] | None, max_rank: int) -> LoraSpec:
    spec = LoraSpec(**(config or {}))
    loc = ("body", "lora_config")
    if spec.rank > max_rank:
        raise invalid((*loc, "rank"), f"{spec.rank} is more than the most that is served, {max_rank}", "maximum")
    if not (spec.train_attn or spec.train_mlp or spec.train_unembed):
        raise invalid(loc, "nothing is trained: one of train_attn, train_mlp and train_unembed must be true")
    return spec


HANDLERS: Mapping[str, Handler] = {
    "create_model": create_model,
    "get_info": get_info,
    "unload_model": unload_model,
    "forward": forward,
    "forward_backward": forward_backward,
    "optim_step": optim_step,
}
