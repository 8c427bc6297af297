"""Losses that were traced: uploaded to a server that runs them, or run here, with the same results and errors."""

import asyncio
import math
import sys
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from loss_server import LossServer
from scripted_server import Reply, Seen
from torch import Tensor

import tinker_hl
from tinker_hl import (
    AdamParams,
    APIResponseValidationError,
    CustomLossError,
    Datum,
    InvalidDatumError,
    LossHandle,
    ModelInput,
    loop,
)
from tinker_hl.custom_loss.rules import Rule

RANKS: dict[str, Any] = {"logprobs": 1, "advantages": 1, "scale": 0}


def ratio(logprobs: Tensor, advantages: Tensor, scale: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
    loss = -(torch.exp(logprobs + 1) * advantages).sum() * scale
    return loss, {"custom/entropy:mean": -logprobs.mean(), "custom/tokens:sum": (logprobs < 0).sum()}


def returns_a_number(logprobs: Tensor) -> Any:
    return 1.0, {}


def datum(length: int, scale: Any = 2.0, **inputs: Any) -> Datum:
    given = {"advantages": np.linspace(-1, 1, length, dtype=np.float32), "scale": np.array(scale, dtype=np.float32)}
    arrays = {name: np.asarray(value) for name, value in {**given, **inputs}.items() if value is not None}
    return Datum(ModelInput.from_ints([1] * length), {"target_tokens": list(range(length)), **arrays})


DATA = [datum(3), datum(5, 0.5), datum(2, -1.0), datum(4), datum(1, 3.0)]


def offering(server_side: bool, **config: Any) -> LossServer:
    return LossServer(custom_loss_server_side=server_side, **config)


@pytest.fixture(params=[True, False], ids=["there", "here"])
def server(request: pytest.FixtureRequest) -> LossServer:
    """One that runs uploaded losses, and one that does not."""
    return offering(request.param)


def test_a_server_that_runs_losses_gets_the_loss_once_and_one_pass_a_call() -> None:
    server = offering(True)
    with server.client() as service:
        handle = service.create_custom_loss(ratio, RANKS).result(20)
        training = service.create_lora_training_client("base")
        for _ in range(2):
            training.forward_backward_custom(DATA, handle).result(20)
    (upload,) = server.paths("/create_custom_loss")
    assert {**upload.json, "graph": None} == {
        "session_id": "S",
        "custom_loss_seq_id": 0,
        "name": "ratio",
        "inputs": [{"name": name, "rank": rank} for name, rank in RANKS.items()],
        "graph": None,
        "type": "create_custom_loss",
    }
    assert upload.headers["x-idempotency-key"]
    assert handle == LossHandle("ratio", handle.inputs, "S", handle.graph, "loss-0")
    assert [kind for kind, _, _ in server.passes] == ["backward", "backward"]
    asked = [seen.json["forward_backward_input"] for seen in server.paths("/forward_backward") if seen.body[:1] == b"{"]
    assert {each["loss_fn"] for each in asked} == {"custom"}
    assert asked[0]["loss_fn_config"] == {"loss_id": "loss-0"}
    assert set(asked[0]["data"][0]["loss_fn_inputs"]) == {"target_tokens", "advantages", "scale"}


def test_another_server_is_not_told() -> None:
    server = offering(False)
    with server.client() as service:
        handle = service.create_custom_loss(ratio, RANKS).result(20)
        service.create_lora_training_client("base").forward_backward_custom(DATA, handle).result(20)
    assert server.paths("/create_custom_loss") == []
    assert [kind for kind, _, _ in server.passes] == ["forward", "backward"]
    assert handle.loss_id is None
    assert handle.session_id == "S"


@pytest.mark.parametrize("limit", [1024, 2])
def test_there_and_here_give_the_same(limit: int) -> None:
    results = []
    for server in (offering(True, fwdbwd_max_chunk_len=limit), offering(False, fwdbwd_max_chunk_len=limit)):
        with server.client() as service:
            handle = service.create_custom_loss(ratio, RANKS).result(20)
            output = service.create_lora_training_client("base").forward_backward_custom(DATA, handle).result(20)
        results.append((output, sorted(map(tuple, server.gradients))))
    (there, gradients), (here, own_gradients) = results
    assert [list(each) for each in gradients] == [pytest.approx(list(each), rel=1e-6) for each in own_gradients]
    names = {"loss:sum", "custom/entropy:mean", "custom/tokens:sum"}
    assert set(there.metrics) == names
    assert set(here.metrics) == names | {"surrogate_loss:sum"}
    for name in names:
        assert here.metrics[name] == pytest.approx(there.metrics[name], rel=1e-6), name
    assert there.metrics["custom/tokens:sum"] == 15.0
    assert [each["logprobs"] for each in there.loss_fn_outputs] == [each["logprobs"] for each in here.loss_fn_outputs]


def test_two_axes(server: LossServer) -> None:
    def soft(logprobs: Tensor, target_distribution: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return -(target_distribution * logprobs).sum(), {}

    distribution = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], dtype=np.float32)
    given = Datum(
        ModelInput.from_ints([1, 2, 3]),
        {"target_tokens": [[1, 2], [3, 4], [5, 6]], "target_distribution": distribution},
    )
    with server.client() as service:
        handle = service.create_custom_loss(soft, {"logprobs": 2, "target_distribution": 2}).result(20)
        output = service.create_lora_training_client("base").forward_backward_custom([given], handle).result(20)
    assert server.gradients == [(-distribution).tolist()]
    expected = (distribution * (np.arange(1, 7).reshape(3, 2) + 1) / 4).sum()
    assert output.metrics["loss:sum"] == pytest.approx(float(expected))


# Errors, the same in both places.


@pytest.mark.parametrize(
    ("faulty", "field", "says"),
    [
        (datum(2, advantages=None), "advantages", "'ratio' takes it"),
        (datum(2, scale=np.ones(1)), "scale", "rank 1, but .* scale with rank 0"),
        (datum(2, advantages=np.ones((2, 1))), "advantages", "rank 2, but .* rank 1"),
        (
            Datum(ModelInput.from_ints([1]), {"advantages": [1.0], "scale": np.array(1, dtype=np.float32)}),
            "target_tokens",
            "takes",
        ),
        (
            Datum(
                ModelInput.from_ints([1]),
                {"target_tokens": [[1, 2]], "advantages": [1.0], "scale": np.array(1, dtype=np.float32)},
            ),
            "target_tokens",
            "rank 2, but .* logprobs with rank 1",
        ),
    ],
)
def test_inputs_are_there_with_the_declared_ranks(server: LossServer, faulty: Datum, field: str, says: str) -> None:
    with server.client() as service:
        handle = service.create_custom_loss(ratio, RANKS).result(20)
        training = service.create_lora_training_client("base")
        with pytest.raises(InvalidDatumError, match=says) as caught:
            training.forward_backward_custom([datum(2), faulty], handle)
        assert (caught.value.datum_index, caught.value.field) == (1, f"loss_fn_inputs[{field!r}]")
        training.forward_backward_custom([datum(2)], handle).result(20)


def test_a_handle_belongs_to_its_session(server: LossServer) -> None:
    class Other(LossServer):
        def on_create_session(self, request: Any) -> Any:
            return {"session_id": "T"}

    with server.client() as service, Other(**(server.config or {})).client() as stranger:
        handle = service.create_custom_loss(ratio, RANKS).result(20)
        training = stranger.create_lora_training_client("base").result(20)
        with pytest.raises(CustomLossError, match="session 'S', and this client to 'T'") as caught:
            training.forward_backward_custom(DATA, handle)
    assert caught.value.rule == Rule.OWN_SESSION


def test_a_loss_is_created_once_a_session(server: LossServer) -> None:
    def renamed(logprobs: Tensor, advantages: Tensor, scale: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return ratio(logprobs, advantages, scale)

    with server.client() as service:
        first = service.create_custom_loss(ratio, RANKS)
        for fn in (ratio, renamed):
            with pytest.raises(CustomLossError, match="use the LossHandle") as caught:
                service.create_custom_loss(fn, RANKS)
            assert caught.value.rule == Rule.ONCE
        first.result(20)
        with pytest.raises(CustomLossError, match="use the LossHandle"):
            service.create_custom_loss(ratio, RANKS)
    with server.client() as again:
        again.create_custom_loss(ratio, RANKS).result(20)


def test_what_is_refused_at_the_call_reaches_no_server(server: LossServer) -> None:
    with server.client() as service:
        with pytest.raises(CustomLossError, match="exactly these"):
            service.create_custom_loss(ratio, {"logprobs": 1})
        with pytest.raises(CustomLossError, match=r"the loss 1\.0"):
            service.create_custom_loss(returns_a_number, {"logprobs": 1})
        assert server.seen == []
        service.create_custom_loss(ratio, RANKS).result(20)
    with pytest.raises(tinker_hl.SessionClosedError):
        service.create_custom_loss(lambda logprobs: (logprobs.sum(), {}), {"logprobs": 1})


# Uploads.


def test_uploads_are_numbered_and_named_as_the_protocol_allows() -> None:
    server = offering(True)

    def Upper(logprobs: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:  # noqa: N802  # the fault
        return logprobs.mean(), {}

    with server.client() as service:
        handles = [
            service.create_custom_loss(ratio, RANKS).result(20),
            service.create_custom_loss(Upper, {"logprobs": 1}).result(20),
            service.create_custom_loss(lambda logprobs: (logprobs.sum(), {}), {"logprobs": 2}).result(20),
        ]
    assert [handle.name for handle in handles] == ["ratio", "Upper", "<lambda>"]
    uploads = [seen.json for seen in server.paths("/create_custom_loss")]
    assert [upload["name"] for upload in uploads] == ["ratio", "loss_upper", "loss_lambda"]
    assert [upload["custom_loss_seq_id"] for upload in uploads] == [0, 1, 2]


def test_an_upload_is_retried_under_one_key() -> None:
    server = offering(True)
    server.faults["create_custom_loss"] = [Reply(503, {"detail": "busy"}), None]
    with server.client() as service:
        assert service.create_custom_loss(ratio, RANKS).result(20).loss_id == "loss-0"
    uploads = server.paths("/create_custom_loss")
    assert len(uploads) == 3
    assert len({upload.headers["x-idempotency-key"] for upload in uploads}) == 1
    assert len({upload.body for upload in uploads}) == 1


def test_an_upload_that_failed_may_be_made_again() -> None:
    server = offering(True)
    server.faults["create_custom_loss"] = [Reply(403, {"detail": "not with this key"})]
    with server.client() as service:
        with pytest.raises(tinker_hl.PermissionDeniedError, match="not with this key"):
            service.create_custom_loss(ratio, RANKS).result(20)
        assert service.create_custom_loss(ratio, RANKS).result(20).loss_id == "loss-1"


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_loss_that_the_server_does_not_run_runs_here(status: int) -> None:
    server = offering(True)
    server.faults["create_custom_loss"] = [Reply(status, {"detail": "torch.exp is not offered"})]
    notices = []
    with server.client() as service:
        service.subscribe(lambda event: notices.append(event.detail) if event.kind == "notice" else None)
        assert service.create_custom_loss(ratio, RANKS).result(20).loss_id is None
    assert [notice for notice in notices if "torch.exp is not offered" in notice and "runs here" in notice]


def test_a_creation_that_was_cancelled_before_it_began_may_be_made_again(server: LossServer) -> None:
    gate = threading.Event()
    with server.client() as service:
        loop.event_loop().call_soon_threadsafe(gate.wait, 20)
        cancelled = service.create_custom_loss(ratio, RANKS)
        assert cancelled.cancel()
        gate.set()
        service.get_server_capabilities()  # comes after the end of what was cancelled
        service.create_custom_loss(ratio, RANKS).result(20)
    assert len(server.paths("/create_custom_loss")) == len(server.losses) <= 1


def test_a_creation_that_was_cancelled_on_its_way_may_be_made_again() -> None:
    server, arrived = offering(True), threading.Event()

    async def hang(request: Seen) -> Reply:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError("it waits for ever")

    server.faults["create_custom_loss"] = [hang]
    with server.client() as service:
        cancelled = service.create_custom_loss(ratio, RANKS)
        assert arrived.wait(20)
        assert cancelled.cancel()
        service.get_server_capabilities()
        assert service.create_custom_loss(ratio, RANKS).result(20).loss_id == "loss-1"


def test_an_answer_without_an_id_is_not_what_was_promised() -> None:
    server = offering(True)
    server.faults["create_custom_loss"] = [Reply(200, server.promise({"type": "create_custom_loss"}))]
    with server.client() as service, pytest.raises(APIResponseValidationError, match="loss_id"):
        service.create_custom_loss(ratio, RANKS).result(20)


def test_in_an_event_loop(server: LossServer) -> None:
    async def run() -> float:
        async with server.client() as service:
            handle = await service.create_custom_loss(ratio, RANKS)
            training = await service.create_lora_training_client_async("base")
            output = await (await training.forward_backward_custom_async(DATA, handle))
            return float(output.metrics["custom/tokens:sum"])

    assert asyncio.run(run()) == 15.0


# Run here.


def test_what_goes_wrong_here_names_the_datum_and_harms_nobody() -> None:
    server = offering(False)

    def vector(logprobs: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return logprobs * 1, {}

    def wide_metric(logprobs: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return logprobs.sum(), {"custom/wide:sum": logprobs}

    def size_metric(logprobs: Tensor) -> tuple[Tensor, Mapping[str, Any]]:
        return logprobs.sum(), {"custom/size:sum": logprobs.shape[0]}

    def third(logprobs: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return logprobs[2], {}

    def infinite(logprobs: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return torch.log(logprobs.shape[0] - 2 + 0 * logprobs.sum()), {}

    def constant(logprobs: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return torch.ones_like(logprobs).sum(), {}

    data = [datum(3), datum(2)]
    with server.client() as service:
        training = service.create_lora_training_client("base")

        def failing(fn: Any) -> tinker_hl.APIFuture[Any]:
            return training.forward_backward_custom(data, service.create_custom_loss(fn, {"logprobs": 1}).result(20))

        with pytest.raises(CustomLossError, match=r"datum 0: .* no dimensions, got shape \[3\]") as scalar:
            failing(vector).result(20)
        assert scalar.value.rule == Rule.SCALAR
        with pytest.raises(CustomLossError, match=r"datum 0: metric 'custom/wide:sum'") as metric:
            failing(wide_metric).result(20)
        assert metric.value.metric == "custom/wide:sum"
        with pytest.raises(CustomLossError, match=r"metric 'custom/size:sum' .* got int"):
            failing(size_metric).result(20)
        with pytest.raises(IndexError) as index:
            failing(third).result(20)
        assert index.value.__notes__ == ["in the custom loss 'third', for datum 1"]
        with pytest.raises(InvalidDatumError, match="-inf") as datum_error:
            failing(infinite).result(20)
        assert datum_error.value.datum_index == 1
        with pytest.raises(CustomLossError, match="no gradient"):
            failing(constant).result(20)
        assert server.gradients == []
        training.optim_step(AdamParams(learning_rate=0.1)).result(20)
    assert [kind for kind, _, _ in server.passes] == ["forward"] * 6
    assert server.paths("/optim_step")[0].json["seq_id"] == 7


def test_metrics_that_are_not_finite_are_joined_without_ado() -> None:
    server = offering(False)

    def loss(logprobs: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return logprobs.sum(), {"custom/a:sum": logprobs.sum() / 0, "custom/b:mean": logprobs.sum() * math.nan}

    with server.client() as service:
        handle = service.create_custom_loss(loss, {"logprobs": 1}).result(20)
        metrics = service.create_lora_training_client("base").forward_backward_custom(DATA, handle).result(20).metrics
    assert metrics["custom/a:sum"] == -math.inf
    assert math.isnan(metrics["custom/b:mean"])


def test_without_torch_it_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    server = offering(False)
    with server.client() as service:
        training = service.create_lora_training_client("base").result(20)
        monkeypatch.setitem(sys.modules, "torch", None)
        for attempt in (
            lambda: service.create_custom_loss(ratio, RANKS),
            lambda: training.forward_backward_custom(DATA, lambda data, logprobs: (logprobs[0].sum(), {})),
        ):
            with pytest.raises(ImportError, match="needs torch") as caught:
                attempt()
            assert isinstance(caught.value, tinker_hl.ConfigurationError)
            assert "pip install" in str(caught.value)
