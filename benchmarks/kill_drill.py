"""Random `kill -9` of a service or of its engine while clients train and save; what became of all that was promised.

It counts, and judges nothing: what may be lost is the caller's affair.
"""

import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import attrs
import httpx

from benchmarks.killable import KillableService

__all__ = ["Outcome", "drill"]

MODEL = "tinker-hl/tiny"
_END_SECONDS = 90.0
_CREATIONS = 5
_TOKENS = [5, 9, 14, 30, 31, 44, 60]


@attrs.define
class Outcome:
    """What came of one drill."""

    kills: int = 0
    promises: int = 0
    """Requests that were accepted."""
    results: int = 0
    """Those that came to a result."""
    failures: list[str] = attrs.field(factory=list)
    """What those say that came to a typed error."""
    unended: list[str] = attrs.field(factory=list)
    """Those that came to nothing in time."""
    saved: list[str] = attrs.field(factory=list)
    """Paths of checkpoints whose save was acknowledged."""
    unloadable: list[str] = attrs.field(factory=list)
    """Those of them that do not load."""
    longest_wait: float = 0.0
    """Seconds from a kill until all that was open had ended."""


def drill(service: KillableService, kills: int, seed: int) -> Outcome:
    """Train, save and kill, so many times; then load every checkpoint whose save was acknowledged."""
    chooser, outcome = random.Random(seed), Outcome()
    headers = {"X-API-Key": service.api_key}
    with httpx.Client(base_url=f"{service.base_url}/api/v1/", headers=headers, timeout=60) as http:
        client = _Client(http)
        for _ in range(kills):
            _killed_once(client, service, chooser, outcome)
        session_id = client.session()
        for number, path in enumerate(outcome.saved):
            load = {"session_id": session_id, "model_seq_id": number, "path": path, "optimizer": True}
            result = client.ended(client.accepted("load_weights", load))
            if result is None or "model_id" not in result:
                outcome.unloadable.append(path)
            elif number % 8 == 7:  # a client may have only so many models at once
                client.send("finish_session", {"reason": {"type": "success"}}, f"sessions/{session_id}/finish")
                session_id = client.session()
    return outcome


def _killed_once(client: "_Client", service: KillableService, chooser: random.Random, outcome: Outcome) -> None:
    model_id = _model(client, outcome)
    victim = chooser.choice((service.kill, service.kill_engine))
    killer = threading.Timer(chooser.uniform(0.0, 0.6), victim)
    accepted: list[str] = []
    killer.start()
    began = time.monotonic()
    for number in range(chooser.randint(2, 4)):
        for operation_id, body in _round(model_id, number).items():
            accepted.append(client.accepted(operation_id, body))
    outcome.kills += 1
    outcome.promises += len(accepted)
    for request_id in accepted:
        result = client.ended(request_id)
        if result is None:
            outcome.unended.append(request_id)
        elif "error" in result:
            outcome.failures.append(f"{request_id}: {result['error']}")
        else:
            outcome.results += 1
            if result.get("type") == "save_weights":
                outcome.saved.append(result["path"])
    killer.join()
    service.engine_pid()
    outcome.longest_wait = max(outcome.longest_wait, time.monotonic() - began)


def _model(client: "_Client", outcome: Outcome) -> str:
    """A new model. The last kill may come late enough to take the creation with it, which is then told and repeated."""
    for _ in range(_CREATIONS):
        body = {"session_id": client.session(), "model_seq_id": 0, "base_model": MODEL}
        request_id = client.accepted("create_model", body)
        outcome.promises += 1
        result = client.ended(request_id)
        if result is None:
            outcome.unended.append(request_id)
        elif "error" in result:
            outcome.failures.append(f"{request_id}: {result['error']}")
        else:
            outcome.results += 1
            return str(result["model_id"])
    raise RuntimeError(f"{_CREATIONS} creations in a row came to nothing: {outcome.failures[-_CREATIONS:]}")


def _round(model_id: str, number: int) -> Mapping[str, dict[str, Any]]:
    """A pass, a step and a save."""
    targets = {"data": _TOKENS[1:], "dtype": "int64", "shape": [len(_TOKENS) - 1]}
    datum = {
        "model_input": {"chunks": [{"type": "encoded_text", "tokens": _TOKENS[:-1]}]},
        "loss_fn_inputs": {"target_tokens": targets},
    }
    data = {"data": [datum], "loss_fn": "cross_entropy"}
    first = 3 * number + 1
    return {
        "forward_backward": {"model_id": model_id, "seq_id": first, "forward_backward_input": data},
        "optim_step": {"model_id": model_id, "seq_id": first + 1, "adam_params": {"learning_rate": 1e-3}},
        "save_weights": {"model_id": model_id, "seq_id": first + 2, "path": f"s{number}"},
    }


class _Client:
    """A patient client: what finds no service is sent again, as the SDKs do."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def session(self) -> str:
        """Open a session."""
        body: dict[str, Any] = {"tags": [], "user_metadata": None, "sdk_version": "1"}
        opened: str = self.send("create_session", body).json()["session_id"]
        return opened

    def accepted(self, operation_id: str, body: Mapping[str, Any]) -> str:
        """Have a request accepted; its id. Raises `RuntimeError` if it is refused."""
        response = self.send(operation_id, body)
        if not response.is_success:
            raise RuntimeError(f"{operation_id} was refused: {response.text}")
        request_id: str = response.json()["request_id"]
        return request_id

    def ended(self, request_id: str) -> dict[str, Any] | None:
        """What a request came to, a refusal to tell it included; None if that is nothing in time."""
        until = time.monotonic() + _END_SECONDS
        while time.monotonic() < until:
            response = self.send("retrieve_future", {"request_id": request_id})
            answer: dict[str, Any] = response.json()
            if not response.is_success:
                return {"error": answer}
            if answer.get("type") != "try_again":
                return answer
        return None

    def send(self, operation_id: str, body: Mapping[str, Any], path: str | None = None) -> httpx.Response:
        """Send until there is an answer that is no 5xx. Raises `TimeoutError`."""
        until = time.monotonic() + _END_SECONDS
        while time.monotonic() < until:
            try:
                response = self._http.post(path or operation_id, json=body)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if response.status_code < 500:
                return response
            time.sleep(0.05)
        raise TimeoutError(f"no answer to {operation_id} within {_END_SECONDS:g} s")
