"""R14: no secret leaves the process by another door than the header that it is meant for.

A run with recognisable keys, tokens and passwords against the real service, which trains; then everything that the run
has shown, written, sent and pickled is searched for them, in plain text and as base64.
"""

import base64
import io
import logging
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from client_bench import SocketService
from scripted_server import Reply, ScriptedServer, Seen

import tinker_hl
import tinker_local
from tinker_hl import AdamParams, Datum, ModelInput, SamplingClient, SamplingParams, ServiceClient
from tinker_hl.checkpoints import download
from tinker_hl.credentials import CredentialStore, StoredKey
from tinker_hl.transport import NetworkTransport
from tinker_hl.transport.base import Request, Response
from tinker_local.app import create_app
from tinker_local.engine.process import ProcessEngine
from tinker_local.settings import ModelSource, Settings

TINY = ModelSource(name="tinker-hl/tiny", path=str(Path(tinker_local.__file__).parent / "models" / "tiny"))
KEY = "tml-recognisable-key-4f1c"
ACCESS = "recognisable-cloudflare-secret-9d2e"
WEIGHTS = "recognisable-weights-token-77aa"
OWN_HEADER = "recognisable-own-header-5b0b"
DATUM = Datum(ModelInput.from_ints([104, 101, 108]), {"target_tokens": [101, 108, 108]})


class Recorded(NetworkTransport):
    """The network, and all that went over it."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        return await super().send(request)


@attrs.frozen
class Place:
    """The machine that the run happens on."""

    service: SocketService
    data: Path
    home: Path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SocketService, Path]]:
    """The real service, which trades keys for tokens."""
    data = tmp_path_factory.mktemp("secrets")
    engine = ProcessEngine([TINY], threads=1)
    settings = Settings(data_dir=data, models=(TINY,), api_keys=(KEY,), token_auth=True)
    over_socket = SocketService(create_app(settings, engine))
    yield over_socket, data
    over_socket.close()


@pytest.fixture
def place(service: tuple[SocketService, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A home of its own, reports on, and the address and the passwords in the environment."""
    for variable in ("TINKER_API_KEY", "TINKER_CREDENTIAL_CMD"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TINKER_TELEMETRY", "1")
    monkeypatch.setenv("TINKER_BASE_URL", service[0].base_url)
    monkeypatch.setenv("CLOUDFLARE_ACCESS_CLIENT_SECRET", ACCESS)
    return Place(service[0], service[1], tmp_path)


def forms(secret: str) -> list[bytes]:
    """A secret in plain text, and inside base64 at each of the three places where it can begin."""
    found = [secret.encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret.encode())
        # The characters at both ends depend on what stands beside the secret.
        found += [encoded[4:-4], base64.urlsafe_b64encode(b"\0" * shift + secret.encode())[4:-4]]
    return found


def places_of(secrets: Iterable[str], shown: dict[str, object]) -> list[str]:
    """Where one of the secrets is."""
    searched = [form for secret in secrets for form in forms(secret)]
    texts = {name: value if isinstance(value, bytes) else str(value).encode() for name, value in shown.items()}
    return [name for name, text in texts.items() if any(form in text for form in searched)]


def shown_by(error: BaseException) -> dict[str, object]:
    """All ways in which an error is shown."""
    name = type(error).__name__
    return {
        f"str({name})": error,
        f"repr({name})": repr(error),
        f"vars({name})": vars(error),
        f"pickle({name})": pickle.dumps(error),
        f"traceback({name})": "".join(traceback.format_exception(error)),
    }


def files(folder: Path) -> dict[str, object]:
    """Every file below a folder, but for the login itself."""
    return {
        str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.parent.name != ".tinker"
    }


def failed(call: Any) -> tinker_hl.TinkerError:
    """The error of a call that must fail."""
    with pytest.raises(tinker_hl.TinkerError) as caught:
        call()
    return caught.value


def trained(service: ServiceClient, folder: Path) -> dict[str, object]:
    """Train, sample, save, fetch, fail; all that was shown on the way."""
    events: list[tinker_hl.Event] = []
    service.subscribe(events.append)
    training = service.create_lora_training_client(TINY.name, rank=4, seed=1)
    future = training.forward_backward([DATUM], "cross_entropy")
    training.optim_step(AdamParams(learning_rate=1e-3)).result(60)
    sampler = training.save_weights_and_get_sampling_client()
    sampler.sample(ModelInput.from_ints([104]), 1, SamplingParams(max_tokens=2)).result(60)
    saved = training.save_weights_for_sampler("kept").result(60)
    rest = service.create_rest_client()
    download(rest, saved.path, folder / "adapter")
    errors = [
        failed(lambda: rest.get_training_run("no-such-run").result(60)),
        failed(lambda: rest.copy_weights("tinker://a/weights/b", "p", weights_access_token=WEIGHTS).result(60)),
        failed(lambda: training.load_state("tinker://a/weights/b", weights_access_token=WEIGHTS).result(60)),
    ]
    telemetry = service.get_telemetry()
    assert telemetry is not None
    telemetry.log("mine", {"key": KEY, "token": service._session.connection.credential.secrets[-1]})
    telemetry.log_exception_sync(ValueError(f"wrong: {KEY}"))
    connection = service._session.connection
    objects = [service, training, sampler.result(60), rest, future, connection, connection.credential, telemetry]
    objects += [
        service._session,
        connection.transport,
        training.get_info(),
        saved,
        future.result(60),
        rest.whoami().result(60),
    ]
    shown: dict[str, object] = {f"repr({type(value).__name__})": repr(value) for value in objects}
    shown |= {f"event {number}": f"{event!r} {event.detail} {event.fields}" for number, event in enumerate(events)}
    for error in errors:
        shown |= shown_by(error)
    return shown


@pytest.mark.timeout(180)
@pytest.mark.parametrize("source", ["argument", "environment", "command", "login"])
def test_r14_a_run_shows_no_secret(
    place: Place, source: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if source == "environment":
        monkeypatch.setenv("TINKER_API_KEY", KEY)
    elif source == "command":
        monkeypatch.setenv("TINKER_CREDENTIAL_CMD", f"echo {KEY}")
    elif source == "login":
        CredentialStore().add("1", StoredKey(key=KEY, name="laptop"), default=True)
    transport = Recorded()
    with caplog.at_level(logging.DEBUG):
        service = ServiceClient(
            api_key=KEY if source == "argument" else None,
            transport=transport,
            default_headers_overrides={"X-My-Token": OWN_HEADER},
        )
        with service:
            shown = trained(service, place.home)
            secrets = [KEY, ACCESS, WEIGHTS, OWN_HEADER, service._session.connection.credential.secrets[-1]]
        tinker_hl.loop.run(transport.aclose()).result(10)
    assert secrets[-1].startswith("eyJ"), "the key was traded for a token"
    shown["log"] = caplog.text
    shown |= files(place.home) | files(place.data)
    for number, request in enumerate(transport.requests):
        shown[f"request {number} to {request.url}"] = repr(request)
        body = (
            (request.content or b"").replace(WEIGHTS.encode(), b"")
            if "load_weights" in request.url
            else request.content
        )
        shown[f"body {number} to {request.url}"] = body or b""
        others = {name for name, value in request.headers.items() if value in secrets}
        allowed = {"X-API-Key", "CF-Access-Client-Secret", "X-My-Token", "X-Tinker-Weights-Access-Token"}
        assert {name.lower() for name in others} <= {name.lower() for name in allowed}
    assert any("/telemetry" in name for name in shown)
    assert any("adapter_model" in name for name in shown)
    assert places_of(secrets, shown) == []


def test_fault_26_clients_and_errors_are_pickled_without_keys(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official client pickles the key in plain text, within clients and within errors."""
    with ServiceClient(api_key=KEY, default_headers_overrides={"X-My-Token": OWN_HEADER}) as service:
        sampler = service.create_sampling_client(base_model=TINY.name).result(60)
        error = failed(lambda: service.create_rest_client().get_training_run("no-such-run").result(60))
        secrets = [KEY, ACCESS, OWN_HEADER, service._session.connection.credential.secrets[-1]]
        content, handle = pickle.dumps(sampler), sampler.get_sampler_handle()
        shown: dict[str, object] = {"client": content, "handle": handle, "decoded": base64.urlsafe_b64decode(handle)}
        assert places_of(secrets, shown | shown_by(error)) == []
        for thing in (service, service.create_lora_training_client(TINY.name, rank=4).result(60)):
            with pytest.raises(TypeError, match="pickle"):
                pickle.dumps(thing)
        # Whoever opens them uses a credential of their own.
        monkeypatch.setenv("TINKER_API_KEY", KEY)
        for copy in (pickle.loads(content), SamplingClient.from_sampler_handle(handle)):
            copy.sample(ModelInput.from_ints([104]), 1, SamplingParams(max_tokens=1)).result(60)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_r14_a_server_that_quotes_the_key_does_not_put_it_into_errors(caplog: pytest.LogCaptureFixture) -> None:
    server = ScriptedServer(config={})

    async def quoting(request: Seen) -> Reply:
        said = f"{request.headers['x-api-key']} may not, and {request.headers['x-my-token']} neither"
        return Reply(403, {"detail": said}, {"x-quoted": request.headers["x-api-key"], "set-cookie": "recognisable"})

    server.results["OptimStep"] = {}
    server.faults["get_server_capabilities"] = [quoting]
    server.results["ForwardBackward"] = {"error": f"no data for {KEY}", "category": "user"}
    events: list[tinker_hl.Event] = []
    with (
        caplog.at_level(logging.DEBUG),
        server.client(api_key=KEY, default_headers_overrides={"X-My-Token": OWN_HEADER}) as client,
    ):
        client.subscribe(events.append)
        errors = [failed(client.get_server_capabilities)]
        training = client.create_lora_training_client("base")
        errors.append(failed(lambda: training.forward_backward([DATUM], "cross_entropy").result(10)))
    shown: dict[str, object] = {"log": caplog.text, "events": events}
    for error in errors:
        shown |= shown_by(error)
    assert places_of([KEY, OWN_HEADER, "recognisable"], shown) == []
    assert "may not" in str(errors[0])


SCRIPT = """
import logging
import tinker_hl
from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams
service = tinker_hl.ServiceClient()
training = service.create_lora_training_client("tinker-hl/tiny", rank=4)
data = [Datum(ModelInput.from_ints([1, 2]), {"target_tokens": [2, 3]})]
print(training.forward_backward(data, "cross_entropy").result(60), training.optim_step(AdamParams()).result(60))
sampler = training.save_weights_and_get_sampling_client()
print(service, training, sampler, sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=1)).result(60))
service.create_rest_client().get_training_run("no-such-run").result(60)
"""


def test_r14_the_log_of_a_program_shows_no_secret(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_API_KEY", KEY)
    monkeypatch.setenv("TINKER_LOG", "debug")
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, timeout=100, check=False)
    assert b"NotFoundError" in ended.stderr
    assert b"TrainingClient.optim_step sent" in ended.stderr, "the log was shown"
    assert places_of([KEY, ACCESS], {"output": ended.stdout, "errors": ended.stderr}) == []
    assert b"eyJ" not in ended.stdout + ended.stderr, "nor a token"


@pytest.mark.parametrize("shift", range(4))
def test_the_search_finds_what_is_there(shift: int) -> None:
    hidden = b"x" * shift + KEY.encode() + b"yz"
    for text in (hidden, base64.b64encode(hidden), base64.urlsafe_b64encode(hidden)):
        assert places_of([KEY], {"here": text, "there": b"nothing"}) == ["here"]
    assert places_of([KEY], {"shown": repr({"a": KEY}), "kept": io.BytesIO(b"").read()}) == ["shown"]
