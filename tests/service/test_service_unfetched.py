"""Results that nobody fetches have a bound of their own; none goes that its client may still be on the way to."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from service_bench import Api, Bench, pass_body, sample_body

from tinker_local.errors import ApiError
from tinker_local.unfetched import Unfetched


def step(model_id: str, seq_id: int) -> dict[str, Any]:
    return {"model_id": model_id, "seq_id": seq_id, "adam_params": {"learning_rate": 0.1}}


def settled(api: Api, model_id: str) -> None:
    """Wait until all that was asked of a model is done, without fetching it."""
    model = api.service.models.in_memory(model_id)
    assert model is not None
    api.run(model.lane.idle())


def test_beyond_the_limit_a_session_fetches_first_and_loses_nothing(bench: Bench) -> None:
    api = bench.start(max_unfetched_results=3)
    session_id = api.session()
    model_id, sampler_id = api.model(session_id), api.sampler(session_id)
    submitted = [api.ok("optim_step", body=step(model_id, seq_id)) for seq_id in (1, 2, 3)]
    settled(api, model_id)
    refusal = api.answer("optim_step", body=step(model_id, 4))
    assert (refusal.status_code, refusal.headers["retry-after"]) == (429, "1")
    assert "max_unfetched_results" in refusal.json()["detail"]
    api.refused(429, "forward_backward", body=pass_body(model_id, 4))
    api.refused(429, "sample", body=sample_body(sampler_id, 0))
    assert api.ok("optim_step", body=step(model_id, 3)) == submitted[2], "a repeat is nothing new"
    api.model(), "nor does another session suffer"
    assert "metrics" in api.result(submitted[1])
    assert "metrics" in api.result(api.ok("optim_step", body=step(model_id, 4)))
    assert all("metrics" in api.result(one) for one in submitted)


def test_what_was_given_up_for_long_makes_room(bench: Bench) -> None:
    api = bench.start(max_unfetched_results=3, session_timeout_seconds=1e9)
    model_id = api.model()
    first, *others = [api.ok("optim_step", body=step(model_id, seq_id)) for seq_id in (1, 2, 3)]
    settled(api, model_id)
    bench.clock.ahead += 601
    latest = api.ok("optim_step", body=step(model_id, 4))
    bench.clock.ahead += 1
    api.run(api.service.sweep())
    gone = api.refused(410, "retrieve_future", body={"request_id": first["request_id"]})
    assert "no longer kept" in gone["detail"]
    assert all("metrics" in api.result(one) for one in (*others, latest))
    assert len(api.service.futures._unfetched) == 0


def test_large_results_count_by_their_bytes(bench: Bench) -> None:
    api = bench.start(max_unfetched_bytes=40_000)
    session_id = api.session()
    model_id, sampler_id = api.model(session_id), api.sampler(session_id)
    body = pass_body(model_id, 1)
    (datum,) = body["forward_backward_input"]["data"]
    datum["model_input"]["chunks"] = [{"tokens": [1] * 9000}]
    datum["loss_fn_inputs"]["target_tokens"] = {"data": [1] * 9000, "dtype": "int64", "shape": [9000]}
    submitted = api.ok("forward_backward", body=body)
    settled(api, model_id)
    sample = sample_body(sampler_id, 0, prompt_logprobs=True)
    sample["prompt"]["chunks"][0]["tokens"] = [1] * 1000
    submitted_too = api.ok("sample", body=sample)
    api.run(api.service.futures.find(submitted_too["request_id"]).wait(60))  # type: ignore[union-attr]
    assert "max_unfetched_bytes" in api.refused(429, "optim_step", body=step(model_id, 2))["detail"]
    assert "metrics" in api.result(submitted)
    api.ok("optim_step", body=step(model_id, 2))


def test_the_end_of_a_session_ends_its_count(bench: Bench) -> None:
    api = bench.start()
    session_id = api.session()
    model_id = api.model(session_id)
    submitted = api.ok("optim_step", body=step(model_id, 1))
    settled(api, model_id)
    assert len(api.service.futures._unfetched) > 0
    api.ok("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    api.run(api.service.sweep())
    assert len(api.service.futures._unfetched) == 0
    assert "metrics" in api.result(submitted)


class Results(RuleBasedStateMachine):
    """Results come and are fetched in any order, and time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.unfetched = Unfetched(lambda: self.now, 10.0, 3, 100)
        self.there: dict[str, tuple[float, int]] = {}
        self.count = 0

    @rule(size=st.integers(1, 60), seconds=st.floats(0, 8))
    def asks(self, size: int, seconds: float) -> None:
        self.now += seconds
        young = [size for since, size in self.there.values() if since > self.now - 10]
        if len(young) >= 3 or sum(young) >= 100:
            with pytest.raises(ApiError, match="429"):
                self.unfetched.make_room("s")
            return
        for request_id in self.unfetched.make_room("s"):
            since, _ = self.there.pop(request_id)
            assert since <= self.now - 10
        self.count += 1
        self.there[str(self.count)] = self.now, size
        self.unfetched.add("s", str(self.count), size)

    @rule(back=st.integers(0, 5))
    def fetches(self, back: int) -> None:
        self.unfetched.remove("s", str(self.count - back))
        self.there.pop(str(self.count - back), None)

    @invariant()
    def both_know_the_same(self) -> None:
        assert len(self.unfetched) == len(self.there) <= 3
        assert sum(size for _, size in self.there.values()) < 100 + 60


TestResults = Results.TestCase
