"""`examples/admin_checkpoints.py`: the raw generated client against a local service, and the choice of what is old."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tinker_api import AuthenticatedClient
from tinker_api.api.checkpoints import publish_checkpoint
from tinker_api.api.futures import retrieve_future
from tinker_api.api.sessions import create_session
from tinker_api.api.training import create_model
from tinker_api.api.weights import save_weights
from tinker_api.models import (
    CheckpointKind,
    CreateModelRequest,
    CreateSessionRequest,
    FutureRetrieveRequest,
    LoraConfig,
    SaveWeightsRequest,
    UntypedAPIFuture,
)

from examples.admin_checkpoints import clean_up, connect, main
from tinker_local import embedded
from tinker_local.embedded import EmbeddedService

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "admin_checkpoints.py"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedService]:
    with embedded.start(engine="null", data_dir=tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def run_id(service: EmbeddedService) -> Iterator[str]:
    """A training run with the checkpoints `first` and `second`, and `shared`, which is published."""
    with connect(service.base_url, service.api_key) as client:
        session = create_session.sync(client=client, body=CreateSessionRequest(tags=[], sdk_version="0.38.0"))
        assert session is not None
        config = LoraConfig(rank=4)
        request = CreateModelRequest(session.session_id, 0, "tinker-hl/tiny", lora_config=config)
        model_id: str = resolved(client, create_model.sync(client=client, body=request))["model_id"]
        for place, name in enumerate(["first", "second", "shared"], start=1):
            saving = SaveWeightsRequest(model_id, path=name, seq_id=place)
            resolved(client, save_weights.sync(client=client, body=saving))
        publish_checkpoint.sync_detailed(model_id, CheckpointKind.WEIGHTS, "shared", client=client)
        yield model_id


def resolved(client: AuthenticatedClient, future: UntypedAPIFuture | None) -> Any:
    """Poll a promise to its result."""
    assert future is not None
    while True:
        answer = retrieve_future.sync_detailed(client=client, body=FutureRetrieveRequest(future.request_id))
        payload = json.loads(answer.content)
        if payload.get("type") != "try_again":
            assert "error" not in payload, payload
            return payload


@pytest.fixture
def environment(service: EmbeddedService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", service.base_url)
    monkeypatch.setenv("TINKER_API_KEY", service.api_key)


@pytest.mark.usefixtures("environment")
def test_old_checkpoints_are_listed_then_named_then_deleted(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert run_id in listed
    assert all(f"weights/{name}" in listed for name in ("first", "second", "shared"))
    assert "old" not in listed

    assert main(["--older-than", "30"]) == 0
    assert "0 checkpoints older than 30 days" in capsys.readouterr().out

    assert main(["--older-than", "0"]) == 0
    said = capsys.readouterr().out
    assert "2 checkpoints older than 0 days" in said
    assert "Nothing was deleted" in said

    assert main(["--older-than", "0", "--yes"]) == 0
    said = capsys.readouterr().out
    assert f"tinker://{run_id}/weights/first: deleted" in said
    assert f"tinker://{run_id}/weights/second: deleted" in said

    assert main([]) == 0
    left = capsys.readouterr().out
    assert "weights/first" not in left
    assert "weights/shared" in left


def test_it_runs_as_a_script(service: EmbeddedService, run_id: str) -> None:
    environment = {**os.environ, "TINKER_BASE_URL": service.base_url + "/", "TINKER_API_KEY": service.api_key}
    command = [sys.executable, str(SCRIPT), "--older-than", "30"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert run_id in done.stdout


def test_a_wrong_key_is_told_and_nothing_is_done(
    service: EmbeddedService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", service.base_url)
    monkeypatch.setenv("TINKER_API_KEY", "tml-wrong")
    assert main(["--older-than", "0", "--yes"]) == 1
    assert "401" in capsys.readouterr().err


def test_deleting_wants_to_know_what(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--yes"])
    assert "--older-than" in capsys.readouterr().err
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "TINKER_BASE_URL is not set" in capsys.readouterr().err


def checkpoint(run: str, name: str, *, age: float, public: bool = False) -> dict[str, object]:
    """A checkpoint `age` days old."""
    time = (NOW - timedelta(days=age)).isoformat()
    path = f"tinker://{run}/weights/{name}"
    described = {"checkpoint_id": f"weights/{name}", "checkpoint_type": "training", "time": time, "tinker_path": path}
    return {**described, "size_bytes": 2**20, "public": public}


class Archive:
    """A server of 250 runs with one checkpoint each, as many days old as the run's number; every tenth is public."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def client(self) -> AuthenticatedClient:
        transport = httpx.MockTransport(self.answer)
        return connect("http://server", "k").set_httpx_client(
            httpx.Client(base_url="http://server", transport=transport)
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        run = request.url.path.removeprefix("/api/v1/training_runs").strip("/").split("/")[0]
        if request.method == "DELETE":
            self.deleted.append(run)
            return httpx.Response(404 if run == "run-249" else 204)
        if run:
            number = int(run.removeprefix("run-"))
            kept = [checkpoint(run, "a", age=number + 0.01, public=number % 10 == 0)]
            return httpx.Response(200, json={"checkpoints": kept})
        offset, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
        page = [self.run(number) for number in range(offset, min(offset + limit, 250))]
        return httpx.Response(
            200, json={"training_runs": page, "cursor": {"offset": offset, "limit": limit, "total_count": 250}}
        )

    def run(self, number: int) -> dict[str, object]:
        described = {"training_run_id": f"run-{number}", "base_model": "b", "model_owner": "o", "is_lora": True}
        return {**described, "last_request_time": NOW.isoformat()}


def test_the_old_are_chosen_over_all_pages_and_the_public_stay(capsys: pytest.CaptureFixture[str]) -> None:
    archive = Archive()
    assert clean_up(archive.client(), 240, delete=False) == 0
    assert archive.deleted == []
    assert "9 checkpoints older than 240 days, 9.0 MiB" in capsys.readouterr().out
    assert clean_up(archive.client(), 240, delete=True) == 0
    assert archive.deleted == [f"run-{number}" for number in range(241, 250)]
    assert "tinker://run-249/weights/a: was gone already" in capsys.readouterr().out
