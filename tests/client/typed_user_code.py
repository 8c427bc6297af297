"""Programs of users, as type checkers must accept them; `test_client_typing` checks this file, nobody runs it."""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from tinker_hl import Datum, ModelInput, SamplingParams, TensorData
from tinker_hl.types import EncodedTextChunk, ForwardBackwardOutput

tokens: list[int] = [1, 2]
weights: NDArray[np.float32] = np.ones(2, np.float32)
lists = {"target_tokens": [2, 3]}
arrays = {"target_tokens": np.array([2, 3]), "weights": weights}

data = [
    Datum(model_input=ModelInput.from_ints(tokens), loss_fn_inputs={"target_tokens": [2, 3], "weights": [1.0, 1.0]}),
    Datum(model_input=ModelInput.from_ints((1, 2)), loss_fn_inputs={"target_tokens": (2, 3), "weights": weights}),
    Datum(ModelInput.from_ints(range(2)), {"target_tokens": range(2), "weights": TensorData([1.0, 1.0], "float32")}),
    Datum(model_input=ModelInput.from_ints(tokens=np.arange(2)), loss_fn_inputs=lists),
    Datum(model_input=ModelInput.empty().append_int(3), loss_fn_inputs=arrays),
]
assert_type(data[0].loss_fn_inputs, dict[str, TensorData])
assert_type(EncodedTextChunk(tokens=np.arange(2)).tokens, list[int])
EncodedTextChunk(tokens=(1, 2))
ModelInput(chunks=(EncodedTextChunk(tokens=[1]),))
SamplingParams(max_tokens=3, temperature=0, stop=["a"])
SamplingParams(max_tokens=np.int64(3), temperature=np.float32(0.5), stop=(1, 2))
SamplingParams(stop=np.array([1, 2]))
TensorData(data=[1, 2], dtype="int64", shape=(2,))
TensorData(weights, shape=weights.shape)


def first_logprob(result: ForwardBackwardOutput) -> float:
    return float(result.loss_fn_outputs[0]["logprobs"].to_numpy()[0])
