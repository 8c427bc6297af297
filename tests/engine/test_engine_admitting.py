"""Who begins when: the bound of the key/value cache, fairness among callers, prompts that are computed once."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinker_local.engine.admitting import MAX_ROWS, Line, cache_tokens_for
from tinker_local.engine.core import EngineCore
from tinker_local.engine.protocol import Hold, LoraSpec, SampleJob, SampleOutput, UserFaultError
from tinker_local.engine.requests import Request, Row, Sampler
from tinker_local.engine.sampling import SamplingBatch
from tinker_local.engine.stopping import StopRule
from tinker_local.settings import ModelSource

CONTEXT = 64


def prompt(length: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.random.default_rng(seed).integers(3, 96, length).astype(np.int32)


class Drawn:
    """An engine under way, and what it has said so far."""

    def __init__(self, core: EngineCore, tokens: int | None) -> None:
        for base in set(core.bases.values()):
            base.info = attrs.evolve(base.info, kv_cache_tokens=tokens)
        self.core = core
        core.create_sampler("s", "qwen", None, None)
        self.batch: SamplingBatch = core.sampling.batch(core.base("qwen"))
        self.answers: dict[str, SampleOutput | Exception] = {}
        self.holds: dict[str, list[Hold | None]] = {}

    def add(self, job_id: str, *callers: str, **fields: Any) -> None:
        given: dict[str, Any] = {"sampler_id": "s", "prompt": prompt(4), "stop_at_eos": False, "seed": 1, **fields}
        job = SampleJob(job_id=job_id, callers=callers, **given)
        told = self.holds.setdefault(job_id, [])
        self.core.sampling.add(job, partial(self.answers.__setitem__, job_id), told.append)

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(5000):
            if condition():
                return
            self.core.sampling.advance()
        raise AssertionError("it did not come to that")

    def finish(self) -> None:
        self.until(lambda: not self.core.sampling.busy)

    def tokens(self, job_id: str) -> list[list[int]]:
        answer = self.answers[job_id]
        assert isinstance(answer, SampleOutput), answer
        return [sequence.tokens.tolist() for sequence in answer.sequences]


@pytest.fixture
def bounded(core: EngineCore) -> Any:
    """Makes an engine whose cache has a bound; the base models are as they were afterwards."""
    infos = {base: base.info for base in core.bases.values()}
    yield lambda tokens: Drawn(core, tokens)
    for base, info in infos.items():
        base.info = info


REQUESTS = st.lists(
    st.tuples(st.integers(1, 20), st.integers(0, 8), st.integers(1, 4), st.sampled_from("abc")),
    min_size=3,
    max_size=6,
)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=REQUESTS, tokens=st.integers(28, 120), early=st.integers(0, 5))
def test_the_cache_never_has_more_than_its_bound(
    bounded: Any, asked: list[tuple[int, int, int, str]], tokens: int, early: int
) -> None:
    """And nothing that is drawn depends on the bound."""
    answers = []
    for bound in (tokens, None):
        drawn: Drawn = bounded(bound)
        for number, (length, new, samples, caller) in enumerate(asked):
            if number == early:
                drawn.core.sampling.advance()
            fields = {"prompt": prompt(length, length), "max_tokens": new, "num_samples": samples, "seed": number}
            drawn.add(f"{bound}-{number}", caller, **fields)
        while drawn.core.sampling.busy:
            drawn.core.sampling.advance()
            assert bound is None or drawn.batch.cached_tokens <= bound
        answers.append([drawn.tokens(f"{bound}-{number}") for number in range(len(asked))])
        drawn.core.sampling.unload("s")
        drawn.core.sampling = type(drawn.core.sampling)()
    assert answers[0] == answers[1]


def test_the_default_bound_counts_heads_that_keep_keys_and_values(core: EngineCore, monkeypatch: Any) -> None:
    monkeypatch.setattr("tinker_local.engine.admitting._memory", lambda: 4 * 10**6)
    # 2 layers, keys and values, 2 heads of 8, float32: 256 bytes a token, of a quarter of the memory.
    assert cache_tokens_for(core.base("qwen"), share=1.0) == 10**6 // 256
    assert cache_tokens_for(core.base("qwen"), share=0.5) == 10**6 // 512
    assert cache_tokens_for(core.base("qwen"), share=1e-9) == CONTEXT, "one sample of any length always fits"


def test_a_core_starts_with_the_bound_that_it_is_told(qwen: Path) -> None:
    core = EngineCore()
    (info,) = core.start([ModelSource(name="q", path=str(qwen))], None, "cpu", None, kv_cache_tokens=77)
    assert info.kv_cache_tokens == 77
    (info,) = EngineCore().start([ModelSource(name="q", path=str(qwen))], None, "cpu", None)
    assert info.kv_cache_tokens is not None
    assert info.kv_cache_tokens > 1000


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"prompt": prompt(30), "max_tokens": 11},
            "max_tokens is 11 after a prompt of 30 .*ask for at most 10",
        ),
        ({"prompt": prompt(40)}, "the prompt has 40 tokens, .* keeps 40 "),
        ({"prompt": prompt(50), "max_tokens": 2}, "the prompt has 50 tokens"),
    ],
)
def test_what_never_fits_is_refused_at_once(bounded: Any, fields: dict[str, Any], message: str) -> None:
    drawn: Drawn = bounded(40)
    with pytest.raises(UserFaultError, match=message):
        drawn.add("never", **fields)
    assert not drawn.core.sampling.busy


def test_what_fits_exactly_runs(bounded: Any) -> None:
    drawn: Drawn = bounded(40)
    drawn.add("exact", prompt=prompt(30), max_tokens=10, num_samples=3)
    drawn.add("open", prompt=prompt(30))
    drawn.add("score", prompt=prompt(60), max_tokens=1, prompt_logprobs=True)
    drawn.finish()
    assert [len(tokens) for tokens in drawn.tokens("exact")] == [10, 10, 10]
    assert [len(tokens) for tokens in drawn.tokens("open")] == [10], "it ends where the cache does"
    assert [len(tokens) for tokens in drawn.tokens("score")] == [1], "one token needs no cache"


def test_a_flood_does_not_hold_up_another_caller(bounded: Any) -> None:
    drawn: Drawn = bounded(None)
    for number in range(400):
        drawn.add(f"flood{number}", "local", "a", max_tokens=50)
    drawn.until(lambda: drawn.batch.rows > 0)
    assert drawn.batch.rows < MAX_ROWS, "one caller leaves room to others"
    last = drawn.holds["flood399"]
    assert [hold and hold.cause for hold in last] == ["share"]
    drawn.add("late", "local", "b", max_tokens=3)
    drawn.until(lambda: "late" in drawn.answers)
    assert list(drawn.answers) == ["late"]
    drawn.finish()
    assert [hold and hold.cause for hold in last] == ["share", None], "each is told once"
    assert drawn.holds["late"] == []
    assert len(drawn.answers) == 401


def test_those_who_wait_cost_nothing_until_somebody_goes(bounded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Drawn = bounded(64)
    drawn.add("runs", "a", max_tokens=60)
    for number in range(20):
        drawn.add(f"waits{number}", "b", max_tokens=60)
    drawn.until(lambda: drawn.batch.rows > 0)
    asked: list[int] = []
    choose = Line.choose
    monkeypatch.setattr(Line, "choose", lambda line, rows: asked.append(len(rows)) or choose(line, rows))
    for _ in range(30):
        drawn.core.sampling.advance()
    assert asked == [1]
    drawn.core.sampling.cancel("runs")
    drawn.core.sampling.advance()
    assert asked == [1, 0]
    assert drawn.batch.rows == 1


def test_rows_are_shared_evenly_whoever_asks_for_more(bounded: Any) -> None:
    """Between owners first, then between the sessions of one."""
    drawn: Drawn = bounded(CONTEXT * 24)
    for number in range(60):
        for owner, session in (("ann", "1"), ("ann", "2"), ("bob", "3")):
            drawn.add(f"{session}-{number}", owner, session, prompt=prompt(4), max_tokens=60)
    drawn.until(lambda: drawn.batch.rows > 0)
    rows = [row for row in drawn.batch._rows if row is not None]
    sessions = [row.request.job.callers[1] for row in rows]
    assert sessions.count("3") == pytest.approx(sessions.count("1") + sessions.count("2"), abs=1)
    assert sessions.count("1") == pytest.approx(sessions.count("2"), abs=1)
    held = drawn.holds["3-59"][-1]
    assert held is not None
    assert held.cause in {"capacity", "share"}


def stand_in(core: EngineCore, callers: tuple[str, ...], length: int, new: int, samples: int = 1) -> Request:
    job = SampleJob(job_id="j", sampler_id="s", prompt=prompt(length), max_tokens=new, num_samples=samples)
    job = attrs.evolve(job, callers=callers)
    stop = StopRule(job, eos=(), context=CONTEXT, tokenizer=None)
    return Request(job, Sampler(core.base("qwen"), None), stop, lambda _: None)


def test_what_does_not_fit_is_passed_but_not_for_ever(core: EngineCore) -> None:
    line = Line(100)
    running: list[Row] = [Row(stand_in(core, ("b",), 10, 11), 0)]  # 20 tokens
    line.add(stand_in(core, ("a",), 30, 31))  # 60 tokens a row, so that two rows do not fit
    begun = 0
    for _ in range(1000):
        line.add(stand_in(core, ("b",), 10, 11))
        chosen = line.choose(running)
        if not chosen:
            break
        begun += len(chosen)
    assert 0 < begun <= 100, "then nobody passes it any more"
    assert next(part.request.job.callers for part in line.choose([])) == ("a",)


def test_a_long_request_leaves_rows_to_others(bounded: Any) -> None:
    """A thousand samples go in parts, and a caller that comes later is served between them."""
    drawn: Drawn = bounded(None)
    drawn.add("many", "a", num_samples=1000, max_tokens=20)
    drawn.until(lambda: drawn.batch.rows > 0)
    drawn.add("one", "b", max_tokens=20)
    drawn.until(lambda: "one" in drawn.answers)
    assert "many" not in drawn.answers
    drawn.finish()
    assert len(drawn.tokens("many")) == 1000
    assert drawn.batch.prefilled_tokens <= 3 * 4, "its prompt was computed once, not once for each part"


def test_cancelling_frees_rows_and_cache_at_once(bounded: Any) -> None:
    drawn: Drawn = bounded(None)
    drawn.add("gone", "a", num_samples=100, max_tokens=50)
    drawn.add("kept", "b", prompt=prompt(5, 9), num_samples=2, max_tokens=50)
    drawn.until(lambda: drawn.batch.rows == 102)
    before = drawn.batch.cached_tokens
    drawn.core.sampling.cancel("gone")
    assert isinstance(drawn.answers["gone"], UserFaultError)
    assert drawn.batch.rows == 2
    assert drawn.batch.cached_tokens < before / 10
    drawn.core.sampling.cancel("kept")
    assert not drawn.core.sampling.busy
    drawn.core.sampling.unload("s")
    assert drawn.batch.cached_tokens == 0


def test_cancelling_what_waits_takes_its_place_away(bounded: Any) -> None:
    drawn: Drawn = bounded(64)
    drawn.add("runs", "a", max_tokens=60)
    drawn.add("waits", "b", max_tokens=60, num_samples=3)
    drawn.until(lambda: drawn.holds["waits"] != [])
    drawn.core.sampling.cancel("waits")
    drawn.finish()
    assert isinstance(drawn.answers["waits"], UserFaultError)
    assert len(drawn.tokens("runs")) == 1


def answers_of(drawn: Drawn, names: Sequence[str]) -> list[SampleOutput]:
    found = [drawn.answers[name] for name in names]
    return [answer for answer in found if isinstance(answer, SampleOutput)]


def test_equal_prompts_are_computed_once(bounded: Any) -> None:
    drawn: Drawn = bounded(10_000)
    drawn.core.create_adapter("t", "qwen", LoraSpec(rank=2, seed=1))
    drawn.core.create_sampler("t", None, "t", None)
    same = prompt(20, 5)
    for number in range(6):  # at once
        drawn.add(f"at-once{number}", prompt=same, max_tokens=10, seed=number)
    drawn.finish()
    assert drawn.batch.prefilled_tokens == 20
    drawn.add("later", prompt=same, max_tokens=10, seed=0, num_samples=3)
    drawn.finish()
    assert drawn.batch.prefilled_tokens == 20
    names = [f"at-once{number}" for number in range(6)] + ["later"]
    assert [answer.prompt_cache_hit_tokens for answer in answers_of(drawn, names)] == [0] + [20] * 6
    assert drawn.tokens("later")[0] == drawn.tokens("at-once0")[0]
    drawn.add("through another adapter", sampler_id="t", prompt=same, max_tokens=10)
    drawn.add("scored", prompt=same, max_tokens=10, seed=0, prompt_logprobs=True)
    drawn.add("longer", prompt=prompt(21, 5), max_tokens=10)
    drawn.finish()
    others = answers_of(drawn, ["through another adapter", "scored", "longer"])
    assert [answer.prompt_cache_hit_tokens for answer in others] == [0, 0, 0]
    assert drawn.tokens("scored")[0] == drawn.tokens("at-once0")[0]
    assert drawn.batch.cached_tokens > 0
    drawn.core.sampling.unload("s")
    drawn.core.sampling.unload("t")
    assert drawn.batch.cached_tokens == 0, "what belongs to a sampler goes with it"


def test_prompts_that_are_kept_have_a_bound_and_the_oldest_goes(bounded: Any) -> None:
    drawn: Drawn = bounded(800)
    for number in range(20):
        drawn.add(f"j{number}", prompt=prompt(20, number), max_tokens=2)
        drawn.finish()
        assert 0 < drawn.batch.cached_tokens <= 100
    before = drawn.batch.prefilled_tokens
    drawn.add("newest", prompt=prompt(20, 19), max_tokens=2)
    drawn.finish()
    assert drawn.batch.prefilled_tokens == before
    drawn.add("oldest", prompt=prompt(20, 0), max_tokens=2)
    drawn.finish()
    assert drawn.batch.prefilled_tokens == before + 20
