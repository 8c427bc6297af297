"""A loss function as a graph, for services that compute it themselves."""

from typing import Any, Literal, TypeAlias

import attrs

from tinker_hl.types.record import Answer, Record

__all__ = [
    "CreateCustomLossRequest",
    "CreateCustomLossResponse",
    "CustomLossGraph",
    "CustomLossInput",
    "CustomLossInputRank",
    "CustomLossNode",
]

CustomLossInputRank: TypeAlias = Literal[0, 1, 2]
"""A scalar, [T] or [T, K]."""


@attrs.frozen(kw_only=True)
class CustomLossInput(Record):
    """One argument of the loss: `logprobs` first, then keys of `loss_fn_inputs`."""

    name: str
    rank: CustomLossInputRank


@attrs.frozen(kw_only=True)
class CustomLossNode(Record):
    """One operation of the graph."""

    op: Literal["placeholder", "get_attr", "call_function", "call_method", "call_module", "output"]
    name: str
    target: str
    args: list[Any] = attrs.field(factory=list)
    kwargs: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class CustomLossGraph(Record):
    """The operations in the order of execution."""

    format: int = 1
    nodes: list[CustomLossNode]


@attrs.frozen(kw_only=True)
class CreateCustomLossRequest(Record):
    """Hands a loss to the service."""

    session_id: str
    custom_loss_seq_id: int
    name: str
    inputs: list[CustomLossInput]
    graph: CustomLossGraph
    type: Literal["create_custom_loss"] = "create_custom_loss"


@attrs.frozen(kw_only=True)
class CreateCustomLossResponse(Answer):
    """The loss's id, for `loss_fn_config`."""

    loss_id: str
    type: Literal["create_custom_loss"] = "create_custom_loss"
