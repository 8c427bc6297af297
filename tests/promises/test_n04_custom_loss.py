"""N4 for custom losses: the gradient that reaches the adapter is that of plain autograd, and of the built-in loss.

The whole way is real: client, protobuf, service, engine. The engine runs in this process in float64, so that its
gradient can be read and the only rounding is that of float32 on the wire.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from client_bench import KEY, MODEL
from hypothesis import given, settings
from torch import Tensor

import tinker_local
from tinker_hl import (
    Datum,
    ForwardBackwardOutput,
    ModelInput,
    ServiceClient,
    TensorData,
    TrainingClient,
    loop,
    losses,
)
from tinker_hl.custom_loss.surrogate import evaluate
from tinker_hl.transport import AsgiTransport
from tinker_local.app import create_app
from tinker_local.engine.core import EngineCore
from tinker_local.engine.null import NullEngine
from tinker_local.engine.protocol import BaseModelInfo, LoraSpec, TrainingDatum, TrainingOutput
from tinker_local.engine.training import target_logprobs
from tinker_local.settings import ModelSource, Settings

RELATIVE = 1e-6
FOLDER = Path(tinker_local.__file__).parent / "models" / "tiny"
LENGTHS = (9, 4, 17, 4, 30, 1)

Loss = Callable[[list[Datum], list[Tensor]], tuple[Tensor, Mapping[str, Any]]]


class OpenEngine(NullEngine):
    """The real engine in this process: base model, adapters and passes; an adapter's gradient can be taken out."""

    def __init__(self, models: Sequence[ModelSource]) -> None:
        super().__init__(models)
        self.core = EngineCore()

    async def start(self) -> Sequence[BaseModelInfo]:
        self.running = True
        return self.core.start(self._models, threads=1, device="cpu", dtype="float64")

    async def create_adapter(self, model_id: str, base_model: str, lora: LoraSpec) -> None:
        self.core.create_adapter(model_id, base_model, lora)
        noise = torch.Generator().manual_seed(11)
        # A fresh B is zero, which hides the gradient of A.
        flat = self.core.adapter(model_id).weights.flat.detach()
        flat.copy_(torch.randn(flat.shape, generator=noise) * 0.02)

    async def forward_backward(
        self,
        model_id: str,
        data: Sequence[TrainingDatum],
        loss_fn: str,
        loss_fn_config: Mapping[str, float | str],
        *,
        backward: bool,
    ) -> TrainingOutput:
        run = self.core.forward_backward(model_id, data, loss_fn, dict(loss_fn_config), backward)
        while True:
            try:
                next(run)
            except StopIteration as ended:
                output: TrainingOutput = ended.value
                return output

    def take_gradient(self, model_id: str) -> Tensor:
        """What was gathered for an adapter, which is then gone, as `optim_step` would use it."""
        adapter = self.core.adapter(model_id)
        gradient, adapter.gradient = adapter.gradient, None
        assert gradient is not None
        return gradient.double()

    def plain_gradient(self, model_id: str, data: list[Datum], loss: Loss) -> Tensor:
        """The same by plain autograd: one graph from the adapter through the model and the loss."""
        adapter = self.core.adapter(model_id)
        base = adapter.base
        gradient = torch.zeros_like(adapter.weights.flat)
        with base.acting(adapter.acting):
            logprobs = [
                target_logprobs(
                    base,
                    base.states(torch.tensor([datum.model_input.to_ints()]), ())[0],
                    torch.from_numpy(datum.loss_fn_inputs["target_tokens"].to_numpy().copy()),
                )
                for datum in data
            ]
            adapter.gather_into(gradient)
            try:
                torch.autograd.backward(loss(data, logprobs)[0])
            finally:
                adapter.gather_into(None)
        return gradient.double()


@attrs.frozen
class Way:
    """A client whose adapter's gradient can be compared."""

    training: TrainingClient
    engine: OpenEngine

    def gradient(self) -> Tensor:
        return self.engine.take_gradient(self.training.model_id)

    def plain(self, data: list[Datum], loss: Loss) -> Tensor:
        return self.engine.plain_gradient(self.training.model_id, data, loss)


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    models = (ModelSource(name=MODEL, path=str(FOLDER)),)
    engine = OpenEngine(models)
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("n04"), models=models, api_keys=(KEY,)), engine)
    transport = AsgiTransport(app)
    with ServiceClient(base_url="http://in-process", api_key=KEY, transport=transport) as service:
        training = service.create_lora_training_client(MODEL, rank=4, seed=3).result(110)
        yield Way(training, engine)
    loop.run(transport.aclose()).result(30)


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert expected.norm() > 0
    assert (found - expected).norm() <= RELATIVE * expected.norm()


def policy_data() -> list[Datum]:
    draws = np.random.default_rng(5)
    return [
        Datum(
            ModelInput.from_ints(draws.integers(32, 126, length).tolist()),
            {
                "target_tokens": draws.integers(32, 126, length),
                "weights": draws.normal(size=length),
                "logprobs": draws.normal(-5, 1, length),
                "advantages": draws.normal(size=length),
            },
        )
        for length in LENGTHS
    ]


def soft_data() -> list[Datum]:
    """Up to eight candidates a position, mostly fewer: targets and gradients that travel as sparse rows."""
    draws = np.random.default_rng(6)
    data = []
    for length in LENGTHS:
        distribution = draws.dirichlet([0.5] * 8, length) * (draws.random((length, 8)) < 0.2)
        targets = torch.from_numpy(draws.integers(32, 126, (length, 8)) * (distribution > 0))
        inputs = {"target_tokens": targets, "weights": distribution, "target_distribution": distribution}
        data.append(Datum(ModelInput.from_ints([40] * length), inputs))
    return data


def of(datum: Datum, name: str, like: Tensor) -> Tensor:
    tensor: Tensor = datum.loss_fn_inputs[name].to_torch()
    return tensor.to(like.dtype)


def summed(term: Callable[[Datum, Tensor], Tensor]) -> Loss:
    def loss(data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, Mapping[str, Any]]:
        return torch.stack([term(datum, p.double()).sum() for datum, p in zip(data, logprobs, strict=True)]).sum(), {}

    return loss


def cross_entropy(datum: Datum, p: Tensor) -> Tensor:
    return -of(datum, "weights", p) * p


def importance_sampling(datum: Datum, p: Tensor) -> Tensor:
    return -torch.exp(p - of(datum, "logprobs", p)) * of(datum, "advantages", p) * of(datum, "weights", p)


def ppo(datum: Datum, p: Tensor) -> Tensor:
    ratio, advantages = torch.exp(p - of(datum, "logprobs", p)), of(datum, "advantages", p)
    return -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages) * of(datum, "weights", p)


def dro(datum: Datum, p: Tensor) -> Tensor:
    square = torch.square(p - of(datum, "logprobs", p))
    return -(p * of(datum, "advantages", p) - 0.5 * 0.05 * square) * of(datum, "weights", p)


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("cross_entropy", cross_entropy),
        ("importance_sampling", importance_sampling),
        ("ppo", ppo),
        ("dro", dro),
    ],
)
def test_n04_a_built_in_loss_written_by_hand_has_its_gradient(
    way: Way, name: Any, term: Callable[[Datum, Tensor], Tensor]
) -> None:
    data, loss = policy_data(), summed(term)
    custom = way.training.forward_backward_custom(data, loss).result(60)
    by_hand = way.gradient()
    built_in = way.training.forward_backward(data, name).result(60)
    assert_same(by_hand, way.gradient())
    assert_same(by_hand, way.plain(data, loss))
    assert custom.metrics["loss:sum"] == pytest.approx(built_in.metrics["loss:sum"], rel=RELATIVE)


def focal(datum: Datum, p: Tensor) -> Tensor:
    return -((1 - torch.exp(p)) ** 2) * p


def preferred(data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, Mapping[str, Any]]:
    scores = torch.stack([p.double().mean() for p in logprobs])
    return -torch.nn.functional.logsigmoid(scores[0::2] - scores[1::2]).sum(), {}


def group_normalised(data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, Mapping[str, Any]]:
    flat = torch.cat([p.double() for p in logprobs])
    return torch.square((flat - flat.mean()) / flat.std()).mul(flat).sum(), {}


@pytest.mark.parametrize("loss", [summed(focal), preferred, group_normalised])
def test_n04_any_loss_has_the_gradient_of_plain_autograd(way: Way, loss: Loss) -> None:
    data = policy_data()
    output = way.training.forward_backward_custom(data, loss).result(60)
    assert_same(way.gradient(), way.plain(data, loss))
    assert output.metrics["loss:sum"] != output.metrics["surrogate_loss:sum"]


def test_n04_a_pipeline_has_the_gradient_of_plain_autograd(way: Way) -> None:
    """GAP-LIB-003, S0-16, S4-15: what reaches the adapter is the gradient of the base and every weighted term."""
    draws = np.random.default_rng(7)
    data = [
        attrs.evolve(each, loss_fn_inputs={**each.loss_fn_inputs, "mask": np.ones(length), "reference": reference})
        for each, length in zip(policy_data(), LENGTHS, strict=True)
        for reference in [draws.normal(-5, 1, length)]
    ]
    parts: list[tuple[str, Any, float]] = [
        ("kl", losses.KLEstimate(reference="reference", weights="mask", gradient="own"), 0.5),
        ("entropy", losses.Entropy(goal="maximise", reduction="sum"), 3.0),
        ("l2", losses.L2(centre="mean"), 0.01),
    ]
    pipeline = losses.Pipeline(losses.PPO(), [losses.Term(*part) for part in parts], gradients=True)
    output = way.training.forward_backward_custom(data, pipeline).result(60)
    found = way.gradient()
    assert_same(found, way.plain(data, pipeline))

    def by_hand(data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, Mapping[str, Any]]:
        rows = [p.double() for p in logprobs]
        values = [weight * loss(data, rows)[0] for _, loss, weight in parts]
        return torch.stack([summed(ppo)(data, rows)[0], *values]).sum(), {}

    assert_same(found, way.plain(data, by_hand))
    report = losses.CustomLossOutput.from_metrics(output.metrics)
    assert report.total == pytest.approx(output.metrics["loss:sum"])
    assert all((each.gradient_norm or 0) > 0 for each in report.regularizers)


def distilled(datum: Datum, p: Tensor) -> Tensor:
    return -of(datum, "target_distribution", p) * p


def test_n04_soft_targets_over_candidates(way: Way) -> None:
    data, loss = soft_data(), summed(distilled)
    assert sum(datum.loss_fn_inputs["target_tokens"].is_sparse for datum in data) >= 3
    way.training.forward_backward_custom(data, loss).result(60)
    by_hand = way.gradient()
    way.training.forward_backward(data, "cross_entropy").result(60)
    assert_same(by_hand, way.gradient())
    assert_same(by_hand, way.plain(data, loss))


@pytest.mark.parametrize("server_side", [False, True], ids=["here", "there"])
def test_n04_a_traced_loss_has_the_gradient_of_plain_autograd(way: Way, server_side: bool) -> None:
    def traced(logprobs: Tensor, advantages: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return -(torch.exp(logprobs.double() + 4) * advantages).sum(), {}

    def loss(data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, Mapping[str, Any]]:
        values = [traced(p, of(datum, "advantages", p))[0] for datum, p in zip(data, logprobs, strict=True)]
        return torch.stack(values).sum(), {}

    data = policy_data()
    session = way.training._calls.session
    with ServiceClient(base_url="http://in-process", api_key=KEY, transport=session.connection.transport) as service:
        training = service.create_lora_training_client(MODEL, rank=4, seed=3).result(60)
        # Whatever the service offers.
        object.__setattr__(service._session.connection.capabilities, "custom_loss_server_side", server_side)
        handle = service.create_custom_loss(traced, {"logprobs": 1, "advantages": 1}).result(60)
        assert (handle.loss_id is not None) == server_side
        training.forward_backward_custom(data, handle).result(60)
        other = Way(training, way.engine)
        assert_same(other.gradient(), other.plain(data, loss))


def test_n04_refused_losses_leave_no_gradient(way: Way) -> None:
    data = policy_data()
    way.training.forward_backward(data, "cross_entropy").result(60)
    before = way.gradient()

    def refused(data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, Mapping[str, Any]]:
        return logprobs[2].sum() * float("nan"), {}

    with pytest.raises(ValueError, match=r"datum 2: .* not finite"):
        way.training.forward_backward_custom(data, refused).result(60)
    way.training.forward_backward(data, "cross_entropy").result(60)
    assert torch.equal(way.gradient(), before)


# The gradient on this machine, against differences and autograd in float64.


# Slow to grow, so that differences are exact.
SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {
    "bell": lambda x: torch.exp(-torch.square(x)),
    "tanh": torch.tanh,
    "sin": torch.sin,
    "bowl": lambda x: x * torch.tanh(x),
    "softplus": torch.nn.functional.softplus,
    "ratio": lambda x: x / (1 + torch.square(x)),
}
ROWS = st.lists(st.lists(st.floats(-6, -(2**-7), width=32), min_size=1, max_size=5), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.lists(st.sampled_from(sorted(SMOOTH)), min_size=1, max_size=3), st.floats(0.1, 2))
def test_n04_weights_are_minus_the_derivative(rows: list[list[float]], names: list[str], coupling: float) -> None:
    def value(logprobs: list[Tensor]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for row in logprobs:
            hidden = row.double()
            for name in names:
                hidden = SMOOTH[name](hidden)
            total = total + hidden.sum() + coupling * hidden.sum() * torch.sin(total)
        return total

    data = [
        Datum(ModelInput.from_ints([1] * len(row)), {"target_tokens": np.arange(len(row), dtype=np.int64)})
        for row in rows
    ]
    outputs = [{"logprobs": TensorData.from_numpy(np.array(row, dtype=np.float32))} for row in rows]
    surrogate = evaluate(lambda data, p: (value(p), {}), data, ForwardBackwardOutput("", outputs, {}))

    points = [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in rows]
    exact = torch.autograd.grad(value(points), points)
    scale = max(float(each.abs().max()) for each in exact)
    for index, expected in enumerate(exact):
        sent = surrogate.data[index].loss_fn_inputs["weights"].to_torch().double()
        torch.testing.assert_close(-sent, expected, rtol=RELATIVE, atol=RELATIVE * 1e-3)
        for place in range(len(rows[index])):
            slope = _difference(value, points, index, place)
            assert -sent[place].item() == pytest.approx(slope, rel=1e-4, abs=1e-5 * (1 + scale))


def _difference(value: Callable[[list[Tensor]], Tensor], points: list[Tensor], index: int, place: int) -> float:
    """The slope of the loss in one logprob, by a central difference of fourth order."""

    def at(offset: float) -> float:
        moved = [point.detach().clone() for point in points]
        moved[index][place] += offset
        return value(moved).item()

    step = 1e-4
    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
