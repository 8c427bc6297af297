"""Each request in the log: quietly where all is well, with what is needed where it is not, and never with a secret."""

import asyncio
import logging
from collections.abc import Sequence

import pytest
from service_bench import SOURCES, Api, Bench

from tinker_local.engine.null import NullEngine
from tinker_local.engine.protocol import BaseModelInfo


class NeverReady(NullEngine):
    async def start(self) -> Sequence[BaseModelInfo]:
        await asyncio.Event().wait()
        return await super().start()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("tinker_local"), "propagate", True)
    caplog.set_level(logging.DEBUG, "tinker_local.observation")
    return caplog


def test_requests_are_told_with_operation_status_and_time(api: Api, told: pytest.LogCaptureFixture) -> None:
    api.session()
    api.refused(404, "get_session", path={"session_id": "nobody"})
    lines = [record for record in told.records if record.name == "tinker_local.observation"]
    assert [(line.levelname, line.getMessage()) for line in lines] == [
        ("DEBUG", "POST /api/v1/create_session"),
        ("INFO", "GET /api/v1/sessions/nobody"),
    ]
    fields = [line.__dict__["fields"] for line in lines]
    assert [(field["operation"], field["status"]) for field in fields] == [
        ("create_session", 200),
        ("get_session", 404),
    ]
    assert all(field["ms"] >= 0 for field in fields)


def test_a_service_that_is_not_ready_yet_says_so_quietly(bench: Bench, told: pytest.LogCaptureFixture) -> None:
    api = bench.start(NeverReady(SOURCES), wait=False)
    api.refused(503, "get_health")
    (line,) = [record for record in told.records if record.getMessage() == "GET /api/v1/healthz"]
    assert (line.levelname, line.__dict__["fields"]["status"]) == ("DEBUG", 503)


def test_no_query_is_told(api: Api, told: pytest.LogCaptureFixture) -> None:
    """Links for downloads are signed in theirs."""
    api.request("GET", "/downloads/run/weights/name?expires=1&signature=abcdef")
    assert "GET /downloads/run/weights/name" in told.text
    assert "abcdef" not in told.text
