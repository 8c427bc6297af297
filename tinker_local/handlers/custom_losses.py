"""Losses that clients upload: checked, kept for their session, and given to the passes that name them."""

from collections.abc import Mapping
from typing import Any

import orjson

from tinker_local.errors import bad_request, conflict
from tinker_local.futures import JsonAnswer, Promise
from tinker_local.handlers.call import Call, Handler, Result
from tinker_local.loss_graphs import check_graph
from tinker_local.runs.submission import fingerprint_of, repeat
from tinker_local.service import Service
from tinker_local.store.losses import LossRecord

__all__ = ["CUSTOM", "HANDLERS", "definition_of"]

CUSTOM = "custom"


async def create_custom_loss(call: Call) -> Result:
    """Take a loss in. Nothing is computed, so its promise is kept at once."""
    service, body = call.service, call.body
    session = service.sessions.get(body["session_id"], call.owner)
    fingerprint = fingerprint_of("create_custom_loss", body)
    loss_id = f"{session.session_id}:loss:{body['custom_loss_seq_id']}"
    known = service.futures.find(loss_id)
    if known is not None:
        return repeat(known, fingerprint)
    kept = service.losses.loss(loss_id)
    if kept is not None and kept.fingerprint != fingerprint:
        raise conflict(f"{loss_id} is another loss; count on")
    most = service.settings.max_custom_losses
    if kept is None and service.losses.count(session.session_id) >= most:
        raise bad_request(f"the session has {most} custom losses already (max_custom_losses); use those", "too_many")
    nodes = [{"args": [], "kwargs": {}, **node} for node in body["graph"]["nodes"]]
    check_graph(body["inputs"], nodes, service.settings.custom_loss_nodes)
    promise = Promise(request_id=loss_id, owner=call.owner, session_id=session.session_id, fingerprint=fingerprint)
    service.futures.add(promise)
    definition = {"name": body["name"], "inputs": body["inputs"], "nodes": nodes}
    record = LossRecord(loss_id=loss_id, session_id=session.session_id, fingerprint=fingerprint, definition=definition)
    await service.records.write(service.losses.put(record))
    promise.resolve(JsonAnswer({"type": "create_custom_loss", "loss_id": loss_id}))
    return promise.submitted()


def definition_of(service: Service, session_id: str, config: Mapping[str, float | str]) -> Mapping[str, str]:
    """What the engine is told in place of the loss's id. Raises `ApiError` 400 for a loss that the session has not."""
    unknown = [name for name in config if name != "loss_id"]
    loss_id = config.get("loss_id")
    if unknown or not isinstance(loss_id, str):
        raise bad_request("loss_fn 'custom' takes one setting: loss_id, which create_custom_loss gives", "bad_config")
    record = service.losses.loss(loss_id)
    if record is None or record.session_id != session_id:
        raise bad_request(f"session {session_id} has no custom loss {loss_id[:120]!r}; create it there", "no_such_loss")
    limits: dict[str, Any] = {
        "most_elements": service.settings.custom_loss_elements,
        "most_seconds": service.settings.custom_loss_seconds,
    }
    return {"definition": orjson.dumps({**record.definition, **limits}).decode()}


HANDLERS: Mapping[str, Handler] = {"create_custom_loss": create_custom_loss}
