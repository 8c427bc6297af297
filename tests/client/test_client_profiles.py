"""Parity profiles: each number as it is documented, and what a client does by it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, Datum, ModelInput, RetryConfig, RetryPolicy, SamplingParams, ServiceClient
from tinker_hl.chunking import ChunkLimits, estimate_numbers
from tinker_hl.configuration import PROFILES, Profile, profile_named
from tinker_hl.configuration.profiles import ALIASES, DEFAULT
from tinker_hl.retry import InstantClock, unlimited_budgets
from tinker_hl.transport.base import Request, Response

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text(encoding="utf-8")
NUMBERS: dict[str, tuple[Any, Any, Any, Any]] = {
    "timeout": (60.0, 60.0, 60.0, 120.0),
    "max_retries": (None, 10, 10, 2),
    "deadline": (300.0, 300.0, 300.0, 300.0),
    "delay_base": (0.5, 0.5, 0.5, 0.5),
    "delay_max": (10.0, 10.0, 10.0, 10.0),
    "jitter_factor": (None, 0.25, 0.25, 0.25),
    "progress_timeout": (7200.0, 1800.0, 7200.0, 7200.0),
    "concurrent_samples": (1000, 100, 1000, 1000),
    "max_connections": (1024, 1000, 1000, 1000),
    "chunk_items": (None, 128, None, 1024),
    "chunk_size": (None, 500_000, None, 5_000_000),
    "bytes_per_number": (None, 1, None, 10),
    "poll_delay_base": (0.05, 1.0, 0.05, 1.0),
    "poll_delay_max": (1.0, 30.0, 1.0, 30.0),
    "heartbeat_interval": (10.0, 10.0, 10.0, 10.0),
    "heartbeat_warning": (120.0, 120.0, 120.0, 120.0),
    "learning_rate": (1e-4, 1e-4, 1e-4, 1e-4),
    "beta1": (0.9, 0.9, 0.9, 0.9),
    "beta2": (0.95, 0.95, 0.95, 0.95),
    "eps": (1e-12, 1e-12, 1e-12, 1e-12),
}
NAMES = ("default", "official-0.6", "official-0.38", "tinkex-beam")
CASES = [(name, field, values[place]) for field, values in NUMBERS.items() for place, name in enumerate(NAMES)]


def table_row(field: str) -> list[str]:
    """The cells of the documentation's row for a field, the Adam row once for its four."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 5 and f"`{field}`" in cells[0]:
            place = re.findall(r"`(\w+)`", cells[0]).index(field)
            return [cell.split(", ")[place] if ", " in cell else cell for cell in cells[1:]]
    raise AssertionError(f"docs/environments.md has no row for {field}")


@pytest.mark.parametrize(("name", "field", "value"), CASES)
def test_each_number(name: str, field: str, value: Any) -> None:
    """T-004, T-050, T-071, T-082, S0-18, S0-20, S0-21, S0-25, S0-26, S0-27, S2-02, S2-03, S3-11, S3-13."""
    assert getattr(PROFILES[name], field) == value
    cell = table_row(field)[NAMES.index(name)]
    if value is None:
        assert cell in ("any number", "all of it", "the server's", "its size")
    else:
        assert float(cell) == value


def test_the_table_is_complete() -> None:
    assert {field.name for field in attrs.fields(Profile)} == {"name", *NUMBERS}
    assert tuple(PROFILES) == NAMES
    assert PROFILES["default"] == DEFAULT
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        DEFAULT.timeout = 1.0  # type: ignore[misc]  # on purpose


def test_the_default_profile_is_what_the_parts_of_the_client_have_by_themselves() -> None:
    assert DEFAULT.policy() == RetryPolicy()
    assert DEFAULT.retry_config() == RetryConfig()
    assert ChunkLimits.of(1024, 5_000_000, None, None, None) == ChunkLimits()
    assert DEFAULT.adam_params() == AdamParams()


def test_values_that_must_not_be_copied_are_in_no_profile() -> None:
    """S2-04: 3 retries, a cap of 8 s, jitter 1.0, 30 s without progress; S3-11: neither 0.999 nor 1e-8."""
    for profile in PROFILES.values():
        assert profile.max_retries != 3
        assert profile.delay_max != 8.0
        assert profile.jitter_factor != 1.0
        assert profile.progress_timeout != 30.0
        assert (profile.beta2, profile.eps) == (0.95, 1e-12)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("python", "official-0.38"),
        ("beam", "tinkex-beam"),
        ("ELIXIR", "tinkex-beam"),
        (" Official-0.6 ", "official-0.6"),
    ],
)
def test_the_ports_names_are_aliases(given: str, name: str) -> None:
    """T-004, S3-17: `TINKEX_PARITY=python`, `beam`, `elixir`."""
    assert profile_named(given) is PROFILES[name]
    assert all(f"`{alias}`" in PAGE for alias in ALIASES)
    with pytest.raises(tinker_hl.ConfigurationError, match=r"official-0\.6.*elixir"):
        profile_named("ruby")


@pytest.mark.parametrize("variable", ["TINKER_PARITY", "TINKEX_PARITY"])
def test_the_environment_chooses_and_an_argument_wins(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """T-004, S3-17, S3-24: the variable selects; explicit timeout and retries win."""
    monkeypatch.setenv(variable, "beam")
    service = ServiceClient(base_url="http://s.test")
    assert (service.config["timeout"], service.config["max_retries"]) == (120.0, 2)
    service = ServiceClient(base_url="http://s.test", timeout=5, max_retries=7)
    assert (service.config["timeout"], service.config["max_retries"]) == (5.0, 7)
    assert ServiceClient(base_url="http://s.test", parity="official-0.6").config["parity"] == "official-0.6"
    assert tinker_hl.RestClient(base_url="http://s.test")._connection.policy.max_retries == 2


class Recorded:
    """A transport that keeps requests and answers with a status."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(status=404 if "config" in request.url else self.status)

    async def aclose(self) -> None:
        """Nothing is held."""


@contextmanager
def refused(profile: Profile, **options: Any) -> Iterator[tuple[Recorded, InstantClock]]:
    """A client whose every call is answered 503, from a budget that does not run out."""
    transport, clock = Recorded(503), InstantClock(f"profile {profile.name} {sorted(options)}")
    with unlimited_budgets():
        service = ServiceClient(
            base_url="http://s.test", api_key="k", transport=transport, clock=clock, parity=profile, **options
        )
        with pytest.raises(tinker_hl.InternalServerError):
            service.get_server_capabilities()
        service.close().result(10)
    transport.requests = [request for request in transport.requests if "config" not in request.url]
    yield transport, clock


@pytest.mark.parametrize("name", NAMES)
def test_attempts_waits_and_timeouts_are_the_profiles(name: str) -> None:
    """T-004, T-023, S0-19, S0-26, S0-27, S3-13, S3-14: timeout, retries, base * 2**n, cap, jitter, deadline."""
    profile = PROFILES[name]
    with refused(profile) as (transport, clock):
        pass
    assert transport.requests[0].timeout == profile.timeout
    if profile.max_retries is None:
        assert 300 - profile.delay_max <= clock.now() <= profile.deadline
    else:
        assert len(transport.requests) == 1 + profile.max_retries
        assert len(clock.slept) == profile.max_retries
    for place, waited in enumerate(clock.slept):
        longest = min(profile.delay_max, profile.delay_base * 2.0 ** min(place, 10))
        shortest = 0.0 if profile.jitter_factor is None else longest * (1 - profile.jitter_factor)
        above = longest if profile.jitter_factor is None else longest * (1 + profile.jitter_factor)
        assert shortest <= waited <= min(above, profile.delay_max)


def test_an_own_profile_is_followed_in_each_time() -> None:
    own = Profile(name="own", timeout=7.0, max_retries=4, delay_base=2.0, delay_max=3.0, jitter_factor=0.0)
    with refused(own) as (transport, clock):
        assert clock.slept == [2.0, 3.0, 3.0, 3.0]
        assert transport.requests[0].timeout == 7.0
    with refused(own, retry_policy=RetryPolicy(delay_base=1.0, jitter_factor=0.0, max_retries=1)) as (_, clock):
        assert clock.slept == [1.0], "an explicit policy wins"


def test_results_are_asked_for_by_time_and_not_by_count() -> None:
    server = ScriptedServer()
    server.faults["retrieve_future"] = [Reply(503)] * 5
    with unlimited_budgets(), server.client(parity="beam", retry_policy=None, clock=InstantClock("by time")) as service:
        training = service.create_lora_training_client("base")
        training.optim_step(AdamParams()).result(10)


@pytest.mark.parametrize("name", NAMES)
def test_samples_follow_the_profile(name: str) -> None:
    """T-082, S0-20, S0-28, S2-03, S3-13, GAP-LIB-056, GAP-LIB-057: concurrency and the progress timeout."""
    profile = PROFILES[name]
    with ScriptedServer().client(parity=name, retry_policy=None) as service:
        sampler = service.create_lora_training_client("base").save_weights_and_get_sampling_client().result(10)
        config = sampler._sampler.retry_config
        assert config == (None if name == "default" else profile.retry_config())
        if config is not None:
            assert (config.max_connections, config.progress_timeout) == (
                profile.concurrent_samples,
                profile.progress_timeout,
            )
            assert (config.retry_delay_base, config.retry_delay_max, config.jitter_factor) == (0.5, 10.0, 0.25)
            assert sampler._sampler.state()["retry_config"] == config.to_json(), "it goes along to other processes"
        own = RetryConfig(max_connections=3)
        mine = service.create_lora_training_client("base").save_weights_and_get_sampling_client(retry_config=own)
        assert mine.result(10)._sampler.retry_config == own


def test_no_more_samples_than_the_profile_allows_are_under_way() -> None:
    """S2-03, GAP-LIB-056: the number is a limit, and not only kept."""
    under_way, most = 0, 0

    class Slow(ScriptedServer):
        def on_asample(self, request: Seen) -> Any:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            return super().promise({"sequences": [{"tokens": [1], "logprobs": [0.0], "stop_reason": "length"}]})

        def on_retrieve_future(self, request: Seen) -> Any:
            nonlocal under_way
            answer = super().on_retrieve_future(request)
            if "sequences" in str(answer):
                under_way -= 1
            return answer

    profile = attrs.evolve(PROFILES["official-0.6"], name="narrow", concurrent_samples=2)
    with Slow().client(parity=profile, retry_policy=None) as service:
        sampler = service.create_lora_training_client("base").save_weights_and_get_sampling_client()
        params = SamplingParams(max_tokens=1)
        futures = [sampler.sample(ModelInput.from_ints([1]), 1, params) for _ in range(12)]
        assert [len(future.result(10).sequences) for future in futures] == [1] * 12
    assert most == 2


@pytest.mark.parametrize("name", NAMES)
def test_sockets_and_polls_are_limited_by_the_profile(name: str) -> None:
    """T-020, S0-28: and three quarters of the sockets at most are held by polls."""
    from tinker_hl.poller import MAX_POLLS, Poller

    connections = PROFILES[name].max_connections
    service = ServiceClient(base_url="http://s.test", parity=name)
    transport = service._session.connection.transport
    assert isinstance(transport, tinker_hl.NetworkTransport)
    assert transport._max_connections == connections
    assert Poller(service._session.connection).most_polls == min(MAX_POLLS, connections * 3 // 4)
    few = ServiceClient(base_url="http://s.test", parity=name, max_connections=1)
    assert Poller(few._session.connection).most_polls == 1


def sent(data: list[Datum], name: str, config: dict[str, Any]) -> list[int]:
    """How many datums each request has."""
    server = ScriptedServer(config=config)
    with server.client(parity=name) as service:
        future = service.create_lora_training_client("base").forward_backward(data, "cross_entropy")
        future.exception(20)
        plan = service._session.connection.chunk_limits.plan(data)
    assert len(server.paths("forward_backward")) in (len(plan), 2 * len(plan)), "twice where protobuf was tried first"
    return [len(run) for run in plan]


def datum(tokens: int) -> Datum:
    return Datum(ModelInput.from_ints([0] * tokens), {"target_tokens": np.zeros(tokens, dtype=np.int64)})


@pytest.mark.parametrize(
    ("name", "counts"),
    [("default", [300]), ("official-0.6", [128, 128, 44]), ("official-0.38", [300]), ("tinkex-beam", [300])],
)
def test_datums_of_a_request(name: str, counts: list[int]) -> None:
    """T-050, S0-18, S2-02: 128 datums in the seeds' days, 1024 today, and never more than the server takes."""
    data = [datum(2)] * 300
    assert sent(data, name, {}) == counts
    assert max(sent(data, name, {"fwdbwd_max_chunk_len": 50})) <= 50
    smaller = sent(data, name, {"fwdbwd_max_chunk_bytes_count": 24 * 40})
    assert max(smaller) <= 40, "2 tokens of 4 bytes and 2 of 8"


def test_sizes_of_a_request() -> None:
    """T-051, S0-18, S2-02: 500,000 numbers of 1, or 5,000,000 of 10 each; the real size by default."""
    data = [datum(25_000)] * 40
    assert estimate_numbers(data[0], 1) == 50_000
    assert estimate_numbers(data[0], 10) == 500_000
    limits = {name: ServiceClient(base_url="http://s.test", parity=name) for name in NAMES}
    plans = {name: service._session.connection.chunk_limits.plan(data) for name, service in limits.items()}
    assert {name: [len(run) for run in plan] for name, plan in plans.items()} == {
        "default": [16, 16, 8],
        "official-0.6": [10, 10, 10, 10],
        "official-0.38": [16, 16, 8],
        "tinkex-beam": [10, 10, 10, 10],
    }
    image = ModelInput.from_ints([1, 2]).append(tinker_hl.ImageChunk(data=b"12345", format="png"))
    assert estimate_numbers(Datum(image, {"weights": [1.0, 1.0, 1.0]}), 10) == 10 * (2 + 3) + 5


@pytest.mark.parametrize("name", NAMES)
def test_waits_between_polls_that_are_not_held(name: str) -> None:
    """T-071, T-072, S0-21: 2**n seconds up to 30, or this client's own."""
    profile, clock = PROFILES[name], InstantClock(f"polls {name}")
    server = ScriptedServer()
    pending = Reply(body={"type": "try_again", "request_id": "r0", "queue_state": "active"})
    with server.client(parity=name, retry_policy=None, clock=clock) as service:
        training = service.create_lora_training_client("base").result(10)
        clock.slept.clear()
        server.faults["retrieve_future"] = [pending] * 8
        training.optim_step(AdamParams()).result(10)
    assert len(clock.slept) == 8
    for place, waited in enumerate(clock.slept):
        longest = min(profile.poll_delay_max, profile.poll_delay_base * 2.0**place)
        assert longest / 2 <= waited <= longest
    assert max(clock.slept) >= profile.poll_delay_max / 2


def test_adam_by_the_profile() -> None:
    """S0-25, S3-11."""
    own = Profile(name="own", learning_rate=0.5, beta1=0.25, beta2=0.75, eps=0.125)
    assert own.adam_params() == AdamParams(learning_rate=0.5, beta1=0.25, beta2=0.75, eps=0.125)
    assert own.adam_params(beta1=0.0, grad_clip_norm=1.0) == AdamParams(
        learning_rate=0.5, beta1=0.0, beta2=0.75, eps=0.125, grad_clip_norm=1.0
    )
