"""Losses of single datums: which are traced, which are refused and by which rule, and how a graph is sent."""

import functools
import json
import math
import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from loss_graph import decode, run_graph
from torch import Tensor

from tinker_hl import CustomLossError, Datum, ModelInput
from tinker_hl.custom_loss.graph_encoding import encode_graph
from tinker_hl.custom_loss.handle import LossHandle
from tinker_hl.custom_loss.per_datum import over_datums
from tinker_hl.custom_loss.rules import Rule
from tinker_hl.custom_loss.tracing import trace, traced_inputs
from tinker_hl.types import CustomLossInput

Returned = tuple[Any, Any]
CAPTURED = torch.ones(3)
SCALE = 2.0


def weighted(logprobs: Tensor, weights: Tensor) -> Returned:
    loss = -(logprobs * weights).sum()
    return loss, {"custom/a:sum": loss.detach(), "custom/b:mean": torch.exp(logprobs).mean()}


def encoded(fn: Callable[..., Returned]) -> dict[str, Any]:
    """The graph as a server reads it."""
    sent: dict[str, Any] = json.loads(json.dumps(encode_graph(trace(fn).graph).wire_dict(), allow_nan=False))
    return sent


# What is sent.


def test_a_graph_is_sent_as_the_official_client_sends_it() -> None:
    """What release 0.38 of the official client was seen to send for this function."""
    assert encoded(weighted) == {
        "format": 1,
        "nodes": [
            {"op": "placeholder", "name": "logprobs", "target": "logprobs", "args": [], "kwargs": {}},
            {"op": "placeholder", "name": "weights", "target": "weights", "args": [], "kwargs": {}},
            _node("call_function", "mul", "operator.mul", {"ref": "logprobs"}, {"ref": "weights"}),
            _node("call_method", "sum_1", "sum", {"ref": "mul"}),
            _node("call_function", "neg", "operator.neg", {"ref": "sum_1"}),
            _node("call_method", "detach", "detach", {"ref": "neg"}),
            _node("call_function", "exp", "torch.exp", {"ref": "logprobs"}),
            _node("call_method", "mean", "mean", {"ref": "exp"}),
            _node(
                "output",
                "output",
                "output",
                {
                    "tuple": [
                        {"ref": "neg"},
                        {"dict": {"custom/a:sum": {"ref": "detach"}, "custom/b:mean": {"ref": "mean"}}},
                    ]
                },
            ),
        ],
    }


def _node(op: str, name: str, target: str, *args: Any) -> dict[str, Any]:
    return {"op": op, "name": name, "target": target, "args": list(args), "kwargs": {}}


@pytest.mark.parametrize(
    ("expression", "target", "args"),
    [
        (
            lambda p: p[1:3, None, ...],
            "operator.getitem",
            [{"tuple": [{"slice": [1, 3, None]}, None, {"ellipsis": True}]}],
        ),
        (lambda p: p.T, "getattr", ["T"]),
        (lambda p: F.relu(p), "torch.nn.functional.relu", []),
        (lambda p: F.softplus(p), "torch._C._nn.softplus", []),
        (lambda p: torch.special.expit(p), "torch._C._special.special_expit", []),
        (lambda p: abs(p), "operator.abs", []),
        (lambda p: p // 2, "operator.floordiv", [2]),
        (lambda p: p * math.inf, "operator.mul", [{"float": "inf"}]),
        (lambda p: p * -math.inf, "operator.mul", [{"float": "-inf"}]),
        (lambda p: p * math.nan, "operator.mul", [{"float": "nan"}]),
        (lambda p: p * True, "operator.mul", [True]),
        (lambda p: p.to(torch.float64), "to", [{"dtype": "float64"}]),
        (lambda p: p.to(torch.device("cpu")), "to", [{"device": "cpu"}]),
        (lambda p: p.clone(memory_format=torch.contiguous_format), "clone", []),
    ],
)
def test_operations_have_these_names_and_arguments(
    expression: Callable[[Any], Any], target: str, args: list[Any]
) -> None:
    def loss(logprobs: Tensor) -> Returned:
        return expression(logprobs).sum(), {}

    node = encoded(loss)["nodes"][1]
    assert node["target"] == target
    assert node["args"] == [{"ref": "logprobs"}, *args]


def test_layouts_and_memory_formats() -> None:
    def loss(logprobs: Tensor) -> Returned:
        zeros = torch.zeros_like(logprobs, layout=torch.strided, memory_format=torch.preserve_format)
        return (logprobs + zeros).sum(), {}

    kwargs = encoded(loss)["nodes"][1]["kwargs"]
    assert kwargs == {"layout": {"layout": "strided"}, "memory_format": {"memory_format": "preserve_format"}}


UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": operator.neg,
    "exp": torch.exp,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "logsigmoid": F.logsigmoid,
    "clamp": lambda x: x.clamp(min=-math.inf, max=0.5),
    "where": lambda x: torch.where(x > 0, x, -math.inf).clamp(min=-3.0),
    "slice": lambda x: torch.cat([x[1:], x[:1]]),
    "double": lambda x: x.to(torch.float64).to(dtype=torch.float32),
    "reshape": lambda x: x[..., None].squeeze(-1),
    "stack": lambda x: torch.stack([x, 2 * x], dim=0).mean(dim=(0,)),
    "size": lambda x: x / x.shape[0] + x.size(0),
    "power": lambda x: 2**x - x**2,
    "zeros": lambda x: x + torch.zeros_like(x, dtype=torch.float32),
    "einsum": lambda x: torch.einsum("i,i->i", x, x),
    "attribute": lambda x: x.real + x.data,
    "divide": lambda x: x % 3 + x // 2,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "mul": operator.mul,
    "minimum": torch.minimum,
    "maximum": lambda x, y: x.maximum(y),
    "addcmul": lambda x, y: torch.addcmul(x, x, y, value=0.5),
}
EXPRESSIONS = st.recursive(
    st.sampled_from(["logprobs", "advantages"]) | st.floats(-2, 2).map(lambda number: ("scaled", number)),
    lambda inner: (
        st.tuples(st.sampled_from(sorted(UNARY)), inner) | st.tuples(st.sampled_from(sorted(BINARY)), inner, inner)
    ),
    max_leaves=12,
)


def computed(expression: Any, inputs: dict[str, Any]) -> Any:
    if isinstance(expression, str):
        return inputs[expression]
    name, *operands = expression
    if name == "scaled":
        return operands[0] * inputs["logprobs"]
    values = [computed(operand, inputs) for operand in operands]
    return BINARY[name](*values) if len(values) == 2 else UNARY[name](*values)


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS)
def test_what_is_sent_computes_the_same(expression: Any) -> None:
    def loss(logprobs: Tensor, advantages: Tensor, scale: Tensor) -> Returned:
        value = computed(expression, {"logprobs": logprobs, "advantages": advantages})
        return (value * scale).sum(), {"custom/size:mean": value.abs().mean()}

    inputs = (torch.tensor([-0.5, -1.0, -2.0]), torch.tensor([1.0, -1.0, 0.5]), torch.tensor(2.0))
    expected, metrics = loss(*inputs)
    found, found_metrics = run_graph(encoded(loss), inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(found_metrics, metrics, rtol=0, atol=0, equal_nan=True)


ARGUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.just(...)
    | st.sampled_from([torch.float32, torch.int64, torch.bool, torch.strided, torch.channels_last])
    | st.sampled_from([torch.device("cpu"), torch.device("cuda", 1)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.builds(
            slice, st.none() | st.integers(-9, 9), st.none() | st.integers(-9, 9), st.none() | st.integers(1, 9)
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ARGUMENTS, max_size=3), st.dictionaries(st.text(min_size=1, max_size=3), ARGUMENTS, max_size=2))
def test_every_argument_comes_back_as_it_was(args: list[Any], kwargs: dict[str, Any]) -> None:
    graph = torch.fx.Graph()
    graph.call_function(torch.add, args=tuple(args), kwargs=kwargs)
    sent = json.loads(json.dumps(encode_graph(graph).wire_dict(), allow_nan=False))["nodes"][0]
    assert repr([decode(each, {}) for each in sent["args"]]) == repr(args)
    assert repr({name: decode(each, {}) for name, each in sent["kwargs"].items()}) == repr(kwargs)


# Signatures and ranks.


def _many(count: int) -> Callable[..., Returned]:
    source = (
        f"def many(logprobs, {', '.join(f'x{number}' for number in range(count - 1))}): return logprobs.sum(), {{}}"
    )
    scope: dict[str, Any] = {}
    exec(source, scope)
    made: Callable[..., Returned] = scope["many"]
    return made


def test_inputs_are_the_parameters_with_their_ranks() -> None:
    def loss(logprobs: Tensor, scale: Tensor, /, advantages: Tensor) -> Returned:
        return logprobs.sum(), {}

    assert traced_inputs(loss, {"advantages": 2, "logprobs": 2, "scale": 0}) == (
        CustomLossInput(name="logprobs", rank=2),
        CustomLossInput(name="scale", rank=0),
        CustomLossInput(name="advantages", rank=2),
    )
    ranks: dict[str, Any] = {"logprobs": 1} | {f"x{number}": 1 for number in range(15)}
    assert len(traced_inputs(_many(16), ranks)) == 16


def no_parameters() -> Returned:
    raise NotImplementedError


def other_order(weights: Tensor, logprobs: Tensor) -> Returned:
    raise NotImplementedError


def with_default(logprobs: Tensor, weights: float = 1.0) -> Returned:
    raise NotImplementedError


def keyword_only(logprobs: Tensor, *, weights: Tensor) -> Returned:
    raise NotImplementedError


def variadic(logprobs: Tensor, *weights: Tensor) -> Returned:
    raise NotImplementedError


def upper_case(logprobs: Tensor, W: Tensor) -> Returned:  # noqa: N803  # the fault
    raise NotImplementedError


@pytest.mark.parametrize(
    ("fn", "says"),
    [
        (no_parameters, "first parameter must be logprobs"),
        (other_order, "first parameter must be logprobs"),
        (with_default, "'weights' has a default"),
        (keyword_only, "must be an ordinary positional one"),
        (variadic, r"\*weights.* must be an ordinary positional one"),
        (upper_case, "'W' must be up to 64 lowercase"),
        (_many(17), "17 parameters, and 16"),
    ],
)
def test_signatures_that_name_no_inputs_are_refused(fn: Callable[..., Returned], says: str) -> None:
    with pytest.raises(CustomLossError, match=says) as caught:
        traced_inputs(fn, {})
    assert caught.value.rule == Rule.PARAMETERS


@pytest.mark.parametrize(
    ("ranks", "says"),
    [
        ({"logprobs": 1}, r"exactly these, got \['logprobs'\]"),
        ({"logprobs": 1, "weights": 1, "more": 1}, "exactly these"),
        ({"logprobs": 0, "weights": 1}, "rank of logprobs .* got 0"),
        ({"logprobs": 1, "weights": 3}, "rank of weights .* got 3"),
        ({"logprobs": 1, "weights": -1}, "got -1"),
        ({"logprobs": 1, "weights": True}, "got True"),
        ({"logprobs": 1, "weights": 1.0}, r"got 1\.0"),
    ],
)
def test_ranks_are_declared_for_each_parameter(ranks: dict[str, Any], says: str) -> None:
    with pytest.raises(CustomLossError, match=says) as caught:
        traced_inputs(weighted, ranks)
    assert caught.value.rule == Rule.RANKS


# Callables that are no plain functions.


class Callable_:  # noqa: N801  # `Callable` is taken
    def __call__(self, logprobs: Tensor) -> Returned:
        return logprobs.sum(), {}

    def method(self, logprobs: Tensor) -> Returned:
        return logprobs.sum(), {}


class Module(torch.nn.Module):
    def forward(self, logprobs: Tensor) -> Returned:
        return logprobs.sum(), {}


async def coroutine(logprobs: Tensor) -> Returned:
    return logprobs.sum(), {}


@pytest.mark.parametrize(
    ("fn", "rule", "says"),
    [
        (Callable_(), Rule.PLAIN_FUNCTION, "got a Callable_"),
        (Callable_().method, Rule.PLAIN_FUNCTION, "got a method"),
        (functools.partial(weighted, weights=CAPTURED), Rule.PLAIN_FUNCTION, r"functools\.partial"),
        (torch.exp, Rule.PLAIN_FUNCTION, "builtin"),
        (torch.compile(weighted, backend="eager"), Rule.PLAIN_FUNCTION, r"torch\.compile"),
        (Module(), Rule.NO_MODULES, "Module is a module"),
        (coroutine, Rule.NOT_ASYNC, "async"),
    ],
)
def test_only_plain_functions_are_traced(fn: Any, rule: Rule, says: str) -> None:
    with pytest.raises(CustomLossError, match=says) as caught:
        traced_inputs(fn, {"logprobs": 1})
    assert caught.value.rule == rule


def test_a_closure_is_traced_with_the_numbers_that_it_has_now() -> None:
    state = {"scale": 2.0}

    def loss(logprobs: Tensor) -> Returned:
        return logprobs.sum() * state["scale"] * SCALE, {}

    graph = encoded(loss)
    state["scale"] = 100.0
    assert run_graph(graph, [torch.tensor([-1.0])])[0].item() == -4.0


# What a graph may hold.


def compiled_inside(logprobs: Tensor) -> Returned:
    return torch.compile(lambda x: x, backend="eager")(logprobs).sum(), {}


def branches(logprobs: Tensor) -> Returned:
    return (logprobs.sum() if logprobs.sum() > 0 else -logprobs.sum()), {}


def assigns(logprobs: Tensor) -> Returned:
    copied = logprobs * 2
    copied[0] = 0
    return copied.sum(), {}


def misspelt(logprobs: Tensor) -> Returned:
    return logprob.sum(), {}  # type: ignore[name-defined]  # noqa: F821  # the fault


def captures(logprobs: Tensor) -> Returned:
    return (logprobs * CAPTURED).sum(), {}


def makes_a_tensor(logprobs: Tensor) -> Returned:
    return logprobs.sum() + torch.ones(3).sum(), {}


def calls_a_module(logprobs: Tensor) -> Returned:
    return torch.nn.Linear(3, 1)(logprobs).sum(), {}


def takes_item(logprobs: Tensor) -> Returned:
    total = logprobs.sum()
    return total * total.item(), {}


def goes_backward(logprobs: Tensor) -> Returned:
    logprobs.sum().backward()  # type: ignore[no-untyped-call]
    return logprobs.sum(), {}


def to_numpy(logprobs: Tensor) -> Returned:
    return logprobs.sum() + logprobs.numpy().sum(), {}


def to_list(logprobs: Tensor) -> Returned:
    return logprobs.sum() + logprobs.tolist()[0], {}


def invents_a_method(logprobs: Tensor) -> Returned:
    return logprobs.summ(), {}  # type: ignore[attr-defined]  # the fault


def returns_the_loss_alone(logprobs: Tensor) -> Returned:
    return logprobs.sum()  # type: ignore[return-value]


def returns_a_number(logprobs: Tensor) -> Returned:
    return 1.0, {}


def returns_three(logprobs: Tensor) -> Returned:
    return logprobs.sum(), {}, 1  # type: ignore[return-value]


def metric_without_prefix(logprobs: Tensor) -> Returned:
    return logprobs.sum(), {"a:sum": logprobs.sum()}


def metric_without_suffix(logprobs: Tensor) -> Returned:
    return logprobs.sum(), {"custom/a": logprobs.sum()}


def metric_in_upper_case(logprobs: Tensor) -> Returned:
    return logprobs.sum(), {"custom/A:sum": logprobs.sum()}


def metric_too_long(logprobs: Tensor) -> Returned:
    return logprobs.sum(), {f"custom/{'a' * 65}:sum": logprobs.sum()}


def metric_of_a_number(logprobs: Tensor) -> Returned:
    return logprobs.sum(), {"custom/a:mean": 1.0}


@pytest.mark.parametrize(
    ("fn", "rule", "node", "says"),
    [
        (compiled_inside, Rule.TRACEABLE, None, "dynamo"),
        (branches, Rule.TRACEABLE, None, "control flow"),
        (assigns, Rule.TRACEABLE, None, "item assignment"),
        (misspelt, Rule.TRACEABLE, None, "NameError"),
        (captures, Rule.NO_TENSORS, "_tensor_constant0", "neither logprobs nor an input"),
        (makes_a_tensor, Rule.NO_TENSORS, "_tensor_constant0", "ones_like"),
        (calls_a_module, Rule.TRACEABLE, None, "module"),
        (takes_item, Rule.METHODS, "item", "keep every value a tensor"),
        (goes_backward, Rule.METHODS, "backward", "return the loss"),
        (to_numpy, Rule.METHODS, "numpy", r"calls numpy\(\)"),
        (to_list, Rule.METHODS, "tolist", r"calls tolist\(\)"),
        (invents_a_method, Rule.METHODS, "summ", "tensors do not have"),
        (returns_the_loss_alone, Rule.RETURNS, "output", r"\(loss, metrics\)"),
        (returns_a_number, Rule.RETURNS, "output", r"the loss 1\.0"),
        (returns_three, Rule.RETURNS, "output", r"\(loss, metrics\)"),
        (metric_without_prefix, Rule.METRIC_NAMES, "output", "'a:sum'"),
        (metric_without_suffix, Rule.METRIC_NAMES, "output", "'custom/a'"),
        (metric_in_upper_case, Rule.METRIC_NAMES, "output", "lowercase"),
        (metric_too_long, Rule.METRIC_NAMES, "output", "aaaa"),
        (metric_of_a_number, Rule.METRICS, "output", r"the value 1\.0"),
    ],
)
def test_what_a_server_could_not_run_is_refused_with_the_rule_and_the_node(
    fn: Callable[..., Returned], rule: Rule, node: str | None, says: str
) -> None:
    with pytest.raises(CustomLossError, match=says) as caught:
        trace(fn)
    assert (caught.value.rule, caught.value.node) == (rule, node)
    assert fn.__name__ in str(caught.value)
    if rule in (Rule.METRIC_NAMES, Rule.METRICS):
        assert caught.value.metric is not None


@pytest.mark.parametrize("called", [len, json.dumps, lambda x: x])
def test_functions_of_other_libraries_are_refused(called: Callable[..., Any]) -> None:
    """They come into a graph through `torch.fx.wrap` alone, which is set up here by hand."""
    graph = torch.fx.Graph()
    node = graph.call_function(called, args=(graph.placeholder("logprobs"),))
    graph.output((node, {}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.fx, "symbolic_trace", lambda fn: torch.fx.GraphModule(torch.nn.Module(), graph))
        with pytest.raises(CustomLossError, match="calls ") as caught:
            trace(weighted)
    assert (caught.value.rule, caught.value.node) == (Rule.FUNCTIONS, node.name)


@pytest.mark.parametrize(
    ("argument", "says"),
    [(1 + 2j, "complex"), (2**63, "64 bits"), ({1: 2}, "keys"), (object(), "object"), (torch.Generator(), "Generator")],
)
def test_arguments_without_a_form_are_refused_with_their_node(argument: object, says: str) -> None:
    graph = torch.fx.Graph()
    graph.call_function(torch.add, args=(argument,))  # type: ignore[arg-type]  # the fault
    with pytest.raises(CustomLossError, match=says) as caught:
        encode_graph(graph)
    assert (caught.value.rule, caught.value.node) == (Rule.ARGUMENTS, "add")


# Threads.


def test_losses_are_traced_in_many_threads_at_once() -> None:
    def traced(number: int) -> dict[str, Any]:
        def loss(logprobs: Tensor) -> Returned:
            return (torch.exp(logprobs) * number).sum(), {"custom/mean:mean": logprobs.mean()}

        return encoded(loss)

    with ThreadPoolExecutor(8) as pool:
        graphs = list(pool.map(traced, range(100)))
    assert [graph["nodes"][2]["args"][1] for graph in graphs] == list(range(100))
    assert {len(graph["nodes"]) for graph in graphs} == {6}


def test_losses_run_while_another_is_traced() -> None:
    """torch.fx patches the calls of modules for all threads while it traces."""
    inputs = traced_inputs(weighted, {"logprobs": 1, "weights": 1})
    run = over_datums(LossHandle("weighted", inputs, "S", trace(weighted)))
    given = Datum(ModelInput.from_ints([1]), {"target_tokens": [1], "weights": [2.0]})
    found = []

    def traced_meanwhile(logprobs: Tensor) -> Returned:
        with ThreadPoolExecutor(1) as pool:
            found.append(pool.submit(run, [given], [torch.tensor([-3.0])]).result(20))
        return logprobs.sum(), {}

    trace(traced_meanwhile)
    assert found[0][0].item() == 6.0


# Handles.


def test_a_handles_key_tells_losses_apart() -> None:
    def handle(fn: Callable[..., Returned], rank: Any = 1) -> LossHandle:
        inputs = traced_inputs(fn, dict.fromkeys(fn.__code__.co_varnames[: fn.__code__.co_argcount], rank))
        return LossHandle(fn.__name__, inputs, "S", trace(fn))

    def same(logprobs: Tensor, weights: Tensor) -> Returned:
        return weighted(logprobs, weights)

    def other(logprobs: Tensor, weights: Tensor) -> Returned:
        return (logprobs * weights).sum(), {}

    assert handle(weighted).key == handle(same).key
    assert len({handle(weighted).key, handle(other).key, handle(weighted, 2).key}) == 3
    assert len(handle(weighted).key) == 64
    assert handle(weighted).input_names == ("weights",)


def test_handles_are_equal_without_regard_to_their_graphs() -> None:
    inputs = traced_inputs(weighted, {"logprobs": 1, "weights": 1})
    first, second = (LossHandle("weighted", inputs, "S", trace(weighted), "L") for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert "graph" not in repr(first)
    assert first != LossHandle("weighted", inputs, "T", first.graph, "L")


def test_every_rule_is_in_the_docs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "custom-losses.md").read_text(encoding="utf-8")
    assert [rule for rule in Rule if f"| {rule.value} |" not in page] == []
