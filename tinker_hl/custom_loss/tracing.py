"""Makes a graph of a loss of single datums, and refuses one that a service could not run.

What is checked is what a service relies on: every value comes from the declared inputs, every operation is torch's or
Python's own arithmetic, and nothing leaves the graph. It knows nothing of how a graph is sent.
"""

import functools
import inspect
import re
import threading
import types
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from tinker_hl.custom_loss.handle import PerDatumLossFn
from tinker_hl.custom_loss.rules import Rule
from tinker_hl.custom_loss.surrogate import async_refusal
from tinker_hl.errors import CustomLossError
from tinker_hl.types import CustomLossInput, CustomLossInputRank

if TYPE_CHECKING:
    import torch.fx

__all__ = ["NAME", "function_name", "name_of", "trace", "traced_inputs"]

MAX_INPUTS: Final = 16
NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,63}")
"""What inputs, and losses at the server, are called."""
METRIC_NAME: Final = re.compile(r"custom/[a-z0-9_./-]{1,64}:(sum|mean)")
ROOTS: Final = frozenset({"torch", "math", "operator"})
LEAVING_METHODS: Final[Mapping[str, str]] = {
    "backward": "return the loss; forward_backward_custom differentiates it",
    "item": "keep every value a tensor, metrics too",
    "numpy": "keep every value a tensor, metrics too",
    "tolist": "keep every value a tensor, metrics too",
}

_tracing = threading.Lock()
"""torch.fx patches torch while it traces, and is not made for two threads at once."""


def name_of(fn: PerDatumLossFn) -> str:
    """What the loss is called in errors and at the server."""
    return str(getattr(fn, "__name__", type(fn).__name__))


def traced_inputs(fn: PerDatumLossFn, input_ranks: Mapping[str, CustomLossInputRank]) -> tuple[CustomLossInput, ...]:
    """The inputs of a loss, by its signature and the declared ranks.

    Raises:
        CustomLossError: It is no plain function of `logprobs` and named inputs, or a rank is missing or wrong.
    """
    _refuse_other_callables(fn)
    names = _parameter_names(fn)
    if set(input_ranks) != set(names):
        raise CustomLossError(
            f"{name_of(fn)} takes {', '.join(names)}: input_ranks must have exactly these, got {sorted(input_ranks)}",
            rule=Rule.RANKS,
        )
    return tuple(CustomLossInput(name=name, rank=_rank(fn, name, input_ranks[name])) for name in names)


def trace(fn: PerDatumLossFn) -> "torch.fx.GraphModule":
    """The loss as a graph that keeps to the rules.

    Raises:
        CustomLossError: torch.fx cannot trace it, or a node breaks a rule; names both.
    """
    import torch.fx

    name = name_of(fn)
    try:
        with _tracing:
            graph = torch.fx.symbolic_trace(fn)
    except Exception as error:
        raise CustomLossError(
            f"{name} cannot be traced by torch.fx ({type(error).__name__}: {error})",
            rule=Rule.TRACEABLE,
            hint="It may not branch on values of tensors, nor call libraries other than torch and math.",
        ) from error
    for node in graph.graph.nodes:
        _check_node(name, node)
    return graph


def function_name(node: "torch.fx.Node") -> str:
    """The qualified name of a called function, as graphs are written; Python's operators are `operator.*`."""
    # torch keeps it private, but it is what makes the names in a traced module's own code, which a server resolves.
    from torch.fx.node import _get_qualified_name

    return _get_qualified_name(cast("Any", node.target)).removeprefix("_")


def _refuse_other_callables(fn: object) -> None:
    import torch

    if isinstance(fn, torch.nn.Module):
        raise CustomLossError(
            f"{type(fn).__name__} is a module, whose parameters a server would not have; trace a function of tensors, "
            "or give the module's computation to forward_backward_custom as an ordinary function",
            rule=Rule.NO_MODULES,
        )
    if inspect.iscoroutinefunction(fn):
        raise async_refusal()
    if hasattr(fn, "_torchdynamo_orig_callable"):
        raise CustomLossError(
            "the loss has been through torch.compile, which cannot be traced; give the function itself",
            rule=Rule.PLAIN_FUNCTION,
        )
    if not isinstance(fn, types.FunctionType):
        kind = "a functools.partial" if isinstance(fn, functools.partial) else f"a {type(fn).__name__}"
        raise CustomLossError(
            f"a loss that is traced is a plain function, written with def or lambda; got {kind}",
            rule=Rule.PLAIN_FUNCTION,
        )


def _parameter_names(fn: PerDatumLossFn) -> list[str]:
    parameters = list(inspect.signature(fn).parameters.values())
    names = [parameter.name for parameter in parameters]
    if not names or names[0] != "logprobs":
        raise _bad_parameters(fn, "its first parameter must be logprobs, as in def loss(logprobs, advantages)")
    if len(names) > MAX_INPUTS:
        raise _bad_parameters(fn, f"it has {len(names)} parameters, and {MAX_INPUTS} are the limit")
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise _bad_parameters(fn, f"parameter {parameter} must be an ordinary positional one")
        if parameter.default is not parameter.empty:
            raise _bad_parameters(
                fn, f"parameter {parameter.name!r} has a default, but every datum must have the input"
            )
        if not NAME.fullmatch(parameter.name):
            raise _bad_parameters(
                fn, f"parameter {parameter.name!r} must be up to 64 lowercase letters, digits and underscores"
            )
    return names


def _bad_parameters(fn: PerDatumLossFn, why: str) -> CustomLossError:
    return CustomLossError(f"{name_of(fn)}: {why}", rule=Rule.PARAMETERS)


def _rank(fn: PerDatumLossFn, name: str, rank: object) -> CustomLossInputRank:
    allowed: tuple[CustomLossInputRank, ...] = (1, 2) if name == "logprobs" else (0, 1, 2)
    found: list[CustomLossInputRank] = [each for each in allowed if type(rank) is int and each == rank]
    if not found:
        raise CustomLossError(
            f"{name_of(fn)}: the rank of {name} is 0 (a scalar), 1 ([T]) or 2 ([T, K]), and of logprobs 1 or 2; "
            f"got {rank!r}",
            rule=Rule.RANKS,
        )
    return found[0]


def _check_node(name: str, node: "torch.fx.Node") -> None:
    if node.op == "get_attr":
        raise _refused(
            name,
            node,
            Rule.NO_TENSORS,
            "uses a tensor that is neither logprobs nor an input",
            hint="Make it an input, make it of one (torch.ones_like(logprobs)), or write it as a number.",
        )
    if node.op == "call_module":
        raise _refused(name, node, Rule.NO_MODULES, f"calls the module {node.target}")
    if node.op == "call_function":
        _check_function(name, node)
    if node.op == "call_method":
        _check_method(name, node)
    if node.op == "output":
        _check_output(name, node)


def _check_function(name: str, node: "torch.fx.Node") -> None:
    if node.target is getattr:
        return
    try:
        called = function_name(node)
    except RuntimeError:  # a function without a name that could be sent
        called = repr(node.target)
    if called.partition(".")[0] not in ROOTS:
        raise _refused(name, node, Rule.FUNCTIONS, f"calls {called}")


def _check_method(name: str, node: "torch.fx.Node") -> None:
    import torch

    method = str(node.target)
    if method in LEAVING_METHODS:
        raise _refused(name, node, Rule.METHODS, f"calls {method}()", hint=f"Instead, {LEAVING_METHODS[method]}.")
    if not hasattr(torch.Tensor, method):
        raise _refused(name, node, Rule.METHODS, f"calls {method}(), which tensors do not have")


def _check_output(name: str, node: "torch.fx.Node") -> None:
    import torch.fx

    returned: Any = node.args[0]
    if not (isinstance(returned, (tuple, list)) and len(returned) == 2 and isinstance(returned[1], dict)):
        raise _refused(name, node, Rule.RETURNS, "returns something else than (loss, metrics)")
    loss, metrics = returned
    if not isinstance(loss, torch.fx.Node):
        raise _refused(name, node, Rule.RETURNS, f"returns the loss {loss!r}, which is not computed from the inputs")
    _check_metrics(name, node, metrics.items())


def _check_metrics(name: str, node: "torch.fx.Node", metrics: Iterable[tuple[Any, Any]]) -> None:
    import torch.fx

    for metric, value in metrics:
        if not (isinstance(metric, str) and METRIC_NAME.fullmatch(metric)):
            why = f"names a metric {metric!r}; lowercase, and the suffix says how it is joined over datums"
            raise _refused(name, node, Rule.METRIC_NAMES, why, metric=str(metric))
        if not isinstance(value, torch.fx.Node):
            why = f"gives metric {metric!r} the value {value!r}, which is not a tensor"
            raise _refused(name, node, Rule.METRICS, why, metric=metric)


def _refused(
    name: str, node: "torch.fx.Node", rule: Rule, why: str, *, hint: str | None = None, metric: str | None = None
) -> CustomLossError:
    return CustomLossError(
        f"{name} cannot be used as a custom loss: it {why} (node {node.name!r}); a traced loss {rule.value}",
        rule=rule,
        node=node.name,
        metric=metric,
        hint=hint,
    )
