"""`RestClient` and `AdminClient`: each method against the real service where that serves it, else against a script."""

import asyncio
import concurrent.futures
import inspect
import logging
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from client_bench import KEY, MODEL, SocketService
from scripted_server import Reply, ScriptedServer

import tinker_hl
from tinker_hl import (
    AdamParams,
    AdminClient,
    Datum,
    ExperimentalWarning,
    ModelInput,
    RestClient,
    RetryPolicy,
    ServiceClient,
    types,
)
from tinker_hl.clients import sessionless
from tinker_hl.clients.rest import TRACE_DEADLINE, TRACE_POLL_SECONDS
from tinker_hl.connection import Connection
from tinker_hl.credentials import CredentialStore, StoredKey
from tinker_hl.retry import InstantClock
from tinker_hl.transport import AsgiTransport
from tinker_hl.transport.base import Request, Response

T = TypeVar("T")

TOKEN = "weights-token-of-a-friend"


@pytest.fixture(scope="module")
def saved(in_process: AsgiTransport) -> Iterator[tuple[ServiceClient, str, str]]:
    """The real service with a run and a checkpoint of it: client, run id, path."""
    with ServiceClient(base_url="http://in-process", api_key=KEY, transport=in_process, project_id="home") as service:
        training = service.create_lora_training_client(MODEL, rank=4, user_metadata={"a": "b"}).result(30)
        data = [Datum(ModelInput.from_ints([1, 2, 3]), {"target_tokens": [2, 3, 4], "weights": [1.0, 1.0, 1.0]})]
        training.forward_backward(data, "cross_entropy").result(30)
        training.optim_step(AdamParams()).result(30)
        yield service, training.model_id, training.save_state("kept").result(30).path


@pytest.fixture
def rest(saved: tuple[ServiceClient, str, str]) -> RestClient:
    return saved[0].create_rest_client()


def awaited(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def scripted(server: ScriptedServer, kind: Any = RestClient, **options: Any) -> Any:
    options = {"clock": InstantClock()} | options
    return kind(Connection("http://scripted.test", KEY, transport=server.transport(), **options))


def test_what_the_server_offers(rest: RestClient) -> None:
    assert [model.model_name for model in rest.get_server_capabilities().result(30).supported_models] == [MODEL]


def test_training_runs(rest: RestClient, saved: tuple[ServiceClient, str, str]) -> None:
    _, run_id, path = saved
    run = rest.get_training_run(run_id).result(30)
    assert (run.training_run_id, run.base_model, run.lora_rank, run.is_lora) == (run_id, MODEL, 4, True)
    assert run.last_request_time.utcoffset() == timedelta(0)
    assert run.user_metadata == {"a": "b"}
    assert awaited(rest.get_training_run_async(run_id, "accessible")).training_run_id == run_id
    assert rest.get_training_run_by_tinker_path(path).result(30) == run
    assert awaited(rest.get_training_run_by_tinker_path_async(path)) == run
    page = rest.list_training_runs(limit=1, access_scope="owned").result(30)
    assert [one.training_run_id for one in page.training_runs] == [run_id]
    assert page.cursor.total_count >= 1
    assert awaited(rest.list_training_runs_async(limit=5, offset=page.cursor.total_count)).training_runs == []
    with pytest.raises(tinker_hl.NotFoundError):
        rest.get_training_run("no-such:train:0").result(30)
    info = rest.get_weights_info_by_tinker_path(path).result(30)
    assert (info.base_model, info.lora_rank) == (MODEL, 4)


def test_checkpoints(rest: RestClient, saved: tuple[ServiceClient, str, str]) -> None:
    _, run_id, path = saved
    listed = rest.list_checkpoints(run_id).result(30)
    assert path in [checkpoint.tinker_path for checkpoint in listed.checkpoints]
    assert awaited(rest.list_checkpoints_async(run_id)).checkpoints == listed.checkpoints
    mine = rest.list_user_checkpoints(limit=50).result(30)
    assert path in [checkpoint.tinker_path for checkpoint in mine.checkpoints]
    assert awaited(rest.list_user_checkpoints_async(50, 0)).checkpoints == mine.checkpoints

    def named(field: str) -> Any:
        found = next(one for one in rest.list_checkpoints(run_id).result(30).checkpoints if one.tinker_path == path)
        return getattr(found, field)

    rest.publish_checkpoint_from_tinker_path(path).result(30)
    assert named("public") is True
    awaited(rest.unpublish_checkpoint_from_tinker_path_async(path))
    assert named("public") is False
    awaited(rest.publish_checkpoint_from_tinker_path_async(path))
    rest.unpublish_checkpoint_from_tinker_path(path).result(30)
    assert named("public") is False
    rest.set_checkpoint_ttl_from_tinker_path(path, 7200).result(30)
    assert named("expires_at") > datetime.now(UTC) + timedelta(hours=1)
    awaited(rest.set_checkpoint_ttl_from_tinker_path_async(path, None))
    assert named("expires_at") is None


def test_deleting(rest: RestClient, saved: tuple[ServiceClient, str, str]) -> None:
    service, _, path = saved
    resumed = service.create_training_client_from_state(path).result(30)
    paths = [resumed.save_state(f"gone-{number}").result(30).path for number in range(4)]
    rest.delete_checkpoint(resumed.model_id, "weights/gone-0").result(30)
    awaited(rest.delete_checkpoint_async(resumed.model_id, "weights/gone-1"))
    rest.delete_checkpoint_from_tinker_path(paths[2]).result(30)
    awaited(rest.delete_checkpoint_from_tinker_path_async(paths[3]))
    assert rest.list_checkpoints(resumed.model_id).result(30).checkpoints == []
    with pytest.raises(tinker_hl.NotFoundError):
        rest.delete_checkpoint_from_tinker_path(paths[0]).result(30)


def test_what_cannot_be_published_is_told_typed(rest: RestClient, saved: tuple[ServiceClient, str, str]) -> None:
    """GAP-LIB-044, GAP-LIB-046: a path that is none, a checkpoint that is not there, one that is so already."""
    _, run_id, path = saved
    for change in (rest.publish_checkpoint_from_tinker_path, rest.unpublish_checkpoint_from_tinker_path):
        with pytest.raises(ValueError, match="tinker://"):
            change("no/path").result(30)
        with pytest.raises(tinker_hl.NotFoundError):
            change(f"tinker://{run_id}/weights/nobody-saved-it").result(30)
    with pytest.raises(tinker_hl.BadRequestError, match="private already"):
        rest.unpublish_checkpoint_from_tinker_path(path).result(30)


@pytest.mark.parametrize(("status", "error"), [(409, tinker_hl.ConflictError), (500, tinker_hl.InternalServerError)])
def test_a_server_that_refuses_to_publish_is_heard(status: int, error: type[Exception]) -> None:
    """GAP-LIB-044, GAP-LIB-046."""
    server = ScriptedServer()
    server.faults["publish"] = [Reply(status, {"detail": "not now"})] * 2
    with server.client(retry_policy=RetryPolicy(enabled=False)) as service:
        rest = service.create_rest_client()
        for change in (rest.publish_checkpoint_from_tinker_path, rest.unpublish_checkpoint_from_tinker_path):
            with pytest.raises(error, match="not now"):
                change("tinker://M/weights/a").result(10)
    assert [request.method for request in server.paths("publish")] == ["POST", "DELETE"]


def test_archive_links(rest: RestClient, saved: tuple[ServiceClient, str, str]) -> None:
    _, run_id, path = saved
    links = [
        rest.get_checkpoint_archive_url(run_id, "weights/kept").result(30),
        awaited(rest.get_checkpoint_archive_url_async(run_id, "weights/kept")),
        rest.get_checkpoint_archive_url_from_tinker_path(path).result(30),
        awaited(rest.get_checkpoint_archive_url_from_tinker_path_async(path)),
    ]
    for link in links:
        assert link.url.startswith("http://in-process/")
        assert link.expires > datetime.now(UTC)


def test_sessions_and_samplers(rest: RestClient, saved: tuple[ServiceClient, str, str]) -> None:
    service, run_id, _ = saved
    session_id = run_id.partition(":")[0]
    session = rest.get_session(session_id).result(30)
    assert run_id in session.training_run_ids
    assert awaited(rest.get_session_async(session_id, "accessible")).training_run_ids == session.training_run_ids
    assert session_id in rest.list_sessions(limit=100).result(30).sessions
    assert session_id in awaited(rest.list_sessions_async(100, 0)).sessions
    with pytest.warns(ExperimentalWarning, match="search_sessions"):
        found = rest.search_sessions(types.SessionSearchRequest(session_id=session_id)).result(30)
    assert [one.session_id for one in found.sessions] == [session_id]
    rest.assign_session_project(session_id, "one").result(30)
    in_one = types.SessionSearchRequest(project_ids=["one"])
    with pytest.warns(tinker_hl.ExperimentalWarning):
        assert rest.search_sessions(in_one).result(30).sessions
    awaited(rest.assign_session_project_async(session_id, "two"))
    with pytest.warns(tinker_hl.ExperimentalWarning):
        assert rest.search_sessions(in_one).result(30).sessions == []
    sampling = service.create_sampling_client(base_model=MODEL).result(30)
    sampler_id = sampling._sampler.sampling_session_id
    assert rest.get_sampler(sampler_id).result(30).base_model == MODEL
    assert awaited(rest.get_sampler_async(sampler_id)).sampler_id == sampler_id


def test_weights_are_copied(rest: RestClient, saved: tuple[ServiceClient, str, str]) -> None:
    service, _, path = saved
    copies = [
        rest.copy_weights(path, "elsewhere").result(30),
        awaited(rest.copy_weights_async(path, "elsewhere", ttl_seconds=7200)),
        service.copy_weights(path).result(30),
    ]
    assert len({path, *copies}) == 4
    for copy in copies:
        assert rest.get_weights_info_by_tinker_path(copy).result(30).lora_rank == 4


def test_external_weights(rest: RestClient, saved: tuple[ServiceClient, str, str]) -> None:
    service, _, path = saved
    training = service.create_training_client_from_state(path).result(30)
    external = training.save_weights_external("out").result(30).path
    links = rest.get_external_weights_urls(external).result(30)
    assert links.urls
    assert links.expires > datetime.now(UTC)
    assert set(awaited(rest.get_external_weights_urls_async(external)).urls) == set(links.urls)
    with pytest.raises(ValueError, match="save_weights_external"):
        rest.get_external_weights_urls(path)


@pytest.mark.parametrize("kind", [RestClient, AdminClient])
def test_what_admins_ask_the_real_service(
    kind: Any, in_process: AsgiTransport, saved: tuple[ServiceClient, str, str]
) -> None:
    _, run_id, _ = saved
    client = kind(Connection("http://in-process", KEY, transport=in_process))
    storage = client.get_current_checkpoint_storage_usage().result(30)
    assert sum(item.checkpoint_count for item in storage.data) >= 1
    assert sum(item.size_bytes for item in storage.data) > 0
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    usage = client.get_billing_usage(hour - timedelta(hours=1), (hour + timedelta(hours=1)).isoformat()).result(30)
    trained = [event for event in usage.data if isinstance(event.event_info, types.TrainingBillingEvent)]
    assert sum(event.event_info.token_count for event in trained) >= 3
    assert {event.base_model for event in trained} == {MODEL}
    log = awaited(client.get_audit_log_async("all", datetime.now(UTC).date())).entries
    assert run_id in {entry.model_id for entry in log if entry.event == "run_create"}
    assert client.get_audit_log("teams").result(30).entries == []


def test_a_trace_of_the_real_service(rest: RestClient, saved: tuple[ServiceClient, str, str]) -> None:
    session_id = saved[1].partition(":")[0]
    assert rest.export_session_trace(session_id).result(30).startswith("http://in-process/")
    with pytest.raises(tinker_hl.NotFoundError):
        awaited(rest.export_session_trace_async("no-such-session"))


def test_paths_that_are_none_are_refused_at_the_call(rest: RestClient) -> None:
    for bad in ("kept", "tinker://run/kept", "tinker://run/other/kept", "tinker://run/weights/a/b"):
        with pytest.raises(ValueError, match="tinker://"):
            rest.delete_checkpoint_from_tinker_path(bad)
    with pytest.raises(ValueError, match="weights/0001"):
        rest.delete_checkpoint("run", "kept")


def test_a_copy_needs_a_project_and_is_asked_for_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One idempotency key over all attempts, and the token only in its header."""
    monkeypatch.delenv("TINKER_PROJECT_ID", raising=False)
    server = ScriptedServer()
    server.faults["copy_weights"] = [Reply(503), Reply(500), Reply(body={"tinker_path": "tinker://c/weights/1"})]
    client = scripted(server)
    with pytest.raises(ValueError, match="TINKER_PROJECT_ID"):
        client.copy_weights("tinker://r/weights/1")
    assert server.seen == []
    monkeypatch.setenv("TINKER_PROJECT_ID", "from-environment")
    with caplog.at_level(logging.DEBUG):
        copied = client.copy_weights("tinker://r/weights/1", weights_access_token=TOKEN).result(10)
    assert copied == "tinker://c/weights/1"
    asked = server.paths("copy_weights")
    assert len(asked) == 3
    assert len({request.headers["x-idempotency-key"] for request in asked}) == 1
    assert {request.headers["x-tinker-weights-access-token"] for request in asked} == {TOKEN}
    assert asked[0].json == {"source_path": "tinker://r/weights/1", "destination_project_id": "from-environment"}
    assert TOKEN not in caplog.text
    server.faults["copy_weights"] = [Reply(403, {"detail": "no"})]
    with pytest.raises(tinker_hl.PermissionDeniedError) as refused:
        client.copy_weights("tinker://r/weights/1", weights_access_token=TOKEN).result(10)
    assert TOKEN not in repr(vars(refused.value))


def test_a_trace_is_waited_for() -> None:
    server, clock = ScriptedServer(), InstantClock()
    url = "https://files.test/trace"
    server.faults["trace_export"] = [Reply(body={"status": "pending"})] * 3 + [
        Reply(body={"status": "ready", "url": url})
    ]
    client, notices = scripted(server, clock=clock), []
    client._connection.events.subscribe(lambda event: notices.append(event))
    assert client.export_session_trace("S").result(10) == url
    assert clock.now() >= 3 * TRACE_POLL_SECONDS
    told = [event for event in notices if event.kind == "notice"]
    assert len(told) == 1
    assert "session S" in (told[0].detail or "")
    assert server.paths("trace_export")[0].path.endswith("/sessions/S/trace_export")


def test_a_trace_that_fails_or_never_comes_ends_the_wait() -> None:
    server, clock = ScriptedServer(), InstantClock()
    client = scripted(server, clock=clock)
    server.faults["trace_export"] = [Reply(body={"status": "failed", "error": "too large"})]
    with pytest.raises(tinker_hl.RequestFailedError, match="too large"):
        awaited(client.export_session_trace_async("S"))
    server.faults["trace_export"] = [Reply(body={"status": "pending"})] * 10_000
    with pytest.raises(tinker_hl.APITimeoutError, match="session S"):
        client.export_session_trace("S").result(60)
    assert clock.now() >= TRACE_DEADLINE
    assert len(server.paths("trace_export")) <= TRACE_DEADLINE / TRACE_POLL_SECONDS + 5


def test_an_archive_is_a_redirect_a_body_or_a_bounded_wait() -> None:
    server, clock = ScriptedServer(), InstantClock()
    client = scripted(server, clock=clock, policy=RetryPolicy(deadline=60))
    path = "tinker://r/weights/1"
    header = {"location": "https://files.test/a.tar.gz", "expires": "Wed, 01 Jan 2031 10:00:00 GMT"}
    server.faults["archive"] = [Reply(503), Reply(302, headers=header)]
    link = client.get_checkpoint_archive_url_from_tinker_path(path).result(10)
    assert (link.url, link.expires) == (header["location"], datetime(2031, 1, 1, 10, tzinfo=UTC))
    server.faults["archive"] = [Reply(302, headers={"location": "/files/b"})]
    link = client.get_checkpoint_archive_url_from_tinker_path(path).result(10)
    assert link.url == "http://scripted.test/files/b"
    assert timedelta(minutes=14) < link.expires - datetime.now(UTC) <= timedelta(minutes=15)
    server.faults["archive"] = [Reply(body={"url": "https://files.test/c", "expires": "2031-01-01T10:00:00Z"})]
    link = client.get_checkpoint_archive_url("r", "weights/1").result(10)
    assert (link.url, link.expires) == ("https://files.test/c", datetime(2031, 1, 1, 10, tzinfo=UTC))
    server.faults["archive"] = [Reply(503)] * 1000
    started = clock.now()
    with pytest.raises(tinker_hl.InternalServerError):
        client.get_checkpoint_archive_url("r", "weights/1").result(20)
    assert clock.now() - started <= 61


AUDIT = {"entries": [{"timestamp": "2026-08-01T12:00:00Z", "event": "checkpoint.deleted", "event_details": {"a": 1}}]}
HOUR = {"bucket_start": "2026-08-01T12:00:00Z", "bucket_end": "2026-08-01T13:00:00Z", "session_id": "S"}
USAGE = {
    "data": [
        {**HOUR, "event_info": {"type": "training", "token_count": 5}},
        {**HOUR, "event_info": {"type": "of_a_newer_server", "anything": 1}},
    ],
    "sessions": {"S": {"user_metadata": {"a": "b"}}},
}
STORAGE = {"data": [{"checkpoint_count": 1, "size_bytes": 2, "size_gigabytes": 0.5, "project_id": "p"}]}


@pytest.mark.parametrize("kind", [RestClient, AdminClient])
def test_what_admins_ask(kind: Any) -> None:
    server = ScriptedServer()
    client = scripted(server, kind)
    server.faults["audit"] = [Reply(body=AUDIT)] * 2
    server.faults["events"] = [Reply(body=USAGE)] * 2
    server.faults["current"] = [Reply(body=STORAGE)] * 2
    log = client.get_audit_log("checkpoints", date(2026, 8, 1)).result(10)
    assert log.entries[0].event == "checkpoint.deleted"
    assert awaited(client.get_audit_log_async()).entries[0].event_details == {"a": 1}
    usage = client.get_billing_usage("2026-08-01T12:00:00Z", datetime(2026, 8, 2, tzinfo=UTC)).result(10)
    assert usage.data[0].event_info == types.TrainingBillingEvent(token_count=5)
    assert usage.data[1].event_info.anything == 1
    assert usage.sessions["S"].user_metadata == {"a": "b"}
    assert awaited(client.get_billing_usage_async("2026-08-01", "2026-08-02")).data == usage.data
    assert client.get_current_checkpoint_storage_usage("p").result(10).data[0].size_gigabytes == 0.5
    assert awaited(client.get_current_checkpoint_storage_usage_async()).data[0].project_id == "p"


class Watched:
    """A transport that keeps the requests which it sends."""

    def __init__(self, inner: AsgiTransport) -> None:
        self.inner = inner
        self.sent: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        return await self.inner.send(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


def test_a_large_log_is_fetched_from_where_it_is_kept() -> None:
    """It is answered by a redirect, which the transport follows without the key."""
    server = ScriptedServer()
    server.faults["audit"] = [Reply(body=AUDIT)]
    watched = Watched(server.transport())
    AdminClient(Connection("http://scripted.test", KEY, transport=watched)).get_audit_log().result(10)
    assert [(r.url, r.follow_redirects) for r in watched.sent if "audit" in r.url] == [
        ("http://scripted.test/api/v1/audit?event_type=all", True)
    ]


def test_times_that_are_none_are_refused_at_the_call() -> None:
    server = ScriptedServer()
    for client in (scripted(server), scripted(server, AdminClient)):
        with pytest.raises(ValueError, match="ISO 8601"):
            client.get_billing_usage("yesterday", "2026-08-02T00:00:00Z")
        with pytest.raises(TypeError, match="datetime"):
            client.get_billing_usage(3, 4)
    assert server.seen == []


def test_an_answer_that_is_something_else_is_a_typed_error() -> None:
    server = ScriptedServer()
    server.faults["S"] = [Reply(body={"training_run_ids": 3, "sampler_ids": []})]
    with pytest.raises(tinker_hl.APIResponseValidationError, match="API"):
        scripted(server).get_session("S").result(10)


@pytest.mark.parametrize("kind", [RestClient, AdminClient])
def test_the_process_has_one_connection_for_an_address_and_a_key(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessionless, "_shared", {})
    monkeypatch.setenv("TINKER_API_KEY", "tml-of-the-environment")
    first, second = (
        kind(base_url="http://127.0.0.1:9", api_key="tml-a"),
        RestClient(base_url="http://127.0.0.1:9", api_key="tml-a"),
    )
    assert first._connection is second._connection
    assert first._connection.ever_answered is False  # nothing was asked yet
    others = [
        kind(base_url="http://127.0.0.1:9", api_key="tml-b"),
        kind(base_url="http://127.0.0.1:8", api_key="tml-a"),
        kind(base_url="http://127.0.0.1:9"),
    ]
    assert len({id(client._connection) for client in (first, *others)}) == 4
    assert "tml-a" not in repr(sessionless._shared)
    with pytest.raises(ValueError, match="not both"):
        kind(first._connection, api_key="tml-a")


@pytest.mark.parametrize("kind", [RestClient, AdminClient])
def test_what_is_told_later_in_a_process_counts_from_then_on(
    kind: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A login, another login, another variable: none is hidden by the connection of before."""
    monkeypatch.setattr(sessionless, "_shared", {})
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TINKER_API_KEY", "TINKER_CREDENTIAL_CMD", "TINKER_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)

    def made() -> Connection:
        connection: Connection = kind(base_url="http://127.0.0.1:9")._connection
        assert connection is kind(base_url="http://127.0.0.1:9")._connection
        return connection

    store, keyless = CredentialStore(), made()
    connections = [keyless]
    for key in ("tml-first", "tml-second"):
        store.add("mine", StoredKey(key=key, name="mine"), default=True)
        connections.append(made())
        assert connections[-1].credential.origin == (str(store.path), key)
    monkeypatch.setenv("TINKER_CREDENTIAL_CMD", "echo tml-third")
    connections.append(made())
    monkeypatch.setenv("TINKER_TIMEOUT", "7")
    connections.append(made())
    assert connections[-1].settings["timeout"] == 7.0
    assert len({id(connection) for connection in connections}) == 5
    assert "tml-" not in repr(sessionless._shared)


def test_threads_that_ask_at_once_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessionless, "_shared", {})
    ready = threading.Barrier(8)

    def make() -> Connection:
        ready.wait(10)
        return RestClient(base_url="http://127.0.0.1:9", api_key="tml-a")._connection

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = [future.result(10) for future in [pool.submit(make) for _ in range(8)]]
    assert len({id(connection) for connection in made}) == 1


PROGRAM = """
import sys, tinker_hl
for kind in (tinker_hl.RestClient, tinker_hl.AdminClient):
    client = kind(base_url=sys.argv[1], api_key=sys.argv[2])
print(tinker_hl.RestClient(base_url=sys.argv[1], api_key=sys.argv[2]).list_sessions().result(30).sessions)
"""


def test_it_is_closed_with_the_process_without_a_word(socket_service: SocketService) -> None:
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", PROGRAM, socket_service.base_url, KEY]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("[")


def test_a_clock_of_a_test_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinker_hl.retry import clock_by_default

    monkeypatch.setattr(sessionless, "_shared", {})
    with clock_by_default(InstantClock()):
        inside = RestClient(base_url="http://127.0.0.1:9", api_key="tml-a")
    outside = RestClient(base_url="http://127.0.0.1:9", api_key="tml-a")
    assert outside._connection is not inside._connection


def test_a_closed_client_of_the_service_says_so() -> None:
    server = ScriptedServer()
    service = server.client()
    rest = service.create_rest_client()
    service.close().result(10)
    with pytest.raises(RuntimeError, match="closed"):
        rest.list_sessions().result(10)


WITHOUT_TWIN = {
    "get_server_capabilities",
    "get_telemetry",
    "get_weights_info_by_tinker_path",
    "iter_training_runs",
    "iter_user_checkpoints",
    "search_sessions",
    "whoami",
}


@pytest.mark.parametrize("kind", [RestClient, AdminClient])
def test_each_twin_takes_what_its_method_takes(kind: Any) -> None:
    names = {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
    plain = {name for name in names if not name.endswith("_async")}
    assert {name for name in plain if f"{name}_async" not in names} == WITHOUT_TWIN & plain
    for name in plain - WITHOUT_TWIN:
        twin = getattr(kind, f"{name}_async")
        assert inspect.iscoroutinefunction(twin)
        assert inspect.signature(twin).parameters == inspect.signature(getattr(kind, name)).parameters
