"""`sample_many` with the real service; the rows "Batch sampling" and "Result cache" of 4.5, "Cost / token ledger" of
4.8.
"""

import asyncio
import gc
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_bench import KEY, MODEL, SocketService

from tinker_hl import APIFuture, ModelInput, SampleResponse, SamplingClient, SamplingParams, ServiceClient
from tinker_hl.errors import BadRequestError, ConfigurationError, TinkerError
from tinker_hl.many import (
    BudgetExceededError,
    ResultCache,
    SampleOutcome,
    SampleTask,
    SinkError,
    TokenLedger,
    sample_many,
    sample_many_async,
)

PARAMS = SamplingParams(max_tokens=3, seed=1)
PROMPTS = [[number, 2, 3] for number in range(1, 9)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The prompts that the service was asked about, in order; those that begin with 0 are refused."""
    real = SamplingClient.sample
    prompts: list[list[int]] = []

    def noting(self: SamplingClient, prompt: ModelInput, *rest: Any, **more: Any) -> APIFuture[SampleResponse]:
        prompts.append(prompt.to_ints())
        if prompt.to_ints()[0] == 0:
            prompt = ModelInput.from_ints([2**30])  # out of the vocabulary
        return real(self, prompt, *rest, **more)

    monkeypatch.setattr(SamplingClient, "sample", noting)
    return prompts


def indices(outcomes: list[SampleOutcome]) -> list[int]:
    return [outcome.index for outcome in outcomes]


def test_outcomes_come_in_order(sampler: SamplingClient) -> None:
    outcomes = list(sample_many(sampler, PROMPTS, PARAMS, num_samples=2, include_prompt_logprobs=True, concurrency=3))
    assert indices(outcomes) == list(range(8))
    for outcome, prompt in zip(outcomes, PROMPTS, strict=True):
        assert outcome.task.prompt.to_ints() == prompt
        response = outcome.unwrap()
        assert len(response.sequences) == 2
        assert response.prompt_logprobs is not None
        assert outcome.source == "service"


class Held:
    """Samples that end when the test says."""

    def __init__(self) -> None:
        self.futures: list[APIFuture[SampleResponse]] = []

    def sample(self, *arguments: Any, **more: Any) -> APIFuture[SampleResponse]:
        future: APIFuture[SampleResponse] = APIFuture.completed(SampleResponse([]))
        held = future if len(self.futures) % 2 else APIFuture(_never())
        self.futures.append(held)
        return held


async def _never() -> SampleResponse:
    await asyncio.Event().wait()
    raise AssertionError


def test_outcomes_come_as_they_end_and_what_nobody_wants_is_cancelled() -> None:
    held: Any = Held()
    outcomes = sample_many(held, PROMPTS, PARAMS, ordered=False, concurrency=4)
    assert [next(outcomes).index for _ in range(3)] == [1, 3, 5]
    outcomes.close()  # type: ignore[attr-defined]  # it is a generator
    assert all(future.cancelled() for future in held.futures[::2])


def test_no_more_prompts_are_taken_than_the_window_holds(sampler: SamplingClient) -> None:
    taken = []

    def endless() -> Iterator[list[int]]:
        for number in itertools.count(1):
            taken.append(number)
            yield [number]

    outcomes = sample_many(sampler, endless(), PARAMS, concurrency=4)
    for _ in range(10):
        next(outcomes)
    assert len(taken) <= 14
    outcomes.close()  # type: ignore[attr-defined]


def test_a_failure_is_a_value_and_stops_nothing(sampler: SamplingClient, asked: list[list[int]]) -> None:
    outcomes = list(sample_many(sampler, [[1], [0], [2]], PARAMS))
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, TinkerError)
    with pytest.raises(TinkerError):
        outcomes[1].unwrap()


def test_the_async_twin(sampler: SamplingClient) -> None:
    async def collect(ordered: bool) -> list[int]:
        found = sample_many_async(sampler, PROMPTS, PARAMS, ordered=ordered, concurrency=3)
        return [outcome.index async for outcome in found]

    assert asyncio.run(collect(True)) == list(range(8))
    assert sorted(asyncio.run(collect(False))) == list(range(8))


def test_failures_leave_nothing_for_the_loop_to_complain_of(sampler: SamplingClient, asked: list[list[int]]) -> None:
    """An error that was given as a value is not also logged as one that nobody retrieved."""
    complaints: list[dict[str, Any]] = []

    async def collect() -> int:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        found = sample_many_async(sampler, [[0]] * 6, PARAMS, ordered=False, concurrency=3)
        failed = [outcome.ok for outcome in [each async for each in found]].count(False)
        gc.collect()
        return failed

    assert asyncio.run(collect()) == 6
    assert complaints == []


def test_tasks_have_settings_of_their_own(sampler: SamplingClient) -> None:
    tasks = [SampleTask(prompt=ModelInput.from_ints([1]), sampling_params=SamplingParams(max_tokens=n)) for n in (1, 2)]
    outcomes = list(sample_many(sampler, [*tasks, SampleTask.score(ModelInput.from_ints([5, 6, 7]))]))
    assert [len(outcome.unwrap().sequences[0].tokens) for outcome in outcomes[:2]] == [1, 2]
    scores = outcomes[2].unwrap().prompt_logprobs
    assert scores is not None
    assert scores[0] is None
    assert len(scores) == 3
    with pytest.raises(TypeError, match="sampling_params"):
        list(sample_many(sampler, [[1]]))
    with pytest.raises(ValueError, match="concurrency"):
        sample_many(sampler, [[1]], PARAMS, concurrency=0)


def test_a_job_goes_on_from_its_sink(sampler: SamplingClient, asked: list[list[int]], tmp_path: Path) -> None:
    """Failures are asked for again, and prompts that changed; a line that a crash cut is taken off."""
    sink = tmp_path / "deep" / "out.jsonl"
    first = list(sample_many(sampler, [[1], [0], [2], [3]], PARAMS, sink=sink))
    with sink.open("ab") as file:
        file.write(b'{"index": 4, "key": "torn')
    asked.clear()
    again = list(sample_many(sampler, [[1], [0], [2], [4]], PARAMS, sink=sink))
    assert asked == [[0], [4]]
    assert [outcome.source for outcome in again] == ["sink", "service", "sink", "service"]
    assert again[0].response == first[0].response
    lines = [json.loads(line) for line in sink.read_text().splitlines()]
    assert [line["index"] for line in lines][-2:] == [1, 3]
    assert "error" in lines[-2]


def test_a_sink_knows_base_models_apart(
    sampler: SamplingClient, asked: list[list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(sample_many(sampler, [[1], [2]], PARAMS, sink=tmp_path / "out.jsonl"))
    monkeypatch.setattr(SamplingClient, "get_base_model", lambda self: "another/model")
    again = list(sample_many(sampler, [[1], [2]], PARAMS, sink=tmp_path / "out.jsonl"))
    assert [outcome.source for outcome in again] == ["service", "service"]


def test_a_process_that_is_killed_loses_only_what_was_under_way(
    many_service: SocketService, sampler: SamplingClient, asked: list[list[int]], tmp_path: Path
) -> None:
    code = """
import os, sys
from tinker_hl import SamplingParams, ServiceClient
from tinker_hl.many import sample_many
service = ServiceClient(base_url=sys.argv[1], api_key=sys.argv[2])
sampler = service.create_sampling_client(base_model=sys.argv[3])
prompts = [[number, 2, 3] for number in range(1, 9)]
for outcome in sample_many(sampler, prompts, SamplingParams(max_tokens=3, seed=1), sink=sys.argv[4], concurrency=2):
    if outcome.index == 4:
        os._exit(9)
"""
    sink = tmp_path / "out.jsonl"
    arguments = [many_service.base_url, KEY, MODEL, str(sink)]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], timeout=60, check=False)
    assert ended.returncode == 9
    written = {json.loads(line)["index"] for line in sink.read_text().splitlines()}
    assert set(range(5)) <= written
    outcomes = list(sample_many(sampler, PROMPTS, PARAMS, sink=sink))
    assert indices(outcomes) == list(range(8))
    assert all(outcome.ok for outcome in outcomes)
    assert len(asked) == 8 - len(written)


def test_what_is_no_sink_is_left_alone(sampler: SamplingClient, tmp_path: Path) -> None:
    mine = tmp_path / "notes.jsonl"
    mine.write_text('{"note": 1}\n')
    with pytest.raises(SinkError, match="line 1"):
        next(sample_many(sampler, [[1]], PARAMS, sink=mine))
    assert mine.read_text() == '{"note": 1}\n'
    outcomes = sample_many(sampler, [[1], [2]], PARAMS, sink=tmp_path / "a.jsonl")
    next(outcomes)
    with pytest.raises(SinkError, match="another job"):
        next(sample_many(sampler, [[1]], PARAMS, sink=tmp_path / "a.jsonl"))
    outcomes.close()  # type: ignore[attr-defined]


@pytest.fixture
def saved_sampler(service: ServiceClient) -> SamplingClient:
    training = service.create_lora_training_client(MODEL, rank=2)
    return service.create_sampling_client(training.save_weights_for_sampler("cached").result(30).path)


def test_seeded_samples_are_asked_for_once(
    saved_sampler: SamplingClient, asked: list[list[int]], tmp_path: Path
) -> None:
    cache = ResultCache(tmp_path / "cache")
    first = list(sample_many(saved_sampler, PROMPTS, PARAMS, cache=cache))
    again = list(sample_many(saved_sampler, PROMPTS, PARAMS, cache=ResultCache(tmp_path / "cache")))
    assert len(asked) == 8
    assert [outcome.source for outcome in again] == ["cache"] * 8
    assert [outcome.response for outcome in again] == [outcome.response for outcome in first]
    assert (cache.hits, cache.misses, len(cache)) == (0, 8, 8)
    for change in ({"num_samples": 2}, {"include_prompt_logprobs": True}, {"identity": "other weights"}):
        list(sample_many(saved_sampler, PROMPTS[:1], PARAMS, cache=cache, **change))  # type: ignore[arg-type]
    assert len(asked) == 11
    cache.clear()
    assert len(cache) == 0


def test_samples_without_a_seed_and_failures_are_not_kept(
    saved_sampler: SamplingClient, asked: list[list[int]], tmp_path: Path
) -> None:
    cache = ResultCache(tmp_path)
    list(sample_many(saved_sampler, [[1]], SamplingParams(max_tokens=1), cache=cache))
    list(sample_many(saved_sampler, [[0]], PARAMS, cache=cache))
    assert len(cache) == 0


def test_a_spoilt_file_is_no_result(saved_sampler: SamplingClient, asked: list[list[int]], tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    list(sample_many(saved_sampler, [[1]], PARAMS, cache=cache))
    next(tmp_path.glob("??/*.json")).write_text("{")
    assert next(iter(sample_many(saved_sampler, [[1]], PARAMS, cache=cache))).source == "service"
    assert next(iter(sample_many(saved_sampler, [[1]], PARAMS, cache=cache))).source == "cache"


def test_a_cache_that_the_disk_does_not_take_stops_no_job(
    saved_sampler: SamplingClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = ResultCache(tmp_path)
    for first in "0123456789abcdef":
        for second in "0123456789abcdef":
            (tmp_path / f"{first}{second}").write_text("in the way of a folder")
    outcomes = list(sample_many(saved_sampler, PROMPTS, PARAMS, cache=cache, sink=tmp_path / "out.jsonl"))
    assert all(outcome.ok for outcome in outcomes)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == len(PROMPTS)
    assert "not kept in the cache" in caplog.text


def test_a_cache_is_of_weights_that_have_a_name(sampler: SamplingClient, tmp_path: Path) -> None:
    """Weights in a server's memory look like the base model: a cache would mix them up."""
    cache = ResultCache(tmp_path)
    with pytest.raises(ConfigurationError, match="identity"):
        sample_many(sampler, [[1]], PARAMS, cache=cache)
    assert next(iter(sample_many(sampler, [[1]], PARAMS, cache=cache, identity="base"))).ok


def test_a_budget_is_kept_and_what_passes_it_is_not_asked_for(sampler: SamplingClient, asked: list[list[int]]) -> None:
    """Three of a prompt and at most three drawn: 6 each."""
    ledger = TokenLedger(budget=20, prices={"sampled": 2.0})
    outcomes = list(sample_many(sampler, PROMPTS, PARAMS, ledger=ledger))
    assert len(asked) == 3
    assert [outcome.ok for outcome in outcomes] == [True] * 3 + [False] * 5
    error = outcomes[-1].error
    assert isinstance(error, BudgetExceededError)
    assert error.asked == 6
    assert ledger.tokens == {"prompt": 9, "sampled": 9, "trained": 0}
    assert (ledger.total, ledger.left) == (18, 2)
    assert ledger.cost == pytest.approx(9 * 2 / 1e6)


def test_what_was_set_aside_and_not_taken_is_free_again(sampler: SamplingClient, asked: list[list[int]]) -> None:
    ledger = TokenLedger(budget=100)
    list(sample_many(sampler, [[0, 1, 2]], PARAMS, ledger=ledger))
    assert ledger.left == 100
    outcomes = sample_many(sampler, PROMPTS, PARAMS, ledger=ledger, concurrency=8)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert ledger.left == 100 - ledger.total


def test_bad_requests_are_told_by_the_service(sampler: SamplingClient) -> None:
    outcome = next(sample_many(sampler, [[2**30]], PARAMS))
    assert isinstance(outcome.error, BadRequestError | TinkerError)
