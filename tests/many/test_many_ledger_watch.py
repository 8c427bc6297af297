"""A ledger that watches a client counts what the service counts, and refuses before anything is sent."""

import asyncio
import os
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch
from client_bench import MODEL
from scripted_server import OUTPUT, Reply, ScriptedServer, Seen

from tinker_hl import (
    AdamParams,
    Datum,
    ModelInput,
    SamplingClient,
    SamplingParams,
    ServiceClient,
    TinkerError,
    TrainingClient,
)
from tinker_hl.events import Event
from tinker_hl.many import BudgetExceededError, TokenLedger, sample_many
from tinker_hl.recovery import TrainingRun

DATUM = Datum(ModelInput.from_ints([1, 2, 3]), {"target_tokens": [2, 3, 4]})
PROMPT = ModelInput.from_ints([1, 2])
TWO = SamplingParams(max_tokens=2, seed=1)


def told_by(service: ServiceClient) -> dict[str, int]:
    """What the service itself has counted of this session, by its own names."""
    session_id, now = service._session.session_id, datetime.now(UTC)
    begin = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    usage = service.create_rest_client().get_billing_usage(begin, begin + timedelta(hours=3)).result(30)
    counts: Counter[str] = Counter()
    for event in usage.data:
        if event.session_id == session_id and hasattr(event.event_info, "token_count"):
            counts[event.event_info.type] += event.event_info.token_count
    return dict(counts)


def test_all_that_a_client_does_is_counted_as_the_service_counts_it(service: ServiceClient) -> None:
    ledger = TokenLedger()
    ledger.watch(service)
    training = service.create_lora_training_client(MODEL, rank=2, seed=1)
    training.forward_backward([DATUM] * 2, "cross_entropy").result(30)
    training.forward([DATUM], "cross_entropy").result(30)

    def loss(_: list[Datum], logprobs: list[torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        return -logprobs[0].sum(), {}

    training.forward_backward_custom([DATUM], loss).result(30)
    training.optim_step(AdamParams()).result(30)
    sampler = training.save_weights_and_get_sampling_client()
    drawn = sampler.sample(PROMPT, 3, TWO).result(30)
    sampler.compute_logprobs(ModelInput.from_ints([1, 2, 3, 4])).result(30)
    assert ledger.tokens["trained"] == 6 + 3 + 2 * 3
    assert ledger.tokens["prompt"] == 2 + 4
    assert ledger.tokens["sampled"] >= sum(len(sequence.tokens) for sequence in drawn.sequences) > 0
    assert told_by(service) == {
        "training": ledger.tokens["trained"],
        "sampling_prefill": ledger.tokens["prompt"],
        "sampling_sample": ledger.tokens["sampled"],
    }


def test_verification_passes_are_counted_too(service: ServiceClient) -> None:
    ledger = TokenLedger()
    ledger.watch(service)
    training = service.create_lora_training_client(MODEL, rank=2, verify=True)
    training.forward_backward([DATUM], "cross_entropy").result(30)
    assert told_by(service) == {"training": ledger.tokens["trained"]}


def test_a_pass_that_would_exceed_the_budget_is_raised_and_never_sent(service: ServiceClient) -> None:
    ledger = TokenLedger(budget=5)
    training = service.create_lora_training_client(MODEL, rank=2)
    training.result(30)
    ledger.watch(service)
    training.forward_backward([DATUM], "cross_entropy").result(30)
    assert ledger.left == 2
    heard: list[Event] = []
    service.subscribe(heard.append)
    for refused in (
        lambda: training.forward_backward([DATUM], "cross_entropy"),
        lambda: training.forward([DATUM], "cross_entropy"),
        lambda: training.forward_backward_custom([DATUM], lambda _, logprobs: (logprobs[0].sum(), {})),
    ):
        with pytest.raises(BudgetExceededError, match="of the budget of 5 are left") as caught:
            refused()
        assert caught.value.left == 2
    assert {event.kind for event in heard if event.call.startswith("TrainingClient.forward")} == {"queued", "ended"}
    # The order has no gap: what costs no tokens, or few enough, goes on.
    training.optim_step(AdamParams()).result(30)
    short = Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3]})
    training.forward_backward([short], "cross_entropy").result(30)
    assert ledger.left == 0
    assert told_by(service) == {"training": 5}


def test_a_sample_that_would_exceed_the_budget_fails_and_is_never_sent(service: ServiceClient) -> None:
    ledger = TokenLedger(budget=5)
    ledger.watch(service)
    sampler = service.create_sampling_client(base_model=MODEL)  # still being made: its calls are watched all the same
    heard: list[Event] = []
    service.subscribe(heard.append)
    error = sampler.sample(PROMPT, 2, TWO).exception(30)
    assert isinstance(error, BudgetExceededError)
    assert (error.asked, error.left) == (6, 5)
    assert ledger.left == 5
    assert "sent" not in {event.kind for event in heard}
    sampler.sample(PROMPT, 1, TWO).result(30)
    assert ledger.total == sum(told_by(service).values()) > 0


def test_many_samples_are_counted_once_and_never_pass_the_budget(
    service: ServiceClient, sampler: SamplingClient
) -> None:
    ledger = TokenLedger(budget=20)
    ledger.watch(service)
    outcomes = list(sample_many(sampler, [PROMPT] * 8, TWO, ledger=ledger))
    refused = [outcome.error for outcome in outcomes if not outcome.ok]
    assert refused
    assert all(isinstance(error, BudgetExceededError) for error in refused)
    assert ledger.total == sum(told_by(service).values()) <= 20
    assert len(refused) < 8


def test_what_is_not_known_before_is_let_through_while_anything_is_left() -> None:
    """The server draws two tokens each time, and the client does not say how many it may."""
    with ScriptedServer().client() as service:
        ledger = TokenLedger(budget=5)
        ledger.watch(service)
        sampler = service.create_sampling_client(base_model="base").result(10)
        for _ in range(2):
            sampler.sample(PROMPT, 1, SamplingParams()).result(10)
        assert ledger.tokens == {"prompt": 4, "sampled": 4, "trained": 0}
        assert ledger.left == 0
        assert isinstance(sampler.sample(PROMPT, 1, SamplingParams()).exception(10), BudgetExceededError)


def test_a_failure_takes_nothing_and_holds_nothing() -> None:
    server = ScriptedServer()
    server.results["ForwardBackward"] = {"error": "too long", "category": "user"}
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        ledger = TokenLedger(budget=3)
        ledger.watch(service)
        for _ in range(3):
            over = Heard(service, "ended")
            assert training.forward_backward([DATUM], "cross_entropy").exception(10) is not None
            over.wait()
            assert (ledger.total, ledger.left) == (0, 3)


def test_a_pass_that_nobody_waits_for_is_made_and_so_is_counted() -> None:
    server = ScriptedServer()
    polled = threading.Event()

    async def working(_: Seen) -> Reply:
        polled.set()
        return await asyncio.Future()  # the server works on it for ever

    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [working]
        ledger = TokenLedger(budget=3)
        ledger.watch(service)
        told = Heard(service, "tokens")
        future = training.forward_backward([DATUM], "cross_entropy")
        assert polled.wait(10)
        future.cancel()
        told.wait()
        assert ledger.tokens["trained"] == 3
        with pytest.raises(BudgetExceededError):
            training.forward_backward([DATUM], "cross_entropy")


def test_one_budget_for_two_clients_until_the_watch_ends() -> None:
    with ScriptedServer().client() as one, ScriptedServer().client() as two:
        ledger = TokenLedger(budget=6)
        ends = [ledger.watch(service) for service in (one, two)]
        with pytest.raises(ValueError, match="watches the client already"):
            ledger.watch(one)
        trainings = [service.create_lora_training_client("base").result(10) for service in (one, two)]
        for training in trainings:
            training.forward_backward([DATUM], "cross_entropy").result(10)
        for training in trainings:
            with pytest.raises(BudgetExceededError):
                training.forward_backward([DATUM], "cross_entropy")
        ends[0]()
        trainings[0].forward_backward([DATUM], "cross_entropy").result(10)
        with pytest.raises(BudgetExceededError):
            trainings[1].forward_backward([DATUM], "cross_entropy")
        assert ledger.tokens["trained"] == 6


def test_what_calls_under_way_hold_is_free_when_the_watch_ends() -> None:
    server = ScriptedServer()
    polled, going_on = threading.Event(), threading.Event()

    async def held(_: Seen) -> Reply:
        polled.set()
        await asyncio.to_thread(going_on.wait, 10)
        return Reply(body=OUTPUT)

    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [held]
        ledger = TokenLedger(budget=3)
        end = ledger.watch(service)
        future = training.forward_backward([DATUM], "cross_entropy")
        assert polled.wait(10)
        assert ledger.left == 0
        end()
        assert ledger.left == 3
        going_on.set()
        future.result(10)
        assert ledger.left == 3


def test_a_run_is_refused_before_it_writes_anything_down(service: ServiceClient, tmp_path: Path) -> None:
    ledger = TokenLedger(budget=7)
    ledger.watch(service)

    def make() -> TrainingClient:
        return service.create_lora_training_client(MODEL, rank=2, seed=1)

    with TrainingRun(service, tmp_path / "run", make) as run:
        for _ in run.steps(2):
            run.client.forward_backward([DATUM], "cross_entropy").result(30)
            run.client.optim_step(AdamParams()).result(30)
        with pytest.raises(BudgetExceededError):
            run.client.forward_backward([DATUM], "cross_entropy")
    assert ledger.tokens["trained"] == 6
    assert told_by(service) == {"training": 6}
    assert run.final_path is not None


def test_a_guard_of_ones_own_refuses_by_the_name_of_the_call() -> None:
    class ForbiddenError(TinkerError):
        pass

    def guard(event: Event) -> None:
        if event.call == "TrainingClient.optim_step":
            raise ForbiddenError("not today")

    server = ScriptedServer()
    with server.client() as service:
        training = service.create_lora_training_client("base").result(10)
        unguard = service.guard(guard)
        with pytest.raises(ForbiddenError, match="not today"):
            training.optim_step(AdamParams())
        training.forward_backward([DATUM], "cross_entropy").result(10)
        assert server.paths("optim_step") == []
        unguard()
        training.optim_step(AdamParams()).result(10)


def test_a_forked_child_holds_nothing_of_its_parents_calls() -> None:
    ledger = TokenLedger(budget=5)
    ledger.settle(0, {"prompt": 1})
    ledger.reserve(4)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, str(ledger.left).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 10) == b"4"
    assert ledger.left == 0
    os.close(reader)
    os.close(writer)


class Heard:
    """Waits for an event; a ledger that listened earlier has heard it by then."""

    def __init__(self, service: ServiceClient, kind: str) -> None:
        self._heard = threading.Event()
        service.subscribe(lambda event: self._heard.set() if event.kind == kind else None)

    def wait(self) -> None:
        assert self._heard.wait(10)
