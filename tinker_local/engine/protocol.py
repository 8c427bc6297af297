"""What the service asks of an engine: values in, values out, no HTTP and no torch.

The HTTP process holds an `Engine` and knows nothing else of it: the real one is a process of its own that runs torch
(`tinker_local.engine.process`), another answers at once without computing (`tinker_local.engine.null`). An engine knows
nothing of sessions, sequence ids, requests or users: the caller gives it work in the order that the work must be done.

Order: calls for one model are carried out in the order in which they were *called* (not awaited). Calls for different
models, and samples, may interleave.

Shapes: N is the number of positions of a datum, K the number of candidate targets per position, V the vocabulary size.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol, runtime_checkable

import attrs
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ADAMW",
    "DIMUON",
    "AdamSettings",
    "BaseModelInfo",
    "DimuonSettings",
    "Engine",
    "EngineDiedError",
    "EngineError",
    "Hold",
    "ImageInput",
    "LoraSpec",
    "OnHold",
    "OptimizerFamily",
    "OptimizerSettings",
    "SampleJob",
    "SampleOutput",
    "SampledTokens",
    "TopK",
    "TrainingDatum",
    "TrainingOutput",
    "UserFaultError",
]


OptimizerFamily = Literal["adamw", "dimuon"]
ADAMW: Final = "adamw"
DIMUON: Final = "dimuon"


class EngineError(Exception):
    """The engine could not do the work through no fault of the request."""


class EngineDiedError(EngineError):
    """The engine's process ended while the work was under way, or before it began."""


class UserFaultError(Exception):
    """The work was refused because of what was asked; the message names the datum, the field and the limit."""


@attrs.frozen(kw_only=True)
class BaseModelInfo:
    """One base model that the engine has loaded."""

    name: str
    aliases: tuple[str, ...] = ()
    directory: str
    """Folder with the model's `config.json` and `tokenizer.json`; a client on this machine can read it."""
    architecture: str
    vocabulary_size: int
    max_context_length: int
    eos_token_ids: tuple[int, ...] = ()
    reads_images: bool = False
    kv_cache_tokens: int | None = None
    """Tokens whose keys and values are kept at once for samples; None where there is no such bound."""
    placed: str = ""
    """What its weights are and where they lie, as in `float32 on cpu`; empty where there are none."""


@attrs.frozen(kw_only=True)
class LoraSpec:
    """The shape of an adapter, whose product is scaled by alpha / rank, and the family of its optimizer."""

    rank: int = 32
    alpha: float = 32.0
    seed: int | None = None
    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = True
    optimizer: OptimizerFamily = ADAMW


@attrs.frozen(kw_only=True)
class AdamSettings:
    """One AdamW step: Loshchilov & Hutter 2019, with decoupled weight decay and clipping by global norm (0 is off)."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0


@attrs.frozen(kw_only=True)
class DimuonSettings:
    """One Dimuon step; `tinker_local.engine.dimuon` has its definition. Clipping is by global norm (0 is off)."""

    learning_rate: float
    beta1: float = 0.9
    grad_clip_norm: float = 0.0


OptimizerSettings = AdamSettings | DimuonSettings


@attrs.frozen(kw_only=True, eq=False)
class ImageInput:
    """An image in a row of tokens; what the tokens are at its positions does not matter."""

    start: int
    """Its first position."""
    length: int
    """Positions that it takes; the engine refuses a number that is not the model's."""
    data: NDArray[np.uint8]
    """The bytes of a PNG or JPEG file."""


@attrs.frozen(kw_only=True, eq=False)
class TrainingDatum:
    """One sequence: position i of `tokens` predicts `target_tokens[i]`; the caller has shifted already."""

    tokens: NDArray[np.int32]
    """[N]"""
    target_tokens: NDArray[np.int64]
    """[N] or [N, K]"""
    inputs: Mapping[str, NDArray[Any]] = attrs.field(factory=dict)
    """Everything else the loss reads, dense float32, shaped like `target_tokens`: weights, advantages, logprobs, ...
    Those of a custom loss are of any shape, int64 or float32.
    """
    images: tuple[ImageInput, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class TrainingOutput:
    """What one pass gives back, in the order of the data."""

    logprobs: Sequence[NDArray[np.float32]]
    """One array a datum, shaped like its `target_tokens`."""
    metrics: Mapping[str, float]
    """Keys `name:reduction`; `loss:sum` is always there."""


@attrs.frozen(kw_only=True, eq=False)
class SampleJob:
    """One request for samples. The prompt has at least one token, and fits the context."""

    job_id: str
    sampler_id: str
    prompt: NDArray[np.int32]
    num_samples: int = 1
    max_tokens: int | None = None
    """None: until a stop, or the end of the context."""
    seed: int | None = None
    temperature: float = 1.0
    top_k: int = -1
    top_p: float = 1.0
    stop_strings: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    stop_at_eos: bool = True
    prompt_logprobs: bool = False
    prompt_logprobs_last_n: int | None = None
    topk_prompt_logprobs: int = 0
    topk_sample_logprobs: int = 0
    target_prompt_tokens: NDArray[np.int64] | None = None
    """[len(prompt) - 1, K]; row i scores prompt position i + 1; -1 asks for nothing."""
    prompt_alt_tokens_k: int = 0
    images: tuple[ImageInput, ...] = ()
    callers: tuple[str, ...] = ()
    """Who asks, from the widest circle to the narrowest: the batch is shared evenly among the members of each."""


@attrs.frozen
class Hold:
    """Why a sample has not begun."""

    cause: Literal["capacity", "share"]
    """The batch or its cache is full, or this caller has all of it that one caller may have."""
    reason: str
    """For people."""


OnHold = Callable[[Hold | None], None]
"""Told when a sample that came must wait, and (None) when it has begun."""


@attrs.frozen(kw_only=True, eq=False)
class TopK:
    """The k likeliest tokens per row; an empty cell is token 0 with logprob -99999.0."""

    token_ids: NDArray[np.int32]
    """[rows, k]"""
    logprobs: NDArray[np.float32]
    """[rows, k]"""


@attrs.frozen(kw_only=True, eq=False)
class SampledTokens:
    """One sample. A stop token that ended it is its last token."""

    tokens: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    """Logprob of each token under the model at temperature 1, before top_k and top_p: what training would compute."""
    stop_reason: Literal["stop", "length"]
    topk: TopK | None = None


@attrs.frozen(kw_only=True, eq=False)
class SampleOutput:
    """All samples of one job, and what was asked about its prompt."""

    sequences: Sequence[SampledTokens]
    prompt_logprobs: NDArray[np.float32] | None = None
    """[len(prompt)]; NaN where not scored, always so at position 0."""
    topk_prompt: TopK | None = None
    """One row a prompt position; row 0 is empty."""
    target_prompt_logprobs: NDArray[np.float32] | None = None
    """[len(prompt) - 1, K]; 0.0 where -1 was asked."""
    prompt_alt_tokens: NDArray[np.int64] | None = None
    prompt_alt_logprobs: NDArray[np.float32] | None = None
    prompt_cache_hit_tokens: int = 0
    """Tokens of the prompt that were not computed for this job, because an equal prompt was before."""

    @property
    def nbytes(self) -> int:
        """Of all arrays together."""
        of_prompt = (
            self.prompt_logprobs,
            self.target_prompt_logprobs,
            self.prompt_alt_tokens,
            self.prompt_alt_logprobs,
        )
        rows = [self.topk_prompt, *(sequence.topk for sequence in self.sequences)]
        return (
            sum(sequence.tokens.nbytes + sequence.logprobs.nbytes for sequence in self.sequences)
            + sum(array.nbytes for array in of_prompt if array is not None)
            + sum(topk.token_ids.nbytes + topk.logprobs.nbytes for topk in rows if topk is not None)
        )


@runtime_checkable
class Engine(Protocol):
    """Everything that computes. Each method raises `UserFaultError`, `EngineError` or `EngineDiedError`.

    `async def` and a plain `def` that gives a coroutine both fit: an engine may do its first part at the call.
    """

    def start(self) -> Coroutine[Any, Any, Sequence[BaseModelInfo]]:
        """Load the base models; return when work can be done at once. Callable again after the engine died."""
        ...

    def close(self) -> Coroutine[Any, Any, None]:
        """Stop, and free everything. Work under way ends with `EngineDiedError`."""
        ...

    def on_death(self, callback: Any) -> None:
        """Have `callback()` called (on the event loop) each time the engine dies without being asked to."""
        ...

    def create_adapter(self, model_id: str, base_model: str, lora: LoraSpec) -> Coroutine[Any, Any, None]:
        """Make a fresh adapter in training: B is zero, A is drawn from the seed."""
        ...

    def load_adapter(
        self,
        model_id: str,
        base_model: str | None,
        directory: Path,
        *,
        optimizer: bool,
        family: OptimizerFamily | None = None,
    ) -> Coroutine[Any, Any, LoraSpec]:
        """Read a checkpoint folder into `model_id`, which is made if it does not exist; optimizer state if asked.

        `base_model` None takes the one that the checkpoint names; `family` None, the checkpoint's family of optimizer.
        Returns the shape that the model has then.
        """
        ...

    def unload_adapter(self, model_id: str) -> Coroutine[Any, Any, None]:
        """Free an adapter in training and its optimizer state; an unknown id is no error."""
        ...

    def save_adapter(self, model_id: str, directory: Path, *, optimizer: bool) -> Coroutine[Any, Any, None]:
        """Write the adapter into an existing empty folder as PEFT lays it out, plus `optimizer.safetensors` if asked.

        Each file is flushed to disk before this returns. Whoever asked makes the folder visible by renaming it.
        """
        ...

    def forward_backward(
        self,
        model_id: str,
        data: Sequence[TrainingDatum],
        loss_fn: str,
        loss_fn_config: Mapping[str, float | str],
        *,
        backward: bool,
    ) -> Coroutine[Any, Any, TrainingOutput]:
        """Run the data through the model; with `backward`, add the gradient of the summed loss to what is there.

        The loss `custom` is told by `definition` in its configuration: a graph, as it was uploaded, and limits.
        """
        ...

    def optim_step(self, model_id: str, settings: OptimizerSettings) -> Coroutine[Any, Any, Mapping[str, float]]:
        """Apply the gradients gathered so far, then clear them; returns metrics, the gradient norm among them."""
        ...

    def create_sampler(
        self, sampler_id: str, base_model: str | None, *, model_id: str | None = None, directory: Path | None = None
    ) -> Coroutine[Any, Any, None]:
        """Make something that can be sampled and never changes: the bare base model (neither argument given), a copy of
        the adapter in training as it is now (`model_id`), or a checkpoint folder (`directory`). Idempotent by id.
        """
        ...

    def unload_sampler(self, sampler_id: str) -> Coroutine[Any, Any, None]:
        """Free a sampler; an unknown id is no error."""
        ...

    def sample(self, job: SampleJob, on_hold: OnHold | None = None) -> Coroutine[Any, Any, SampleOutput]:
        """Sample; runs in one batch with whatever other jobs are under way. `on_hold` is called on the event loop."""
        ...

    def cancel_sample(self, job_id: str) -> Coroutine[Any, Any, None]:
        """Give up a job's slot; its `sample` call ends with `UserFaultError`. An unknown id is no error."""
        ...
