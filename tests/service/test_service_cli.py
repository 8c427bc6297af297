"""`serve`: what it accepts, what it says, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from tinker_local.cli import DATA_DIR_BUSY, TINY_MODEL, _event_loop, _listening, model_sources, serve
from tinker_local.datadir import held

SERVE = [sys.executable, "-m", "tinker_local.cli", "--engine", "null", "--port", "0", "--data-dir"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a model."""
    path = tmp_path / "my-model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    return path


def refused(*options: str | Path) -> Result:
    result = CliRunner(env={"TINKER_API_KEY": None}).invoke(serve, [str(option) for option in options])
    assert result.exit_code != 0
    return result


def test_names_of_models(folder: Path) -> None:
    sources = model_sources([str(folder), f"other={folder}", "org/model", f"mine={TINY_MODEL}"], ["a=other", "b=other"])
    assert [(source.name, source.aliases) for source in sources] == [
        ("my-model", ()),
        ("other", ("a", "b")),
        ("org/model", ()),
        ("mine", ()),
    ]
    assert [source.path for source in sources[:3]] == [str(folder), str(folder), "org/model"]


def test_the_packaged_model_is_the_default() -> None:
    (source,) = model_sources([], ["Qwen/Qwen3-8B=tinker-hl/tiny"])
    assert (source.name, source.aliases) == (TINY_MODEL, ("Qwen/Qwen3-8B",))
    assert (Path(source.path) / "config.json").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "./nowhere"], "no such folder"),
        (["--model", "a/b/c"], "no such folder"),
        (["--model", "=x"], "neither PATH_OR_NAME"),
        (["--model", "x="], "neither PATH_OR_NAME"),
        (["--model", "a=org/x", "--model", "a=org/y"], "same name"),
        (["--alias", "a"], "not ALIAS=NAME"),
        (["--alias", "a=unknown"], "served model: tinker-hl/tiny"),
        (["--alias", f"a={TINY_MODEL}", "--alias", f"a={TINY_MODEL}"], "has this name already"),
        (["--alias", f"{TINY_MODEL}={TINY_MODEL}"], "has this name already"),
        (["--host", "0.0.0.0"], "a key is needed"),
        (["--host", "example.org"], "a key is needed"),
        (["--api-key", " "], "--api-key is empty"),
        (["--port", "70000"], "70000"),
        (["--threads", "0"], "threads"),
    ],
)
def test_what_is_refused(options: list[str], message: str, tmp_path: Path) -> None:
    assert message in refused("--data-dir", tmp_path, *options).output


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    assert "no config.json" in refused("--model", tmp_path).output


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = refused("--port", str(port), "--data-dir", tmp_path)
    assert f"port {port} on 127.0.0.1 is in use; choose another with --port" in result.output


def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    result = refused("--host", "192.0.2.1", "--api-key", "tml-x", "--data-dir", tmp_path)
    assert "cannot listen on 192.0.2.1" in result.output


def test_a_data_folder_in_use_is_told(tmp_path: Path) -> None:
    with held(tmp_path / "data") as directory:
        result = refused("--port", "0", "--data-dir", directory)
    assert result.exit_code == DATA_DIR_BUSY
    assert "another service" in result.output


class Running:
    """A service in a process of its own, until it is told to end."""

    def __init__(self, directory: Path, *options: str) -> None:
        environment = os.environ | {"TINKER_API_KEY": "tml-from-the-environment"}
        self.process = subprocess.Popen(
            [*SERVE, str(directory), *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.greeting = ""
        for line in self.process.stdout:
            self.greeting += line
            if line.startswith("Data: "):
                break
        self.url = re.findall(r"http://\S+", self.greeting)[0]

    def end(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=30)
        return self.process.returncode, stderr


@pytest.fixture
def running(tmp_path: Path) -> Iterator[type[Running]]:
    """Services that are gone after the test."""
    started: list[Running] = []

    class Started(Running):
        def __init__(self, *options: str) -> None:
            super().__init__(tmp_path / "data", *options)
            started.append(self)

    yield Started
    for service in started:
        if service.process.poll() is None:
            service.process.kill()
        service.process.communicate()


def test_a_service_says_where_it_is_and_ends_on_a_signal(running: type[Running], tmp_path: Path) -> None:
    service = running()
    assert re.search(rf"^  {TINY_MODEL}: null, \d+ tokens$", service.greeting, re.MULTILINE)
    assert f"export TINKER_BASE_URL={service.url}\n" in service.greeting
    assert "export TINKER_API_KEY=tml-local\n" in service.greeting
    assert f"Data: {tmp_path / 'data'}." in service.greeting
    assert httpx.get(f"{service.url}/api/v1/healthz").status_code == 200
    assert httpx.get(f"{service.url}/api/v1/get_server_capabilities").status_code == 200
    code, stderr = service.end(signal.SIGTERM)
    assert code == 0
    assert "Traceback" not in stderr
    code, stderr = running().end(signal.SIGINT)
    assert code == 0
    assert "Traceback" not in stderr


def test_a_key_is_asked_for_and_never_shown(running: type[Running]) -> None:
    service = running("--api-key", "tml-chosen-by-me", "--alias", f"big={TINY_MODEL}", "--log-level", "debug")
    url = f"{service.url}/api/v1/get_server_capabilities"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"X-API-Key": "tml-from-the-environment"}).status_code == 401
    assert httpx.get(url, headers={"X-API-Key": "tml-chosen-by-me"}).status_code == 200
    assert f"{TINY_MODEL} (also big)" in service.greeting
    _, stderr = service.end(signal.SIGTERM)
    assert "tml-chosen-by-me" not in service.greeting + stderr


def test_any_address_takes_the_key_from_the_environment(running: type[Running]) -> None:
    service = running("--host", "0.0.0.0")
    port = service.url.rpartition(":")[2]
    url = f"http://127.0.0.1:{port}/api/v1/get_server_capabilities"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"X-API-Key": "tml-from-the-environment"}).status_code == 200


def test_a_small_answer_does_not_wait_for_an_acknowledgement() -> None:
    """Without TCP_NODELAY every second answer came 40 ms late."""
    with _listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_it_serves_on_the_fast_event_loop_and_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    import uvloop

    assert _event_loop() is uvloop.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert _event_loop() is None
