"""Stopping a service: what was begun comes to its result, nothing new is begun, and a second wish ends it at once."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from service_bench import OPERATIONS, Bench, GatedEngine, pass_body

from tinker_local.draining import begins_work

SERVE = [sys.executable, "-m", "tinker_local.cli", "--port", "0", "--data-dir"]
KEY = {"x-api-key": "tml-local"}


def test_what_promises_a_result_begins_work() -> None:
    assert {name for name, operation in OPERATIONS.items() if begins_work(operation)} == {
        "create_custom_loss",
        "create_model",
        "create_session",
        "forward",
        "forward_backward",
        "load_weights",
        "optim_step",
        "sample",
        "save_weights",
        "save_weights_external",
        "save_weights_for_sampler",
        "unload_model",
    }


def test_draining_refuses_the_new_and_finishes_the_old(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    session_id = api.session()
    model_id, sampler_id = api.model(session_id), api.sampler(session_id)
    engine.gate.clear()
    passes = [api.forward_backward(model_id, seq_id) for seq_id in range(1, 9)]
    sample = api.sample(sampler_id)
    drained = threading.Event()
    outcome: list[bool] = []

    async def drain() -> None:
        outcome.append(await api.service.draining.drain(60))
        drained.set()

    api.do(lambda: api.service.in_background(drain()))
    refusal = api.answer("forward_backward", body=pass_body(model_id, 9))
    assert refusal.status_code == 503
    assert int(refusal.headers["retry-after"]) > 0
    assert "send this again" in refusal.json()["detail"]
    api.refused(503, "create_session", body={"tags": [], "sdk_version": "1"})
    api.refused(503, "get_health")
    api.ok("heartbeat_session", body={"session_id": session_id})
    assert not drained.is_set()
    api.do(engine.gate.set)
    assert drained.wait(20)
    assert outcome == [True]
    for submitted in (*passes, sample):
        assert "error" not in api.result(submitted), "those behind the ones with the engine, too"


def test_a_drain_ends_by_its_time(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    model_id = api.model()
    engine.gate.clear()
    api.forward_backward(model_id, 1)
    assert not api.run(api.service.draining.drain(0.01))
    engine.gate.set()


def test_a_call_that_waits_for_one_that_never_came_holds_up_nobody(bench: Bench) -> None:
    api = bench.start()
    api.forward_backward(api.model(), 5)
    assert api.run(api.service.draining.drain(60))


@pytest.fixture
def serving(tmp_path: Path) -> Iterator["Serving"]:
    service = Serving(tmp_path)
    yield service
    service.http.close()
    if service.process.poll() is None:
        service.process.kill()
    service.process.communicate()


class Serving:
    """A real service in a process of its own, with a long sample under way."""

    def __init__(self, tmp_path: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "TINKER_API_KEY"}
        self.process = subprocess.Popen(
            [*SERVE, str(tmp_path / "data"), "--threads", "1"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        greeting = ""
        while "Data: " not in greeting:
            greeting += self.process.stdout.readline()
        url = re.findall(r"http://\S+", greeting)[0]
        self.http = httpx.Client(base_url=f"{url}/api/v1", headers=KEY, timeout=60)
        session = self.post("create_session", {"tags": [], "sdk_version": "1"})["session_id"]
        about = {"session_id": session, "sampling_session_seq_id": 0, "base_model": "tinker-hl/tiny"}
        sampler = self.post("create_sampling_session", about)["sampling_session_id"]
        body = {"sampling_session_id": sampler, "seq_id": 0, "prompt": {"chunks": [{"tokens": [5, 6]}]}}
        self.sample = {**body, "num_samples": 64, "sampling_params": {"max_tokens": 400, "stop": []}}
        self.request_id = self.post("asample", self.sample)["request_id"]

    def post(self, path: str, body: object) -> dict[str, object]:
        answer = self.http.post(f"/{path}", json=body)
        assert answer.is_success, answer.text
        content: dict[str, object] = answer.json()
        return content

    def wait_refused(self) -> httpx.Response:
        """The answer to a submission once the service drains."""
        for number in range(1, 10_000):
            answer = self.http.post("/create_session", json={"tags": [str(number)], "sdk_version": "1"})
            if answer.status_code == 503:
                return answer
        raise AssertionError("it never drained")


def test_a_service_that_is_told_to_stop_finishes_its_samples(serving: Serving) -> None:
    serving.process.send_signal(signal.SIGTERM)
    assert serving.wait_refused().headers["retry-after"]
    answer = serving.http.post("/retrieve_future", json={"request_id": serving.request_id}).json()
    assert len(answer["sequences"]) == 64
    assert len(answer["sequences"][0]["tokens"]) == 400
    _, stderr = serving.process.communicate(timeout=30)
    assert serving.process.returncode == 0, stderr
    assert "30 s to finish" in stderr


def test_told_twice_it_does_not_wait(serving: Serving) -> None:
    serving.process.send_signal(signal.SIGTERM)
    serving.wait_refused()
    serving.process.send_signal(signal.SIGINT)
    serving.process.send_signal(signal.SIGINT)
    _, stderr = serving.process.communicate(timeout=30)
    assert serving.process.returncode == 0, stderr
