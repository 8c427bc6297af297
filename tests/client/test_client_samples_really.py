"""Every option of sampling, with a local service that really samples: what is asked for comes, and agrees."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinker_hl
from tinker_hl import (
    AdamParams,
    Datum,
    DmelChunk,
    EncodedTextChunk,
    ModelInput,
    PromptProvenanceSpan,
    SampledProvenanceSpan,
    SampleResponse,
    SamplingClient,
    SamplingParams,
    ServiceClient,
    TensorData,
    types,
)

MODEL = "tinker-hl/tiny"
TOKENS = list(b"hello world")
PROMPT = ModelInput.from_ints(TOKENS)
GREEDY = SamplingParams(max_tokens=6, temperature=0.0, stop=[])
DMEL = DmelChunk(dmel=bytes([0, 2, 3, 4]))
IMAGE = types.ImageChunk(data=b"\x89PNG", format="png", expected_tokens=4)
POINTER = types.ImageAssetPointerChunk(location="https://x.test/a.png", format="png", expected_tokens=4)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_HL_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("OMP_NUM_THREADS", "1")
        with ServiceClient(base_url="local") as client:
            yield client


@pytest.fixture(scope="module")
def sampler(service: ServiceClient) -> SamplingClient:
    return service.create_sampling_client(base_model=MODEL).result(110)


def drawn(sampler: SamplingClient, params: SamplingParams = GREEDY, count: int = 1, **asked: Any) -> SampleResponse:
    return sampler.sample(PROMPT, count, params, **asked).result(60)


def scores(response: SampleResponse) -> list[float]:
    assert response.prompt_logprobs is not None
    assert response.prompt_logprobs[0] is None
    return [value for value in response.prompt_logprobs if value is not None]


def test_the_likeliest_tokens_of_what_is_drawn(sampler: SamplingClient) -> None:
    sequence = drawn(sampler, topk_sample_logprobs=3).sequences[0]
    assert sequence.logprobs is not None
    assert sequence.topk_logprobs is not None
    assert len(sequence.topk_logprobs) == len(sequence.tokens) == 6
    for token, logprob, row in zip(sequence.tokens, sequence.logprobs, sequence.topk_logprobs, strict=True):
        assert row is not None
        assert len(row) == 3
        assert row[0] == (token, pytest.approx(logprob, abs=1e-5)), "temperature 0 takes the likeliest"
        assert [value for _, value in row] == sorted((value for _, value in row), reverse=True)
    assert drawn(sampler).sequences[0].topk_logprobs is None


def test_the_likeliest_tokens_of_the_prompt(sampler: SamplingClient) -> None:
    response = drawn(sampler, include_prompt_logprobs=True, topk_prompt_logprobs=2)
    rows = response.topk_prompt_logprobs
    assert rows is not None
    assert rows[0] is None
    assert len(rows) == len(TOKENS)
    for row, own in zip(rows[1:], scores(response), strict=True):
        assert row is not None
        assert len(row) == 2
        assert row[0][1] >= own - 1e-5


def test_scores_of_given_tokens(sampler: SamplingClient) -> None:
    """Dense and sparse; the prompt's own tokens score what the prompt scores."""
    own = np.array(TOKENS[1:], np.int64)
    targets = np.stack([own, np.full_like(own, -1), own[::-1]], axis=1)
    response = drawn(sampler, include_prompt_logprobs=True, target_prompt_logprobs=TensorData.from_numpy(targets))
    found = response.target_prompt_logprobs
    assert found is not None
    matrix = found.to_numpy()
    assert matrix.shape == targets.shape
    assert matrix[:, 0].tolist() == pytest.approx(scores(response), abs=1e-5)
    assert matrix[:, 1].tolist() == [0.0] * len(own)
    wide = np.full((len(own), 16), -1, np.int64)
    wide[3, 5] = own[3]
    sparse = TensorData.from_numpy(wide).compressed(-1)
    assert sparse.is_sparse
    found = drawn(sampler, target_prompt_logprobs=sparse).target_prompt_logprobs
    assert found is not None
    assert found.to_numpy()[3, 5] == pytest.approx(matrix[3, 0], abs=1e-5)


def test_other_tokens_at_each_position_of_the_prompt(sampler: SamplingClient) -> None:
    params = SamplingParams(max_tokens=1, seed=3)
    response = drawn(sampler, params, prompt_alt_tokens_k=4)
    found = response.prompt_alt_tokens
    assert found is not None
    shape = (len(TOKENS) - 1, 4)
    assert (found.tokens.to_numpy().shape, found.logprobs.to_numpy().shape) == (shape, shape)
    assert (found.tokens.dtype, found.logprobs.dtype) == ("int64", "float32")
    again = drawn(sampler, params, target_prompt_logprobs=found.tokens).target_prompt_logprobs
    assert again is not None
    assert again.to_numpy() == pytest.approx(found.logprobs.to_numpy(), abs=1e-5)
    assert drawn(sampler, params).prompt_alt_tokens is None


def test_scores_of_the_end_of_the_prompt(sampler: SamplingClient) -> None:
    whole = drawn(sampler, include_prompt_logprobs=True).prompt_logprobs
    end = drawn(sampler, include_prompt_logprobs=True, prompt_logprobs_last_n=3).prompt_logprobs
    assert whole is not None
    assert end is not None
    assert end[:-3] == [None] * (len(TOKENS) - 3)
    assert end[-3:] == pytest.approx(whole[-3:], abs=1e-5)
    assert sampler.compute_logprobs(PROMPT, prompt_logprobs_last_n=2).result(60)[:-2] == [None] * (len(TOKENS) - 2)
    assert sampler.compute_logprobs(PROMPT).result(60) == pytest.approx(whole, abs=1e-5)


def test_every_way_to_stop(sampler: SamplingClient) -> None:
    free = drawn(sampler, SamplingParams(max_tokens=12, temperature=0.0, stop=[])).sequences[0]
    assert (free.stop_reason, len(free.tokens)) == ("length", 12)
    tokenizer = sampler.get_tokenizer()
    third = free.tokens[2]
    first = free.tokens.index(third)
    by_id = drawn(sampler, SamplingParams(max_tokens=12, temperature=0.0, stop=[third])).sequences[0]
    assert (by_id.stop_reason, by_id.tokens) == ("stop", free.tokens[: first + 1])
    text = tokenizer.decode(free.tokens)
    word = text[3:5]
    for stop in (word, [word], [word, "never there"]):
        by_text = drawn(sampler, SamplingParams(max_tokens=12, temperature=0.0, stop=stop)).sequences[0]
        assert by_text.stop_reason == "stop"
        assert word in tokenizer.decode(by_text.tokens)
        assert by_text.tokens == free.tokens[: len(by_text.tokens)]
        assert word not in tokenizer.decode(by_text.tokens[:-1])


def test_seeds_and_numbers_of_samples(sampler: SamplingClient) -> None:
    seeded = SamplingParams(max_tokens=8, seed=11, stop=[])
    twice = [[sequence.tokens for sequence in drawn(sampler, seeded, 3).sequences] for _ in range(2)]
    assert twice[0] == twice[1]
    assert len({tuple(tokens) for tokens in twice[0]}) > 1
    other = SamplingParams(max_tokens=8, seed=12, stop=[])
    assert [sequence.tokens for sequence in drawn(sampler, other, 3).sequences] != twice[0]
    names = [sequence.sequence_id for sequence in drawn(sampler, seeded, 3).sequences]
    assert None not in names
    assert len(set(names)) == 3


def test_no_limit_ends_with_the_context_or_the_models_own_end(sampler: SamplingClient) -> None:
    sequence = drawn(sampler, SamplingParams(seed=1)).sequences[0]
    assert sequence.stop_reason in ("stop", "length")
    assert sequence.tokens
    with pytest.raises(tinker_hl.UnprocessableEntityError, match="max_tokens"):
        drawn(sampler, SamplingParams(max_tokens=0))


@pytest.mark.parametrize("chunk", [IMAGE, POINTER, DMEL], ids=lambda chunk: chunk.type)
def test_a_model_of_text_refuses_other_chunks_by_name(
    service: ServiceClient, sampler: SamplingClient, chunk: Any
) -> None:
    mixed = ModelInput(chunks=[EncodedTextChunk(tokens=TOKENS), chunk])
    assert mixed.length == len(TOKENS) + chunk.length
    with pytest.raises(tinker_hl.TinkerError, match=r"image|audio|dmel") as refused:
        sampler.sample(mixed, 1, GREEDY).result(60)
    assert isinstance(refused.value, (tinker_hl.APIStatusError, tinker_hl.RequestFailedError))


@pytest.mark.parametrize("chunk", [IMAGE, DMEL], ids=lambda chunk: chunk.type)
def test_so_does_its_training_and_the_next_step_goes_on(service: ServiceClient, chunk: Any) -> None:
    training = service.create_lora_training_client(MODEL, rank=2)
    mixed = ModelInput(chunks=[EncodedTextChunk(tokens=TOKENS), chunk])
    targets = [1] * mixed.length
    with pytest.raises(tinker_hl.TinkerError, match=r"image|audio|dmel") as refused:
        training.forward_backward([Datum(mixed, {"target_tokens": targets})], "cross_entropy").result(60)
    assert isinstance(refused.value, (tinker_hl.APIStatusError, tinker_hl.RequestFailedError))
    plain = Datum(ModelInput.from_ints(TOKENS[:-1]), {"target_tokens": TOKENS[1:]})
    assert training.forward_backward([plain], "cross_entropy").result(60).metrics["loss:sum"] > 0


def test_what_was_sampled_is_trained_on_with_its_provenance(service: ServiceClient, sampler: SamplingClient) -> None:
    sequence = drawn(sampler).sequences[0]
    assert sequence.sequence_id
    tokens = TOKENS + sequence.tokens
    plain = Datum(ModelInput.from_ints(tokens[:-1]), {"target_tokens": tokens[1:]})
    prompt = PromptProvenanceSpan(sequence_id=sequence.sequence_id, length=len(TOKENS))
    sampled = SampledProvenanceSpan(sequence_id=sequence.sequence_id, length=len(sequence.tokens) - 1)
    told = plain.with_provenance(
        [prompt, sampled],
        [
            PromptProvenanceSpan(sequence_id=sequence.sequence_id, offset=1, length=len(TOKENS) - 1),
            SampledProvenanceSpan(sequence_id=sequence.sequence_id, length=len(sequence.tokens)),
        ],
    )
    training = service.create_lora_training_client(MODEL, rank=2, seed=1)
    first, second = (training.forward([one], "cross_entropy").result(60) for one in (plain, told))
    assert second.metrics["loss:sum"] == pytest.approx(first.metrics["loss:sum"], rel=1e-6)
    logprobs = second.loss_fn_outputs[0]["logprobs"].tolist()
    assert logprobs[-len(sequence.tokens) :] == pytest.approx(sequence.logprobs, abs=1e-4)
    training.forward_backward([told], "cross_entropy")
    assert training.optim_step(AdamParams()).result(60).metrics


def test_fault_49_both_kinds_of_clients_give_one_tokenizer(service: ServiceClient, sampler: SamplingClient) -> None:
    training = service.create_lora_training_client(MODEL, rank=2)
    saved = training.save_weights_and_get_sampling_client()
    assert training.get_tokenizer() is sampler.get_tokenizer() is saved.get_tokenizer()
