"""`tinker-hl probe`: every operation of a server, and the deviations S1 to S9."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import attrs
import pytest
from command_line import MODEL, Line

from tinker_hl.connection import Connection
from tinker_hl.futures import APIFuture
from tinker_hl.probing import OPERATIONS, Tried, Verdict, probe_operations, verdicts
from tinker_hl.probing.operations import Probe
from tinker_hl.probing.steps import STEPS
from tinker_local import embedded

UNTRIED = ["delete_api_key", "import_weights"]


def test_every_operation_of_the_spec_has_a_step() -> None:
    assert sorted(STEPS) == list(OPERATIONS)
    assert [name for name, step in STEPS.items() if isinstance(step, str)] == UNTRIED


def test_the_local_service_offers_everything(line: Line, reached: str) -> None:
    told = line.json("probe")
    assert told["model"] == MODEL
    outcomes = {one["operation"]: one["outcome"] for one in told["operations"]}
    assert sorted(outcomes) == list(OPERATIONS)
    assert {name for name, outcome in outcomes.items() if outcome != "offered"} == set(UNTRIED)
    assert [verdict["number"] for verdict in told["verdicts"]] == [f"S{number}" for number in range(1, 10)]
    assert {verdict["found"] for verdict in told["verdicts"]} == {"as it should be"}
    assert line.json("model", "list")["models"], "the key is still good"


def test_it_leaves_no_checkpoint(line: Line, reached: str) -> None:
    before = line.json("checkpoint", "list", "--limit", "0")["checkpoints"]
    out, err = line.both("probe", "--model", MODEL)
    assert "48 offered, 2 not tried; 0 deviations." in err
    assert out.splitlines()[0].split() == ["Operation", "Outcome", "Detail"]
    assert line.json("checkpoint", "list", "--limit", "0")["checkpoints"] == before


@pytest.fixture(scope="module")
def probed(service: embedded.EmbeddedService) -> tuple[Probe, dict[str, Tried]]:
    tried: dict[str, Tried] = {}

    async def ask() -> Probe:
        connection = Connection(service.base_url, service.api_key)
        return await probe_operations(connection, MODEL, lambda one: tried.update({one.operation: one}))

    return APIFuture(ask()).result(60), tried


DEVIATIONS: dict[str, Any] = {
    "S1": lambda probe, tried: probe.promises["sample"].update(sample_sequence_ids=None),
    "S2": lambda probe, tried: _missing(tried, "finish_session"),
    "S3": lambda probe, tried: probe.answers["load_weights"].update(model_id="another"),
    "S4": lambda probe, tried: probe.answers["sample"]["prompt_logprobs"].pop(0),
    "S5": lambda probe, tried: probe.answers["forward_backward"].update(metrics={}),
    "S7": lambda probe, tried: probe.losses.update(cispo="unknown loss"),
    "S9": lambda probe, tried: probe.answers["get_server_capabilities"].update(supported_models=[]),
}


def _missing(tried: dict[str, Tried], operation: str) -> None:
    tried[operation] = attrs.evolve(tried[operation], outcome="missing", detail="status 404")


@pytest.mark.parametrize("number", list(DEVIATIONS))
def test_a_deviation_is_found(probed: tuple[Probe, dict[str, Tried]], number: str) -> None:
    """Each is brought about in what the server answered; S6 is asked for anew."""
    import copy

    probe, tried = copy.copy(probed[0]), dict(probed[1])
    probe.answers, probe.promises = copy.deepcopy(probe.answers), copy.deepcopy(probe.promises)
    probe.losses = dict(probe.losses)
    DEVIATIONS[number](probe, tried)
    found: list[Verdict] = APIFuture(verdicts(probe, tried)).result(60)
    assert [verdict.number for verdict in found if verdict.found != "as it should be"] == [number]
    assert all(verdict.detail for verdict in found if verdict.number == number)


class Nothing(BaseHTTPRequestHandler):
    """A server that has none of it."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def nothing() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Nothing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_server_that_has_none_of_it(line: Line, nothing: str) -> None:
    told = line.json("probe", "--base-url", nothing, "--model", "any", code=1)
    outcomes = {one["outcome"] for one in told["operations"]}
    assert outcomes == {"missing", "not tried"}
    found = {verdict["number"]: verdict["found"] for verdict in told["verdicts"]}
    assert found["S8"] == "as it should be", "its absence is a 404"
    assert found["S1"] == found["S5"] == "not told"
    assert found["S6"] == "deviates"
