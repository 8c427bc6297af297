"""Sessions: opened late, kept alive, finished once, by whatever way they end."""

import asyncio
import contextlib
import gc
import logging
import subprocess
import sys
import textwrap
import time

import attrs
import pytest
from client_bench import KEY, MODEL, SocketService
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
from tinker_hl import AdamParams, Event, loop, session
from tinker_hl.configuration import Profile
from tinker_hl.transport import AsgiTransport
from tinker_hl.version import OFFICIAL_VERSION

QUICK = Profile(name="quick heart", heartbeat_interval=0.01)


def until(condition: object, seconds: float = 10.0) -> bool:
    """Wait for a condition on the loop's side; whether it came true."""

    async def poll() -> bool:
        deadline = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    return loop.run(poll()).result(seconds + 5)


@pytest.mark.parametrize(
    ("error", "status"), [(None, "success"), (ValueError, "errored"), (KeyboardInterrupt, "interrupted")]
)
def test_fault_44_the_with_block_tells_how_it_ended(error: type[BaseException] | None, status: str) -> None:
    server = ScriptedServer()
    expected = contextlib.nullcontext() if error is None else pytest.raises(error)
    with expected, server.client() as service:
        service.create_lora_training_client("base").result(10)
        if error is not None:
            raise error
    assert [request.json["reason"] for request in server.paths("finish")] == [{"type": status}]


def test_nothing_works_after_close_and_closing_again_does_nothing() -> None:
    server = ScriptedServer()
    service = server.client()
    training = service.create_lora_training_client("base").result(10)
    service.close("errored", "ran out of patience").result(10)
    service.close().result(10)
    assert [request.json["detail"] for request in server.paths("finish")] == ["ran out of patience"]
    for use in (
        lambda: training.optim_step(AdamParams()),
        lambda: service.create_lora_training_client("base"),
        lambda: service.create_sampling_client(base_model="base"),
        service.get_server_capabilities,
        service.__enter__,
    ):
        with pytest.raises(tinker_hl.SessionClosedError):
            use()
    with pytest.raises(ValueError, match="success"):
        service.close("done")  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [404, 405, 410])
def test_a_server_that_knows_no_finish_is_let_be(status: int) -> None:
    server = ScriptedServer()
    server.faults["finish"] = [Reply(status)]
    with server.client() as service:
        service.create_lora_training_client("base").result(10)


def test_fault_37_a_dropped_client_does_not_live_on() -> None:
    server = ScriptedServer()
    service = server.client()
    training = service.create_lora_training_client("base").result(10)
    del service
    gc.collect()
    training.optim_step(AdamParams()).result(10)
    assert not server.paths("finish")
    del training
    gc.collect()
    assert until(lambda: bool(server.paths("finish")))


def test_a_dropped_client_stops_to_tell_that_it_lives() -> None:
    """The official client goes on until its process ends."""
    server = ScriptedServer()
    service = server.client(parity=QUICK)
    training = service.create_lora_training_client("base").result(10)
    assert until(lambda: len(server.paths("session_heartbeat")) >= 2)
    heartbeat = service._session._life.heartbeat
    assert heartbeat is not None
    del service, training
    gc.collect()
    assert until(heartbeat.done)
    assert server.seen[-1].path.endswith("finish"), "and nothing is sent after its end"


def test_fault_37_the_sockets_of_a_dropped_client_are_closed_and_its_heartbeat_ends(
    socket_service: SocketService,
) -> None:
    beats: list[tinker_hl.Event] = []
    service = tinker_hl.ServiceClient(base_url=socket_service.base_url, api_key=KEY, parity=QUICK)
    service.subscribe(lambda event: beats.append(event) if "heartbeat" in event.call else None)
    service.create_sampling_client(base_model=MODEL).result(30)
    transport = service._session.connection.transport
    assert isinstance(transport, tinker_hl.NetworkTransport)
    sockets = transport._session
    assert sockets is not None
    assert until(lambda: bool(beats))
    del service
    gc.collect()
    assert until(lambda: sockets.closed), "no heartbeat can go out any more"


def test_a_session_that_was_handed_on_is_not_finished_by_being_dropped() -> None:
    server = ScriptedServer()
    service = server.client()
    sampling = service.create_sampling_client(base_model="base").result(10)
    sampling.get_sampler_handle()
    life = service._session._life
    del service, sampling
    gc.collect()
    assert until(lambda: life.ended)
    assert not server.paths("finish")


def test_the_session_is_opened_once_for_many_callers() -> None:
    server = ScriptedServer()

    async def slow(request: Seen) -> Reply:
        await asyncio.sleep(0.05)
        return Reply(body={"session_id": "S"})

    server.faults["create_session"] = [slow]
    with server.client() as service:
        clients = [service.create_lora_training_client("base") for _ in range(5)]
        assert [client.model_id for client in clients] == [f"S:train:{number}" for number in range(5)]
    assert len(server.paths("create_session")) == 1


def test_heartbeats_go_on_after_failures_and_end_with_the_session() -> None:
    server = ScriptedServer()
    server.faults["session_heartbeat"] = [Reply(500), None, Reply(404)]
    service = server.client(parity=QUICK)
    training = service.create_lora_training_client("base").result(10)
    assert until(lambda: len(server.paths("session_heartbeat")) >= 5)
    assert server.paths("session_heartbeat")[0].json["session_id"] == "S"
    server.faults["session_heartbeat"] = [Reply(410)]
    assert until(lambda: service._session._life.ended)
    with pytest.raises(tinker_hl.SessionClosedError):
        training.optim_step(AdamParams())
    service.close().result(10)
    assert not server.paths("finish")


def test_a_heartbeat_that_fails_is_a_warning_once_the_silence_is_longer_than_the_profile_says() -> None:
    """T-047, S2-08, S3-13: and a heartbeat that is answered ends the silence."""
    patience = 0.3
    server = ScriptedServer()
    failures: list[Event] = []
    with server.client(parity=attrs.evolve(QUICK, heartbeat_warning=patience)) as service:
        service.subscribe(lambda event: failures.append(event) if event.kind == "heartbeat_failed" else None)
        server.faults["session_heartbeat"] = [Reply(500)] * 10_000
        service.create_lora_training_client("base").result(10)
        assert until(lambda: any(event.fields["level"] == logging.WARNING for event in failures))
        beaten = len(server.paths("session_heartbeat"))
        server.faults["session_heartbeat"] = []
        assert until(lambda: len(server.paths("session_heartbeat")) > beaten + 2)
        before = len(failures)
        server.faults["session_heartbeat"] = [Reply(500)] * 10_000
        assert until(lambda: len(failures) > before)
        last, anew = failures[before - 1 : before + 1]
        server.faults["session_heartbeat"] = []
    for event in failures:
        expected = logging.WARNING if event.fields["silent_s"] > patience else logging.DEBUG
        assert event.fields["level"] == expected, event
        assert "no heartbeat for" in event.detail
    assert anew.fields["silent_s"] <= anew.at - last.at + 0.1


def test_the_version_that_a_server_decides_by_is_another_than_our_own() -> None:
    """S4-01: the protocol's release is told as `sdk_version`, our own version as the name of the program."""
    server = ScriptedServer()
    with server.client() as service:
        service.create_lora_training_client("base").result(10)
    (created,) = server.paths("create_session")
    assert created.json["sdk_version"] == OFFICIAL_VERSION != tinker_hl.__version__
    assert created.headers["user-agent"] == f"tinker-hl/{tinker_hl.__version__}"


def test_metadata_project_name_and_tags_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_TAGS", "b,a,,b")
    monkeypatch.setenv("TINKER_PROJECT_ID", "from-environment")
    server = ScriptedServer()
    with server.client(display_name="first try") as service:
        service.create_lora_training_client("base").result(10)
        assert service.get_console_url().endswith("/sessions/S")
    (created,) = server.paths("create_session")
    assert created.json["tags"] == ["b", "a"]
    assert created.json["project_id"] == "from-environment"
    assert created.json["display_name"] == "first try"
    assert created.json["sdk_version"]


def test_fault_44_the_interpreters_end_finishes_the_session() -> None:
    program = textwrap.dedent("""
        import sys
        sys.path.insert(0, sys.argv[1])
        from scripted_server import ScriptedServer
        server = ScriptedServer()
        import atexit
        @atexit.register
        def report():
            print([request.json["reason"]["type"] for request in server.paths("finish")])
        service = server.client()
        service.create_lora_training_client("base").result(20)
        if sys.argv[2] == "fail":
            raise ValueError("the script fails")
    """)
    for way, told in (("end", "['success']"), ("fail", "['errored']")):
        arguments = [sys.executable, "-c", program, __file__.rsplit("/", 1)[0], way]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
        assert told in done.stdout, done.stderr


def test_the_transport_of_somebody_else_is_left_open() -> None:
    closed = []

    class Transport(AsgiTransport):
        async def aclose(self) -> None:
            closed.append(True)

    server = ScriptedServer()
    service = tinker_hl.ServiceClient(base_url="http://x", transport=Transport(server, lifespan=False))
    service.create_lora_training_client("base").result(10)
    service.close().result(10)
    assert not closed


def test_settings_that_may_change_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REFRESH_AT_LEAST", 0.01)
    server = ScriptedServer(config={})
    changed = Reply(body={"sample_cancel_enabled": True, "refresh_interval_sec": 300})
    server.faults["dynamic_config"] = [Reply(body={"refresh_interval_sec": 0}), Reply(403), changed]
    with server.client(parity=QUICK) as service:
        service.create_lora_training_client("base").result(10)
        assert until(lambda: service._session.connection.dynamic.sample_cancel_enabled)


def test_calls_that_are_under_way_when_the_client_closes_end_typed() -> None:
    server = ScriptedServer()
    begun = asyncio.Event()

    async def hold(request: Seen) -> Reply:
        begun.set()
        await asyncio.sleep(0.2)
        return Reply(body={"type": "try_again"})

    async def wait() -> None:
        await begun.wait()

    service = server.client()
    training = service.create_lora_training_client("base").result(10)
    server.faults["retrieve_future"] = [hold] * 100
    polled = training.optim_step(AdamParams())
    loop.run(wait()).result(10)
    service.close().result(10)
    with pytest.raises(tinker_hl.SessionClosedError):
        polled.result(10)

    other = ScriptedServer()
    begun.clear()
    other.faults["create_session"] = [hold]
    opening = other.client()
    model = opening.create_lora_training_client("base")
    loop.run(wait()).result(10)
    opening.close().result(10)
    with pytest.raises(tinker_hl.SessionClosedError):
        model.result(10)
