"""Credentials at work: the command, the exchange for tokens, their renewal, and what a refusal does."""

import asyncio
import base64
import gc
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import RetryPolicy, SamplingClient, loop
from tinker_hl.clients.rest import RestClient
from tinker_hl.clients.sampler import Sampler
from tinker_hl.connection import Connection
from tinker_hl.credentials import run_command
from tinker_hl.events import Event
from tinker_hl.retry import InstantClock
from tinker_hl.session import Session

KEY = "tml-the-key-itself"
INVALID = Reply(401, {"detail": "expired"}, {"www-authenticate": 'Bearer realm="x", error="invalid_token"'})
HOUR = 3600.0


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key in the environment, and a home without a login."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("TINKER_API_KEY", "TINKER_CREDENTIAL_CMD", "TINKER_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)


def token(name: str, life: float = HOUR, *, age: float = 0.0, **claims: object) -> str:
    """A JWT that was issued `age` seconds ago and lives for `life` seconds from then."""
    issued = time.time() - age
    body = orjson.dumps({"iat": issued, "exp": issued + life, "sub": name, **claims})
    return "eyJhbGciOiJub25lIn0." + base64.urlsafe_b64encode(body).decode().rstrip("=") + ".c2ln"


class Bench:
    """A client of a scripted server, its clock, and its events."""

    def __init__(self, server: ScriptedServer, api_key: str | None = None, **options: object) -> None:
        self.server = server
        self.clock = InstantClock()
        options = {"clock": self.clock, "policy": RetryPolicy()} | options
        self.connection = Connection("http://scripted.test", api_key, transport=server.transport(), **options)  # type: ignore[arg-type]
        self.client = RestClient(self.connection)
        self.events: list[Event] = []
        notices = self.events  # the listener holds no more than this: dropping the bench drops the client

        def hear(event: Event) -> None:
            if event.kind == "notice":
                notices.append(event)

        self.connection.events.subscribe(hear)

    def ask(self) -> None:
        self.client.get_server_capabilities().result(20)

    def pass_time(self, seconds: float) -> None:
        loop.run(self.clock.sleep(seconds)).result(10)

    def sent(self, path: str = "get_server_capabilities") -> list[str]:
        return [request.headers["x-api-key"] for request in self.server.paths(path)]

    def warnings(self) -> list[str]:
        return [event.detail for event in self.events if event.call == "credentials" and event.fields["level"] >= 30]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until the loop thread has done what it does in the background."""
        ends = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < ends
            loop.run(_nothing()).result(10)


async def _nothing() -> None:
    pass


def exchanging(*tokens: str, **config: object) -> ScriptedServer:
    server = ScriptedServer(config={"pjwt_auth_enabled": True, **config})
    server.faults["token"] = [Reply(body={"jwt": value}) for value in tokens]
    return server


def counting(tmp_path: Path, printed: str) -> tuple[str, Callable[[], int]]:
    """A command that prints something, and how often it has run."""
    ran = tmp_path / "ran"
    ran.touch()
    return f"echo >> {ran}; echo {printed}", lambda: len(ran.read_text().splitlines())


# The command.


def test_the_command_is_the_key_where_tokens_are_not_traded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The official client fails here with a message about a missing key."""
    command, runs = counting(tmp_path, "'  tml-printed  '")
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", command)
    bench = Bench(ScriptedServer(config={}))
    for _ in range(5):
        bench.ask()
    assert bench.sent() == ["tml-printed"] * 5
    assert runs() == 1


def test_clients_side_by_side_run_it_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command, runs = counting(tmp_path, "tml-printed")
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", command)
    bench = Bench(ScriptedServer())
    for future in [bench.client.get_server_capabilities() for _ in range(20)]:
        future.result(20)
    assert runs() == 1


def test_a_refused_output_is_asked_for_once_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command, runs = counting(tmp_path, f"tml-run-$(wc -l < {tmp_path / 'ran'} | tr -d ' ')")
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", command)
    bench = Bench(ScriptedServer())
    bench.server.faults["get_server_capabilities"] = [Reply(401, {"detail": "no"})]
    bench.ask()
    assert bench.sent() == ["tml-run-1", "tml-run-2"]
    bench.server.faults["get_server_capabilities"] = [Reply(401, {"detail": "no"})] * 2
    with pytest.raises(tinker_hl.AuthenticationError):
        bench.ask()
    assert runs() == 3


def test_a_token_of_the_command_is_kept_until_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command, runs = counting(tmp_path, token("command"))
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", command)
    bench = Bench(ScriptedServer())
    for passed, expected in ((0, 1), (HOUR / 2, 1), (HOUR / 2 - 90, 1), (45, 2), (0, 2)):
        bench.pass_time(passed)
        bench.ask()
        assert runs() == expected, passed


def test_the_command_runs_neither_on_the_loop_nor_on_an_encoding_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def run(command: str) -> str:
        threads.append(threading.current_thread().name)
        return "tml-printed"

    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", "true")
    monkeypatch.setattr("tinker_hl.credentials.sources.run_command", run)
    Bench(ScriptedServer()).ask()
    assert threads
    assert all(name.startswith("tinker-hl-user") for name in threads)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo 'no network' >&2; exit 3", ("status 3", "no network")),
        ("echo tml-half-a-key; echo 'wrote tml-half-a-key' >&2; exit 1", ("status 1", r"wrote \*\*\*")),
        ("true", ("printed no credential", "said nothing")),
        ("echo tml-half-a-key; echo and more", ("printed more than a credential", "said nothing")),
        ("there-is-no-such-command-here", ("status 127", "there-is-no-such-command-here")),
        (f"echo {token('old', 10, age=20)}", ("printed a token that has ended", "said nothing")),
    ],
)
def test_a_command_that_fails_says_how(monkeypatch: pytest.MonkeyPatch, command: str, said: tuple[str, ...]) -> None:
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", command)
    bench = Bench(ScriptedServer())
    for part in said:
        with pytest.raises(tinker_hl.ConfigurationError, match=part) as caught:
            bench.ask()
        assert "half-a-key" not in str(caught.value)
        assert "TINKER_CREDENTIAL_CMD" in str(caught.value)
    assert bench.sent() == []


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    started = time.monotonic()
    with pytest.raises(tinker_hl.ConfigurationError, match=r"did not end within 0\.5 s; it said: waiting"):
        run_command(f"echo waiting >&2; sleep 60 & echo $! > {child}; wait", 0.5)
    assert time.monotonic() - started < 20
    pid = int(child.read_text())
    ends = time.monotonic() + 20
    while _runs(pid):
        assert time.monotonic() < ends


def _runs(pid: int) -> bool:
    """Whether a process lives; one that ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def test_a_command_whose_daemon_holds_its_streams_is_given_up(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(tinker_hl.ConfigurationError, match="did not end"):
        run_command(f"setsid sleep 30 & echo $! > {tmp_path / 'daemon'}; echo tml-printed", 0.5)
    assert time.monotonic() - started < 20
    os.kill(int((tmp_path / "daemon").read_text()), signal.SIGKILL)


def test_a_command_has_no_input_to_wait_for() -> None:
    assert run_command("cat; echo tml-printed", 20) == "tml-printed"


# A token as the key.


def test_a_token_that_has_ended_is_refused_before_it_is_sent() -> None:
    bench = Bench(ScriptedServer(), token("old", 10, age=20))
    with pytest.raises(tinker_hl.ConfigurationError, match="the token from api_key has ended"):
        bench.ask()
    assert bench.server.seen == []


def test_a_token_is_sent_as_it_is_or_traded() -> None:
    given, traded = token("given"), token("traded")
    plain = Bench(ScriptedServer(config={}), given)
    plain.ask()
    assert plain.sent() == [given]
    bench = Bench(exchanging(traded), given)
    bench.ask()
    assert bench.sent("auth/token") == [given]
    assert bench.sent() == [traded]


# What the server wants.


def test_a_server_may_want_the_commands_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    traded = token("traded")
    server = exchanging(traded, credential_default_source="credential_cmd")
    with pytest.raises(tinker_hl.ConfigurationError, match="TINKER_CREDENTIAL_CMD"):
        Bench(server, KEY).ask()
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", "echo tml-printed")
    bench = Bench(server, KEY)
    bench.ask()
    assert bench.sent("client/config")[-1] == KEY
    assert bench.sent("auth/token") == ["tml-printed"]
    assert bench.sent() == [traded]


def test_a_token_as_the_key_stands_in_for_the_command() -> None:
    given, traded = token("given"), token("traded")
    bench = Bench(exchanging(traded, credential_default_source="credential_cmd"), given)
    bench.ask()
    assert bench.sent("auth/token") == [given]


def test_the_wish_counts_only_where_tokens_are_traded() -> None:
    bench = Bench(ScriptedServer(config={"credential_default_source": "credential_cmd"}), KEY)
    bench.ask()
    assert bench.sent() == [KEY]


# Renewal.


def test_a_token_is_renewed_in_the_middle_of_its_life_behind_the_callers_backs() -> None:
    first, second = token("first"), token("second")
    bench = Bench(exchanging(first, second), KEY)
    bench.ask()
    bench.pass_time(0.44 * HOUR)
    bench.ask()
    assert len(bench.sent("auth/token")) == 1
    bench.pass_time(0.12 * HOUR)
    bench.ask()
    bench.wait_for(lambda: len(bench.sent("auth/token")) == 2 and bench.connection.credential.secrets[1] == second)
    bench.ask()
    assert bench.sent() == [first, first, first, second]
    assert bench.warnings() == []


def test_a_renewal_that_fails_leaves_the_old_token_until_its_end() -> None:
    first, second = token("first"), token("second")
    bench = Bench(exchanging(first), KEY)
    bench.ask()

    def refuse(times: int) -> None:
        bench.server.faults["token"] = [Reply(400, {"detail": "the exchange is shut"})] * times

    def exchanges() -> int:
        return len(bench.sent("auth/token"))

    refuse(1)
    bench.pass_time(0.6 * HOUR)
    bench.ask()
    bench.wait_for(lambda: exchanges() == 2 and bool(bench.warnings()))
    bench.ask()
    assert exchanges() == 2, "the next try is a minute later"
    refuse(1)
    bench.pass_time(61)
    bench.ask()
    bench.wait_for(lambda: exchanges() == 3 and len(bench.events) == 2)
    refuse(1)
    bench.pass_time(0.4 * HOUR - 61 - 30)
    bench.ask()
    assert exchanges() == 4, "within the last minute the caller waits for it"
    assert bench.sent() == [first] * 5
    assert len(bench.warnings()) == 1, "one warning for an outage"
    assert "the exchange is shut" in bench.warnings()[0]
    refuse(1)
    bench.pass_time(31)
    with pytest.raises(tinker_hl.BadRequestError, match="the exchange is shut"):
        bench.ask()
    bench.server.faults["token"] = [Reply(body={"jwt": second})]
    bench.ask()
    assert bench.sent()[-1] == second


def test_a_refused_credential_is_told_at_once() -> None:
    first = token("first")
    bench = Bench(exchanging(first), KEY)
    bench.ask()
    bench.server.faults["token"] = [Reply(401, {"detail": "the key was revoked"})]
    bench.pass_time(HOUR - 30)
    with pytest.raises(tinker_hl.AuthenticationError, match="revoked"):
        bench.ask()
    assert bench.sent() == [first]


def test_an_exchange_that_is_down_holds_nobody_up_while_the_old_token_lives() -> None:
    first = token("first")
    bench = Bench(exchanging(first), KEY)
    bench.ask()
    bench.server.faults["token"] = [Reply(503)] * 1000
    bench.pass_time(HOUR - 50)
    before = bench.clock.now()
    bench.ask()
    assert bench.clock.now() - before <= 20
    assert bench.sent() == [first, first]


def test_tokens_that_live_for_a_minute_are_not_traded_by_each_request() -> None:
    bench = Bench(exchanging(token("first", 60), token("second", 60)), KEY)
    for _ in range(10):
        bench.ask()
    assert len(bench.sent("auth/token")) == 1
    bench.pass_time(40)
    bench.ask()
    assert len(bench.sent("auth/token")) == 2


@pytest.mark.parametrize("skew", [-2 * HOUR, 2 * HOUR])
def test_a_clock_that_is_wrong_costs_no_exchange_for_each_request(skew: float) -> None:
    bench = Bench(exchanging(*[token(f"number {number}", age=skew) for number in range(10)]), KEY)
    for _ in range(10):
        bench.ask()
    assert len(bench.sent("auth/token")) == 1


# Refusals.


def test_a_refused_token_costs_one_exchange_however_many_calls_it_met() -> None:
    old, new = token("old"), token("new")
    bench = Bench(exchanging(old, new), KEY)
    bench.ask()
    everybody, arrived = asyncio.Event(), []

    async def refuse(request: Seen) -> Reply:
        arrived.append(request)
        if len(arrived) == 8:
            everybody.set()
        await everybody.wait()
        return INVALID

    bench.server.faults["get_server_capabilities"] = [refuse] * 8
    for future in [bench.client.get_server_capabilities() for _ in range(8)]:
        future.result(20)
    assert len(bench.sent("auth/token")) == 2
    assert bench.sent() == [old] * 9 + [new] * 8


def test_a_refusal_that_comes_late_costs_the_new_token_nothing() -> None:
    old, new = token("old"), token("new")
    bench = Bench(exchanging(old, new, token("one too many")), KEY)
    bench.ask()
    renewed = asyncio.Event()
    waits = threading.Event()

    async def refuse_late(request: Seen) -> Reply:
        waits.set()
        await renewed.wait()
        return INVALID

    bench.server.faults["get_server_capabilities"] = [refuse_late, INVALID]
    late = bench.client.get_server_capabilities()
    assert waits.wait(10)
    bench.ask()
    loop.event_loop().call_soon_threadsafe(renewed.set)
    late.result(20)
    assert bench.sent() == [old, old, old, new, new]


def test_a_second_refusal_of_one_call_is_final() -> None:
    bench = Bench(exchanging(*[token(f"number {number}") for number in range(5)]), KEY)
    bench.server.faults["get_server_capabilities"] = [INVALID, INVALID]
    with pytest.raises(tinker_hl.AuthenticationError):
        bench.ask()
    assert len(bench.sent()) == 2


def test_another_401_is_final_at_once() -> None:
    bench = Bench(exchanging(token("first"), token("second")), KEY)
    bench.server.faults["get_server_capabilities"] = [Reply(401, {"detail": "not you"})]
    with pytest.raises(tinker_hl.AuthenticationError, match="not you"):
        bench.ask()
    assert len(bench.sent("auth/token")) == 1


def test_a_refused_exchange_asks_the_command_once_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command, runs = counting(tmp_path, "tml-printed")
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", command)
    server = exchanging(token("traded"))
    server.faults["token"].insert(0, Reply(401, {"detail": "no"}))
    bench = Bench(server)
    bench.ask()
    assert runs() == 2


def test_an_exchange_that_gives_no_token_shows_nothing_of_its_answer() -> None:
    secret = token("secret")
    server = exchanging()
    server.faults["token"] = [Reply(body={"token": secret}), Reply(raw=f'"{secret}'.encode())]
    bench = Bench(server, KEY)
    for _ in range(2):
        with pytest.raises(tinker_hl.APIResponseValidationError, match="no token") as caught:
            bench.ask()
        error: BaseException | None = caught.value
        while error is not None:
            assert secret not in f"{error} {error!r} {vars(error)}"
            error = error.__cause__ or error.__context__


@pytest.mark.parametrize("busy_with", ["exchange", "command"])
def test_a_fork_renews_for_itself(busy_with: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bench = Bench(exchanging(token("first")), KEY)
    started, ended = threading.Event(), threading.Event()

    async def slow(request: Seen) -> Reply:
        started.set()
        await _forever()
        return Reply()

    def slow_command(command: str) -> str:
        if os.getpid() == parent:
            started.set()
            ended.wait(20)
        return KEY

    parent = os.getpid()
    if busy_with == "exchange":
        bench.server.faults["token"].insert(0, slow)
    else:
        monkeypatch.setenv("TINKER_CREDENTIAL_CMD", "true")
        monkeypatch.setattr("tinker_hl.credentials.sources.run_command", slow_command)
        bench = Bench(exchanging(token("first")))
    waiting = bench.client.get_server_capabilities()
    assert started.wait(10)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            bench.ask()
            os.write(write, b"answered")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        assert answer.read() == b"answered"
    os.waitpid(child, 0)
    waiting.cancel()
    ended.set()


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


def test_dropping_a_client_that_trades_tokens_needs_no_garbage_collector() -> None:
    bench = Bench(exchanging(token("first")), KEY)
    bench.ask()
    bench.ask()
    gone = weakref.ref(bench.connection)
    gc.collect()
    gc.disable()
    try:
        del bench
        # What the loop still had to finish of the last call holds it for a moment.
        loop.run(_nothing()).result(10)
        assert gone() is None
    finally:
        gc.enable()


def sampling_client(**headers: str) -> SamplingClient:
    """A sampling client of a session that exists somewhere."""
    session = Session(Connection("http://127.0.0.1:9", KEY, headers=headers), session_id="S")
    return SamplingClient(Sampler(session, sampling_session_id="S:sample:0", base_model="base"))


def test_a_copy_takes_harmless_headers_along_and_no_secret() -> None:
    client = sampling_client(Route="canary", Authorization="Basic recognisable")
    handle = client.get_sampler_handle()
    assert b"recognisable" not in pickle.dumps(client) + base64.urlsafe_b64decode(handle)
    for copy in (pickle.loads(pickle.dumps(client)), SamplingClient.from_sampler_handle(handle, api_key=KEY)):
        sent = loop.run(copy._sampler.session.connection.headers(raw_key=True)).result(10)
        assert sent["Route"] == "canary"
        assert "Authorization" not in sent


def test_a_key_that_was_given_for_one_copy_is_not_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = sampling_client().get_sampler_handle()
    monkeypatch.setenv("TINKER_API_KEY", "tml-of-the-reader")
    given = SamplingClient.from_sampler_handle(handle, api_key="tml-of-a-guest")
    own, also_own = (SamplingClient.from_sampler_handle(handle) for _ in range(2))
    secrets = [copy._sampler.session.connection.credential.secrets for copy in (given, own, also_own)]
    assert secrets == [("tml-of-a-guest",), ("tml-of-the-reader",), ("tml-of-the-reader",)]
    assert own._sampler.session is also_own._sampler.session


def test_only_public_methods_are_named_to_the_server() -> None:
    server = ScriptedServer(config={})
    with server.client() as service:
        service.create_lora_training_client("base").result(10)
    named = {request.path.rsplit("/", 1)[-1]: request.headers.get("x-sdk-method") for request in server.seen}
    background = ("config", "dynamic_config", "create_session", "retrieve_future")
    assert [named[path] for path in background] == [None] * 4
    assert named["create_model"] == named["get_info"] == "ServiceClient.create_lora_training_client"
    for request in server.seen:
        assert ("x-sdk-version" in request.headers) == ("x-sdk-method" in request.headers)


def test_whoami_is_read_from_the_token() -> None:
    given = token("user:1", org_id="7", email="", iss="passport-x")
    who = Bench(exchanging(given), KEY).client.whoami().result(10)
    assert (who.user_urn, who.org_urn, who.email) == ("user:1", "tml:organization:7", None)
    given = token("user:2", org_id="8", email="a@b.test")
    who = Bench(ScriptedServer(), given).client.whoami().result(10)
    assert (who.user_urn, who.email) == ("user:2", "a@b.test")
    with pytest.raises(tinker_hl.ConfigurationError, match="plain key"):
        Bench(ScriptedServer(), KEY).client.whoami().result(10)
    with pytest.raises(tinker_hl.APIResponseValidationError, match="org_id"):
        Bench(exchanging(token("user:1")), KEY).client.whoami().result(10)
