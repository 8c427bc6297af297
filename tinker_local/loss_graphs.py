"""Uploaded losses: which graphs are taken. torch is not imported; what nodes compute is watched where they are run.

Every node is looked at before a graph is kept: a refusal names the node. It does not know who uploads.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tinker_local.engine.loss_operations import ATTRIBUTES, DTYPES, FUNCTIONS, METHODS
from tinker_local.errors import ApiError, bad_request

__all__ = ["check_graph"]


_CONSTANTS: Final[Mapping[str, frozenset[str]]] = {
    "dtype": DTYPES,
    "float": frozenset({"inf", "-inf", "nan"}),
    "layout": frozenset({"strided"}),
    "memory_format": frozenset({"contiguous_format", "preserve_format"}),
}
_INPUT_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_METRIC: Final = re.compile(r"custom/[a-z0-9_./-]{1,64}:(sum|mean)")
_MOST_DEEP: Final = 8
_MOST_KWARGS: Final = 16


def check_graph(inputs: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]], most_nodes: int) -> None:
    """Refuse a graph that could not be run, or should not be.

    Args:
        inputs: name and rank of each, as the spec has them; `logprobs` is the first.
        nodes: as the spec has them.
        most_nodes: how many of them are taken.

    Raises:
        ApiError: 400, naming the node and what is wrong with it.
    """
    names = [given["name"] for given in inputs]
    if names[0] != "logprobs" or inputs[0]["rank"] == 0:
        raise _refused("inputs", "the first one must be logprobs, with rank 1 or 2")
    if len(set(names)) < len(names) or not all(_INPUT_NAME.fullmatch(name) for name in names):
        raise _refused("inputs", "their names must differ, each of up to 64 lowercase letters, digits and underscores")
    if len(nodes) > most_nodes:
        raise _refused("graph", f"it has {len(nodes)} nodes, this service takes {most_nodes}")
    placeholders = [node["target"] for node in nodes if node["op"] == "placeholder"]
    if placeholders != names:
        raise _refused("graph", f"its placeholders are {placeholders[:16]}, the inputs are {names}")
    known: set[str] = set()
    for place, node in enumerate(nodes):
        _check_node(node, known, last=place == len(nodes) - 1)
        known.add(node["name"])


def _check_node(node: Mapping[str, Any], known: set[str], *, last: bool) -> None:
    name, op, target = node["name"], node["op"], node["target"]
    if name in known:
        raise _refused(name, "another node has this name")
    if (op == "output") != last:
        raise _refused(name, "the output must be the last node, and only that")
    if op in ("get_attr", "call_module"):
        raise _refused(name, f"{op} is not allowed: a loss reads its inputs, and calls functions")
    if op == "call_function" and target not in FUNCTIONS:
        raise _refused(name, f"the function {target[:80]!r} is not allowed")
    if op == "call_method" and target not in METHODS:
        raise _refused(name, f"the method {target[:80]!r} is not allowed")
    if len(node["kwargs"]) > _MOST_KWARGS or "out" in node["kwargs"] or node["kwargs"].get("inplace"):
        raise _refused(name, "arguments that write into a tensor, or more than 16 named ones, are not allowed")
    for referred in _references(name, [*node["args"], *node["kwargs"].values()], 0):
        if referred not in known:
            raise _refused(name, f"it refers to {referred[:80]!r}, which is no node before it")
    if op == "call_method" and not node["args"]:
        raise _refused(name, "a method needs the tensor that it is of")
    if op == "call_function" and target == "getattr" and node["args"][1:] not in [[name] for name in ATTRIBUTES]:
        raise _refused(name, f"getattr may read {', '.join(sorted(ATTRIBUTES))} alone")
    if op == "output":
        _check_output(name, node["args"])


def _references(node: str, values: Sequence[Any], depth: int) -> Iterator[str]:
    """The nodes that arguments refer to, all of which are of a known kind."""
    if depth > _MOST_DEEP:
        raise _refused(node, f"its arguments are nested more than {_MOST_DEEP} deep")
    for value in values:
        if isinstance(value, list):
            yield from _references(node, value, depth + 1)
        elif isinstance(value, dict):
            if len(value) != 1:
                raise _refused(node, "an argument that is an object must have one member")
            ((kind, content),) = value.items()
            yield from _references_of(node, kind, content, depth)


def _references_of(node: str, kind: str, content: Any, depth: int) -> Iterator[str]:
    allowed = _CONSTANTS.get(kind)
    if allowed is not None:
        if not isinstance(content, str) or content not in allowed:
            raise _refused(node, f"{kind} must be one of {', '.join(sorted(allowed))}")
    elif kind == "ref" and isinstance(content, str):
        yield content
    elif kind in ("tuple", "slice") and isinstance(content, list) and (kind == "tuple" or len(content) == 3):
        yield from _references(node, content, depth + 1)
    elif kind == "dict" and isinstance(content, dict):
        yield from _references(node, list(content.values()), depth + 1)
    elif not (kind == "device" and isinstance(content, str)) and not (kind == "ellipsis" and content is True):
        raise _refused(node, f"there is no argument of the kind {kind[:40]!r} with this content")


def _check_output(node: str, args: Sequence[Any]) -> None:
    returned = args[0] if len(args) == 1 else None
    parts = returned.get("tuple") if isinstance(returned, dict) else returned
    if not (isinstance(parts, list) and len(parts) == 2 and _is(parts[0], "ref") and _is(parts[1], "dict")):
        raise _refused(node, "it must return a loss that is computed, and a dict of metrics")
    for name, value in parts[1]["dict"].items():
        if not _METRIC.fullmatch(name):
            raise _refused(node, f"metric {name[:80]!r} is not called custom/NAME:sum or custom/NAME:mean")
        if not _is(value, "ref"):
            raise _refused(node, f"metric {name!r} is not computed by the graph")


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, dict) and list(value) == [kind]


def _refused(node: str, why: str) -> ApiError:
    return bad_request(f"the loss cannot be used: {node[:80]}: {why}", "bad_custom_loss")
