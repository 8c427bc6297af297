"""Promises asked for: one, a sampling client's news, given up."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from tinker_local.beside import beside
from tinker_local.futures import Answer, Promise
from tinker_local.handlers.call import Call, Handler, Result

__all__ = ["HANDLERS"]

_PROTOBUF = "application/x-protobuf"


async def retrieve_future(call: Call) -> Result:
    """The answer, or after a while that there is none yet."""
    service = call.service
    promise = service.futures.get(call.body["request_id"], call.owner)
    answer = await promise.wait(service.settings.long_poll_seconds)
    if answer is None:
        return _try_again(promise)
    service.futures.delivered(promise)
    service.keeping.delivered(promise)
    return await _delivered(call, answer)


async def retrieve_futures(call: Call) -> Result:
    """A sampling client's completions after its cursor."""
    service, body = call.service, call.body
    target = body["target"]
    sampler = service.samplers.get(target["sampling_session_id"], call.owner)
    sampler.admit(target["cloned_sampler_id"])
    for request_id in body["retrieved_request_ids"]:
        service.futures.taken(request_id, call.owner)
    most = service.settings.long_poll_seconds
    seconds = most if body.get("timeout") is None else min(body["timeout"], most)
    feed = service.futures.feed(sampler.sampler_id, target["cloned_sampler_id"])
    news, cursor = await feed.after(body["prev_cursor"], seconds)
    return {"completions": [_completion(promise) for promise in news], "cursor": cursor}


async def cancel_future(call: Call) -> Result:
    """Give a sample up; anything else stays as it is, known or not."""
    promise = call.service.futures.find(call.body["request_id"])
    if promise is not None and promise.owner == call.owner:
        call.service.samples.cancel(promise, "the request was cancelled")
    return None


def _try_again(promise: Promise) -> dict[str, Any]:
    body = {"type": "try_again", "request_id": promise.request_id, "queue_state": promise.queue_state}
    return body if promise.held_by is None else {**body, "queue_state_reason": promise.held_by}


async def _delivered(call: Call, answer: Answer) -> Response:
    """In the form that was asked for. Making it may take a while for a large result, so it is done in a thread."""
    wants_protobuf = _PROTOBUF in call.request.headers.get("accept", "")

    def encode() -> tuple[bytes, str]:
        protobuf = answer.protobuf() if wants_protobuf else None
        return (answer.json(), "application/json") if protobuf is None else (protobuf, _PROTOBUF)

    content, media_type = await beside(encode) if answer.large else encode()
    return Response(content, media_type=media_type)


def _completion(promise: Promise) -> dict[str, Any]:
    assert promise.answer is not None
    if promise.answer.failed:
        return {"state": "failed", "request_id": promise.request_id}
    payload = promise.answer.protobuf()
    size = len(payload) if payload is not None else len(promise.answer.json())
    return {"state": "finished", "request_id": promise.request_id, "response_payload_uncompressed_size": size}


HANDLERS: Mapping[str, Handler] = {
    "retrieve_future": retrieve_future,
    "retrieve_futures": retrieve_futures,
    "cancel_future": cancel_future,
}
