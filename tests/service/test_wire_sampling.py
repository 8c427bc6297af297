"""Sampling requests become jobs; what is left out keeps the job's own default."""

from typing import Any

import attrs
import numpy as np
import pytest

from tinker_local.engine.protocol import SampleJob
from tinker_local.wire.faults import WireFault
from tinker_local.wire.sampling import decode_sample


def body(*, params: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return {"prompt": {"chunks": [{"tokens": [5, 6]}, {"tokens": [7]}]}, "sampling_params": params or {}} | options


def decode(**options: Any) -> SampleJob:
    return decode_sample(body(**options), job_id="j", sampler_id="s")


def test_defaults_are_those_of_the_job() -> None:
    job = decode(params={"max_tokens": None, "seed": None, "stop": None}, prompt_logprobs=None)
    plain = SampleJob(job_id="j", sampler_id="s", prompt=job.prompt)
    assert attrs.asdict(job) == attrs.asdict(plain)
    assert (job.prompt.tolist(), job.prompt.dtype) == ([5, 6, 7], np.dtype(np.int32))


def test_everything_given_arrives() -> None:
    params = {"max_tokens": 3, "seed": 2**40, "temperature": 0.5, "top_k": 4, "top_p": 0.9}
    options = {
        "num_samples": 2,
        "prompt_logprobs": True,
        "prompt_logprobs_last_n": 2,
        "topk_prompt_logprobs": 3,
        "topk_sample_logprobs": 4,
        "prompt_alt_tokens_k": 5,
    }
    job = attrs.asdict(decode(params=params, **options))
    assert {name: job[name] for name in params | options} == params | options


@pytest.mark.parametrize(
    ("stop", "strings", "ids", "eos"),
    [
        (None, (), (), True),
        ([], (), (), False),
        ("\n", ("\n",), (), True),
        (["a", "bc"], ("a", "bc"), (), True),
        ([3, 9], (), (3, 9), True),
    ],
)
def test_stop(stop: Any, strings: tuple[str, ...], ids: tuple[int, ...], eos: bool) -> None:
    job = decode(params={"stop": stop})
    assert (job.stop_strings, job.stop_token_ids, job.stop_at_eos) == (strings, ids, eos)


def test_target_tokens_dense_and_sparse() -> None:
    dense = {"data": [4, -1, -1, 9], "dtype": "int64", "shape": [2, 2]}
    sparse = {
        "data": [4, 9],
        "dtype": "int64",
        "shape": [2, 2],
        "sparse_crow_indices": [0, 1, 2],
        "sparse_col_indices": [0, 1],
    }
    for tensor in (dense, sparse):
        tokens = decode(target_prompt_logprobs=tensor).target_prompt_tokens
        assert tokens is not None
        assert tokens.tolist() == [[4, -1], [-1, 9]]


@pytest.mark.parametrize(
    ("options", "loc", "message"),
    [
        ({"params": {"stop": ""}}, ("sampling_params", "stop"), "empty stop"),
        ({"params": {"stop": ["a", ""]}}, ("sampling_params", "stop"), "empty stop"),
        ({"prompt_logprobs_last_n": 1}, ("prompt_logprobs_last_n",), "needs prompt_logprobs"),
        ({"prompt_logprobs_last_n": 3, "prompt_logprobs": True}, ("prompt_logprobs_last_n",), "between 1 and 2"),
        ({"prompt": {"chunks": [{"tokens": []}]}}, ("prompt", "chunks"), "no tokens"),
        ({"prompt": {"chunks": [{"dmel": ""}]}}, ("prompt", "chunks", 0), "text and images"),
        (
            {"target_prompt_logprobs": {"data": [1, 2, 3], "dtype": "int64", "shape": [3, 1]}},
            ("target_prompt_logprobs", "shape"),
            r"not \[2, K\]",
        ),
        (
            {"target_prompt_logprobs": {"data": [-1, -1], "dtype": "int64", "shape": [2, 1]}},
            ("target_prompt_logprobs",),
            "at least one id",
        ),
        (
            {"target_prompt_logprobs": {"data": [-2, 1], "dtype": "int64", "shape": [2, 1]}},
            ("target_prompt_logprobs",),
            "below -1",
        ),
        (
            {"target_prompt_logprobs": {"data": [1, 1], "dtype": "float32", "shape": [2, 1]}},
            ("target_prompt_logprobs", "dtype"),
            "int64",
        ),
    ],
)
def test_a_fault_names_its_place(options: dict[str, Any], loc: tuple[str, ...], message: str) -> None:
    with pytest.raises(WireFault, match=message) as caught:
        decode(**options)
    assert caught.value.loc == ("body", *loc)
