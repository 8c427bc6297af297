"""Each status and header that a server can answer with, and what the client makes of it; faults 15 to 20."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from scripted_server import Reply, ScriptedServer

import tinker_hl
from tinker_hl import AdamParams, ModelInput, RetryConfig, RetryPolicy, SamplingParams, ServiceClient
from tinker_hl.billing_pause import INCIDENT_ENDS, PAUSE, BillingPause
from tinker_hl.events import Event
from tinker_hl.retry import InstantClock
from tinker_hl.transport import Request, Response, Transport, TransportFault

PROMPT = ModelInput.from_ints([1, 2, 3])


class Unreachable(Transport):
    """Nobody is there; attempts may take a while of the clock's time."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.attempts = 0

    async def send(self, request: Request) -> Response:
        self.attempts += 1
        raise TransportFault(self.kind, f"no connection: {self.kind}")  # type: ignore[arg-type]

    async def aclose(self) -> None:
        return


@pytest.mark.parametrize("kind", ["refused", "unresolved"])
def test_fault_15_an_unreachable_server_is_reported_within_five_seconds_and_each_retry_is_told(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In real time: test_client_transport.py."""
    clock, transport, events = InstantClock(), Unreachable(kind), list[Event]()
    service = ServiceClient(base_url=f"http://{kind}.test", api_key="tml-x", transport=transport, clock=clock)
    service.subscribe(events.append)
    with pytest.raises(tinker_hl.APIConnectionError, match=kind):
        service.get_server_capabilities()
    assert clock.now() <= 5.0
    retried = [event for event in events if event.kind == "retried"]
    assert transport.attempts == len(retried) + 1 > 2
    assert [event.fields["attempt"] for event in retried] == list(range(1, len(retried) + 1))
    assert len([record for record in caplog.records if "retried" in record.message]) == len(retried)


SAVES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "save_state": ("save_weights", lambda client: client.save_state("taken")),
    "save_weights_for_sampler": ("save_weights_for_sampler", lambda client: client.save_weights_for_sampler("taken")),
}


@pytest.mark.parametrize("save", SAVES)
def test_fault_16_a_conflict_on_a_save_is_final_and_says_what_to_do(save: str) -> None:
    path, call = SAVES[save]
    server, clock = ScriptedServer(), InstantClock()
    with server.client(clock=clock) as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults[path] = [Reply(409, {"detail": "the name taken exists already"})]
        began = clock.now()
        with pytest.raises(tinker_hl.ConflictError, match="exists already") as caught:
            call(training).result(10)
        assert caught.value.status_code == 409
        assert "another" in str(caught.value.hint)
        assert clock.now() == began
        # The client goes on, and without a gap.
        assert training.optim_step(AdamParams()).result(10).metrics
    assert [seen.json["seq_id"] for seen in (*server.paths(path), *server.paths("optim_step"))] == [1, 1]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, tinker_hl.AuthenticationError),
        (403, tinker_hl.PermissionDeniedError),
        (404, tinker_hl.NotFoundError),
        (409, tinker_hl.ConflictError),
        (410, tinker_hl.ResultExpiredError),
        (413, tinker_hl.APIStatusError),
        (422, tinker_hl.UnprocessableEntityError),
        (501, tinker_hl.InternalServerError),
    ],
)
def test_fault_17_a_result_that_cannot_be_had_is_a_typed_error_with_its_status(status: int, kind: type) -> None:
    server, clock = ScriptedServer(), InstantClock()
    with server.client(clock=clock) as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["retrieve_future"] = [Reply(status, {"detail": "no"})]
        with pytest.raises(kind) as caught:
            training.optim_step(AdamParams()).result(10)
        assert isinstance(caught.value, tinker_hl.APIStatusError)
        assert (caught.value.status_code, caught.value.body) == (status, {"detail": "no"})
        assert caught.value.request_id
        assert clock.now() == 0.0
        assert training.optim_step(AdamParams()).result(10).metrics


def test_fault_18_failing_polls_back_off_with_jitter_and_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    server, clock, events = ScriptedServer(), InstantClock(), list[Event]()
    with server.client(clock=clock, api_key="tml-fault-18") as service:
        service.subscribe(events.append)
        training = service.create_lora_training_client("base").result(10)
        caplog.clear()
        server.faults["retrieve_future"] = [Reply(503)] * 5
        assert training.optim_step(AdamParams()).result(10).metrics
    waits = clock.slept[:5]
    assert len(set(waits)) == 5
    assert all(0 < wait <= 0.5 * 2**n for n, wait in enumerate(waits))
    assert len([event for event in events if event.kind == "retried"]) == 5
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_fault_18_polls_that_find_nothing_back_off_with_jitter_and_without_warnings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, clock = ScriptedServer(), InstantClock()
    with server.client(clock=clock) as service:
        training = service.create_lora_training_client("base").result(10)
        pending = Reply(body={"type": "try_again", "request_id": "r", "queue_state": "active"})
        server.faults["retrieve_future"] = [pending] * 8
        caplog.clear()
        assert training.optim_step(AdamParams()).result(10).metrics
    assert len(set(clock.slept)) == 8
    assert [wait for n, wait in enumerate(clock.slept) if not 0.5 <= wait / min(1.0, 0.05 * 2**n) <= 1.0] == []
    assert not [record for record in caplog.records if record.levelno >= 30]


@pytest.mark.parametrize("status", [429, 503])
def test_fault_19_retry_after_is_honoured_for_samples(status: int) -> None:
    server, clock = ScriptedServer(), InstantClock()
    with server.client(clock=clock, api_key=f"tml-fault-19-{status}") as service:
        client = service.create_sampling_client(base_model="base").result(10)
        server.faults["asample"] = [Reply(status, {"detail": "later"}, {"retry-after": "17"})]
        assert client.sample(PROMPT, 1, SamplingParams()).result(10).sequences
    assert 17.0 <= clock.now() <= 17.0 * 1.1
    assert [request.json["seq_id"] for request in server.paths("asample")] == [0, 0]


def test_fault_19_one_deadline_holds_for_all_layers_of_a_sample() -> None:
    """Submissions that fail, results that are lost, polls that fail: together they end with one deadline."""
    server, clock = ScriptedServer(), InstantClock()
    policy = RetryPolicy(deadline=100.0)
    with server.client(clock=clock, retry_policy=policy, api_key="tml-one-deadline") as service:
        client = service.create_sampling_client(base_model="base").result(10)
        server.faults["asample"] = [Reply(503), Reply(503), Reply(503), *([None, Reply(503)] * 3000)]
        server.faults["retrieve_future"] = [Reply(410)] * 3000
        with pytest.raises(tinker_hl.APIError):
            client.sample(PROMPT, 1, SamplingParams()).result(20)
    assert clock.now() <= 101.0


def test_fault_19_a_result_that_is_lost_again_and_again_ends_with_the_deadline() -> None:
    server, clock = ScriptedServer(), InstantClock()
    policy = RetryPolicy(deadline=100.0)
    with server.client(clock=clock, retry_policy=policy, api_key="tml-lost-again") as service:
        client = service.create_sampling_client(base_model="base").result(10)
        server.faults["retrieve_future"] = [Reply(410)] * 3000
        with pytest.raises(tinker_hl.ResultExpiredError):
            client.sample(PROMPT, 1, SamplingParams()).result(20)
    assert clock.now() <= 101.0


def test_the_time_that_the_server_works_on_a_sample_is_none_of_its_deadline() -> None:
    server, clock = ScriptedServer(), InstantClock()
    policy = RetryPolicy(deadline=30.0)
    pending = Reply(body={"type": "try_again", "request_id": "r", "queue_state": "active"})
    with server.client(clock=clock, retry_policy=policy, api_key="tml-works-long") as service:
        client = service.create_sampling_client(base_model="base").result(10)
        server.faults["retrieve_future"] = [*[pending] * 100, Reply(410), *[pending] * 100, Reply(410)]
        assert client.sample(PROMPT, 1, SamplingParams()).result(20).sequences
    assert clock.now() > 120.0
    assert [request.json["seq_id"] for request in server.paths("asample")] == [0, 1, 2]


def test_fault_19_an_outage_while_a_result_is_asked_for_is_not_followed_by_another_sample() -> None:
    server, clock = ScriptedServer(), InstantClock()
    policy = RetryPolicy(deadline=100.0)
    with server.client(clock=clock, retry_policy=policy, api_key="tml-outage-of-polls") as service:
        client = service.create_sampling_client(base_model="base").result(10)
        server.faults["retrieve_future"] = [None] * 3000
        with pytest.raises(tinker_hl.APIConnectionError):
            client.sample(PROMPT, 1, SamplingParams()).result(20)
    assert clock.now() <= 101.0
    assert len(server.paths("asample")) <= 2


def test_fault_20_all_attempts_of_a_call_have_one_idempotency_key_and_one_body() -> None:
    server = ScriptedServer()
    with server.client(api_key="tml-fault-20") as service:
        training = service.create_lora_training_client("base").result(10)
        sampling = service.create_sampling_client(base_model="base").result(10)
        calls: dict[str, Callable[[], Any]] = {
            "optim_step": lambda: training.optim_step(AdamParams()),
            "save_weights": lambda: training.save_state("a"),
            "asample": lambda: sampling.sample(PROMPT, 1, SamplingParams()),
            "create_sampling_session": lambda: service.create_sampling_client(base_model="base"),
        }
        for path, call in calls.items():
            server.faults[path] = [Reply(503), None, Reply(429, headers={"retry-after": "1"})]
            before = len(server.paths(path))
            call().result(10)
            attempts = server.paths(path)[before:]
            assert len(attempts) == 4, path
            assert len({attempt.headers["x-idempotency-key"] for attempt in attempts}) == 1, path
            assert len({attempt.body for attempt in attempts}) == 1, path
        keys = [seen.headers["x-idempotency-key"] for path in calls for seen in server.paths(path)]
    assert len(set(keys)) == 5


def test_fault_20_an_ephemeral_sampler_save_keeps_its_sampling_session_number_on_repeats() -> None:
    server = ScriptedServer()
    with server.client(api_key="tml-fault-20-ephemeral") as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["save_weights_for_sampler"] = [Reply(503), None, Reply(502)]
        training.save_weights_and_get_sampling_client().result(10)
        training.save_weights_and_get_sampling_client().result(10)
    saves = [(seen.json["seq_id"], seen.json["sampling_session_seq_id"]) for seen in server.paths("for_sampler")]
    assert saves == [saves[0]] * 4 + [saves[-1]]
    assert saves[-1] == (saves[0][0] + 1, saves[0][1] + 1)


@pytest.mark.parametrize("status", [404, 409, 422])
def test_the_servers_word_to_retry_wins(status: int) -> None:
    server = ScriptedServer()
    with server.client(api_key=f"tml-should-{status}") as service:
        training = service.create_lora_training_client("base").result(10)
        for path in ("get_server_capabilities", "retrieve_future"):
            server.faults[path] = [Reply(status, {"detail": "not yet"}, {"x-should-retry": "true"})]
        assert service.get_server_capabilities().supported_models
        assert training.optim_step(AdamParams()).result(10).metrics


@pytest.mark.parametrize("status", [429, 500, 503])
def test_the_servers_word_not_to_retry_wins(status: int) -> None:
    server, clock = ScriptedServer(), InstantClock()
    answer = Reply(status, {"detail": "never"}, {"x-should-retry": "false"})
    with server.client(clock=clock, api_key=f"tml-never-{status}") as service:
        training = service.create_lora_training_client("base").result(10)
        server.faults["get_server_capabilities"] = [answer]
        with pytest.raises(tinker_hl.APIStatusError):
            service.get_server_capabilities()
        server.faults["retrieve_future"] = [answer]
        with pytest.raises(tinker_hl.APIStatusError):
            training.optim_step(AdamParams()).result(10)
    assert clock.slept == []


@pytest.mark.parametrize(
    "answer",
    [
        Reply(408, {"detail": "slow"}),
        Reply(425, {"detail": "early"}),
        Reply(429, {"detail": "many"}),
        Reply(500, {"detail": "broken"}),
        Reply(529, {"detail": "overloaded"}),
        Reply(400, raw=b""),
    ],
)
def test_what_may_pass_is_tried_again(answer: Reply) -> None:
    server = ScriptedServer()
    with server.client(api_key="tml-may-pass") as service:
        server.faults["get_server_capabilities"] = [answer]
        assert service.get_server_capabilities().supported_models


class TestBilling:
    """402: submissions and polls pause for as long as the server allows."""

    UNPAID = Reply(402, {"detail": "unpaid"})

    @pytest.mark.parametrize("path", ["optim_step", "asample", "retrieve_future", "retrieve_futures", "training_runs"])
    def test_submissions_and_polls_pause_and_go_on(self, path: str) -> None:
        server = ScriptedServer(config={"sample_use_retrieve_futures": path == "retrieve_futures"})
        clock, events = InstantClock(), list[Event]()
        with server.client(clock=clock, api_key=f"tml-unpaid-{path}") as service:
            service.subscribe(events.append)
            training = service.create_lora_training_client("base").result(10)
            sampling = service.create_sampling_client(base_model="base").result(10)
            began = clock.now()
            calls: dict[str, Callable[[], Any]] = {
                "asample": lambda: sampling.sample(PROMPT, 1, SamplingParams()),
                "retrieve_futures": lambda: sampling.sample(PROMPT, 1, SamplingParams()),
                "training_runs": lambda: service.create_rest_client().list_training_runs(),
            }
            server.faults[path] = [self.UNPAID] * 30
            if path == "training_runs":
                server.faults[path].append(Reply(body={"training_runs": [], "cursor": _CURSOR}))
            elif path == "retrieve_futures":
                server.faults[path].append(Reply(body={"completions": _FINISHED, "cursor": 1}))
            calls.get(path, lambda: training.optim_step(AdamParams()))().result(10)
            waited = clock.now() - began
        assert 30 * PAUSE <= waited < 30 * PAUSE + 5.0
        notices = [event for event in events if event.kind == "notice" and event.fields.get("status") == 402]
        assert len(notices) == 3
        assert "unpaid" in notices[0].detail
        assert len(server.paths(path)) >= 31

    @pytest.mark.parametrize("path", ["optim_step", "retrieve_future"])
    def test_it_ends_with_the_servers_window(self, path: str) -> None:
        server = ScriptedServer(config={"billing_exception_max_pause_duration_sec": 60})
        clock, events = InstantClock(), list[Event]()
        with server.client(clock=clock, api_key=f"tml-window-{path}") as service:
            service.subscribe(events.append)
            training = service.create_lora_training_client("base").result(10)
            server.faults[path] = [self.UNPAID] * 100
            with pytest.raises(tinker_hl.BillingError) as caught:
                training.optim_step(AdamParams()).result(10)
            assert caught.value.status_code == 402
            assert 60.0 <= clock.now() <= 66.0
            notices = [event for event in events if event.kind == "notice" and event.fields.get("status") == 402]
            assert [event.fields["level"] for event in notices] == [30, 40]
            server.faults[path].clear()
            assert training.optim_step(AdamParams()).result(10).metrics

    @pytest.mark.parametrize("policy", [RetryPolicy(pause_for_billing=False), RetryPolicy(enabled=False)])
    @pytest.mark.parametrize("path", ["optim_step", "retrieve_future"])
    def test_a_policy_may_say_not_to_wait(self, policy: RetryPolicy, path: str) -> None:
        server, clock = ScriptedServer(), InstantClock()
        with server.client(clock=clock, api_key="tml-no-waiting") as service:
            training = service.create_lora_training_client("base").result(10)
            server.faults[path] = [self.UNPAID]
            with tinker_hl.call_options(retry_policy=policy), pytest.raises(tinker_hl.BillingError):
                training.optim_step(AdamParams()).result(10)
            assert clock.slept == []

    def test_closing_does_not_wait_for_the_payment(self) -> None:
        server, clock = ScriptedServer(), InstantClock()
        with server.client(clock=clock, api_key="tml-closing") as service:
            service.create_lora_training_client("base").result(10)
            server.faults["finish"] = [self.UNPAID] * 9
            with pytest.raises(tinker_hl.BillingError):
                service.close().result(10)
        assert clock.slept == []

    def test_an_incident_ends_when_nothing_was_refused_for_a_while(self) -> None:
        clock, told = InstantClock(), list[tuple[str, int]]()

        async def scene() -> list[bool]:
            pause = BillingPause()

            async def once() -> bool:
                return await pause.waited(RetryPolicy(), clock, 12.0, lambda *notice: told.append(notice), "unpaid")

            first = [await once() for _ in range(4)]
            await clock.sleep(INCIDENT_ENDS + 1)
            return [*first, await once()]

        assert asyncio.run(scene()) == [True, True, True, False, True]
        assert [level for _, level in told] == [30, 40, 30]


_CURSOR = {"offset": 0, "limit": 20, "total_count": 0}
_FINISHED = [{"state": "finished", "request_id": f"r{number}"} for number in range(9)]


def test_a_429_that_stays_ends_with_the_clients_progress_timeout() -> None:
    server, clock = ScriptedServer(), InstantClock()
    with server.client(clock=clock, api_key="tml-429-stays") as service:
        config = RetryConfig(progress_timeout=30.0, enable_stuck_detection=False)
        client = service.create_sampling_client(base_model="base", retry_config=config).result(10)
        server.faults["asample"] = [Reply(429)] * 500
        with pytest.raises(tinker_hl.RateLimitError):
            client.sample(PROMPT, 1, SamplingParams()).result(10)
    assert 28.0 < clock.now() <= 31.0
