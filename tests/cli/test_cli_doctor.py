"""`tinker-hl doctor`: each check finds what is wrong and says what to do; one that fails stops no other."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tinker_hl.cli import client_checks, doctor, entry
from tinker_hl.errors import ConfigurationError, TinkerError
from tinker_local import checks


class Answer(BaseHTTPRequestHandler):
    """Answers everything alike."""

    status, body = 200, b"something else"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Answer]]:
    """Something listens on the usual port, which is another one here."""
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        monkeypatch.setattr(checks, "_PORT", server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Answer
        server.shutdown()
        thread.join()


def test_all_is_well_and_a_model_learns(
    reached: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TINKER_HL_HOME", str(tmp_path))
    assert entry.run(["doctor"]) == 0
    out = capsys.readouterr().out
    for name in (*client_checks.CHECKS, *checks.CHECKS):
        assert f"ok   {name} " in out
    assert f"{reached} serves tinker-hl/tiny" in out
    assert "in 3 steps" in out
    assert out.endswith("All is well.\n")


def test_quick_json_has_every_check_but_the_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise ConfigurationError("it is broken.", hint="Mend it.")

    monkeypatch.setitem(checks.CHECKS, "clock", broken)  # type: ignore[misc]
    assert entry.run(["doctor", "--quick", "--format", "json"]) == entry.FAILED
    found = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)["checks"]}
    assert set(found) == {*client_checks.CHECKS, *checks.CHECKS} - {"training"}
    assert (found["clock"]["ok"], found["clock"]["detail"]) == (False, "it is broken. Mend it.")
    assert found["memory"]["ok"], "one that fails stops no other"


def test_no_key_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-a-recognisable-key")
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:1")
    assert client_checks.credential() == "from TINKER_API_KEY, for http://127.0.0.1:1"
    monkeypatch.setenv("TINKER_API_KEY", "tml-a-recognisable-key with a space")
    (finding,) = doctor.examined({"credential": client_checks.credential})
    assert not finding.ok
    assert "recognisable" not in finding.detail


def test_a_server_that_cannot_be_reached_is_told_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("TINKER_BASE_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(TinkerError, match=str(port)):
        client_checks.server()


def test_a_clock_that_differs_is_told(reached: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "serves" in client_checks.server()
    now = client_checks.time.time
    monkeypatch.setattr(client_checks.time, "time", lambda: now() + 3600)
    with pytest.raises(RuntimeError, match=r"differs from that of .* by 3[56]"):
        client_checks.server()


def test_a_loss_that_does_not_fall_is_told(reached: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinker_hl.ServiceClient", Stubborn)
    with pytest.raises(RuntimeError, match="did not fall"):
        client_checks.training()


class Stubborn:
    """A service that learns nothing: whatever it is asked for is itself, and the loss stays."""

    metrics = {"loss:sum": 1.0}  # noqa: RUF012

    def __init__(self, **_: object) -> None:
        pass

    def __enter__(self) -> "Stubborn":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> "Stubborn":
        return self

    def __call__(self, *_: object, **__: object) -> "Stubborn":
        return self

    def encode(self, text: str) -> list[int]:
        return [1, 2, 3]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_HL_HOME", str(tmp_path / "not" / "there"))
    assert f"{tmp_path}/not/there/local" in checks.data_folder()
    assert list(tmp_path.iterdir()) == [], "nothing is left"

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinker_local.durable.flush_file", refuse)
    with pytest.raises(RuntimeError, match=r"No space left on device.*TINKER_HL_HOME"):
        checks.data_folder()


def test_a_disk_that_is_nearly_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_HL_HOME", str(tmp_path))
    monkeypatch.setattr(checks, "_LEAST_DISK", 2**62)
    with pytest.raises(RuntimeError, match="GiB are free at"):
        checks.data_folder()


def test_the_port_is_free_or_whose_it_is(taken: type[Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="taken by something else; use serve --port"):
        checks.port()
    monkeypatch.setattr(taken, "body", b'{"status":"ok"}')
    assert checks.port().endswith("is taken by a service that is ready")
    monkeypatch.setattr(taken, "body", b'{"detail":"the engine is starting","code":"unavailable"}')
    monkeypatch.setattr(taken, "status", 503)
    assert checks.port().endswith("is taken by a service that is starting")


def test_a_free_port_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setattr(checks, "_PORT", closed.getsockname()[1])
    assert checks.port().endswith("is free")


def test_a_clock_that_was_never_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert datetime.fromisoformat(checks.clock()).tzinfo == UTC
    monkeypatch.setattr(checks.time, "time", lambda: 1000.0)
    with pytest.raises(RuntimeError, match="1970-01-01; set it"):
        checks.clock()


def test_too_little_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "GiB unused of" in checks.memory()
    monkeypatch.setattr(checks, "_LEAST_MEMORY", 2**62)
    with pytest.raises(RuntimeError, match="a service needs"):
        checks.memory()


def test_what_is_not_installed_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "local"

        def load(self) -> None:
            raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.setattr(doctor, "entry_points", lambda group: [Point()])
    (finding,) = doctor.examined(doctor.all_checks())
    assert not finding.ok
    assert "pip install 'tinker-hl[local]'" in finding.detail
