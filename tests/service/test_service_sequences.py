"""R13: no sequence of calls is answered with 5xx: early, late, twice, out of order, given up, on what is over.

Every answer is held against the spec. `TINKER_HL_R13_CASES` says how many sequences there are.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from service_bench import Api, Bench, pass_body, sample_body

CASES = int(os.environ.get("TINKER_HL_R13_CASES", "100"))
SEQ_IDS = st.integers(1, 6)
NAMES = st.sampled_from("ab")


@pytest.fixture(scope="module")
def shared(service_loop: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    bench = Bench(service_loop, tmp_path_factory.mktemp("sequences"))
    yield bench.start(long_poll_seconds=0.0)
    bench.close()


SERVICE: list[Api] = []
"""The service of the machine below, which Hypothesis makes by itself."""


class Calls(RuleBasedStateMachine):
    """Invariant: whatever was accepted has an answer in the end."""

    sessions, models, samplers = Bundle("sessions"), Bundle("models"), Bundle("samplers")
    promises, paths = Bundle("promises"), Bundle("paths")

    def __init__(self) -> None:
        super().__init__()
        self.api = SERVICE[0]
        self.accepted: set[str] = set()
        self.opened: list[str] = []

    def call(self, operation_id: str, **request: Any) -> Any:
        """The JSON of a success; None for a refusal, which must not be the service's fault."""
        response = self.api.answer(operation_id, **request)
        assert response.status_code < 500, f"{operation_id}: {response.text}"
        return response.json() if response.status_code == 200 and response.content else None

    def promised(self, submitted: Any) -> Any:
        """The id of a promise, if one was made."""
        if submitted is None:
            return multiple()
        self.accepted.add(submitted["request_id"])
        return submitted["request_id"]

    @initialize(target=sessions)
    def first_session(self) -> str:
        return self.open_session()

    @rule(target=sessions)
    def another_session(self) -> str:
        return self.open_session()

    def open_session(self) -> str:
        session_id = self.api.session()
        self.opened.append(session_id)
        return session_id

    @rule(target=models, session_id=sessions, number=st.integers(0, 2))
    def create_model(self, session_id: str, number: int) -> Any:
        body = {"session_id": session_id, "model_seq_id": number, "base_model": "null/base"}
        made = self.call("create_model", body=body)
        if made is None:
            return multiple()
        self.promised(made)
        return made["model_id"]

    @rule(target=promises, model_id=models, seq_id=st.none() | SEQ_IDS, token=st.integers(1, 2))
    def forward_backward(self, model_id: str, seq_id: int | None, token: int) -> Any:
        return self.promised(self.call("forward_backward", body=pass_body(model_id, seq_id, token)))

    @rule(target=promises, model_id=models, seq_id=st.none() | SEQ_IDS)
    def optim_step(self, model_id: str, seq_id: int | None) -> Any:
        body = {"model_id": model_id, "seq_id": seq_id, "adam_params": {"learning_rate": 1e-4}}
        return self.promised(self.call("optim_step", body=body))

    @rule(target=promises, model_id=models, seq_id=SEQ_IDS, name=NAMES, overwrite=st.booleans())
    def save(self, model_id: str, seq_id: int, name: str, overwrite: bool) -> Any:
        body = {"model_id": model_id, "seq_id": seq_id, "path": name, "overwrite": overwrite}
        return self.promised(self.call("save_weights", body=body))

    @rule(target=paths, model_id=models, name=NAMES)
    def name_a_path(self, model_id: str, name: str) -> str:
        return f"tinker://{model_id}/weights/{name}"

    @rule(target=promises, model_id=models, path=paths, seq_id=SEQ_IDS, optimizer=st.booleans())
    def load(self, model_id: str, path: str, seq_id: int, optimizer: bool) -> Any:
        body = {"model_id": model_id, "seq_id": seq_id, "path": path, "optimizer": optimizer}
        return self.promised(self.call("load_weights", body=body))

    @rule(path=paths, operation_id=st.sampled_from(["delete_checkpoint", "publish_checkpoint", "unpublish_checkpoint"]))
    def change_checkpoint(self, path: str, operation_id: str) -> None:
        run_id, kind, name = path.removeprefix("tinker://").split("/")
        where = {"training_run_id": run_id, "checkpoint_kind": kind, "checkpoint_name": name}
        self.call(operation_id, path=where)

    @rule(target=promises, model_id=models, seq_id=SEQ_IDS, number=st.integers(0, 2))
    def save_for_sampler(self, model_id: str, seq_id: int, number: int) -> Any:
        body = {"model_id": model_id, "seq_id": seq_id, "sampling_session_seq_id": number}
        return self.promised(self.call("save_weights_for_sampler", body=body))

    @rule(target=samplers, session_id=sessions, number=st.integers(0, 2))
    def open_sampler(self, session_id: str, number: int) -> Any:
        body = {"session_id": session_id, "sampling_session_seq_id": number, "base_model": "null/base"}
        made = self.call("create_sampling_session", body=body)
        return multiple() if made is None else made["sampling_session_id"]

    @rule(target=promises, sampler_id=samplers, seq_id=st.integers(0, 3))
    def sample(self, sampler_id: str, seq_id: int) -> Any:
        return self.promised(self.call("sample", body=sample_body(sampler_id, seq_id)))

    @rule(promise=promises)
    def poll(self, promise: str) -> None:
        answer = self.api.answer("retrieve_future", body={"request_id": promise})
        assert answer.status_code == 200, "what was accepted is neither lost nor forgotten"

    @rule(sampler_id=samplers, cursor=st.integers(0, 5))
    def news(self, sampler_id: str, cursor: int) -> None:
        target = {"type": "sampling_session", "sampling_session_id": sampler_id, "cloned_sampler_id": 0}
        body = {"target": target, "prev_cursor": cursor, "retrieved_request_ids": [], "timeout": 0}
        self.call("retrieve_futures", body=body)

    @rule(promise=promises)
    def cancel(self, promise: str) -> None:
        self.call("cancel_future", body={"request_id": promise})

    @rule(model_id=models)
    def unload(self, model_id: str) -> None:
        self.promised(self.call("unload_model", body={"model_id": model_id}))

    @rule(session_id=consumes(sessions))
    def finish(self, session_id: str) -> None:
        self.call("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})

    @rule()
    def sweep(self) -> None:
        self.api.run(self.api.service.sweep())

    @invariant()
    def healthy(self) -> None:
        assert self.api.service.supervision.ready

    def teardown(self) -> None:
        for session_id in self.opened:  # what waits for a request that never came is over now
            self.call("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
        for request_id in self.accepted:
            answer = self.api.result({"request_id": request_id})
            assert answer.get("type") != "try_again"


def test_r13_no_sequence_of_calls_is_answered_with_5xx(shared: Api) -> None:
    SERVICE[:] = [shared]
    try:
        machine = Calls.TestCase
        machine.settings = settings(
            max_examples=CASES,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        machine("runTest").runTest()
    finally:
        SERVICE.clear()
