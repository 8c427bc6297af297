"""Samples: both constructions, lists made on demand, top-k matrices."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.types import SampledSequence, SampleResponse, TopkLogprobs


def test_the_older_construction() -> None:
    sequence = SampledSequence(stop_reason="stop", tokens=[5, 6], logprobs=[-1.0, -0.5])
    assert (sequence.tokens, sequence.logprobs, sequence.sequence_id) == ([5, 6], [-1.0, -0.5], None)
    assert sequence.tokens_np.dtype == np.int32
    response = SampleResponse(
        sequences=[sequence], prompt_logprobs=[None, -1.0], topk_prompt_logprobs=[None, [(3, -1.0)]]
    )
    assert response.prompt_logprobs == [None, -1.0]
    assert response.topk_prompt_logprobs == [None, [(3, -1.0)]]


def test_the_newer_construction() -> None:
    tokens, logprobs = np.array([5, 6], np.int32), np.array([-1.0, -0.5], np.float32)
    sequence = SampledSequence("length", "q1", tokens, logprobs)
    assert (sequence.tokens, sequence.logprobs, sequence.sequence_id) == ([5, 6], [-1.0, -0.5], "q1")
    assert sequence.tokens_np is tokens
    assert sequence == SampledSequence(stop_reason="length", sequence_id="q1", tokens=[5, 6], logprobs=[-1.0, -0.5])
    response = SampleResponse([sequence], np.array([np.nan, -2.0], np.float32))
    assert response.prompt_logprobs == [None, -2.0]
    assert response.topk_prompt_logprobs is None


def test_nothing_sampled_and_nothing_scored() -> None:
    sequence = SampledSequence(stop_reason="stop")
    assert (sequence.tokens, sequence.logprobs, sequence.topk_logprobs) == ([], None, None)
    assert SampleResponse([sequence]).prompt_logprobs is None


def test_lists_are_made_once() -> None:
    sequence = SampledSequence(stop_reason="stop", tokens=[1], logprobs=[-1.0])
    assert sequence.tokens is sequence.tokens
    assert sequence.logprobs is sequence.logprobs


def test_copies_and_dumps_come_back() -> None:
    topk = TopkLogprobs(np.array([[1, 2]], np.int32), np.array([[-0.5, -1.5]], np.float32))
    sequence = SampledSequence("stop", "q", np.array([1], np.int32), np.array([-1], np.float32), topk)
    response = SampleResponse([sequence], np.array([np.nan, -2.0], np.float32), topk, prompt_cache_hit_tokens=3)
    for again in (pickle.loads(pickle.dumps(response)), copy.deepcopy(response), response.model_copy()):
        assert again == response
        assert again.sequences[0].topk_logprobs == [[(1, -0.5), (2, -1.5)]]
    assert response.model_dump()["sequences"][0]["tokens"] == [1]
    older = SampleResponse.model_validate({"sequences": [{"stop_reason": "stop", "tokens": [1], "logprobs": [-1.0]}]})
    assert older.sequences[0].tokens == [1]
    assert SampledSequence(stop_reason="stop", tokens=[1]) != SampledSequence(stop_reason="stop", tokens=[2])
    assert response != SampleResponse([sequence], np.array([np.nan, -2.5], np.float32), topk, prompt_cache_hit_tokens=3)


def test_the_representation_is_short() -> None:
    sequence = SampledSequence(stop_reason="length", tokens=list(range(1000)), logprobs=[-1.0] * 1000)
    assert "1000 in all" in repr(sequence)
    assert len(repr(SampleResponse([sequence], prompt_logprobs=[None] * 1000))) < 300


ROWS = st.lists(
    st.none()
    | st.lists(
        st.tuples(st.integers(0, 200_000), st.floats(-50, 0, width=32)),
        min_size=1,
        max_size=5,
    ),
    max_size=8,
)


@given(ROWS)
def test_topk_rows_survive_the_matrix(rows: list[list[tuple[int, float]] | None]) -> None:
    matrix = TopkLogprobs.from_lists(rows)
    if matrix is None:
        assert all(row is None for row in rows)
    else:
        assert matrix.to_lists() == rows


def test_a_hole_inside_a_row_is_kept_and_an_empty_first_cell_empties_it() -> None:
    token_ids = np.array([[4, 0, 5, 0], [0, 7, 0, 0]], np.int32)
    logprobs = np.array([[-1, -99999, -2, -99999], [-99999, -1, -99999, -99999]], np.float32)
    assert TopkLogprobs(token_ids, logprobs).to_lists() == [[(4, -1.0), (0, -99999.0), (5, -2.0)], None]


def test_a_misspelt_argument_is_named() -> None:
    with pytest.raises(TypeError, match="did you mean 'sequences'"):
        SampleResponse(sequence=[])  # type: ignore[call-arg]  # on purpose
