"""`TrainingClient.recover`: going on after a call of which nobody knows whether the server took it."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_bench import KEY, MODEL
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, Datum, ModelInput, RetryPolicy, ServiceClient, TrainingClient, loop
from tinker_hl.retry import InstantClock
from tinker_hl.transport import AsgiTransport
from tinker_hl.transport.base import Request, Response, TransportFault
from tinker_local.app import create_app
from tinker_local.engine.null import NullEngine
from tinker_local.settings import ModelSource, Settings


def datum(count: int = 2) -> Datum:
    tokens = list(range(5, 5 + count))
    return Datum(ModelInput.from_ints(tokens), {"target_tokens": tokens, "weights": [1.0] * count})


class Cable:
    """A transport that a test can cut: `after` lets the request through and loses the answer, `before` does not.

    `at` is the end of the path that it is cut at; other requests pass.
    """

    def __init__(self, inner: AsgiTransport) -> None:
        self._inner = inner
        self.cut: str | None = None
        self.at = ""
        self.status: Response | None = None
        self.paths: list[str] = []

    async def send(self, request: Request) -> Response:
        name = request.url.rsplit("/", 1)[-1]
        self.paths.append(name)
        if self.cut is None or name != self.at:
            return await self._inner.send(request)
        if self.cut == "before":
            raise TransportFault("lost", "cut before the request")
        response = await self._inner.send(request)
        if self.cut == "once after":
            # Whoever asks again is turned away before the service looks at what is asked.
            self.cut, self._answer = "turned away", response
        elif self.cut == "turned away":
            return Response(status=401, content=b"{}")
        raise TransportFault("lost", "cut before the answer")

    async def aclose(self) -> None:
        return None


class Bench:
    """The real service with a null engine, a cable to it, and a client."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._models = (ModelSource(name=MODEL, path=str(folder)),)
        self.start()
        self.cable = Cable(self.side)
        self.service = ServiceClient(
            base_url="http://in-process",
            api_key=KEY,
            transport=self.cable,
            clock=InstantClock(),
            retry_policy=RetryPolicy(deadline=3.0),
        )

    def start(self) -> None:
        self.engine = NullEngine(self._models)
        settings = Settings(data_dir=self._folder / "data", models=self._models, api_keys=(KEY,))
        self.side = AsgiTransport(create_app(settings, self.engine))  # type: ignore[arg-type]

    def restart(self) -> None:
        loop.run(self.side.aclose()).result(30)
        self.start()
        self.cable._inner = self.side

    def lose(self, how: str, at: str, client: TrainingClient, call: Any) -> Any:
        """Make a call whose fate nobody knows, and one behind it; the error of the second."""
        self.cable.cut, self.cable.at = how, at
        lost, later = call(client), client.optim_step(AdamParams())
        with pytest.raises(tinker_hl.APIError):
            lost.result(30)
        with pytest.raises(tinker_hl.SubmissionFailedError, match=r"recover\(\)") as caught:
            later.result(30)
        self.cable.cut = None
        return caught.value

    def close(self) -> None:
        self.service.close().result(30)
        loop.run(self.side.aclose()).result(30)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "config.json").write_text("{}")
    made = Bench(tmp_path)
    yield made
    made.close()


def one_pass(client: TrainingClient) -> Any:
    return client.forward_backward([datum()], "cross_entropy")


@pytest.mark.parametrize("how", ["before", "after"])
def test_the_same_model_goes_on_and_nothing_is_done_twice(bench: Bench, how: str) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    one_pass(client).result(30)
    error = bench.lose(how, "forward_backward", client, one_pass)
    assert isinstance(error.first_failure, tinker_hl.APIConnectionError)
    resumed = client.recover()
    step = resumed.optim_step(AdamParams())
    assert step.result(30).metrics["passes:sum"] == 2.0
    assert resumed.resumed_from is None
    assert resumed.model_id == client.model_id
    with pytest.raises(tinker_hl.SubmissionFailedError):
        client.optim_step(AdamParams()).result(30)
    assert client.recover() is resumed


def test_a_pass_of_many_requests_is_sent_again_whole(bench: Bench) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    bench.lose(
        "after",
        "forward_backward",
        client,
        lambda one: one.forward_backward([datum()] * 2500, "cross_entropy"),
    )
    assert client.recover().optim_step(AdamParams()).result(30).metrics["passes:sum"] == 3.0


def test_a_custom_loss_that_lost_its_first_pass_is_to_be_made_again(bench: Bench) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    bench.cable.cut, bench.cable.at = "after", "forward_backward"
    custom = client.forward_backward_custom([datum()], lambda data, logprobs: (-sum(row.sum() for row in logprobs), {}))
    with pytest.raises(tinker_hl.SubmissionFailedError, match="first pass"):
        custom.result(30)
    bench.cable.cut = None
    assert client.recover().optim_step(AdamParams()).result(30).metrics["passes:sum"] == 0.0


def test_a_refusal_after_a_cut_says_nothing_of_the_first_attempt(bench: Bench) -> None:
    """The first attempt was taken and its answer lost; the second is turned away with 401."""
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    error = bench.lose("once after", "forward_backward", client, one_pass)
    assert isinstance(error.first_failure, tinker_hl.AuthenticationError)
    assert error.first_failure.after_doubt
    assert client.recover().optim_step(AdamParams()).result(30).metrics["passes:sum"] == 1.0


def test_a_model_that_the_service_lost_is_made_again_from_its_newest_state(bench: Bench) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    client.save_state("first").result(30)
    newest = client.save_state("second").result(30).path
    bench.lose("before", "forward_backward", client, one_pass)
    bench.restart()
    resumed = client.recover().result(30)
    assert resumed.resumed_from == newest
    assert resumed.model_id != client.model_id
    assert resumed.optim_step(AdamParams()).result(30).metrics["passes:sum"] == 0.0


def test_another_state_can_be_named(bench: Bench) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    first = client.save_state("first").result(30).path
    client.save_state("second").result(30)
    bench.restart()
    assert client.recover(first).result(30).resumed_from == first


def test_a_client_that_came_from_a_state_goes_back_to_it(bench: Bench) -> None:
    fresh = bench.service.create_lora_training_client(MODEL, rank=4)
    path = fresh.save_state("start").result(30).path
    client = bench.service.create_training_client_from_state(path).result(30)
    bench.restart()
    with pytest.raises(tinker_hl.RequestFailedError):
        client.optim_step(AdamParams()).result(30)
    assert client.recover().result(30).resumed_from == path


def test_a_lost_model_without_any_state_is_an_error_of_its_own_kind(bench: Bench) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    bench.restart()
    with pytest.raises(tinker_hl.ModelLostError, match="no saved state") as caught:
        client.recover().result(30)
    assert "save_state" in (caught.value.hint or "")
    with pytest.raises(tinker_hl.ModelLostError):
        client.recover().result(30)


def test_a_client_that_is_well_hands_over_what_it_was_asked_for(bench: Bench) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4)
    passes = [one_pass(client) for _ in range(3)]
    resumed = client.recover()
    step = resumed.optim_step(AdamParams())
    assert step.result(30).metrics["passes:sum"] == 3.0
    assert [one.result(30) is not None for one in passes] == [True] * 3
    assert resumed.resumed_from is None
    with pytest.raises(tinker_hl.SubmissionFailedError, match=r"recover\(\) was called"):
        client.optim_step(AdamParams()).result(30)


def test_a_server_that_stays_away_can_be_asked_again_later(bench: Bench) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    bench.lose("before", "forward_backward", client, one_pass)
    bench.cable.cut = "before"
    with pytest.raises(tinker_hl.APIConnectionError):
        client.recover().result(30)
    bench.cable.cut = None
    assert client.recover().optim_step(AdamParams()).result(30).metrics["passes:sum"] == 1.0


def test_recovering_twice_in_a_row(bench: Bench) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    for _ in range(3):
        bench.lose("after", "optim_step", client, lambda one: one.optim_step(AdamParams()))
        client = client.recover().result(30)
    one_pass(client).result(30)
    assert client.optim_step(AdamParams()).result(30).metrics["passes:sum"] == 1.0


def test_the_content_of_a_lost_call_is_freed_once_its_fate_is_known(bench: Bench) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    bench.lose("after", "forward_backward", client, one_pass)
    assert client._calls.turns.lost is not None
    client.recover().result(30)
    assert client._calls.turns.lost is None


def test_a_lost_call_that_is_refused_now_was_never_taken(caplog: pytest.LogCaptureFixture) -> None:
    server = ScriptedServer()
    with server.client(retry_policy=RetryPolicy(deadline=3.0)) as service:
        client = service.create_lora_training_client("base").result(10)
        server.faults["optim_step"] = [None] * 100
        lost = client.optim_step(AdamParams())
        with pytest.raises(tinker_hl.APIConnectionError):
            lost.result(10)
        server.faults["optim_step"] = [Reply(422, {"detail": "a step too far"})]
        with caplog.at_level(logging.WARNING, "tinker_hl"):
            resumed = client.recover().result(10)
        assert "a step too far" in caplog.text
        resumed.save_state("x").result(10)
    bodies = [request.json for request in server.paths("save_weights_for_sampler") + server.paths("save_weights")]
    assert [body["seq_id"] for body in bodies] == [1, 2]
    assert resumed.resumed_from is None


@pytest.mark.parametrize("status", [404, 409, 410])
def test_a_server_that_does_not_know_the_model_makes_another(status: int) -> None:
    server = ScriptedServer()
    with server.client(retry_policy=RetryPolicy(deadline=3.0)) as service:
        client = service.create_lora_training_client("base").result(10)
        path = client.save_state("x").result(10).path
        server.faults["optim_step"] = [None] * 100
        with pytest.raises(tinker_hl.APIConnectionError):
            client.optim_step(AdamParams()).result(10)
        server.faults["optim_step"] = [Reply(status, {"detail": "gone"})]
        resumed = client.recover().result(10)
        assert resumed.resumed_from == path
        assert resumed.model_id == "S:train:1"
        resumed.optim_step(AdamParams()).result(10)
    assert server.paths("optim_step")[-1].json["model_id"] == "S:train:1"


@pytest.mark.parametrize("status", [401, 403])
def test_what_concerns_the_caller_says_nothing_of_the_model(status: int) -> None:
    server = ScriptedServer()
    with server.client(retry_policy=RetryPolicy(deadline=3.0)) as service:
        client = service.create_lora_training_client("base").result(10)
        client.save_state("x").result(10)
        server.faults["optim_step"] = [None] * 100
        with pytest.raises(tinker_hl.APIConnectionError):
            client.optim_step(AdamParams()).result(10)
        server.faults["optim_step"] = [Reply(status, {"detail": "not you"})] * 2
        with pytest.raises((tinker_hl.AuthenticationError, tinker_hl.PermissionDeniedError)):
            client.recover().result(10)
        server.faults["optim_step"].clear()
        assert client.recover().result(10).resumed_from is None


def test_threads_that_ask_at_once_get_one_client(bench: Bench) -> None:
    client = bench.service.create_lora_training_client(MODEL, rank=4).result(30)
    bench.lose("after", "forward_backward", client, one_pass)
    found: list[TrainingClient] = []
    threads = [threading.Thread(target=lambda: found.append(client.recover())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_a_cancelled_recovery_can_be_asked_for_again() -> None:
    server = ScriptedServer()
    held = threading.Event()

    async def hold(request: Seen) -> Reply:
        held.set()
        await asyncio.Event().wait()
        raise AssertionError

    with server.client(retry_policy=RetryPolicy(deadline=3.0)) as service:
        client = service.create_lora_training_client("base").result(10)
        server.faults["optim_step"] = [None] * 100
        with pytest.raises(tinker_hl.APIConnectionError):
            client.optim_step(AdamParams()).result(10)
        server.faults["optim_step"] = [hold]
        first = client.recover()
        assert held.wait(10)
        first.cancel()
        assert client.recover() is not first
        assert client.recover().optim_step(AdamParams()).result(10).metrics == {"grad_norm": 1.0}


def test_a_closed_session_cannot_be_recovered() -> None:
    server = ScriptedServer()
    with server.client() as service:
        client = service.create_lora_training_client("base").result(10)
    with pytest.raises(tinker_hl.SessionClosedError):
        client.recover()
