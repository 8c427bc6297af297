"""Uploaded losses: traced as clients trace them, run by the real engine, held against torch; and what is refused."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.fx
from service_bench import TINY, Api, Bench, pass_body
from torch import Tensor
from torch.fx.node import _get_qualified_name

from tinker_local.engine.process import ProcessEngine

TEXT = list(b"hello world")
Loss = Callable[..., tuple[Tensor, Mapping[str, Tensor]]]
Values = dict[str, Any]


def encoded(value: Any) -> Any:
    if isinstance(value, torch.fx.Node):
        return {"ref": value.name}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, tuple):
        return {"tuple": [encoded(part) for part in value]}
    if isinstance(value, list):
        return [encoded(part) for part in value]
    if isinstance(value, dict):
        return {"dict": {name: encoded(part) for name, part in value.items()}}
    if isinstance(value, slice):
        return {"slice": [encoded(part) for part in (value.start, value.stop, value.step)]}
    if value is ...:
        return {"ellipsis": True}
    for kind in (torch.dtype, torch.device):
        if isinstance(value, kind):
            return {kind.__name__: str(value).removeprefix("torch.")}
    return value


def traced(function: Loss) -> list[Values]:
    nodes = []
    for node in torch.fx.symbolic_trace(function).graph.nodes:
        target = _get_qualified_name(node.target) if callable(node.target) else node.target
        nodes.append(
            {
                "op": node.op,
                "name": node.name,
                "target": target.removeprefix("_"),
                "args": [encoded(argument) for argument in node.args],
                "kwargs": {name: encoded(argument) for name, argument in node.kwargs.items()},
            }
        )
    return nodes


def upload(session_id: str, nodes: Sequence[Values], number: int = 0, **ranks: int) -> Values:
    inputs = [{"name": name, "rank": rank} for name, rank in {"logprobs": 1, **ranks}.items()]
    graph = {"format": 1, "nodes": list(nodes)}
    body = {"session_id": session_id, "custom_loss_seq_id": number, "name": "mine", "inputs": inputs}
    return {**body, "graph": graph}


def tensor(values: Any, dtype: str = "float32") -> Values:
    array = np.asarray(values)
    return {"data": array.ravel().tolist(), "dtype": dtype, "shape": list(array.shape)}


def datum(text: Sequence[int] = TEXT, **inputs: Values) -> Values:
    return {
        "model_input": {"chunks": [{"type": "encoded_text", "tokens": list(text[:-1])}]},
        "loss_fn_inputs": {"target_tokens": tensor(text[1:], "int64"), **inputs},
    }


def body_of(model_id: str, seq_id: int, data: Sequence[Values], loss_fn: str, **config: Any) -> Values:
    given = {"data": list(data), "loss_fn": loss_fn, "loss_fn_config": config}
    return {"model_id": model_id, "seq_id": seq_id, "forward_backward_input": given}


class Trainer:
    """A model of the real engine, and losses of its session."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.session_id = api.session()
        self.losses = self.models = 0
        self.seq_ids: dict[str, int] = {}

    def model(self) -> str:
        body = {"session_id": self.session_id, "model_seq_id": self.models, "base_model": TINY.name}
        self.models += 1
        made = self.api.ok("create_model", body={**body, "lora_config": {"rank": 4, "seed": 1}})
        return str(self.api.result(made)["model_id"])

    def loss(self, function: Loss, **ranks: int) -> str:
        body = upload(self.session_id, traced(function), self.losses, **ranks)
        self.losses += 1
        return str(self.api.result(self.api.ok("create_custom_loss", body=body))["loss_id"])

    def run(self, model_id: str, data: Sequence[Values], loss_fn: str, **config: Any) -> Values:
        seq_id = self.seq_ids[model_id] = self.seq_ids.get(model_id, 0) + 1
        result: Values = self.api.result(
            self.api.ok("forward_backward", body=body_of(model_id, seq_id, data, loss_fn, **config))
        )
        return result

    def step(self, model_id: str) -> Values:
        seq_id = self.seq_ids[model_id] = self.seq_ids.get(model_id, 0) + 1
        body = {"model_id": model_id, "seq_id": seq_id, "adam_params": {"learning_rate": 0.01}}
        metrics: Values = self.api.result(self.api.ok("optim_step", body=body))["metrics"]
        return metrics


@pytest.fixture(scope="module")
def real(service_loop: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    bench = Bench(service_loop, tmp_path_factory.mktemp("real"))
    limits = {"custom_loss_elements": 2**20, "custom_loss_seconds": 20.0}
    yield bench.start(ProcessEngine([TINY], threads=1), models=(TINY,), long_poll_seconds=20.0, **limits)
    bench.close()


@pytest.fixture
def trainer(real: Api) -> Trainer:
    return Trainer(real)


def nll(logprobs: Tensor, weights: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return -(logprobs * weights).sum(), {}


def importance(logprobs: Tensor, sampled: Tensor, advantages: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    ratio = torch.exp(logprobs - sampled)
    kl = (sampled - logprobs).mean()
    return -(ratio * advantages).sum(), {"custom/kl:mean": kl, "custom/most:sum": ratio.max()}


def clipped(logprobs: Tensor, q: Tensor, advantages: Tensor, target_tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    ratio = (logprobs - q).clamp(-5.0, float("inf")).exp()
    chosen = torch.where(target_tokens > 100, torch.minimum(ratio * advantages, ratio.clip(0.8, 1.2)), ratio * 0)
    spread = torch.nn.functional.softplus(logprobs[1:, None]).squeeze(-1).to(torch.float64).std()
    scaled = chosen[q < 0].sum() / math.sqrt(logprobs.shape[0]) + spread.float() + logprobs.max(dim=0).values
    return -scaled, {"custom/spread:sum": spread, "custom/n:sum": torch.ones_like(logprobs, dtype=torch.int64).sum()}


def test_a_plain_loss_trains_exactly_as_the_built_in_one(trainer: Trainer) -> None:
    weights = tensor([1.0, -0.5] * 5)
    texts = [TEXT, TEXT[::-1]]
    loss_id = trainer.loss(nll, weights=1)
    built_in, own = trainer.model(), trainer.model()
    data = [datum(text, weights=weights) for text in texts]
    expected = trainer.run(built_in, data, "cross_entropy")
    got = trainer.run(own, data, "custom", loss_id=loss_id)
    assert got["metrics"]["loss:sum"] == pytest.approx(expected["metrics"]["loss:sum"], rel=1e-5)
    assert got["loss_fn_outputs"] == expected["loss_fn_outputs"]
    assert trainer.step(own)["grad_norm"] == pytest.approx(trainer.step(built_in)["grad_norm"], rel=1e-4)
    after = [trainer.run(model_id, data, "cross_entropy") for model_id in (built_in, own)]
    logprobs = [np.array(result["loss_fn_outputs"][0]["logprobs"]["data"]) for result in after]
    np.testing.assert_allclose(*logprobs, atol=1e-4)


@pytest.mark.parametrize("function", [importance, clipped])
def test_losses_metrics_and_gradients_are_torchs(trainer: Trainer, function: Loss) -> None:
    inputs = {"sampled": -1.5, "q": -1.2, "advantages": 0.7}
    names = list(function.__code__.co_varnames[1 : function.__code__.co_argcount])
    given = {name: tensor(np.linspace(inputs[name], -0.1, 10)) for name in names if name in inputs}
    model_id, check = trainer.model(), trainer.model()
    data = [datum(**given), datum(TEXT[::-1], **given)]
    result = trainer.run(model_id, data, "custom", loss_id=trainer.loss(function, **dict.fromkeys(names, 1)))
    total, metrics, slopes = 0.0, dict[str, float](), []
    for output, sent in zip(result["loss_fn_outputs"], data, strict=True):
        leaf = torch.tensor(output["logprobs"]["data"]).requires_grad_()
        loss, own = function(leaf, *(torch.tensor(sent["loss_fn_inputs"][name]["data"]) for name in names))
        slopes.append(torch.autograd.grad(loss, leaf)[0])
        total += float(loss.detach())
        for name, value in own.items():
            metrics[name] = metrics.get(name, 0.0) + float(value.detach()) / (2 if name.endswith(":mean") else 1)
    assert result["metrics"]["loss:sum"] == pytest.approx(total, rel=1e-5)
    assert {name: result["metrics"][name] for name in metrics} == pytest.approx(metrics, rel=1e-5)
    surrogate = [
        {
            **sent,
            "loss_fn_inputs": {"target_tokens": sent["loss_fn_inputs"]["target_tokens"], "weights": tensor(-slope)},
        }
        for sent, slope in zip(data, slopes, strict=True)
    ]
    trainer.run(check, surrogate, "cross_entropy")
    assert trainer.step(model_id)["grad_norm"] == pytest.approx(trainer.step(check)["grad_norm"], rel=1e-4)


def test_inputs_may_be_scalars_and_have_several_candidates(trainer: Trainer) -> None:
    def scaled(logprobs: Tensor, factor: Tensor, weights: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return -(logprobs * weights[:, None]).sum() * factor, {}

    loss_id = trainer.loss(scaled, logprobs=2, factor=0, weights=1)
    candidates = np.stack([TEXT[1:], TEXT[:-1]], axis=1)
    inputs = {"factor": tensor(2, "int64"), "weights": tensor([1.0] * 10)}
    given = {**datum(), "loss_fn_inputs": {"target_tokens": tensor(candidates, "int64"), **inputs}}
    result = trainer.run(trainer.model(), [given], "custom", loss_id=loss_id)
    logprobs = result["loss_fn_outputs"][0]["logprobs"]
    assert logprobs["shape"] == [10, 2]
    assert result["metrics"]["loss:sum"] == pytest.approx(-2 * sum(logprobs["data"]), rel=1e-5)


def test_a_forward_pass_computes_the_loss_and_leaves_the_model(trainer: Trainer) -> None:
    model_id = trainer.model()
    body = body_of(model_id, 1, [datum(weights=tensor([1.0] * 10))], "custom", loss_id=trainer.loss(nll, weights=1))
    body["forward_input"] = body.pop("forward_backward_input")
    assert trainer.api.result(trainer.api.ok("forward", body=body))["metrics"]["loss:sum"] > 0
    trainer.seq_ids[model_id] = 1
    assert trainer.step(model_id)["grad_norm"] == 0.0


def huge(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return logprobs.sum() + torch.zeros(logprobs.shape[0] * 10**11).sum(), {}


def outer(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    wide = logprobs.repeat(1000)
    return torch.outer(wide, wide).sum(), {}


def gathered(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    many = torch.zeros(logprobs.shape[0] * 200, dtype=torch.int64)
    return logprobs.reshape(-1, 1).expand(10, 100)[:, many][many].sum(), {}


def doubling(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    for _ in range(40):
        logprobs = torch.cat([logprobs, logprobs])
    return logprobs.sum(), {}


def endless(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    number = logprobs.shape[0]
    for _ in range(60):
        number = number * number
    return logprobs.sum() * number, {}


def powerful(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return logprobs.sum() * (logprobs.shape[0] ** (10**9)), {}


def not_a_number(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return torch.log(-torch.exp(logprobs)).sum(), {}


def steep(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return torch.sqrt(logprobs - logprobs.detach()).sum(), {}


def not_scalar(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return logprobs * 2, {}


def mismatched(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return (logprobs * torch.ones(logprobs.shape[0] - 7)).sum(), {}


def of_tensor(logprobs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return logprobs.sum() * math.sqrt(logprobs.sum()), {}


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (huge, "node 'zeros' (torch.zeros): it needs 1000000000000 more elements"),
        (outer, "node 'outer' (torch.outer): it needs"),
        (gathered, "more elements"),
        (doubling, "more elements"),
        (endless, "beyond 64 bits"),
        (powerful, "beyond 64 bits"),
        (not_a_number, "the loss is nan"),
        (steep, "gradient of the custom loss is not finite"),
        (not_scalar, "the loss must be a scalar tensor, and is [10]"),
        (mismatched, "node 'mul' (operator.mul): Attempting to broadcast"),
        (of_tensor, "functions of math take numbers"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_goes_wrong_is_told_by_datum_and_node_and_changes_nothing(
    trainer: Trainer, function: Loss, told: str
) -> None:
    model_id = trainer.model()
    result = trainer.run(model_id, [datum()], "custom", loss_id=trainer.loss(function))
    assert result["category"] == "user"
    assert "datum 0: " in result["error"]
    assert told in result["error"]
    assert trainer.step(model_id)["grad_norm"] == 0.0


def test_a_loss_that_takes_too_long_is_ended(bench: Bench) -> None:
    api = bench.start(ProcessEngine([TINY], threads=1), models=(TINY,), custom_loss_seconds=0.0)
    trainer = Trainer(api)
    result = trainer.run(
        trainer.model(), [datum(weights=tensor([1.0] * 10))], "custom", loss_id=trainer.loss(nll, weights=1)
    )
    assert "the time that the service gives a custom loss is over" in result["error"]


def test_data_without_what_the_loss_takes_are_refused(trainer: Trainer) -> None:
    loss_id = trainer.loss(nll, weights=1)
    model_id = trainer.model()
    good = datum(weights=tensor([1.0] * 10))
    missing = trainer.run(model_id, [good, datum()], "custom", loss_id=loss_id)
    assert "datum 1: loss_fn_inputs has no 'weights'" in missing["error"]
    rank = trainer.run(model_id, [datum(weights=tensor(1.0))], "custom", loss_id=loss_id)
    assert "datum 0: weights has rank 0, the custom loss 'mine' declared it with rank 1" in rank["error"]


# --- without the engine


def test_an_upload_is_one_loss_however_often_it_comes(bench: Bench) -> None:
    api = bench.start()
    session_id = api.session()
    body = upload(session_id, traced(nll), weights=1)
    first = api.ok("create_custom_loss", body=body)
    loss_id = api.result(first)["loss_id"]
    assert api.ok("create_custom_loss", body=body) == first
    api.refused(409, "create_custom_loss", body={**body, "name": "another"})
    bench.stop(api)
    api = bench.start()
    assert api.result(api.ok("create_custom_loss", body=body))["loss_id"] == loss_id
    api.refused(409, "create_custom_loss", body={**body, "name": "another"})


def test_a_loss_belongs_to_its_session(api: Api) -> None:
    session_id = api.session()
    loss_id = api.result(api.ok("create_custom_loss", body=upload(session_id, traced(nll), weights=1)))["loss_id"]

    def submitted(session: str, **config: Any) -> Values:
        body = pass_body(api.model(session, len(api.service.models.all())), 1)
        body["forward_backward_input"] |= {"loss_fn": "custom", "loss_fn_config": config}
        return body

    assert api.ok("forward_backward", body=submitted(session_id, loss_id=loss_id))
    for body in (
        submitted(api.session(), loss_id=loss_id),
        submitted(session_id, loss_id="unknown"),
        submitted(session_id),
        submitted(session_id, loss_id=loss_id, definition="{}"),
        submitted(session_id, loss_id=1.0),
    ):
        api.refused(400, "forward_backward", body=body)
    api.answer("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    api.run(api.service.records.write())
    assert api.do(api.service.losses.loss, loss_id) is None


REF = {"ref": "logprobs"}
OUT = {"op": "output", "name": "out", "target": "output", "args": [{"tuple": [{"ref": "x"}, {"dict": {}}]}]}
IN = {"op": "placeholder", "name": "logprobs", "target": "logprobs"}


def node(op: str, target: str, *args: Any, name: str = "x", **kwargs: Any) -> Values:
    return {"op": op, "name": name, "target": target, "args": list(args), "kwargs": kwargs}


def returning(value: Any) -> Values:
    return {**OUT, "args": [value]}


SUM = node("call_function", "torch.sum", REF)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([IN, node("call_function", "torch.load", "/etc/passwd"), OUT], "x: the function 'torch.load' is not allowed"),
        ([IN, node("call_function", "torch.utils.cpp_extension.load", "x"), OUT], "is not allowed"),
        ([IN, node("call_function", "os.system", "true"), OUT], "'os.system' is not allowed"),
        ([IN, node("call_function", "builtins.eval", "1"), OUT], "is not allowed"),
        ([IN, node("call_function", "operator.attrgetter", "x"), OUT], "is not allowed"),
        ([IN, node("call_function", "torch.rand", 3), OUT], "'torch.rand' is not allowed"),
        ([IN, node("call_function", "torch.sum.__globals__", REF), OUT], "is not allowed"),
        ([IN, node("call_method", "__class__", REF), OUT], "the method '__class__' is not allowed"),
        ([IN, node("call_method", "add_", REF, 1), OUT], "'add_' is not allowed"),
        ([IN, node("call_method", "backward", REF), OUT], "'backward' is not allowed"),
        ([IN, node("call_method", "numpy", REF), OUT], "'numpy' is not allowed"),
        ([IN, node("call_method", "sum"), OUT], "a method needs the tensor"),
        ([IN, node("call_function", "getattr", REF, "__class__"), OUT], "getattr may read"),
        ([IN, node("call_function", "getattr", REF, REF), OUT], "getattr may read"),
        ([IN, node("get_attr", "weights"), OUT], "get_attr is not allowed"),
        ([IN, node("call_module", "linear", REF), OUT], "call_module is not allowed"),
        ([IN, node("call_function", "torch.exp", REF, out=REF), OUT], "write into a tensor"),
        ([IN, node("call_function", "torch.nn.functional.relu", REF, inplace=True), OUT], "write into a tensor"),
        ([IN, node("call_function", "torch.sum", {"ref": "later"}), OUT], "refers to 'later'"),
        ([IN, node("call_function", "torch.sum", {"ref": "x"}), OUT], "refers to 'x'"),
        ([IN, {**SUM, "name": "logprobs"}, OUT], "another node has this name"),
        ([IN, SUM], "the output must be the last node"),
        ([IN, OUT, SUM], "the output must be the last node"),
        ([SUM, OUT], "its placeholders are []"),
        ([IN, {**IN, "name": "again"}, SUM, OUT], "its placeholders are"),
        ([IN, node("call_function", "torch.sum", REF, dtype={"dtype": "quint8"}), OUT], "dtype must be one of"),
        ([IN, node("call_function", "torch.sum", {"code": "1+1"}), OUT], "no argument of the kind 'code'"),
        ([IN, node("call_function", "torch.sum", {"ref": 1}), OUT], "no argument of the kind 'ref'"),
        ([IN, node("call_function", "torch.sum", {"slice": [1]}), OUT], "no argument of the kind 'slice'"),
        ([IN, node("call_function", "torch.sum", {}), OUT], "must have one member"),
        ([IN, node("call_function", "torch.sum", [[[[[[[[[[1]]]]]]]]]]), OUT], "nested more than"),
        ([IN, SUM, returning({"ref": "x"})], "it must return a loss"),
        ([IN, SUM, returning({"tuple": [1.0, {"dict": {}}]})], "it must return a loss"),
        (
            [IN, SUM, returning({"tuple": [{"ref": "x"}, {"dict": {"loss:sum": {"ref": "x"}}}]})],
            "is not called custom/",
        ),
        (
            [IN, SUM, returning({"tuple": [{"ref": "x"}, {"dict": {"custom/a:sum": 1}}]})],
            "is not computed by the graph",
        ),
        ([IN, *[node("call_function", "torch.sum", REF, name=f"n{i}") for i in range(2000)], OUT], "2002 nodes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_graphs_that_are_not_taken(api: Api, nodes: Sequence[Values], told: str) -> None:
    refusal = api.refused(400, "create_custom_loss", body=upload(api.session(), nodes))
    assert refusal["code"] == "bad_custom_loss"
    assert told in refusal["detail"]


@pytest.mark.parametrize("inputs", [["weights"], ["logprobs", "logprobs"], ["logprobs", "Bad"]])
def test_inputs_that_are_not_taken(api: Api, inputs: Sequence[str]) -> None:
    body = upload(api.session(), [IN, SUM, OUT])
    body["inputs"] = [{"name": name, "rank": 1} for name in inputs]
    assert api.refused(400, "create_custom_loss", body=body)["code"] == "bad_custom_loss"


def test_every_allowed_name_is_one_of_torch_or_python() -> None:
    from tinker_local.engine.loss_interpreter import _function
    from tinker_local.engine.loss_operations import ATTRIBUTES, FUNCTIONS, METHODS

    assert all(callable(_function(name)) for name in FUNCTIONS)
    assert all(callable(getattr(Tensor, name)) for name in METHODS)
    assert all(not name.endswith("_") and "__" not in name for name in METHODS | ATTRIBUTES)
