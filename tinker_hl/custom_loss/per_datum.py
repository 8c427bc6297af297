"""Runs a loss of single datums on this machine, as a loss of a whole call: the sum over its datums.

Services that run such losses themselves do the same, so that results and errors agree. It knows nothing of requests.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from tinker_hl.custom_loss.handle import LossHandle
from tinker_hl.custom_loss.rules import Rule
from tinker_hl.custom_loss.surrogate import CustomLossFn, tensor_shape
from tinker_hl.errors import CustomLossError, InvalidDatumError
from tinker_hl.types import CustomLossInput, Datum

if TYPE_CHECKING:
    import torch

__all__ = ["check_inputs", "over_datums", "refuse_foreign"]


def refuse_foreign(handle: LossHandle, session_id: str | None) -> None:
    """Refuse a handle of another session.

    Raises:
        CustomLossError: Names both sessions.
    """
    if handle.session_id != session_id:
        raise CustomLossError(
            f"the custom loss {handle.name!r} belongs to session {handle.session_id!r}, and this client to "
            f"{session_id!r}; create it again with this client's ServiceClient",
            rule=Rule.OWN_SESSION,
        )


def check_inputs(handle: LossHandle, data: Sequence[Datum]) -> None:
    """Refuse datums without an input of the loss, or with one of another rank than declared.

    Raises:
        InvalidDatumError: Names the datum and the input.
    """
    logprobs, *others = handle.inputs
    for index, datum in enumerate(data):
        _check_input(handle, datum, index, "target_tokens", logprobs)
        for each in others:
            _check_input(handle, datum, index, each.name, each)


def over_datums(handle: LossHandle) -> CustomLossFn:
    """The loss of a call: per-datum losses summed; metrics `:sum` summed, `:mean` divided by the number of datums.

    What an operation of the graph raises is passed on, with a note that names the datum.
    """

    def loss(data: list[Datum], logprobs: "list[torch.Tensor]") -> "tuple[torch.Tensor, Mapping[str, float]]":
        results = [_run(handle, datum, index, logprobs[index]) for index, datum in enumerate(data)]
        total = sum((value for value, _ in results[1:]), start=results[0][0])
        values: defaultdict[str, list[float]] = defaultdict(list)
        for _, metrics in results:
            for name, value in metrics.items():
                values[name].append(value)
        return total, {name: _joined(name, each, len(data)) for name, each in values.items()}

    return loss


def _check_input(handle: LossHandle, datum: Datum, index: int, key: str, declared: CustomLossInput) -> None:
    field = f"loss_fn_inputs[{key!r}]"
    tensor = datum.loss_fn_inputs.get(key)
    if tensor is None:
        raise InvalidDatumError(f"the custom loss {handle.name!r} takes it", datum_index=index, field=field)
    rank = len(tensor_shape(tensor))
    if rank != declared.rank:
        raise InvalidDatumError(
            f"it has rank {rank}, but the custom loss {handle.name!r} declared {declared.name} with rank "
            f"{declared.rank}",
            datum_index=index,
            field=field,
        )


def _run(
    handle: LossHandle, datum: Datum, index: int, logprobs: "torch.Tensor"
) -> "tuple[torch.Tensor, dict[str, float]]":
    inputs = [datum.loss_fn_inputs[name].to_torch() for name in handle.input_names]
    try:
        # `forward`, not a call: torch.fx patches the calls of modules in all threads while it traces in one.
        loss, metrics = cast("Any", handle.graph.forward)(logprobs, *inputs)
    except Exception as error:
        error.add_note(f"in the custom loss {handle.name!r}, for datum {index}")
        raise
    _check_scalar(handle, index, loss)
    return loss, {name: _metric(handle, index, name, value) for name, value in metrics.items()}


def _check_scalar(handle: LossHandle, index: int, loss: object) -> None:
    import torch

    if not isinstance(loss, torch.Tensor) or loss.ndim != 0:
        got = f"shape {list(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise CustomLossError(
            f"datum {index}: the custom loss {handle.name!r} must be a tensor of no dimensions, got {got}",
            rule=Rule.SCALAR,
        )


def _metric(handle: LossHandle, index: int, name: str, value: object) -> float:
    import torch

    if not isinstance(value, torch.Tensor) or value.ndim != 0 or value.is_complex():
        got = f"shape {list(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise CustomLossError(
            f"datum {index}: metric {name!r} of the custom loss {handle.name!r} must be a tensor of one real number "
            f"and no dimensions, got {got}",
            rule=Rule.METRICS,
            metric=name,
        )
    return float(value.item())


def _joined(name: str, values: Sequence[float], count: int) -> float:
    total = math.fsum(values) if all(map(math.isfinite, values)) else sum(values)
    return total / count if name.endswith(":mean") else total
