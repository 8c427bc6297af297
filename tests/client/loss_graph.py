"""What a server does with an uploaded loss: runs the graph as it came over the wire, node by node."""

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import torch

FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
ROOTS = {"torch": torch, "math": math, "operator": operator}


def run_graph(graph: dict[str, Any], inputs: Sequence[Any]) -> Any:
    """What the graph returns for the inputs of its placeholders, in order."""
    assert graph["format"] == 1
    waiting, values = list(inputs), dict[str, Any]()
    for node in graph["nodes"]:
        args = [decode(argument, values) for argument in node["args"]]
        kwargs = {name: decode(argument, values) for name, argument in node["kwargs"].items()}
        if node["op"] == "output":
            assert not waiting
            return args[0]
        if node["op"] == "placeholder":
            values[node["name"]] = waiting.pop(0)
        elif node["op"] == "call_method":
            values[node["name"]] = getattr(args[0], node["target"])(*args[1:], **kwargs)
        else:
            assert node["op"] == "call_function"
            values[node["name"]] = function(node["target"])(*args, **kwargs)
    raise AssertionError("the graph has no output")


def function(target: str) -> Any:
    if target == "getattr":
        return getattr
    root, *path = target.split(".")
    return functools.reduce(getattr, path, ROOTS[root])


def decode(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [decode(item, values) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "ref":
        return values[content]
    if kind == "float":
        return FLOATS[content]
    if kind == "ellipsis":
        return ...
    if kind == "device":
        return torch.device(content)
    if kind in ("dtype", "layout", "memory_format"):
        return getattr(torch, content)
    if kind == "dict":
        return {key: decode(item, values) for key, item in content.items()}
    assert kind in ("tuple", "slice")
    parts = [decode(item, values) for item in content]
    return tuple(parts) if kind == "tuple" else slice(*parts)
