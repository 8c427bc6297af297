"""Runs the graph of an uploaded loss, node by node, under limits. Nothing is evaluated but what is on the list.

The graph was checked when it was uploaded (`tinker_local.loss_graphs`); here names become functions, and what they are
given and give is watched: tensors, plain numbers and tuples of these, never more elements or time than allowed. The
size of a result is asked of torch's shape arithmetic *before* it is computed, so that what is refused takes no memory.
"""

import functools
import itertools
import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

from tinker_local.engine.loss_operations import FUNCTIONS
from tinker_local.engine.protocol import UserFaultError

__all__ = ["Budget", "run_graph"]

_FLOATS: Final = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_MOST_INT: Final = 2**63
_MODULES: Final[Mapping[str, Any]] = {"torch": torch, "math": math, "operator": operator}


@attrs.define
class Budget:
    """What is left of what a loss may use. Elements are counted for one datum, the time for all of a pass."""

    elements: int
    ends_at: float
    """Of `time.monotonic`."""

    def take(self, elements: int) -> None:
        """Raises `UserFaultError` if there is not as much left."""
        if time.monotonic() > self.ends_at:
            raise UserFaultError("the time that the service gives a custom loss is over")
        if elements > self.elements:
            raise UserFaultError(f"it needs {elements} more elements of tensors, the service has {self.elements} left")
        self.elements -= elements


def run_graph(nodes: Sequence[Mapping[str, Any]], inputs: Mapping[str, Tensor], budget: Budget) -> Any:
    """What the graph returns for these inputs.

    Raises:
        UserFaultError: naming the node; torch refused it, or a limit was reached.
    """
    values: dict[str, Any] = {}
    device = inputs["logprobs"].device
    with _Meter(budget):
        for node in nodes:
            try:
                values[node["name"]] = _checked(_run(node, values, inputs, device))
            except Exception as error:  # whatever torch makes of it: the loss is its sender's
                what = node["target"] if node["op"].startswith("call") else node["op"]
                raise UserFaultError(f"node {node['name']!r} ({what}): {_told(error)}") from None
    return values[nodes[-1]["name"]]


def _run(node: Mapping[str, Any], values: Mapping[str, Any], inputs: Mapping[str, Tensor], device: torch.device) -> Any:
    if node["op"] == "placeholder":
        return inputs[node["target"]]
    args = [_decoded(argument, values, device) for argument in node["args"]]
    kwargs = {name: _decoded(argument, values, device) for name, argument in node["kwargs"].items()}
    if node["op"] == "output":
        return args[0]
    if node["op"] == "call_method":
        if not isinstance(args[0], Tensor):
            raise TypeError(f"methods are called on tensors, this is a {type(args[0]).__name__}")
        return getattr(args[0], node["target"])(*args[1:], **kwargs)
    return _function(node["target"])(*args, **kwargs)


@functools.cache
def _function(name: str) -> Callable[..., Any]:
    """What a name of the list stands for."""
    if name not in FUNCTIONS:
        raise UserFaultError(f"the function {name!r} is not allowed")
    if name == "getattr":
        return _attribute
    module, _, rest = name.partition(".")
    try:
        found: Callable[..., Any] = functools.reduce(getattr, rest.split("."), _MODULES[module])
    except AttributeError:
        raise UserFaultError(f"torch {torch.__version__}, which runs here, has no {name}") from None
    watched = {"math": _on_numbers, "operator": _on_operands}.get(module)
    return found if watched is None else watched(found)


def _attribute(value: Any, name: str) -> Any:
    if isinstance(value, Tensor) and name not in ("values", "indices"):
        return getattr(value, name)
    if isinstance(value, tuple) and type(value).__module__ == "torch.return_types" and name in ("values", "indices"):
        return getattr(value, name)
    raise TypeError(f"a {type(value).__name__} has no {name}")


def _on_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        if not all(isinstance(value, int | float) for value in args):
            raise TypeError("functions of math take numbers; torch has the same for tensors")
        return function(*args)

    return call


def _on_operands(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        if function is operator.getitem and len(args) == 2 and isinstance(args[0], tuple):
            return function(*args)
        if function is operator.getitem and args and isinstance(args[0], Tensor):
            return function(*args)
        if not all(isinstance(value, Tensor | int | float) for value in args):
            raise TypeError("operators take tensors and numbers")
        whole = function is operator.pow and all(isinstance(value, int) for value in args)
        if whole and abs(args[0]).bit_length() * max(args[1], 0) > 64:
            raise OverflowError("the whole number is beyond 64 bits")
        return function(*args)

    return call


def _decoded(value: Any, values: Mapping[str, Any], device: torch.device) -> Any:
    if isinstance(value, list):
        return [_decoded(item, values, device) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "ref":
        return values[content]
    if kind in ("dtype", "layout", "memory_format"):
        return getattr(torch, content)
    if kind == "device":
        return device  # there is one, whatever the sender's was called
    if kind == "float":
        return _FLOATS[content]
    if kind == "ellipsis":
        return ...
    if kind == "dict":
        return {name: _decoded(item, values, device) for name, item in content.items()}
    parts = [_decoded(item, values, device) for item in content]
    return slice(*parts) if kind == "slice" else tuple(parts)


def _checked(value: Any) -> Any:
    """Whole numbers are Python's, which grow without end: they stay small here."""
    for part in tree_iter(value):
        if isinstance(part, int) and abs(part) >= _MOST_INT:
            raise OverflowError("the whole number is beyond 64 bits")
    return value


def _told(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its class untyped
    """Sees each operation of torch before it is carried out, and takes its result's size from the budget."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._budget = budget

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        self._budget.take(_result_size(func, args, named))
        return func(*args, **named)


def _result_size(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    tensors = [value for value in tree_iter((args, kwargs)) if isinstance(value, Tensor)]
    if tensors and torch.Tag.pointwise in func.tags and len({t.shape for t in tensors if t.numel() != 1}) < 2:
        return max(tensor.numel() for tensor in tensors)
    by_data = _SIZED_BY_DATA.get(str(func.overloadpacket))
    if by_data is not None and (most := by_data(*args)) is not None:
        return most
    # What makes tensors of nothing is told where; else this would make the very tensor that is asked about.
    elsewhere = not tensors or kwargs.get("device") is not None
    on_meta = {**kwargs, "device": torch.device("meta")} if elsewhere else kwargs
    result = func(*tree_map(_meta, args), **tree_map(_meta, on_meta))
    return sum(value.numel() for value in tree_iter(result) if isinstance(value, Tensor))


def _meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value


def _most_selected(tensor: Tensor, mask: Tensor) -> int:
    pairs = itertools.zip_longest(reversed(tensor.shape), reversed(mask.shape), fillvalue=1)
    return math.prod(max(pair) for pair in pairs)


def _most_indexed(tensor: Tensor, indices: Sequence[Tensor | None]) -> int | None:
    """With masks no more than there is; None with numbers, for which torch knows."""
    masks = [index.dtype in (torch.bool, torch.uint8) for index in indices if index is not None]
    if any(masks) and not all(masks):
        raise TypeError("an index of masks and of numbers at once is not taken")
    return tensor.numel() if any(masks) else None


_SIZED_BY_DATA: Final[Mapping[str, Callable[..., int | None]]] = {
    "aten._local_scalar_dense": lambda _: 1,
    "aten.index": _most_indexed,
    "aten.masked_select": _most_selected,
    "aten.nonzero": lambda tensor: tensor.numel() * max(tensor.ndim, 1),
}
"""Operations whose result torch can size only with the data at hand: the most that it may be."""
