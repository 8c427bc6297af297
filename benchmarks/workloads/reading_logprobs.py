"""What a result costs when it is there: its logprobs as numpy arrays and as torch tensors, all datums of a pass.

    python -m benchmarks.workloads.reading_logprobs official|ours URL ROUNDS DATUMS TOKENS

It runs in the environment of whichever SDK it is for.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.workloads.measuring import ready, sdk

side, url, rounds, datums, tokens = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
tinker = sdk(side)
types = tinker.types
torch.set_num_threads(1)


def result() -> Any:
    """A pass of so many datums, scored with -1 everywhere."""
    service = tinker.ServiceClient(base_url=url, api_key="tml-benchmark")
    client = ready(service.create_lora_training_client("stub/model", rank=32))
    ids = list(range(tokens))
    inputs = {
        "target_tokens": types.TensorData.from_numpy(np.arange(tokens)),
        "weights": types.TensorData.from_numpy(np.ones(tokens, dtype=np.float32)),
    }
    data = [types.Datum(model_input=types.ModelInput.from_ints(ids), loss_fn_inputs=inputs) for _ in range(datums)]
    return client.forward_backward(data, "cross_entropy").result()


def microseconds(read: Callable[[], Any]) -> float:
    began = time.perf_counter()
    read()
    return (time.perf_counter() - began) * 1e6


def main() -> None:
    output = result()

    def arrays() -> list[Any]:
        return [record["logprobs"].to_numpy() for record in output.loss_fn_outputs]

    def tensors() -> list[Any]:
        return [record["logprobs"].to_torch() for record in output.loss_fn_outputs]

    first, again, as_tensors = arrays(), arrays(), tensors()
    assert sum(float(array.sum()) for array in first) == -datums * tokens, "the stub scores every token with -1"
    assert all(tensor.dtype == torch.float32 and tensor.shape == (tokens,) for tensor in as_tensors)
    copied = sum(one.nbytes for one, same in zip(first, again, strict=True) if not np.shares_memory(one, same))
    copied += sum(
        one.nbytes for one, tensor in zip(first, as_tensors, strict=True) if one.ctypes.data != tensor.data_ptr()
    )
    found = [{"numpy us": microseconds(arrays), "torch us": microseconds(tensors)} for _ in range(rounds)]
    print(json.dumps({"rounds": found, "bytes copied": copied}), flush=True)


main()
