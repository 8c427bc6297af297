"""The Hugging Face hub's own variables: its token, its files and its silence are what a user of it expects.

T-007, T-172: each variable is read by a process of its own, as the library reads them when it is imported.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOKEN = "hf_of_the_user"
PROGRAM = """
import sys
from tinker_hl.errors import ConfigurationError
from tinker_hl.tokenizer import load_tokenizer
try:
    load_tokenizer(sys.argv[1])
except ConfigurationError as error:
    print(error)
"""


class Hub(ThreadingHTTPServer):
    """A hub that has nothing, and remembers who asked for what."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.asked: dict[str, set[str]] = {}
        """Repository -> the credentials that it was asked for with; "" for none."""


class _Asked(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        name = self.path.removeprefix("/api/models/").partition("/revision")[0]
        self.server.asked.setdefault(name, set()).add(self.headers.get("authorization", ""))
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("content-length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the name that the library calls

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing to stderr."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def started(hub: Hub, home: Path, model: str, variables: dict[str, str]) -> subprocess.Popen[str]:
    names = ("HF_", "HUGGING", "XDG_", "http", "HTTP", "all_", "ALL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    environment |= {"HOME": str(home), "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, model],
        env=environment | {"HF_HUB_DISABLE_TELEMETRY": "1"} | variables,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_each_place_of_a_token_is_known_and_the_offline_switch_is_obeyed(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "huggingface").mkdir()
    (tmp_path / "huggingface" / "token").write_text(TOKEN)
    told = {
        "HF_TOKEN": {"HF_TOKEN": TOKEN},
        "HUGGING_FACE_HUB_TOKEN": {"HUGGING_FACE_HUB_TOKEN": TOKEN},
        "HF_TOKEN_PATH": {"HF_TOKEN_PATH": str(tmp_path / "token")},
        "HF_HOME": {"HF_HOME": str(tmp_path)},
        "XDG_CACHE_HOME": {"XDG_CACHE_HOME": str(tmp_path)},
        "none": {"HF_HOME": str(tmp_path / "empty")},
        "HF_HUB_OFFLINE": {"HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"},
    }
    running = {name: started(hub, tmp_path, f"of/{name}", variables) for name, variables in told.items()}
    said = {name: process.communicate(timeout=120)[0] for name, process in running.items()}
    for name, text in said.items():
        assert f"no tokenizer for 'of/{name}'" in text
        assert TOKEN not in text
    asked = {name.removeprefix("of/"): credentials for name, credentials in hub.asked.items()}
    assert asked.pop("none") == {""}
    assert asked == {name: {f"Bearer {TOKEN}"} for name in told if name not in ("none", "HF_HUB_OFFLINE")}
