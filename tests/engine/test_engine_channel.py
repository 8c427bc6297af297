"""Frames: what goes in comes out, for every value of the protocol; and nothing else goes in."""

from pathlib import Path
from typing import Any

import attrs
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from tinker_local.engine import channel
from tinker_local.engine.protocol import (
    DimuonSettings,
    ImageInput,
    LoraSpec,
    SampledTokens,
    SampleJob,
    SampleOutput,
    TopK,
    TrainingDatum,
)

ARRAYS = st.sampled_from([np.int32, np.int64, np.float32, np.float64, np.bool_]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
)


def through(message: Any) -> Any:
    frame = b"".join(bytes(part) for part in channel.encode(message))
    header, body = channel.lengths(frame[: channel.PREFIX.size])
    assert len(frame) == channel.PREFIX.size + header + body
    start = channel.PREFIX.size + header
    return channel.decode(frame[channel.PREFIX.size : start], frame[start:])


@given(st.lists(ARRAYS, max_size=5), st.dictionaries(st.text(), st.none() | st.booleans() | st.floats(allow_nan=False)))
def test_arrays_and_plain_values_cross(values: list[np.ndarray[Any, Any]], plain: dict[str, Any]) -> None:
    finite = {key: value for key, value in plain.items() if not key.startswith("$") and value not in (np.inf, -np.inf)}
    answer = through({"values": values, "plain": finite})
    assert answer["plain"] == finite
    for left, right in zip(answer["values"], values, strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


def test_the_protocols_values_cross() -> None:
    topk = TopK(token_ids=np.ones((2, 3), dtype=np.int32), logprobs=np.zeros((2, 3), dtype=np.float32))
    sequence = SampledTokens(
        tokens=np.arange(2, dtype=np.int32), logprobs=np.zeros(2, dtype=np.float32), stop_reason="stop", topk=topk
    )
    output = SampleOutput(sequences=[sequence], prompt_logprobs=np.array([np.nan, -1], dtype=np.float32))
    answer = through(output)
    assert isinstance(answer, SampleOutput)
    assert answer.target_prompt_logprobs is None
    np.testing.assert_array_equal(answer.prompt_logprobs, output.prompt_logprobs)
    assert answer.sequences[0].topk is not None
    np.testing.assert_array_equal(answer.sequences[0].topk.token_ids, topk.token_ids)
    assert through(LoraSpec(rank=3, seed=2**60)) == LoraSpec(rank=3, seed=2**60)
    assert through(DimuonSettings(learning_rate=0.5)) == DimuonSettings(learning_rate=0.5)
    image = through(ImageInput(start=3, length=4, data=np.frombuffer(b"\x00\xff", dtype=np.uint8)))
    assert (image.start, image.length, image.data.tobytes()) == (3, 4, b"\x00\xff")
    job = SampleJob(job_id="a", sampler_id="b", prompt=np.zeros(1, dtype=np.int32), stop_token_ids=(1, 2))
    assert through(job).stop_token_ids == (1, 2)
    datum = TrainingDatum(
        tokens=np.zeros(2, dtype=np.int32)[::2], target_tokens=np.zeros((1, 2), dtype=np.int64), inputs={}
    )
    assert through(datum).target_tokens.shape == (1, 2)
    assert through({"directory": Path("a/b")}) == {"directory": "a/b"}


@attrs.frozen
class Stranger:
    """Not of the protocol."""


@pytest.mark.parametrize("value", [Stranger(), np.array(["text"]), object()])
def test_nothing_else_crosses(value: Any) -> None:
    with pytest.raises(TypeError, match=r"Type is not JSON serializable|cross to the engine"):
        channel.encode({"value": value})


def test_reading_makes_no_other_class() -> None:
    with pytest.raises(KeyError, match="Path"):
        channel.decode(b'{"$class": "Path"}', b"")
