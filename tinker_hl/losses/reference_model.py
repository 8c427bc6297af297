"""The logprobs of datums under another model, and datums that carry them: the reference of DPO, KL and their like.

They are asked of a training client (one forward pass) or of a sampling client (one score a datum). No torch.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinker_hl.clients.sampling import SamplingClient
from tinker_hl.clients.training import TrainingClient
from tinker_hl.errors import InvalidDatumError
from tinker_hl.types import Datum, EncodedTextChunk, ModelInput, TensorData

__all__ = ["reference_logprobs", "with_reference"]

KEY = "reference_logprobs"


def reference_logprobs(
    client: TrainingClient | SamplingClient, data: Sequence[Datum], *, timeout: float = 600.0
) -> list[NDArray[np.float32]]:
    """The logprobs of the datums' targets under a client's model. Blocks: not for event loops.

    A fresh training client gives those of its base model, since a new adapter changes nothing; so does a sampling
    client of the base model.

    Args:
        client: A training client scores whatever can be trained on; a sampling client text only, whose targets, [T],
            are the same text one token on.
        data: At least one datum, with `target_tokens`.
        timeout: Seconds for each of the waits.

    Returns:
        One array a datum, float32, shaped as its `target_tokens`.

    Raises:
        InvalidDatumError: A sampling client cannot score the datum; names it.
        TimeoutError: It took longer.
    """
    if isinstance(client, TrainingClient):
        output = client.forward(_targets_only(data), "cross_entropy").result(timeout)
        rows = zip(data, output.loss_fn_outputs, strict=True)
        return [
            each["logprobs"]
            .to_numpy()
            .astype(np.float32)
            .reshape(datum.loss_fn_inputs["target_tokens"].to_numpy().shape)
            for datum, each in rows
        ]
    prompts = [_whole_text(datum, index) for index, datum in enumerate(data)]
    futures = [client.compute_logprobs(prompt) for prompt in prompts]
    return [np.array(future.result(timeout)[1:], dtype=np.float32) for future in futures]


def with_reference(data: Sequence[Datum], logprobs: Sequence[ArrayLike], *, key: str = KEY) -> list[Datum]:
    """New datums that have the reference logprobs among their inputs; the given ones stay as they are.

    Args:
        data: The datums.
        logprobs: One array a datum.
        key: Of `loss_fn_inputs`.
    """
    return [
        attrs.evolve(
            datum,
            loss_fn_inputs={**datum.loss_fn_inputs, key: TensorData.from_numpy(np.asarray(row, dtype=np.float32))},
        )
        for datum, row in zip(data, logprobs, strict=True)
    ]


def _targets_only(data: Sequence[Datum]) -> list[Datum]:
    return [_targets_only_of(datum, index) for index, datum in enumerate(data)]


def _targets_only_of(datum: Datum, index: int) -> Datum:
    targets = _targets(datum, index)
    zeros = TensorData.from_numpy(np.zeros(targets.shape, dtype=np.float32))
    return attrs.evolve(
        datum, loss_fn_inputs={"target_tokens": datum.loss_fn_inputs["target_tokens"], "weights": zeros}
    )


def _targets(datum: Datum, index: int) -> NDArray[Any]:
    if "target_tokens" not in datum.loss_fn_inputs:
        raise InvalidDatumError("it is what is scored", datum_index=index, field="loss_fn_inputs['target_tokens']")
    return datum.loss_fn_inputs["target_tokens"].to_numpy()


def _whole_text(datum: Datum, index: int) -> ModelInput:
    """The model input and the last target, as one text."""
    targets = _targets(datum, index)
    if not all(isinstance(chunk, EncodedTextChunk) for chunk in datum.model_input.chunks):
        raise InvalidDatumError(
            "a sampling client scores text only; use a training client", datum_index=index, field="model_input"
        )
    tokens = datum.model_input.to_ints()
    if targets.ndim != 1 or targets.tolist()[:-1] != tokens[1:]:
        raise InvalidDatumError(
            "a sampling client scores a text, and these targets are not the model input one token on; use a training "
            "client",
            datum_index=index,
            field="loss_fn_inputs['target_tokens']",
        )
    return ModelInput.from_ints([*tokens, int(targets[-1])])
