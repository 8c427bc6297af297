"""Custom losses through a training client: order, requests, threads, and what is left after a refusal."""

import asyncio
import functools
import gc
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from client_bench import MODEL, MakeClient
from loss_server import LossServer
from torch import Tensor

from tinker_hl import (
    AdamParams,
    APIFuture,
    CustomLossError,
    Datum,
    InvalidDatumError,
    ModelInput,
    TensorData,
    TrainingClient,
    loop,
)
from tinker_hl.custom_loss.own_thread import THREAD_NAME
from tinker_hl.custom_loss.rules import Rule

Returned = tuple[Tensor, dict[str, Any]]
STEP = AdamParams(learning_rate=0.1)


def datum(length: int = 3, **inputs: Any) -> Datum:
    return Datum(ModelInput.from_ints([1] * length), {"target_tokens": list(range(length)), **inputs})


def squares(data: list[Datum], logprobs: list[Tensor]) -> Returned:
    return sum((torch.square(row).sum() for row in logprobs), torch.zeros(())), {}


def trained(server: LossServer) -> TrainingClient:
    return server.client().create_lora_training_client("base").result(20)


# What is sent.


def test_two_passes_with_the_gradient_in_the_second() -> None:
    server = LossServer()
    given = [datum(3), datum(2, weights=[5.0, 5.0], mine=np.ones(7))]
    metrics = trained(server).forward_backward_custom(given, squares).result(20).metrics
    assert server.passes == [("forward", 1, [3, 2]), ("backward", 2, [3, 2])]
    # dC/dp = 2 p, p = -(t + 1) / 4
    assert server.gradients == [[-0.5, -1.0, -1.5], [-0.5, -1.0]]
    assert metrics["loss:sum"] == (1 + 4 + 9 + 1 + 4) / 16
    assert metrics["surrogate_loss:sum"] == pytest.approx(2 * metrics["loss:sum"])
    first = server.paths("/forward")[0].json["forward_input"]
    assert first["loss_fn"] == "cross_entropy"
    assert [each["loss_fn_inputs"]["weights"]["data"] for each in first["data"]] == [[0.0] * 3, [5.0] * 2]
    assert set(first["data"][1]["loss_fn_inputs"]) == {"target_tokens", "weights"}


def test_targets_of_two_axes_dense_and_sparse() -> None:
    server = LossServer()
    targets = torch.zeros((4, 6), dtype=torch.int64)
    targets[1, 2] = 3
    sparse = Datum(ModelInput.from_ints([1] * 4), {"target_tokens": targets})
    dense = Datum(ModelInput.from_ints([1] * 2), {"target_tokens": [[1, 2], [3, 4]]})
    assert sparse.loss_fn_inputs["target_tokens"].is_sparse

    def few(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        return 3 * logprobs[0][1, 2] + torch.square(logprobs[1]).sum(), {}

    trained(server).forward_backward_custom([sparse, dense], few).result(20)
    expected = np.zeros((4, 6))
    expected[1, 2] = 3.0
    assert server.gradients == [expected.tolist(), [[-1.0, -1.5], [-2.0, -2.5]]]


@pytest.mark.parametrize(
    "config", [{"fwdbwd_max_chunk_len": 2}, {"fwdbwd_max_chunk_bytes_count": 700}, {"parallel_fwdbwd_chunks": False}]
)
def test_both_passes_are_cut_alike(config: dict[str, Any]) -> None:
    """Also where the second is smaller: gradients that are mostly zero go as sparse rows."""
    server = LossServer(**config)
    data = [
        Datum(ModelInput.from_ints([1] * rows), {"target_tokens": np.ones((rows, 8), dtype=np.int64)})
        for rows in (3, 5, 4, 2, 6)
    ]

    def one_each(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        return sum((row[0, 0] for row in logprobs), torch.zeros(())), {}

    output = trained(server).forward_backward_custom(data, one_each).result(20)
    assert [len(each["logprobs"].to_numpy()) for each in output.loss_fn_outputs] == [3, 5, 4, 2, 6]
    halves = [
        sorted((seq, each) for name, seq, each in server.passes if name == kind) for kind in ("forward", "backward")
    ]
    assert [each for _, each in halves[0]] == [each for _, each in halves[1]]
    count = len(halves[0])
    assert [seq for half in halves for seq, _ in half] == list(range(1, 2 * count + 1))
    assert (count > 1) == ("parallel_fwdbwd_chunks" not in config)


def test_what_is_changed_after_the_call_is_not_sent_and_the_loss_sees_the_same_objects() -> None:
    server, seen = LossServer(), []
    gate = threading.Event()
    given = [datum(3)]
    only = given[0]

    def loss(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        assert gate.wait(20)
        seen.extend(data)
        return squares(data, logprobs)

    future = trained(server).forward_backward_custom(given, loss)
    given.clear()
    only.loss_fn_inputs["target_tokens"] = TensorData.from_numpy(np.array([9, 9, 9]))
    gate.set()
    future.result(20)
    assert seen[0] is only
    assert [each for _, _, each in server.passes] == [[3], [3]]
    sent = server.paths("/forward_backward")[-1].json["forward_backward_input"]["data"][0]
    assert sent["loss_fn_inputs"]["target_tokens"]["data"] == [0, 1, 2]


def test_no_later_call_comes_between_the_passes(make_client: MakeClient) -> None:
    with make_client() as service:
        training = service.create_lora_training_client(MODEL)
        entered, gate = threading.Event(), threading.Event()

        def slow(data: list[Datum], logprobs: list[Tensor]) -> Returned:
            entered.set()
            assert gate.wait(20)
            return squares(data, logprobs)

        custom = training.forward_backward_custom([datum()], slow)
        step = training.optim_step(STEP)
        assert entered.wait(20)
        assert not step.done()
        gate.set()
        custom.result(20)
        assert (step.result(20).metrics or {})["passes:sum"] == 1.0


# After a refusal.


def refused_loss(data: list[Datum], logprobs: list[Tensor]) -> Returned:
    return logprobs[0].sum() * float("nan"), {}


def refused_gradient(data: list[Datum], logprobs: list[Tensor]) -> Returned:
    return torch.sqrt(logprobs[0] - logprobs[0].detach()).sum(), {}


def refused_metric(data: list[Datum], logprobs: list[Tensor]) -> Returned:
    return logprobs[0].sum(), {"fine": 1, "mine": "text"}


def raises(data: list[Datum], logprobs: list[Tensor]) -> Returned:
    raise LookupError("of the user")


def exits(data: list[Datum], logprobs: list[Tensor]) -> Returned:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("loss", "error"),
    [
        (refused_loss, InvalidDatumError),
        (refused_gradient, InvalidDatumError),
        (refused_metric, CustomLossError),
        (raises, LookupError),
        (exits, CustomLossError),
    ],
)
def test_after_a_refusal_the_run_goes_on_as_if_the_call_had_not_been_made(
    loss: Callable[..., Returned], error: type[Exception]
) -> None:
    server = LossServer()
    training = trained(server)
    failed = training.forward_backward_custom([datum()], loss)
    after: list[APIFuture[Any]] = [training.forward_backward_custom([datum()], squares), training.optim_step(STEP)]
    with pytest.raises(error):
        failed.result(20)
    for future in after:
        future.result(20)
    assert server.passes == [("forward", 1, [3]), ("forward", 2, [3]), ("backward", 3, [3])]
    assert server.paths("/optim_step")[0].json["seq_id"] == 4
    assert server.gradients == [[-0.5, -1.0, -1.5]]


def test_cancelling_while_the_loss_runs_lets_the_next_call_go() -> None:
    server = LossServer()
    training = trained(server)
    entered, gate = threading.Event(), threading.Event()

    def slow(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        entered.set()
        assert gate.wait(20)
        return squares(data, logprobs)

    cancelled = training.forward_backward_custom([datum()], slow)
    after = training.optim_step(STEP)
    assert entered.wait(20)
    assert cancelled.cancel()
    after.result(20)
    gate.set()
    assert server.gradients == []


# What comes out.


def test_an_exception_of_the_loss_comes_out_as_it_was_raised_with_its_traceback() -> None:
    error = LookupError("of the user")

    def deep() -> None:
        raise error

    def loss(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        deep()
        return squares(data, logprobs)

    with pytest.raises(LookupError) as caught:
        trained(LossServer()).forward_backward_custom([datum()], loss).result(20)
    assert caught.value is error
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames[-2:] == ["loss", "deep"]


@pytest.mark.parametrize(
    "error", [SystemExit(2), KeyboardInterrupt(), asyncio.CancelledError(), StopIteration(1), StopAsyncIteration()]
)
def test_what_would_end_the_clients_own_thread_comes_out_as_the_cause(error: BaseException) -> None:
    def loss(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        raise error

    training = trained(LossServer())
    with pytest.raises(CustomLossError, match=type(error).__name__) as caught:
        training.forward_backward_custom([datum()], loss).result(20)
    assert caught.value.__cause__ is error
    assert caught.value.rule == Rule.ENDS
    training.optim_step(STEP).result(20)


def test_a_result_holds_nothing_of_the_users_graph() -> None:
    seen: list[weakref.ref[Tensor]] = []

    def loss(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        hidden = torch.exp(logprobs[0])
        seen.extend((weakref.ref(logprobs[0]), weakref.ref(hidden)))
        return hidden.sum(), {"mean": hidden.mean()}

    future = trained(LossServer()).forward_backward_custom([datum()], loss)
    assert future.result(20).metrics["mean"] > 0
    gc.collect()
    assert [each() for each in seen] == [None, None]


# Threads.


def test_the_loss_runs_off_every_event_loop_in_a_thread_of_its_own() -> None:
    seen: list[tuple[str, bool]] = []

    def loss(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        seen.append((threading.current_thread().name, loop.on_loop_thread()))
        return squares(data, logprobs)

    training = trained(LossServer())

    async def run() -> None:
        await (await training.forward_backward_custom_async([datum()], loss))

    asyncio.run(run())
    training.forward_backward_custom([datum()], loss).result(20)
    assert seen == [(THREAD_NAME, False)] * 2


def test_losses_of_many_clients_run_side_by_side() -> None:
    """More than any pool has threads: each waits until all have come."""
    count = 24
    meeting = threading.Barrier(count, timeout=60)

    def loss(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        meeting.wait()
        return squares(data, logprobs)

    service = LossServer().client()
    clients = [service.create_lora_training_client("base") for _ in range(count)]
    futures = [client.forward_backward_custom([datum()], loss) for client in clients]
    assert [future.result(90).metrics["loss:sum"] for future in futures] == [14 / 16] * count


def test_losses_of_one_client_run_one_after_the_other() -> None:
    running, most = [], []

    def loss(number: int, data: list[Datum], logprobs: list[Tensor]) -> Returned:
        running.append(number)
        most.append(len(running))
        result = squares(data, logprobs)
        assert running.pop() == number
        return result

    training = trained(LossServer())
    futures = [training.forward_backward_custom([datum()], functools.partial(loss, number)) for number in range(10)]
    for future in futures:
        future.result(20)
    assert most == [1] * 10


def test_a_loss_may_wait_for_another_client() -> None:
    service = LossServer().client()
    student, teacher = (service.create_lora_training_client("base").result(20) for _ in range(2))

    def distilled(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        found = teacher.forward(data, "cross_entropy").result(20).loss_fn_outputs
        return sum(
            ((p - each["logprobs"].to_torch() - 1) ** 2).sum() for p, each in zip(logprobs, found, strict=True)
        ), {}

    given = [datum(2, weights=[1.0, 1.0])]
    assert student.forward_backward_custom(given, distilled).result(20).metrics["loss:sum"] == 2.0


def test_the_grad_mode_that_a_loss_leaves_behind_is_its_own() -> None:
    def careless(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        result = squares(data, logprobs)
        torch.set_grad_enabled(False)
        return result

    training = trained(LossServer())
    for loss in (careless, squares, careless):
        training.forward_backward_custom([datum()], loss).result(20)


def test_without_gradients_a_loss_is_refused() -> None:
    @torch.no_grad()
    def loss(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        return squares(data, logprobs)

    with pytest.raises(CustomLossError, match="no gradient") as caught:
        trained(LossServer()).forward_backward_custom([datum()], loss).result(20)
    assert caught.value.rule == Rule.GRADIENT


# What is refused at the call.


async def coroutine(data: list[Datum], logprobs: list[Tensor]) -> Returned:
    return squares(data, logprobs)


class AsyncCallable:
    async def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> Returned:
        return squares(data, logprobs)


@pytest.mark.parametrize(
    ("loss", "rule", "says"),
    [
        (coroutine, Rule.NOT_ASYNC, "asyncio.run"),
        (AsyncCallable(), Rule.NOT_ASYNC, "asyncio.run"),
        ("cross_entropy", Rule.CALLABLE, "forward_backward"),
        (None, Rule.CALLABLE, "None"),
    ],
)
def test_what_cannot_be_a_loss_is_refused_at_the_call(loss: Any, rule: Rule, says: str) -> None:
    server = LossServer()
    training = trained(server)
    with pytest.raises(CustomLossError, match=says) as caught:
        training.forward_backward_custom([datum()], loss)
    assert caught.value.rule == rule
    training.optim_step(STEP).result(20)
    assert server.passes == []
    assert server.paths("/optim_step")[0].json["seq_id"] == 1


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        ([], ValueError, "data is empty"),
        (datum(), TypeError, r"write \[datum\]"),
        ([datum(), Datum(ModelInput.from_ints([1]), {})], InvalidDatumError, r"datum 1 .*target_tokens"),
        ([datum(mine=np.array([np.nan]))], InvalidDatumError, r"datum 0 .*'mine'"),
    ],
)
def test_data_that_cannot_be_sent_is_refused_at_the_call(data: Any, error: type[Exception], says: str) -> None:
    training = trained(LossServer())
    with pytest.raises(error, match=says):
        training.forward_backward_custom(data, squares)
    with pytest.raises(ValueError, match="loss_type_input"):
        training.forward_backward_custom([datum()], squares, loss_type_input="logits")  # type: ignore[arg-type]


def test_data_may_come_from_an_iterator() -> None:
    server = LossServer()
    trained(server).forward_backward_custom((datum(length) for length in (2, 3)), squares).result(20)  # type: ignore[arg-type]
    assert server.passes[0] == ("forward", 1, [2, 3])


# Kinds of losses, as docs/custom-losses.md describes them.


def evaluated(loss: Any, data: list[Datum] | None = None) -> tuple[dict[str, float], list[Any]]:
    server = LossServer()
    future: APIFuture[Any] = trained(server).forward_backward_custom(data or [datum()], loss)
    return dict(future.result(60).metrics), server.gradients


@pytest.mark.parametrize("whole", [True, False])
def test_compiled_losses(whole: bool) -> None:
    def row_loss(row: Tensor) -> Tensor:
        return torch.square(row).sum()

    compiled_row = torch.compile(row_loss, backend="eager", dynamic=True)

    def by_rows(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        return sum((compiled_row(row) for row in logprobs), torch.zeros(())), {}

    loss = torch.compile(squares, backend="eager") if whole else by_rows
    for lengths in ((3, 2), (4, 5)):
        data = [datum(length) for length in lengths]
        plain, compiled = evaluated(squares, data), evaluated(loss, data)
        assert plain[0] == pytest.approx(compiled[0])
        assert plain[1] == compiled[1]


def test_parameters_of_the_users_own_get_their_gradients_added() -> None:
    module = torch.nn.Linear(1, 1)
    with torch.no_grad():
        module.weight.fill_(2.0)
        module.bias.fill_(0.0)

    def loss(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        return module(logprobs[0].unsqueeze(-1)).sum(), {}

    for calls in (1, 2):
        _, gradients = evaluated(loss)
        assert gradients == [[2.0, 2.0, 2.0]]
        assert module.weight.grad is not None
        assert module.weight.grad.item() == calls * -6 / 4


def test_parameters_are_left_alone_if_the_loss_is_refused_first() -> None:
    scale = torch.nn.Parameter(torch.tensor(2.0))
    for loss in (
        lambda data, logprobs: (scale * logprobs[0].sum() * float("inf"), {}),
        lambda data, logprobs: (scale * logprobs[0].sum(), {"mine": "text"}),
    ):
        with pytest.raises(ValueError, match=r"finite|mine"):
            evaluated(loss)
        assert scale.grad is None


def test_objects_keep_their_state_from_call_to_call() -> None:
    class Averaged:
        def __init__(self) -> None:
            self.seen: list[float] = []

        def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> Returned:
            loss, metrics = squares(data, logprobs)
            self.seen.append(loss.item())
            return loss, {**metrics, "average": sum(self.seen) / len(self.seen)}

    loss, server = Averaged(), LossServer()
    training = trained(server)
    futures = [training.forward_backward_custom([datum(length)], loss) for length in (1, 2, 3)]
    averages = [future.result(20).metrics["average"] for future in futures]
    assert averages == [pytest.approx(value) for value in (1 / 16, (1 + 5) / 32, (1 + 5 + 14) / 48)]


@pytest.mark.parametrize(
    "several",
    [
        lambda data, logprobs: ((logprobs[0].sum(), logprobs[0].mean()), {}),
        lambda data, logprobs: ({"a": logprobs[0].sum()}, {}),
        lambda data, logprobs: (torch.stack([logprobs[0].sum(), logprobs[0].mean()]), {}),
    ],
)
def test_several_losses_are_refused_and_their_sum_is_not(several: Any) -> None:
    with pytest.raises(CustomLossError) as caught:
        evaluated(several)
    assert caught.value.rule in (Rule.RETURNS, Rule.SCALAR)

    def summed(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        first, second = logprobs[0].sum(), torch.square(logprobs[0]).sum()
        return first + 0.5 * second, {"first": first, "second": second}

    metrics, gradients = evaluated(summed)
    assert metrics["loss:sum"] == metrics["first"] + 0.5 * metrics["second"]
    assert gradients == [[0.75, 0.5, 0.25]]


@pytest.mark.parametrize("limit", [1024, 1, 3])
def test_losses_over_pairs_do_not_depend_on_how_the_call_is_cut(limit: int) -> None:
    def preferred(data: list[Datum], logprobs: list[Tensor]) -> Returned:
        scores = torch.stack([row.sum() for row in logprobs])
        return -torch.nn.functional.logsigmoid(scores[0::2] - scores[1::2]).sum(), {}

    server = LossServer(fwdbwd_max_chunk_len=limit)
    training = trained(server)
    training.forward_backward_custom([datum(length) for length in (1, 2, 3, 2)], preferred).result(20)
    # d/ds of -logsigmoid(s) is -sigmoid(-s); the scores are -1/4, -3/4, -6/4, -3/4
    first, second = 1 / (1 + np.exp(0.5)), 1 / (1 + np.exp(-0.75))
    by_length = sorted((len(each), each[0]) for each in server.gradients)
    expected = sorted([(1, -first), (2, first), (3, -second), (2, second)])
    assert [value for _, value in by_length] == pytest.approx([value for _, value in expected], rel=1e-6)
