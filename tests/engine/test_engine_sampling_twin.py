"""Sampling against a plain slow twin: no cache, no batch, one row and one token at a time, numpy for every choice."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from numpy.typing import NDArray

import tinker_local
from tinker_local.engine.core import EngineCore
from tinker_local.engine.drawing import NoiseStream
from tinker_local.engine.protocol import AdamSettings, LoraSpec, SampleJob, SampleOutput, TrainingDatum
from tinker_local.engine.requests import Sampler
from tinker_local.engine.stopping import StopRule
from tinker_local.settings import ModelSource

MakeData = Callable[..., list[TrainingDatum]]
CONTEXT = 64


def prompt(length: int, seed: int = 0) -> NDArray[np.int32]:
    return np.random.default_rng(seed).integers(3, 96, length).astype(np.int32)


def trained(core: EngineCore, name: str, data: list[TrainingDatum], seed: int) -> Sampler:
    core.create_adapter(name, "qwen", LoraSpec(rank=4, seed=seed))
    for _ in core.forward_backward(name, data, "cross_entropy", {}, True):
        pass
    core.optim_step(name, AdamSettings(learning_rate=3e-2))
    core.create_sampler(name, None, name, None)
    return Sampler(core.base("qwen"), core.adapter(name).weights.copy())


@pytest.fixture
def samplers(core: EngineCore, make_data: MakeData) -> dict[str, Sampler]:
    core.create_sampler("s", "qwen", None, None)
    found = {name: trained(core, name, make_data(20, seed=seed), seed) for name, seed in (("t", 1), ("u", 2))}
    return {"s": Sampler(core.base("qwen"), None), **found}


@torch.no_grad()
def logprobs_of(sampler: Sampler, tokens: Sequence[int]) -> NDArray[np.float64]:
    """[len(tokens), V]: what follows each token, from one pass over all of them."""
    base = sampler.base
    with base.acting(sampler.active):
        logits = base.logits(base.states(torch.tensor([list(tokens)])))[0].double()
    found: NDArray[np.float64] = logits.log_softmax(1).numpy()
    return found


def drawn(logprobs: NDArray[np.float64], job: SampleJob, noise: float) -> int:
    if job.temperature == 0:
        return int(logprobs.argmax())
    weights = np.exp(logprobs / job.temperature - (logprobs / job.temperature).max())
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")
    if job.top_k > 0:
        order = order[: job.top_k]
    before = np.cumsum(weights[order]) - weights[order]
    order = order[before < job.top_p * weights[order].sum()]
    kept = np.zeros_like(weights)
    kept[order] = weights[order]
    return int(np.searchsorted(np.cumsum(kept), noise * kept.sum(), side="right"))


def twin(sampler: Sampler, job: SampleJob, index: int) -> tuple[list[int], list[float], str]:
    """Tokens, logprobs and stop reason of one sample."""
    assert job.seed is not None
    noise = NoiseStream(job.seed, index).peek(0, CONTEXT)
    room = CONTEXT - job.prompt.size
    most = room if job.max_tokens is None else min(room, job.max_tokens)
    tokens: list[int] = []
    logprobs: list[float] = []
    ends = {*job.stop_token_ids, *((1,) if job.stop_at_eos else ())}
    while len(tokens) < most:
        last = logprobs_of(sampler, [*job.prompt.tolist(), *tokens])[-1]
        tokens.append(drawn(last, job, noise[len(tokens)]))
        logprobs.append(float(last[tokens[-1]]))
        text = "".join(chr(33 + token - 3) for token in tokens if token >= 3)
        if tokens[-1] in ends or any(string in text for string in job.stop_strings):
            return tokens, logprobs, "stop"
    return tokens, logprobs, "length"


JOBS = st.fixed_dictionaries(
    {
        "sampler_id": st.sampled_from("stu"),
        "prompt": st.builds(prompt, st.sampled_from([1, 2, 7, 58, 64]), st.integers(0, 3)),
        "num_samples": st.integers(1, 3),
        "max_tokens": st.sampled_from([None, 0, 1, 6, 9, 1000]),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "temperature": st.sampled_from([0.0, 0.5, 1.0, 1.7]),
        "top_k": st.sampled_from([-1, 1, 4, 96, 1000]),
        "top_p": st.sampled_from([1.0, 0.9, 0.3, 1e-6]),
        "stop_at_eos": st.booleans(),
        "stop_token_ids": st.sampled_from([(), (7, 8, 9, 10, 11, 12)]),
        "stop_strings": st.sampled_from([(), ("A", "zz"), ("BC", "!", "x")]),
        "topk_sample_logprobs": st.sampled_from([0, 2, 100]),
        "prompt_logprobs": st.booleans(),
    }
).filter(lambda fields: fields["max_tokens"] in (0, 1, 6, 9) or fields["prompt"].size >= 58)


def run(core: EngineCore, jobs: Sequence[SampleJob], stagger: int) -> list[SampleOutput]:
    answers: dict[str, Any] = {}
    for job in jobs:
        core.sampling.add(job, partial(answers.__setitem__, job.job_id))
        for _ in range(stagger):
            core.sampling.advance()
    while core.sampling.busy:
        core.sampling.advance()
    return [answers[job.job_id] for job in jobs]


@settings(
    max_examples=8,
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(asked=st.lists(JOBS, min_size=1, max_size=5), stagger=st.integers(0, 3))
def test_any_options_among_any_mates_give_what_the_twin_gives(
    core: EngineCore, samplers: dict[str, Sampler], asked: list[dict[str, Any]], stagger: int
) -> None:
    jobs = [SampleJob(job_id=f"j{number}", **fields) for number, fields in enumerate(asked)]
    for job, output in zip(jobs, run(core, jobs, stagger), strict=True):
        assert isinstance(output, SampleOutput), output
        sampler = samplers[job.sampler_id]
        for index, sequence in enumerate(output.sequences):
            tokens, logprobs, reason = twin(sampler, job, index)
            assert sequence.tokens.tolist() == tokens
            assert sequence.stop_reason == reason
            np.testing.assert_allclose(sequence.logprobs, logprobs, atol=5e-5)
            if job.topk_sample_logprobs:
                assert sequence.topk is not None
                count = min(job.topk_sample_logprobs, 96)
                whole = logprobs_of(sampler, [*job.prompt.tolist(), *tokens])
                rows = whole[job.prompt.size - 1 : job.prompt.size - 1 + len(tokens)]
                assert sequence.topk.logprobs.shape == (len(tokens), count)
                np.testing.assert_allclose(sequence.topk.logprobs, -np.sort(-rows, axis=1)[:, :count], atol=5e-5)
        if job.prompt_logprobs:
            assert output.prompt_logprobs is not None
            own = logprobs_of(sampler, job.prompt.tolist())[np.arange(job.prompt.size - 1), job.prompt[1:]]
            assert np.isnan(output.prompt_logprobs[0])
            np.testing.assert_allclose(output.prompt_logprobs[1:], own, atol=5e-5)
        else:
            assert output.prompt_logprobs is None


def test_n01_a_crowd_of_adapters_has_the_logprobs_of_training(core: EngineCore, samplers: dict[str, Sampler]) -> None:
    """Admitted mid-way, prompts kept, rows that leave: what is drawn has the logprobs that training computes."""
    jobs = [
        SampleJob(
            job_id=f"j{n}", sampler_id="tu"[n % 2], prompt=prompt(4 + n % 5, n % 5), num_samples=2, max_tokens=5 + n,
            seed=n, temperature=[1.0, 0.5, 1.5][n % 3], stop_at_eos=False,
        )
        for n in range(16)
    ]  # fmt: skip
    differences = []
    outputs = run(core, jobs, 3)
    assert any(output.prompt_cache_hit_tokens for output in outputs)
    for job, output in zip(jobs, outputs, strict=True):
        for sequence in output.sequences:
            whole = np.concatenate([job.prompt, sequence.tokens])
            datum = TrainingDatum(tokens=whole[:-1].astype(np.int32), target_tokens=whole[1:].astype(np.int64))
            computing = core.forward_backward(job.sampler_id, [datum], "cross_entropy", {}, False)
            while True:
                try:
                    next(computing)
                except StopIteration as stop:
                    logprobs = stop.value.logprobs[0]
                    break
            differences.append(np.abs(sequence.logprobs - logprobs[job.prompt.size - 1 :]))
    assert np.concatenate(differences).mean() <= 1e-5


def test_n03_a_hundred_of_a_hundred_samples_are_the_same_in_a_crowd(
    core: EngineCore, samplers: dict[str, Sampler]
) -> None:
    """Alone; then among others, admitted mid-way, with adapters of their own, and the prompts kept or not."""

    def mine(name: str, n: int) -> SampleJob:
        return SampleJob(
            job_id=f"{name}{n}", sampler_id="stu"[n % 3], prompt=prompt(3 + n % 9, n % 20), num_samples=2,
            max_tokens=4 + n % 9, seed=n, stop_at_eos=False,
        )  # fmt: skip

    alone = [run(core, [mine("alone", n)], 0)[0] for n in range(50)]
    crowd = [
        SampleJob(job_id=f"o{n}", sampler_id="uts"[n % 3], prompt=prompt(2 + n % 20, n), max_tokens=1 + n % 25)
        for n in range(50)
    ]
    mixed = [job for n in range(50) for job in (crowd[n], mine("crowd", n))]
    together = run(core, mixed, 1)[1::2]
    pairs = [
        (left.tokens.tolist(), right.tokens.tolist())
        for one, other in zip(alone, together, strict=True)
        for left, right in zip(one.sequences, other.sequences, strict=True)
    ]
    assert len(pairs) == 100
    assert sum(left == right for left, right in pairs) == 100
    different = [output.sequences[0].tokens.tolist() != output.sequences[1].tokens.tolist() for output in alone]
    assert sum(different) >= 49, "samples of one request differ (four tokens may be the same by chance)"


@pytest.mark.parametrize("seed", [0, 2**63 - 1, 2**63, 2**64 - 2, -1, -(2**63)])
def test_n03_seeds_of_64_bits_are_all_different(seed: int) -> None:
    """No bit of a seed is lost, also above 2^53 and below 0; nor is one of the alternatives' stream, 2^63."""
    for index in (0, 2**63):
        streams = [NoiseStream(number, index).peek(0, 8).tolist() for number in (seed, seed + 1, seed)]
        assert streams[0] == streams[2] != streams[1]


@pytest.mark.parametrize("text", ["é", "日本", "a🙂b", "<|end|>", "né"])
def test_a_stop_string_is_seen_across_the_borders_of_tokens(text: str) -> None:
    """The packaged model's tokens are bytes, so that a character is several of them."""
    core = EngineCore()
    folder = Path(tinker_local.__file__).parent / "models" / "tiny"
    core.start([ModelSource(name="tiny", path=str(folder))], None, "cpu", None)
    tokenizer = core.base("tiny").tokenizer()
    assert tokenizer is not None
    wanted = tokenizer.encode(f"some words, {text} and more", add_special_tokens=False).ids
    job = SampleJob(job_id="j", sampler_id="s", prompt=prompt(3), stop_strings=(text,), stop_at_eos=False)
    rule = StopRule(job, eos=(), context=1000, tokenizer=tokenizer)
    reasons = [rule.reason(wanted[:count]) for count in range(1, len(wanted) + 1)]
    first = reasons.index("stop")
    decoded = tokenizer.decode(wanted[: first + 1], skip_special_tokens=False)
    assert decoded.endswith(text)
    assert text not in tokenizer.decode(wanted[:first], skip_special_tokens=False)
