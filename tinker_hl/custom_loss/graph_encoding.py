"""Writes a traced loss as the protocol sends it.

Numbers, texts, null and lists stand for themselves; everything else is an object of one member that says what it is:
`ref`, `tuple`, `dict`, `slice`, `ellipsis`, `float` (infinities and NaN), `dtype`, `device`, `layout`, `memory_format`.
It knows the form only; what may be in a graph is `tracing`'s to say.
"""

import math
from typing import TYPE_CHECKING, Any, Final

from tinker_hl.custom_loss.rules import Rule
from tinker_hl.custom_loss.tracing import function_name
from tinker_hl.errors import CustomLossError
from tinker_hl.types import CustomLossGraph, CustomLossNode

if TYPE_CHECKING:
    import torch.fx

__all__ = ["encode_graph"]

MAX_INT: Final = 2**63


def encode_graph(graph: "torch.fx.Graph") -> CustomLossGraph:
    """The nodes of a graph in the order of execution.

    Raises:
        CustomLossError: An argument has no form on the wire; names the node.
    """
    return CustomLossGraph(nodes=[_encode_node(node) for node in graph.nodes])


def _encode_node(node: "torch.fx.Node") -> CustomLossNode:
    return CustomLossNode(
        op=node.op,  # type: ignore[arg-type]  # torch's own names, which are the protocol's
        name=node.name,
        target=function_name(node) if node.op == "call_function" else str(node.target),
        args=[_encode(argument, node) for argument in node.args],
        kwargs={name: _encode(argument, node) for name, argument in node.kwargs.items()},
    )


def _encode(value: Any, node: "torch.fx.Node") -> Any:
    import torch.fx

    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and -MAX_INT <= value < MAX_INT:
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": str(float(value))}
    if isinstance(value, torch.fx.Node):
        return {"ref": value.name}
    if isinstance(value, (tuple, list, dict, slice)):
        return _encode_container(value, node)
    return _encode_torch_value(value, node)


def _encode_container(value: Any, node: "torch.fx.Node") -> Any:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise _refusal(node, f"a dict with the keys {list(value)}, of which not all are text")
        return {"dict": {key: _encode(each, node) for key, each in value.items()}}
    if isinstance(value, slice):
        return {"slice": [_encode(part, node) for part in (value.start, value.stop, value.step)]}
    items = [_encode(each, node) for each in value]
    return items if isinstance(value, list) else {"tuple": items}


def _encode_torch_value(value: Any, node: "torch.fx.Node") -> dict[str, Any]:
    import torch

    if value is Ellipsis:
        return {"ellipsis": True}
    kinds = ((torch.dtype, "dtype"), (torch.layout, "layout"), (torch.memory_format, "memory_format"))
    for kind, key in kinds:
        if isinstance(value, kind):
            return {key: str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    shown = f"the integer {value}, which has more than 64 bits" if isinstance(value, int) else type(value).__name__
    raise _refusal(node, shown)


def _refusal(node: "torch.fx.Node", what: str) -> CustomLossError:
    return CustomLossError(
        f"an argument of node {node.name!r} ({node.target}) cannot be sent: {what}", rule=Rule.ARGUMENTS, node=node.name
    )
