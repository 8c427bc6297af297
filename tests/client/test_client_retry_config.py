"""`RetryConfig`: every field of it does what it says, and it goes wherever its client goes."""

import asyncio
import pickle
from typing import Any

import pytest
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import (
    APIFuture,
    ModelInput,
    NoProgressError,
    RetryConfig,
    SampleResponse,
    SamplingClient,
    SamplingParams,
    loop,
)
from tinker_hl.clients.sampler import Sampler
from tinker_hl.connection import Connection
from tinker_hl.retry import InstantClock, RetryPolicy
from tinker_hl.sampling_progress import SamplingProgress
from tinker_hl.session import Session

PROMPT = ModelInput.from_ints([1, 2, 3])
SPECIAL = RetryConfig(
    max_connections=7,
    progress_timeout=60.0,
    retry_delay_base=0.25,
    retry_delay_max=4.0,
    jitter_factor=0.5,
    enable_retry_logic=False,
    enable_stuck_detection=False,
    retryable_exceptions=(TimeoutError, tinker_hl.RequestFailedError),
)


def client_with(config: RetryConfig | None) -> SamplingClient:
    session = Session(Connection("http://somewhere.test", "tml-x"), session_id="S")
    return SamplingClient(Sampler(session, sampling_session_id="S:sample:0", base_model="base", retry_config=config))


@pytest.mark.parametrize("config", [None, RetryConfig(), SPECIAL], ids=["none", "default", "special"])
def test_fault_13_a_pickle_and_a_handle_carry_the_whole_retry_config(
    config: RetryConfig | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-reader")
    client = client_with(config)
    for copy in (
        pickle.loads(pickle.dumps(client)),
        pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(client)))),
        SamplingClient.from_sampler_handle(client.get_sampler_handle()),
    ):
        assert copy._sampler.retry_config == config


def test_it_is_hashable_by_all_fields_and_can_be_subclassed() -> None:
    assert hash(RetryConfig()) == hash(RetryConfig())
    variations = [
        RetryConfig(max_connections=None),
        RetryConfig(progress_timeout=1.0),
        RetryConfig(retry_delay_base=1.0),
        RetryConfig(retry_delay_max=1.0),
        RetryConfig(jitter_factor=1.0),
        RetryConfig(enable_retry_logic=False),
        RetryConfig(enable_stuck_detection=False),
        RetryConfig(retryable_exceptions=()),
    ]
    assert len({RetryConfig(), *variations}) == len(variations) + 1


def test_a_handle_that_names_an_unknown_error_class_imports_nothing() -> None:
    written = RetryConfig().to_json() | {"from_the_future": 1}
    assert RetryConfig.of_json(written) == RetryConfig()
    for name in ("antigravity:Error", "os:system", "builtins:KeyboardInterrupt", "nonsense"):
        with pytest.raises(tinker_hl.ConfigurationError, match="retryable_exceptions"):
            RetryConfig.of_json({"retryable_exceptions": [name]})


@pytest.mark.parametrize("jitter", [0.0, 0.25, 1.0])
def test_delays_and_jitter_are_the_officials(jitter: float) -> None:
    policy = RetryConfig(retry_delay_base=0.5, retry_delay_max=10.0, jitter_factor=jitter).policy()
    for retry, longest in ((1, 0.5), (2, 1.0), (5, 8.0), (6, 10.0), (50, 10.0)):
        assert policy.delay(retry, 0.5) == pytest.approx(longest)
        assert policy.delay(retry, 0.0) == pytest.approx(longest * (1 - jitter))
        assert policy.delay(retry, 0.999999) == pytest.approx(min(10.0, longest * (1 + jitter)), rel=1e-4)


def lost_results(server: ScriptedServer, answer: Any, count: int) -> None:
    server.faults["retrieve_future"] = [answer] * count


@pytest.mark.parametrize(
    ("config", "answer", "again"),
    [
        (None, Reply(410, {"detail": "gone"}), True),
        (RetryConfig(), Reply(410, {"detail": "gone"}), True),
        (RetryConfig(retryable_exceptions=()), Reply(410, {"detail": "gone"}), False),
        (RetryConfig(enable_retry_logic=False), Reply(410, {"detail": "gone"}), False),
        (RetryConfig(), Reply(body={"error": "broken", "category": "server"}), False),
        (SPECIAL, Reply(body={"error": "broken", "category": "server"}), False),
        (
            RetryConfig(retryable_exceptions=(tinker_hl.RequestFailedError,)),
            Reply(body={"error": "broken", "category": "server"}),
            True,
        ),
        (RetryConfig(), Reply(404, {"detail": "no"}), False),
        (RetryConfig(retryable_exceptions=(tinker_hl.NotFoundError,)), Reply(404, {"detail": "no"}), True),
    ],
)
def test_which_failures_draw_the_sample_again(config: RetryConfig | None, answer: Reply, again: bool) -> None:
    server = ScriptedServer()
    with server.client() as service:
        client = service.create_sampling_client(base_model="base", retry_config=config).result(10)
        lost_results(server, answer, 2)
        future = client.sample(PROMPT, 1, SamplingParams())
        if again:
            assert future.result(10).sequences
        else:
            with pytest.raises(tinker_hl.TinkerError):
                future.result(10)
    numbers = [request.json["seq_id"] for request in server.paths("asample")]
    assert numbers == ([0, 1, 2] if again else [0])


@pytest.mark.parametrize(
    "make",
    [
        lambda service, config: service.create_sampling_client(base_model="base", retry_config=config),
        lambda service, config: service.create_lora_training_client("base").create_sampling_client(
            "tinker://M/sampler_weights/x", retry_config=config
        ),
        lambda service, config: service.create_lora_training_client("base").save_weights_and_get_sampling_client(
            retry_config=config
        ),
    ],
    ids=["of the service", "of a path", "of the model"],
)
def test_each_way_to_a_sampling_client_takes_the_retries_of_its_samples(make: Any) -> None:
    """S1-07, GAP-LIB-013, S4-19: what is lost is drawn again, or it is not."""
    server = ScriptedServer()
    with server.client() as service:
        patient, strict = (make(service, RetryConfig(enable_retry_logic=on)).result(10) for on in (True, False))
        lost_results(server, Reply(410, {"detail": "gone"}), 1)
        assert patient.sample(PROMPT, 1, SamplingParams()).result(10).sequences
        lost_results(server, Reply(410, {"detail": "gone"}), 1)
        with pytest.raises(tinker_hl.ResultExpiredError):
            strict.sample(PROMPT, 1, SamplingParams()).result(10)


def test_a_server_may_forbid_drawing_again_but_not_for_logprobs() -> None:
    server = ScriptedServer(config={"sample_no_retries": True})
    with server.client() as service:
        client = service.create_sampling_client(base_model="base").result(10)
        lost_results(server, Reply(410), 1)
        with pytest.raises(tinker_hl.ResultExpiredError):
            client.sample(PROMPT, 1, SamplingParams()).result(10)
        lost_results(server, Reply(410), 1)
        assert client.compute_logprobs(PROMPT).result(10)


def test_without_retry_logic_the_first_failure_is_told() -> None:
    server = ScriptedServer()
    with server.client() as service:
        config = RetryConfig(enable_retry_logic=False)
        client = service.create_sampling_client(base_model="base", retry_config=config).result(10)
        for answer in (Reply(503), None, Reply(429)):
            server.faults["asample"] = [answer]
            with pytest.raises(tinker_hl.APIError):
                client.sample(PROMPT, 1, SamplingParams()).result(10)
    assert len(server.paths("asample")) == 3


STILL = Reply(body={"type": "try_again", "request_id": "r", "queue_state": "active"})


@pytest.mark.parametrize("batched", [False, True])
def test_a_client_whose_samples_get_nowhere_is_told_that_it_is_stuck(batched: bool) -> None:
    server, clock = ScriptedServer(config={"sample_use_retrieve_futures": batched}), InstantClock()

    async def never(request: Seen) -> Reply:
        return Reply(body={"completions": [], "cursor": 0}) if batched else STILL

    server.faults["retrieve_futures" if batched else "retrieve_future"] = [never] * 5000
    with server.client(clock=clock) as service:
        config = RetryConfig(progress_timeout=120.0)
        client = service.create_sampling_client(base_model="base", retry_config=config).result(10)
        began = clock.now()

        async def at_once() -> list[APIFuture[SampleResponse]]:
            # On the loop's thread: this clock goes on as fast as the loop does, and may be far ahead of another thread.
            return [client.sample(PROMPT, 1, SamplingParams()) for _ in range(3)]

        futures = loop.run(at_once()).result(10)
        for future in futures:
            with pytest.raises(NoProgressError, match="no progress made in 120 s"):
                future.result(20)
        assert isinstance(futures[0].exception(), tinker_hl.APIConnectionError)
        assert 120.0 < clock.now() - began < 130.0
        assert len(server.paths("asample")) == 3


@pytest.mark.parametrize("by_server", [False, True])
def test_stuck_detection_can_be_switched_off_here_and_by_the_server(by_server: bool) -> None:
    server, clock = ScriptedServer(config={"sample_enable_stuck_detection": not by_server}), InstantClock()
    server.faults["retrieve_future"] = [STILL] * 200
    with server.client(clock=clock) as service:
        config = RetryConfig(progress_timeout=20.0, enable_stuck_detection=by_server)
        client = service.create_sampling_client(base_model="base", retry_config=config).result(10)
        assert client.sample(PROMPT, 1, SamplingParams()).result(20).sequences
    assert clock.now() > 60.0


def test_time_counts_only_while_a_sample_is_under_way_and_begins_anew_when_one_ends() -> None:
    clock, progress = InstantClock(), SamplingProgress()

    async def scene() -> None:
        await clock.sleep(1000.0)
        progress.check(clock.now(), 10.0)
        with progress.one(clock):
            progress.check(clock.now(), 10.0)
            await clock.sleep(8.0)
            with progress.one(clock):
                progress.check(clock.now(), 10.0)
            await clock.sleep(8.0)
            progress.check(clock.now(), 10.0)
            await clock.sleep(3.0)
            with pytest.raises(NoProgressError):
                progress.check(clock.now(), 10.0)
        progress.check(clock.now(), 10.0)

    asyncio.run(scene())


def test_progress_timeout_is_the_deadline_of_a_sample_that_keeps_failing() -> None:
    server, clock = ScriptedServer(), InstantClock()
    server.faults["asample"] = [Reply(503)] * 5000
    with server.client(clock=clock, retry_policy=RetryPolicy(deadline=5.0), api_key="tml-deadline") as service:
        config = RetryConfig(progress_timeout=90.0)
        client = service.create_sampling_client(base_model="base", retry_config=config).result(10)
        with pytest.raises(tinker_hl.InternalServerError):
            client.sample(PROMPT, 1, SamplingParams()).result(20)
    assert 60.0 < clock.now() <= 91.0
