"""Sampling against a naive loop without a cache, and everything that must not depend on batch mates."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tinker_local.engine.admitting import MAX_ROWS
from tinker_local.engine.core import EngineCore
from tinker_local.engine.protocol import (
    AdamSettings,
    LoraSpec,
    SampleJob,
    SampleOutput,
    TrainingDatum,
    UserFaultError,
)
from tinker_local.settings import ModelSource

MakeData = Callable[..., list[TrainingDatum]]
CONTEXT = 64


def prompt(length: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.random.default_rng(seed).integers(3, 96, length).astype(np.int32)


def run_jobs(core: EngineCore, jobs: Sequence[SampleJob], *, stagger: int = 0) -> list[SampleOutput]:
    """Run jobs together; with `stagger`, a new one joins each few steps."""
    answers: dict[str, SampleOutput | Exception] = {}
    for job in jobs:
        core.sampling.add(job, partial(answers.__setitem__, job.job_id))
        for _ in range(stagger):
            core.sampling.advance()
    while core.sampling.busy:
        core.sampling.advance()
    outputs = [answers[job.job_id] for job in jobs]
    for output in outputs:
        if isinstance(output, Exception):
            raise output
    return [output for output in outputs if isinstance(output, SampleOutput)]


def one(core: EngineCore, **fields: Any) -> SampleOutput:
    job = SampleJob(**{"job_id": "j", "sampler_id": "s", "stop_at_eos": False, **fields})
    return run_jobs(core, [job])[0]


def finish(generator: Any) -> Any:
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value


def train(core: EngineCore, model_id: str, base: str, data: list[TrainingDatum], *, seed: int, steps: int = 2) -> None:
    core.create_adapter(model_id, base, LoraSpec(rank=4, seed=seed))
    for _ in range(steps):
        finish(core.forward_backward(model_id, data, "cross_entropy", {}, True))
        core.optim_step(model_id, AdamSettings(learning_rate=3e-2))


@pytest.fixture
def ready(core: EngineCore, make_data: MakeData) -> EngineCore:
    """Samplers: `s` the bare base, `t` and `u` trained adapters."""
    core.create_sampler("s", "qwen", None, None)
    for name, seed in (("t", 1), ("u", 2)):
        train(core, name, "qwen", make_data(20, 9, seed=seed), seed=seed)
        core.create_sampler(name, None, name, None)
    return core


@torch.no_grad()
def naive_greedy(folder: Path, tokens: Sequence[int], count: int) -> tuple[list[int], list[float]]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    sequence, logprobs = list(tokens), []
    for _ in range(count):
        row = model(torch.tensor([sequence])).logits[0, -1].log_softmax(-1)
        sequence.append(int(row.argmax()))
        logprobs.append(float(row.max()))
    return sequence[len(tokens) :], logprobs


def test_greedy_is_the_naive_loop(ready: EngineCore, qwen: Path) -> None:
    jobs = [
        SampleJob(
            job_id=str(n), sampler_id="s", prompt=prompt(n, n), max_tokens=20 - n, temperature=0.0, stop_at_eos=False
        )
        for n in (1, 5, 12, 17)
    ]
    for job, output in zip(jobs, run_jobs(ready, jobs, stagger=3), strict=True):
        assert job.max_tokens is not None
        tokens, logprobs = naive_greedy(qwen, job.prompt.tolist(), job.max_tokens)
        assert output.sequences[0].tokens.tolist() == tokens
        np.testing.assert_allclose(output.sequences[0].logprobs, logprobs, atol=2e-5)
        assert output.sequences[0].stop_reason == "length"


def test_layers_that_see_a_window_alone_sample_as_the_plain_model_does(gemma: Path) -> None:
    """Prompts shorter and longer than the window of 6, in one batch whose columns are no row's own positions."""
    core = EngineCore()
    core.start([ModelSource(name="gemma", path=str(gemma))], None, "cpu", None)
    core.create_sampler("s", "gemma", None, None)
    jobs = [
        SampleJob(job_id=str(n), sampler_id="s", prompt=prompt(n, n), max_tokens=12, temperature=0.0, stop_at_eos=False)
        for n in (2, 5, 9, 17)
    ]
    for job, output in zip(jobs, run_jobs(core, jobs, stagger=2), strict=True):
        tokens, logprobs = naive_greedy(gemma, job.prompt.tolist(), 12)
        assert output.sequences[0].tokens.tolist() == tokens
        np.testing.assert_allclose(output.sequences[0].logprobs, logprobs, atol=2e-5)


@pytest.mark.parametrize("sampler", ["s", "t"])
def test_n01_sample_logprobs_are_training_logprobs(ready: EngineCore, sampler: str) -> None:
    """N1, for samples and for the prompt."""
    given = prompt(11, 3)
    output = one(ready, sampler_id=sampler, prompt=given, num_samples=4, max_tokens=30, seed=5, prompt_logprobs=True)
    if sampler == "s":
        ready.create_adapter("s", "qwen", LoraSpec(rank=1))
    for sequence in output.sequences:
        whole = np.concatenate([given, sequence.tokens])
        datum = TrainingDatum(tokens=whole[:-1].astype(np.int32), target_tokens=whole[1:].astype(np.int64))
        trained = finish(ready.forward_backward(sampler, [datum], "cross_entropy", {}, False)).logprobs[0]
        np.testing.assert_allclose(sequence.logprobs, trained[10:], atol=2e-5)
        assert np.abs(sequence.logprobs - trained[10:]).mean() <= 1e-5
        assert output.prompt_logprobs is not None
        assert np.isnan(output.prompt_logprobs[0])
        np.testing.assert_allclose(output.prompt_logprobs[1:], trained[:10], atol=2e-5)


def test_n03_same_seed_same_tokens_whoever_shares_the_batch(ready: EngineCore) -> None:
    """N3: alone, in a crowd of other lengths, adapters and settings, and joining late."""
    mine = [
        SampleJob(
            job_id=f"mine{n}", sampler_id="stu"[n % 3], prompt=prompt(4 + n % 7, n), num_samples=2, max_tokens=5 + n,
            seed=n, temperature=1.0, stop_at_eos=False,
        )
        for n in range(15)
    ]  # fmt: skip
    crowd = [
        SampleJob(
            job_id=f"other{n}", sampler_id="uts"[n % 3], prompt=prompt(2 + n % 20, 100 + n), max_tokens=3 + n % 30,
            temperature=[0.0, 0.7, 1.3][n % 3], top_k=[-1, 5][n % 2], top_p=[1.0, 0.8][n % 2], num_samples=1 + n % 3,
        )
        for n in range(15)
    ]  # fmt: skip
    alone = [run_jobs(ready, [job])[0] for job in mine]
    mixed = [job for pair in zip(crowd, mine, strict=True) for job in pair]
    crowded = dict(zip([job.job_id for job in mixed], run_jobs(ready, mixed, stagger=1), strict=True))
    for job, expected in zip(mine, alone, strict=True):
        for left, right in zip(expected.sequences, crowded[job.job_id].sequences, strict=True):
            assert left.tokens.tolist() == right.tokens.tolist()
            np.testing.assert_allclose(left.logprobs, right.logprobs, atol=2e-5)
        assert expected.sequences[0].tokens.tolist() != expected.sequences[1].tokens.tolist()


def test_n03_requests_without_a_seed_differ(ready: EngineCore) -> None:
    first, second = (one(ready, prompt=prompt(5), max_tokens=20).sequences[0].tokens.tolist() for _ in range(2))
    assert first != second


def test_frequencies_follow_the_model(ready: EngineCore) -> None:
    given = prompt(6, 1)
    output = one(ready, prompt=given, num_samples=4000, max_tokens=1, seed=1)
    assert len(output.sequences) == 4000 > MAX_ROWS
    counts = np.bincount([int(sequence.tokens[0]) for sequence in output.sequences], minlength=96) / 4000
    logprobs = {int(s.tokens[0]): float(s.logprobs[0]) for s in output.sequences}
    expected = np.array([np.exp(logprobs[token]) if token in logprobs else 0.0 for token in range(96)])
    assert np.abs(counts - expected).sum() < 0.12


def test_top_k_and_top_p_cut(ready: EngineCore) -> None:
    given = prompt(6, 1)
    best = one(ready, prompt=given, max_tokens=1, topk_sample_logprobs=96, temperature=0.0).sequences[0].topk
    assert best is not None
    order, chances = best.token_ids[0].tolist(), np.exp(best.logprobs[0].astype(np.float64))
    assert chances.sum() == pytest.approx(1, abs=1e-4)
    three = one(ready, prompt=given, num_samples=200, max_tokens=1, top_k=3, seed=0)
    assert {int(s.tokens[0]) for s in three.sequences} == set(order[:3])
    kept = int((np.cumsum(chances) - chances < 0.5).sum())
    half = one(ready, prompt=given, num_samples=400, max_tokens=1, top_p=0.5, seed=0)
    assert {int(s.tokens[0]) for s in half.sequences} <= set(order[:kept])
    for cold in (1e-4, 1e-30, 1e-39, 1e-300, 5e-324):
        coldest = one(ready, prompt=given, num_samples=20, max_tokens=1, temperature=cold, seed=0)
        assert {int(s.tokens[0]) for s in coldest.sequences} == {order[0]}, cold


def test_stops(ready: EngineCore) -> None:
    given = prompt(8, 2)
    free = one(ready, prompt=given, max_tokens=30, seed=9).sequences[0].tokens.tolist()
    stop = next(token for place, token in enumerate(free) if place >= 5)
    until = free.index(stop) + 1
    by_token = one(ready, prompt=given, max_tokens=30, seed=9, stop_token_ids=(stop,)).sequences[0]
    assert by_token.tokens.tolist() == free[:until]
    assert by_token.stop_reason == "stop"
    text = "".join(chr(33 + token - 3) for token in free[3:6])
    by_text = one(ready, prompt=given, max_tokens=30, seed=9, stop_strings=(text,)).sequences[0]
    assert by_text.tokens.tolist() == free[:6]
    assert by_text.stop_reason == "stop"
    at_eos = one(ready, prompt=given, num_samples=200, max_tokens=40, seed=4, stop_at_eos=True)
    reasons = {sequence.stop_reason for sequence in at_eos.sequences}
    assert reasons == {"stop", "length"}
    for sequence in at_eos.sequences:
        assert (sequence.tokens[-1] == 1) == (sequence.stop_reason == "stop")
        assert 1 not in sequence.tokens[:-1]


@pytest.mark.parametrize(
    ("length", "asked", "expected"), [(10, None, 54), (10, 500, 54), (64, 3, 0), (10, 0, 0), (63, 3, 1)]
)
def test_the_end_of_the_context(ready: EngineCore, length: int, asked: int | None, expected: int) -> None:
    sequence = one(ready, prompt=prompt(length), max_tokens=asked).sequences[0]
    assert sequence.tokens.size == sequence.logprobs.size == expected
    assert sequence.stop_reason == "length"


def test_prompt_scores(ready: EngineCore, qwen: Path) -> None:
    given = prompt(9, 4)
    targets = np.random.default_rng(1).integers(0, 96, (8, 3))
    targets[2, 1] = -1
    output = one(
        ready, prompt=given, max_tokens=1, prompt_logprobs=True, topk_prompt_logprobs=100, prompt_alt_tokens_k=2,
        target_prompt_tokens=targets, prompt_logprobs_last_n=4, seed=3,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_pretrained(qwen).eval()
    with torch.no_grad():
        truth = model(torch.from_numpy(given.astype(np.int64))[None]).logits[0].log_softmax(-1).numpy()
    assert output.prompt_logprobs is not None
    assert np.isnan(output.prompt_logprobs[:5]).all()
    np.testing.assert_allclose(output.prompt_logprobs[5:], truth[np.arange(4, 8), given[5:]], atol=2e-5)
    assert output.topk_prompt is not None
    assert output.topk_prompt.token_ids.shape == (9, 100)
    assert (output.topk_prompt.logprobs[:5] == -99999.0).all()
    np.testing.assert_allclose(output.topk_prompt.logprobs[5:, :96], -np.sort(-truth[4:8], axis=1), atol=2e-5)
    assert (output.topk_prompt.logprobs[:, 96:] == -99999.0).all()
    assert output.target_prompt_logprobs is not None
    expected = np.take_along_axis(truth[:8], targets.clip(0), axis=1)
    expected[2, 1] = 0
    np.testing.assert_allclose(output.target_prompt_logprobs, expected, atol=2e-5)
    assert output.prompt_alt_tokens is not None
    assert output.prompt_alt_logprobs is not None
    assert output.prompt_alt_tokens.shape == (8, 2)
    alternatives = np.take_along_axis(truth[:8], output.prompt_alt_tokens, axis=1)
    np.testing.assert_allclose(output.prompt_alt_logprobs, alternatives, atol=2e-5)


def test_a_prompt_of_one_token_has_no_scores(ready: EngineCore) -> None:
    output = one(
        ready, prompt=prompt(1), max_tokens=1, prompt_logprobs=True, topk_prompt_logprobs=2, prompt_alt_tokens_k=2
    )
    assert output.prompt_logprobs is not None
    assert output.prompt_logprobs.shape == (1,)
    assert output.prompt_alt_tokens is not None
    assert output.prompt_alt_tokens.shape == (0, 2)


def test_a_snapshot_stays_what_it_was(ready: EngineCore, make_data: MakeData) -> None:
    """Faults 2 and 3 of other servers: neither does sampling touch training, nor training a sampler."""
    given, data = prompt(8), make_data(20)
    before = one(ready, sampler_id="t", prompt=given, max_tokens=20, seed=1)
    loss = finish(ready.forward_backward("t", data, "cross_entropy", {}, True)).metrics["loss:sum"]
    again = finish(ready.forward_backward("t", data, "cross_entropy", {}, False)).metrics["loss:sum"]
    assert loss == again
    ready.optim_step("t", AdamSettings(learning_rate=0.1))
    ready.unload_adapter("t")
    after = one(ready, sampler_id="t", prompt=given, max_tokens=20, seed=1)
    assert before.sequences[0].tokens.tolist() == after.sequences[0].tokens.tolist()
    np.testing.assert_array_equal(before.sequences[0].logprobs, after.sequences[0].logprobs)


def test_a_sampler_from_a_checkpoint_is_the_same(ready: EngineCore, tmp_path: Path) -> None:
    ready.save_adapter("t", str(tmp_path), False)
    ready.create_sampler("disk", None, None, str(tmp_path))
    given = prompt(8)
    left = one(ready, sampler_id="t", prompt=given, max_tokens=20, seed=1).sequences[0]
    right = one(ready, sampler_id="disk", prompt=given, max_tokens=20, seed=1).sequences[0]
    np.testing.assert_array_equal(left.logprobs, right.logprobs)
    assert left.logprobs.tolist() != one(ready, prompt=given, max_tokens=20, seed=1).sequences[0].logprobs.tolist()


def test_cancelled_jobs_end_and_the_others_do_not_notice(ready: EngineCore) -> None:
    kept = SampleJob(job_id="kept", sampler_id="s", prompt=prompt(5), max_tokens=20, seed=3, stop_at_eos=False)
    alone = run_jobs(ready, [kept])[0].sequences[0].tokens.tolist()
    answers: dict[str, Any] = {}
    for name in ("gone", "late"):
        job = SampleJob(job_id=name, sampler_id="s", prompt=prompt(7), num_samples=3, max_tokens=40)
        ready.sampling.add(job, partial(answers.__setitem__, name))
    ready.sampling.add(kept, partial(answers.__setitem__, "kept"))
    ready.sampling.cancel("late")
    for _ in range(4):
        ready.sampling.advance()
    ready.sampling.cancel("gone")
    ready.sampling.cancel("gone")
    while ready.sampling.busy:
        ready.sampling.advance()
    assert isinstance(answers["gone"], UserFaultError)
    assert isinstance(answers["late"], UserFaultError)
    assert answers["kept"].sequences[0].tokens.tolist() == alone


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": np.array([5, 96], dtype=np.int32)}, r"prompt\[1\] is 96; token ids of this model are 0 to 95"),
        ({"prompt": np.array([], dtype=np.int32)}, "prompt is empty"),
        ({"prompt": prompt(65)}, "prompt has 65 tokens, the context of this model is 64"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_k": -2}, "top_k is -2"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"max_tokens": -1}, "max_tokens is -1"),
        ({"target_prompt_tokens": np.zeros((3, 1), dtype=np.int64)}, r"has shape \[3, 1\]"),
        ({"sampler_id": "nobody"}, "'nobody' is not loaded"),
    ],
)
def test_what_cannot_be_sampled_is_refused(ready: EngineCore, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserFaultError, match=message):
        one(ready, **{"prompt": prompt(5), "max_tokens": 2, **fields})
    assert one(ready, prompt=prompt(5), max_tokens=2).sequences[0].tokens.size == 2


def test_many_adapters_of_other_ranks_and_sites_in_one_batch(core: EngineCore, make_data: MakeData) -> None:
    shapes = [
        LoraSpec(rank=2, seed=1),
        LoraSpec(rank=8, seed=2, train_mlp=False),
        LoraSpec(rank=4, seed=3, train_attn=False),
    ]
    core.create_sampler("a3", "llama", None, None)
    for number, shape in enumerate(shapes):
        core.create_adapter(f"a{number}", "llama", shape)
        finish(core.forward_backward(f"a{number}", make_data(20, seed=number), "cross_entropy", {}, True))
        core.optim_step(f"a{number}", AdamSettings(learning_rate=3e-2))
        core.create_sampler(f"a{number}", None, f"a{number}", None)
    for crowd in ([1, 1, 1, 1], [9, 1, 0, 1], [3, 2, 1, 4]):
        jobs = [
            SampleJob(
                job_id=f"{n}-{k}", sampler_id=f"a{n}", prompt=prompt(4 + k, n), max_tokens=12, seed=k, stop_at_eos=False
            )
            for n, count in enumerate(crowd)
            for k in range(count)
        ]
        for job, output in zip(jobs, run_jobs(core, jobs), strict=True):
            alone = run_jobs(core, [job])[0].sequences[0]
            assert output.sequences[0].tokens.tolist() == alone.tokens.tolist()
            np.testing.assert_allclose(output.sequences[0].logprobs, alone.logprobs, atol=2e-5)
