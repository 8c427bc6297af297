"""Sampling sessions and samples."""

import uuid
from collections.abc import Mapping
from typing import Any

from tinker_local.engine.cache_room import excess_of_cache
from tinker_local.engine.protocol import BaseModelInfo, Hold, SampleJob
from tinker_local.errors import bad_request, conflict, invalid
from tinker_local.futures import Answer, Promise, QueueState, SampleAnswer
from tinker_local.handlers.call import Call, Handler, Result
from tinker_local.runs.samplers import CLONE, Source, sampler_id_of
from tinker_local.runs.submission import fingerprint_of, repeat
from tinker_local.scheduler import Work
from tinker_local.store.paths import CheckpointPath
from tinker_local.store.records import SamplerRecord
from tinker_local.wire.sampling import decode_sample
from tinker_local.wire.tensors import RowLayout

__all__ = ["HANDLERS"]

_PAUSES: Mapping[str, QueueState] = {"capacity": "paused_capacity", "share": "paused_rate_limit"}


async def create_sampling_session(call: Call) -> Result:
    """Open a sampling session."""
    service, body = call.service, call.body
    session = service.sessions.get(body["session_id"], call.owner)
    sampler_id = sampler_id_of(session.session_id, body["sampling_session_seq_id"])
    answer = {"type": "create_sampling_session", "sampling_session_id": sampler_id}
    existing = service.samplers.find(sampler_id)
    if existing is not None:
        _check_same(existing.record, body)
        return answer
    service.samplers.check_room(call.owner)
    sampler = service.samplers.add(_record(call, session.session_id, sampler_id))
    try:
        await service.records.write(service.records.put_sampler(sampler.record))
    except BaseException:
        await service.samplers.forget(sampler)
        raise
    if service.supervision.ready:  # the weights are taken now, not when somebody first samples
        service.in_background(service.engine_samplers.ready(sampler.source))
    return answer


async def join_sampling_session(call: Call) -> Result:
    """Give a copy of a sampling client its number."""
    sampler = call.service.samplers.get(call.body["sampling_session_id"], call.owner)
    number = sampler.join()
    records = call.service.records
    await records.write(records.put_joined(sampler.sampler_id, number))
    return {"type": "join_sampling_session", "client_counter": number}


async def get_sampler(call: Call) -> Result:
    """What a sampling session samples from."""
    record = call.service.samplers.record(call.parameters["sampler_id"], call.whose)
    return {"sampler_id": record.sampler_id, "base_model": record.base_model, "model_path": record.model_path}


async def sample(call: Call) -> Result:
    """Draw samples."""
    service, body = call.service, call.body
    if body["num_samples"] > service.settings.max_num_samples:
        most = service.settings.max_num_samples
        raise invalid(("body", "num_samples"), f"{body['num_samples']} is more than the most, {most}", "maximum")
    if body.get("sampling_session_id") is None:
        return _sample_without_session(call)
    if body.get("seq_id") is None:
        raise invalid(("body", "seq_id"), "it is needed beside sampling_session_id", "required")
    sampler = service.samplers.get(body["sampling_session_id"], call.owner)
    client = body["seq_id"] // CLONE
    sampler.admit(client)
    request_id = f"{sampler.sampler_id}:{body['seq_id']}"
    fingerprint = fingerprint_of("sample", body)
    known = service.futures.find(request_id)
    if known is not None:
        return repeat(known, fingerprint)
    sequence_ids = _sequence_ids(request_id, body["num_samples"])
    if service.futures.was(request_id):
        return {"request_id": request_id, "sample_sequence_ids": list(sequence_ids)}
    promise = Promise(
        request_id=request_id,
        owner=call.owner,
        session_id=sampler.record.session_id,
        sequence_ids=sequence_ids,
        fingerprint=fingerprint,
        feed=service.futures.feed(sampler.sampler_id, client),
    )
    submitted = _start(call, promise, sampler.source, run_id=sampler.record.model_id)
    await service.keeping.accepted(promise)
    return submitted


def _sample_without_session(call: Call) -> Result:
    """From a base model or a path, for this one request."""
    source = _source(call)
    request_id = f"sample-{uuid.uuid4()}"
    promise = Promise(
        request_id=request_id, owner=call.owner, sequence_ids=_sequence_ids(request_id, call.body["num_samples"])
    )
    call.service.engine_samplers.hold(source)
    promise.on_done.append(lambda: call.service.in_background(call.service.engine_samplers.release(source)))
    try:
        return _start(call, promise, source)
    except BaseException:
        call.service.in_background(call.service.engine_samplers.release(source))
        raise


def _start(call: Call, promise: Promise, source: Source, *, run_id: str | None = None) -> Result:
    service = call.service
    engine = service.supervision.require()
    callers = (call.owner, promise.session_id or "")
    job = decode_sample(call.body, job_id=promise.request_id, sampler_id=source.key, callers=callers)
    targets = call.body.get("target_prompt_logprobs")
    layout = None if targets is None else RowLayout.of(targets)
    info = service.supervision.model(source.base_model)
    if job.prompt.size > info.max_context_length:
        raise invalid(
            ("body", "prompt"),
            f"the prompt has {job.prompt.size} tokens, the context of {info.name} {info.max_context_length}",
            "maximum",
        )
    if job.images and not info.reads_images:
        raise bad_request(f"{source.base_model} reads text alone, and the prompt has an image", "text_only")
    _check_cache(job, info)
    if job.prompt.max() >= info.vocabulary_size:
        raise invalid(
            ("body", "prompt"),
            f"token {job.prompt.max()} is beyond the {info.vocabulary_size} tokens of {info.name}",
            "maximum",
        )
    service.samples.admit()
    service.futures.make_room(promise.session_id)

    async def run() -> Answer:
        await service.engine_samplers.ready(source)
        service.autosaves.room.used(source.key)
        output = await engine.sample(job, lambda hold: _note(promise, hold))
        run = run_id or ("" if source.path is None else source.path.run_id)
        service.usage.sampled(call.owner, promise.session_id, run, source.base_model, job.prompt.size, output)
        return SampleAnswer(output, promise.sequence_ids, layout)

    service.futures.add(promise)
    call.share.keep_until(promise.on_done)
    service.samples.start(Work(promise, run))
    return promise.submitted()


def _note(promise: Promise, hold: Hold | None) -> None:
    """Why it waits, for those who ask for its result."""
    if not promise.done:
        promise.queue_state = "active" if hold is None else _PAUSES[hold.cause]
        promise.held_by = None if hold is None else hold.reason


def _check_cache(job: SampleJob, info: BaseModelInfo) -> None:
    """One sample alone must fit the key/value cache. Raises `ApiError` 422."""
    excess = excess_of_cache(job, info)
    if excess is not None:
        raise invalid(("body", *excess.loc), excess.message, "maximum")


def _sequence_ids(request_id: str, count: int) -> tuple[str, ...]:
    return tuple(f"{request_id}:{index}" for index in range(count))


def _source(call: Call) -> Source:
    """What `base_model` and `model_path` name together. Raises `ApiError` 400 or 404."""
    service, body = call.service, call.body
    base_model, model_path = body.get("base_model"), body.get("model_path")
    if model_path is None:
        if base_model is None:
            raise bad_request("one of base_model and model_path is needed")
        service.supervision.model(base_model)
        return Source.of_base(base_model)
    saved = service.checkpoints.loadable(CheckpointPath.parse(model_path), call.whose)
    service.audit.note_checkpoint("read", call.owner, saved, purpose="sample")
    if base_model is not None and base_model != saved.base_model:
        raise bad_request(f"{model_path} was trained on {saved.base_model}, not on {base_model[:120]}", "mismatch")
    return Source.of_checkpoint(saved.path, saved.version, saved.base_model)


def _record(call: Call, session_id: str, sampler_id: str) -> SamplerRecord:
    source = _source(call)
    return SamplerRecord(
        sampler_id=sampler_id,
        session_id=session_id,
        owner=call.owner,
        created_at=call.service.clock.wall(),
        base_model=source.base_model,
        model_path=None if source.path is None else str(source.path),
        version=source.version,
    )


def _check_same(record: SamplerRecord, body: Mapping[str, Any]) -> None:
    base_model = body.get("base_model")
    if record.model_path != body.get("model_path") or base_model not in (None, record.base_model):
        raise conflict(f"sampling session {record.sampler_id} was opened on something else; count on")


HANDLERS: Mapping[str, Handler] = {
    "create_sampling_session": create_sampling_session,
    "join_sampling_session": join_sampling_session,
    "get_sampler": get_sampler,
    "sample": sample,
}
