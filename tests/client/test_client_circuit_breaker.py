"""The circuit breaker: its states under any history, and what callers of an open circuit get."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from scripted_server import Reply, ScriptedServer

import tinker_hl
from tinker_hl import AdamParams, CircuitBreaker, CircuitOpenError, ModelInput, RetryPolicy, SamplingParams
from tinker_hl.circuit_breaker import Circuit, endpoint_class
from tinker_hl.events import Event
from tinker_hl.retry import InstantClock

ONCE = RetryPolicy(enabled=False)


class CircuitMachine(RuleBasedStateMachine):
    """Compares a circuit with the words of its documentation, whatever happens in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = CircuitBreaker(failures=3, open_seconds=30.0)
        self.circuit = Circuit(self.breaker)
        self.now = 0.0
        self.failures_in_a_row = 0
        self.opened_at: float | None = None
        self.current: list[int] = []
        """Admitted since the last change of state, and not settled."""
        self.stale: list[int] = []

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        admission = self.circuit.admit(self.now)
        if self.opened_at is None:
            assert admission is not None
            self.current.append(admission)
        elif self.now - self.opened_at < self.breaker.open_seconds or self.current:
            assert admission is None
        else:
            assert admission is not None
            self.current = [admission]

    @precondition(lambda self: self.current)
    @rule(answered=st.sampled_from([True, False, None]), which=st.integers(0, 100))
    def settle(self, answered: bool | None, which: int) -> None:
        admission = self.current.pop(which % len(self.current))
        state = self.circuit.settle(admission, answered, self.now)
        if answered is None:
            assert state is None
        elif self.opened_at is not None:
            assert state == ("closed" if answered else "open")
            self._changed(None if answered else self.now)
        else:
            self.failures_in_a_row = 0 if answered else self.failures_in_a_row + 1
            opens = self.failures_in_a_row == self.breaker.failures
            assert state == ("open" if opens else None)
            if opens:
                self._changed(self.now)

    @precondition(lambda self: self.stale)
    @rule(answered=st.sampled_from([True, False, None]))
    def settle_late(self, answered: bool | None) -> None:
        """What was sent before the last change of state says nothing any more."""
        assert self.circuit.settle(self.stale.pop(), answered, self.now) is None

    @invariant()
    def the_state_is_as_documented(self) -> None:
        if self.opened_at is None:
            assert self.circuit.state(self.now) == "closed"
        elif self.circuit.retry_after(self.now) > 0:
            assert self.circuit.state(self.now) == "open"
        else:
            assert self.circuit.state(self.now) == "half-open"

    def _changed(self, opened_at: float | None) -> None:
        self.opened_at = opened_at
        self.failures_in_a_row = 0
        self.stale += self.current
        self.current = []


TestCircuitMachine = CircuitMachine.TestCase
TestCircuitMachine.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("http://x/api/v1/create_session", "session"),
        ("http://x/api/v1/sessions/S/finish", "session"),
        ("http://x/api/v1/forward_backward", "training"),
        ("http://x/api/v1/save_weights_for_sampler", "training"),
        ("http://x/api/v1/asample", "sampling"),
        ("http://x/api/v1/retrieve_future", "polling"),
        ("http://x/api/v1/training_runs?limit=3", "rest"),
        ("http://x/api/v1/get_server_capabilities", "rest"),
    ],
)
def test_every_endpoint_is_in_one_class(path: str, name: str) -> None:
    assert endpoint_class(path) == name


def test_after_failures_in_a_row_calls_fail_at_once_until_a_probe_is_answered() -> None:
    server, clock, events = ScriptedServer(), InstantClock(), list[Event]()
    breaker = CircuitBreaker(failures=3, open_seconds=30.0)
    with server.client(clock=clock, retry_policy=ONCE, circuit_breaker=breaker, api_key="tml-circuit") as service:
        service.subscribe(events.append)
        training = service.create_lora_training_client("base").result(10)
        server.faults["get_server_capabilities"] = [Reply(503), None, Reply(500), Reply(503)]
        kinds = [type(failure_of(service.get_server_capabilities)) for _ in range(3)]
        assert kinds == [tinker_hl.InternalServerError, tinker_hl.APIConnectionError, tinker_hl.InternalServerError]
        error = failure_of(service.get_server_capabilities)
        assert isinstance(error, CircuitOpenError)
        assert (error.endpoint_class, error.sent) == ("rest", False)
        assert 0 < error.retry_after <= 30.0
        assert len(server.paths("get_server_capabilities")) == 3
        # The other classes go on.
        assert training.optim_step(AdamParams()).result(10).metrics
        clock._now += 30.0
        assert isinstance(failure_of(service.get_server_capabilities), tinker_hl.InternalServerError)
        assert isinstance(failure_of(service.get_server_capabilities), CircuitOpenError)
        clock._now += 30.0
        assert service.get_server_capabilities().supported_models
    told = [event.fields["state"] for event in events if event.fields.get("circuit") == "rest"]
    assert told == ["open", "open", "closed"]


def failure_of(call: Any) -> BaseException:
    try:
        call()
    except tinker_hl.TinkerError as error:
        return error
    raise AssertionError("the call did not fail")


def test_clients_of_one_server_with_equal_breakers_share_their_circuits() -> None:
    server, breaker = ScriptedServer(), CircuitBreaker(failures=1)
    options: dict[str, Any] = {"retry_policy": ONCE, "api_key": "tml-shared-circuit", "clock": InstantClock()}
    with (
        server.client(**options, circuit_breaker=breaker) as first,
        server.client(**options, circuit_breaker=CircuitBreaker(failures=1)) as second,
        server.client(**options) as without,
    ):
        server.faults["get_server_capabilities"] = [Reply(503)]
        assert isinstance(failure_of(first.get_server_capabilities), tinker_hl.InternalServerError)
        assert isinstance(failure_of(second.get_server_capabilities), CircuitOpenError)
        assert without.get_server_capabilities().supported_models


def test_a_training_call_that_an_open_circuit_stops_was_certainly_not_taken() -> None:
    server, clock = ScriptedServer(), InstantClock()
    breaker = CircuitBreaker(failures=1, classes={"training"})
    with server.client(clock=clock, circuit_breaker=breaker, retry_policy=ONCE, api_key="tml-not-taken") as service:
        training = service.create_lora_training_client("base").result(10)
        other = service.create_lora_training_client("base").result(10)
        server.faults["optim_step"] = [Reply(503)]
        with pytest.raises(tinker_hl.InternalServerError):
            other.optim_step(AdamParams()).result(10)
        with pytest.raises(CircuitOpenError) as caught:
            training.optim_step(AdamParams()).result(10)
        assert not caught.value.sent
        clock._now += breaker.open_seconds
        # Nothing was spent: the next call goes, and without a gap.
        assert training.optim_step(AdamParams()).result(10).metrics
    assert [request.json["seq_id"] for request in server.paths("optim_step")] == [1, 1]


def test_a_result_is_waited_for_through_an_open_circuit() -> None:
    server, clock = ScriptedServer(), InstantClock()
    breaker = CircuitBreaker(failures=2, open_seconds=20.0)
    with server.client(clock=clock, circuit_breaker=breaker, api_key="tml-through") as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [Reply(503), Reply(503), Reply(503)]
        assert training.optim_step(AdamParams()).result(10).metrics
    assert clock.now() >= 40.0


def test_a_request_that_is_cancelled_is_no_verdict_and_frees_the_probe() -> None:
    circuit = Circuit(CircuitBreaker(failures=1, open_seconds=10.0))
    first = circuit.admit(0.0)
    assert first is not None
    assert circuit.settle(first, False, 0.0) == "open"
    probe = circuit.admit(10.0)
    assert probe is not None
    assert circuit.admit(10.0) is None
    assert circuit.settle(probe, None, 11.0) is None
    assert circuit.admit(11.0) is not None


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"open_seconds": 0}, {"classes": {"weather"}}])
def test_a_breaker_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"failures|open_seconds|weather"):
        CircuitBreaker(**wrong)


def test_samples_have_a_circuit_of_their_own_and_none_by_default() -> None:
    server = ScriptedServer()
    with server.client(retry_policy=ONCE, api_key="tml-none") as service:
        sampling = service.create_sampling_client(base_model="base").result(10)
        server.faults["asample"] = [Reply(503)] * 30
        for _ in range(30):
            with pytest.raises(tinker_hl.InternalServerError):
                sampling.sample(ModelInput.from_ints([1]), 1, SamplingParams()).result(10)
    assert len(server.paths("asample")) == 30
