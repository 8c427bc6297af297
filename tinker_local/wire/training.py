"""Training requests, JSON or protobuf, to the engine's data. It does not know sessions, models or what a loss computes.

Provenance spans are not read: no loss that this server computes needs them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tinker_proto import tinker_public_pb2 as pb

from tinker_local.engine.protocol import TrainingDatum
from tinker_local.wire.faults import Loc, WireFault
from tinker_local.wire.tensors import Room, tensor_from_json, tensor_from_proto
from tinker_local.wire.tokens import InputRow, row_from_json, row_from_proto

__all__ = ["ForwardBackwardCall", "decode_json", "decode_proto"]


@attrs.frozen(kw_only=True, eq=False)
class ForwardBackwardCall:
    """One forward or forward_backward request; there is at least one datum."""

    model_id: str
    seq_id: int | None
    data: tuple[TrainingDatum, ...]
    loss_fn: str
    loss_fn_config: dict[str, float | str]
    backward: bool


def decode_json(body: Mapping[str, Any], *, forward: bool) -> ForwardBackwardCall:
    """A validated body of `/forward` (`forward`) or of `/forward_backward`.

    Raises:
        WireFault: lengths disagree, a tensor's layout is wrong, a needed tensor is missing, or a chunk cannot be used.
    """
    field = "forward_input" if forward else "forward_backward_input"
    loc: Loc = ("body", field)
    given = body[field]
    room = Room()
    loss_fn: str = given["loss_fn"]

    def datum(index: int, item: Mapping[str, Any]) -> TrainingDatum:
        where = (*loc, "data", index)
        tensors = item["loss_fn_inputs"]
        return _datum(
            row_from_json(item["model_input"], (*where, "model_input")),
            tensors,
            lambda name: tensor_from_json(tensors[name], (*where, "loss_fn_inputs", name), room),
            loss_fn,
            where,
        )

    data = tuple(datum(index, item) for index, item in enumerate(given["data"]))
    return ForwardBackwardCall(
        model_id=body["model_id"],
        seq_id=body.get("seq_id"),
        data=_at_least_one(data, loc),
        loss_fn=loss_fn,
        loss_fn_config=dict(given.get("loss_fn_config") or {}),
        backward=not forward,
    )


def decode_proto(raw: bytes) -> ForwardBackwardCall:
    """A serialized `ForwardBackwardRequest`; a sequence id of 0 is none.

    Raises:
        WireFault: the bytes are no such message, or as `decode_json`.
    """
    try:
        request = pb.ForwardBackwardRequest.FromString(raw)
    except DecodeError as err:
        raise WireFault(("body",), f"the body is no ForwardBackwardRequest message: {err}") from err
    for name in ("model_id", "loss_fn"):
        if not getattr(request, name):
            raise WireFault(("body", name), f"{name} is missing")
    if request.seq_id < 0:
        raise WireFault(("body", "seq_id"), f"{request.seq_id} is no sequence id: they begin at 1")
    room = Room()

    def datum(index: int, item: pb.Datum) -> TrainingDatum:
        where = ("body", "data", index)
        tensors = item.loss_fn_inputs
        return _datum(
            row_from_proto(item.model_input, (*where, "model_input")),
            tensors,
            lambda name: tensor_from_proto(tensors[name], (*where, "loss_fn_inputs", name), room),
            request.loss_fn,
            where,
        )

    data = tuple(datum(index, item) for index, item in enumerate(request.data))
    return ForwardBackwardCall(
        model_id=request.model_id,
        seq_id=request.seq_id or None,
        data=_at_least_one(data, ("body",)),
        loss_fn=request.loss_fn,
        loss_fn_config=_proto_config(request),
        backward=not request.forward_only,
    )


def _at_least_one(data: tuple[TrainingDatum, ...], loc: Loc) -> tuple[TrainingDatum, ...]:
    if not data:
        raise WireFault((*loc, "data"), "there are no data; send at least one datum")
    return data


def _proto_config(request: pb.ForwardBackwardRequest) -> dict[str, float | str]:
    """The newer map where it is given: the older one repeats its numbers and has no texts."""
    if not request.loss_fn_config_v2:
        return dict(request.loss_fn_config)
    config: dict[str, float | str] = {}
    for name, value in request.loss_fn_config_v2.items():
        kind = value.WhichOneof("value")
        if kind is None:
            raise WireFault(("body", "loss_fn_config_v2", name), "the setting has no value")
        config[name] = value.number if kind == "number" else value.text
    return config


def _datum(
    row: InputRow,
    names: Mapping[str, Any],
    read: Callable[[str], NDArray[Any]],
    loss_fn: str,
    loc: Loc,
) -> TrainingDatum:
    """A datum of one length: every tensor is shaped like `target_tokens`, whose first dimension is that of the row,
    but for inputs of a custom loss.

    `cross_entropy` without weights weighs each token 1; so does SkyRL, and clients of 0.7 leave them out.
    """
    inputs_loc = (*loc, "loss_fn_inputs")
    if "target_tokens" not in names:
        raise WireFault((*inputs_loc, "target_tokens"), "target_tokens is missing; each loss needs it")
    targets = _targets(read("target_tokens"), row.tokens.size, (*inputs_loc, "target_tokens"))
    inputs: dict[str, NDArray[Any]] = {}
    for name in names:
        if name == "target_tokens":
            continue
        values = read(name)
        if loss_fn == "custom":  # its inputs are of whatever shape and kind it declared
            inputs[name] = values
            continue
        if values.shape != targets.shape:
            raise WireFault(
                (*inputs_loc, name), f"shape {list(values.shape)} differs from {list(targets.shape)} of target_tokens"
            )
        inputs[name] = values.astype(np.float32, copy=False)
    if loss_fn == "cross_entropy" and "weights" not in inputs:
        inputs["weights"] = np.ones(targets.shape, np.float32)
    return TrainingDatum(tokens=row.tokens, target_tokens=targets, inputs=inputs, images=row.images)


def _targets(targets: NDArray[Any], length: int, loc: Loc) -> NDArray[np.int64]:
    if targets.dtype.kind != "i":
        raise WireFault((*loc, "dtype"), "target_tokens holds token ids: its dtype must be int64")
    if targets.ndim not in (1, 2) or targets.shape[0] != length or targets.size == 0:
        raise WireFault(
            (*loc, "shape"),
            f"shape {list(targets.shape)} does not fit model_input of {length} tokens; "
            f"it must be [{length}], or [{length}, K] for K candidates a position",
        )
    return targets.astype(np.int64, copy=False)
