"""Sequence ids of requests that were turned away at the door: nobody should wait for them.

A refused request may be too broken to be understood, so its model and number are looked for as far as that is possible.
"""

from typing import Any

import orjson
from google.protobuf.message import DecodeError
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.runs.models import Model, Models

__all__ = ["note_refusal"]


def note_refusal(models: Models, owner: str, raw: bytes, *, protobuf: bool) -> tuple[Model, int] | None:
    """Let later requests of the model pass by this one, if the owner has such a model.

    Returns:
        The model and the number that may be passed by.
    """
    model_id, seq_id = _from_protobuf(raw) if protobuf else _from_json(raw)
    if not isinstance(model_id, str) or type(seq_id) is not int or seq_id < 1:
        return None
    model = models.in_memory(model_id)
    if model is None or model.record.owner != owner:
        return None
    model.order.refuse(seq_id)
    return model, seq_id


def _from_json(raw: bytes) -> tuple[Any, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None, None
    return (body.get("model_id"), body.get("seq_id")) if isinstance(body, dict) else (None, None)


def _from_protobuf(raw: bytes) -> tuple[Any, Any]:
    try:
        request = pb.ForwardBackwardRequest.FromString(raw)
    except DecodeError:
        return None, None
    return request.model_id, request.seq_id
