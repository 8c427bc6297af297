"""An engine that computes nothing and answers at once: for tests of bookkeeping, and benchmarks of the protocol.

It keeps its word where files are concerned (a checkpoint is a folder with files, of no use to peft), and it
knows which adapters and samplers exist, so that mistakes of the service show. Its numbers are zeros.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from tinker_local.engine.protocol import (
    BaseModelInfo,
    EngineDiedError,
    EngineError,
    LoraSpec,
    OnHold,
    OptimizerFamily,
    OptimizerSettings,
    SampledTokens,
    SampleJob,
    SampleOutput,
    TopK,
    TrainingDatum,
    TrainingOutput,
    UserFaultError,
)
from tinker_local.settings import ModelSource

__all__ = ["NullEngine"]

_VOCABULARY = 1 << 16
_CONTEXT = 1 << 15
_SAMPLED = 16
"""Tokens a sample has at most."""
_CONFIG, _WEIGHTS, _OPTIMIZER = "adapter_config.json", "adapter_model.safetensors", "optimizer.safetensors"


@attrs.define
class _Adapter:
    base_model: str
    lora: LoraSpec
    passes: int = 0


class NullEngine:
    """An `Engine` without weights."""

    def __init__(self, models: Sequence[ModelSource]) -> None:
        self._models = models
        self._callbacks: list[Callable[[], Any]] = []
        self._adapters: dict[str, _Adapter] = {}
        self._samplers: set[str] = set()
        self.running = False

    async def start(self) -> Sequence[BaseModelInfo]:
        """See `Engine.start`."""
        self.running = True
        return [
            BaseModelInfo(
                name=model.name,
                aliases=model.aliases,
                directory=model.path,
                architecture="null",
                vocabulary_size=_VOCABULARY,
                max_context_length=_CONTEXT,
            )
            for model in self._models
        ]

    async def close(self) -> None:
        """See `Engine.close`."""
        self.running = False
        self._adapters.clear()
        self._samplers.clear()

    def on_death(self, callback: Callable[[], Any]) -> None:
        """See `Engine.on_death`."""
        self._callbacks.append(callback)

    async def create_adapter(self, model_id: str, base_model: str, lora: LoraSpec) -> None:
        """See `Engine.create_adapter`."""
        self._check_running()
        self._adapters[model_id] = _Adapter(base_model, lora)

    async def load_adapter(
        self,
        model_id: str,
        base_model: str | None,
        directory: Path,
        *,
        optimizer: bool,
        family: OptimizerFamily | None = None,
    ) -> LoraSpec:
        """See `Engine.load_adapter`."""
        self._check_running()
        saved = json.loads((directory / _CONFIG).read_bytes())
        if optimizer and not (directory / _OPTIMIZER).is_file():
            raise UserFaultError("the checkpoint has no optimizer state; load its weights alone")
        kept = saved.get("lora") or {"rank": saved["r"], "alpha": saved["lora_alpha"]}  # or peft's own
        lora = LoraSpec(**{**kept, **({"optimizer": family} if family else {})})
        adapter = _Adapter(base_model or saved["base_model_name_or_path"], lora)
        self._adapters[model_id] = adapter
        return adapter.lora

    async def unload_adapter(self, model_id: str) -> None:
        """See `Engine.unload_adapter`."""
        self._adapters.pop(model_id, None)

    async def save_adapter(self, model_id: str, directory: Path, *, optimizer: bool) -> None:
        """See `Engine.save_adapter`."""
        adapter = self._adapter(model_id)
        config = {"base_model_name_or_path": adapter.base_model, "lora": attrs.asdict(adapter.lora)}
        (directory / _CONFIG).write_text(json.dumps(config))
        for name in (_WEIGHTS, _OPTIMIZER)[: 1 + optimizer]:
            (directory / name).write_bytes(bytes(8))

    async def forward_backward(
        self,
        model_id: str,
        data: Sequence[TrainingDatum],
        loss_fn: str,
        loss_fn_config: Mapping[str, float | str],
        *,
        backward: bool,
    ) -> TrainingOutput:
        """See `Engine.forward_backward`."""
        adapter = self._adapter(model_id)
        adapter.passes += backward
        logprobs = [np.zeros(datum.target_tokens.shape, np.float32) for datum in data]
        return TrainingOutput(logprobs=logprobs, metrics={"loss:sum": 0.0})

    async def optim_step(self, model_id: str, settings: OptimizerSettings) -> Mapping[str, float]:
        """See `Engine.optim_step`. The metric tells how many passes the step has seen, which is their order."""
        adapter = self._adapter(model_id)
        passes, adapter.passes = adapter.passes, 0
        return {"grad_norm:mean": 0.0, "passes:sum": float(passes)}

    async def create_sampler(
        self, sampler_id: str, base_model: str | None, *, model_id: str | None = None, directory: Path | None = None
    ) -> None:
        """See `Engine.create_sampler`."""
        self._check_running()
        if model_id is not None:
            self._adapter(model_id)
        if directory is not None and not (directory / _CONFIG).is_file():
            raise EngineError(f"no adapter in {directory.name}")
        self._samplers.add(sampler_id)

    async def unload_sampler(self, sampler_id: str) -> None:
        """See `Engine.unload_sampler`."""
        self._samplers.discard(sampler_id)

    async def sample(self, job: SampleJob, on_hold: OnHold | None = None) -> SampleOutput:
        """See `Engine.sample`. Token i is i; nothing stops a sample but its length, and none waits."""
        self._check_running()
        if job.sampler_id not in self._samplers:
            raise EngineError(f"no sampler {job.sampler_id}")
        count = min(job.max_tokens or _SAMPLED, _SAMPLED)
        sequence = SampledTokens(
            tokens=np.arange(count, dtype=np.int32),
            logprobs=np.zeros(count, np.float32),
            stop_reason="length",
            topk=_no_topk(count, job.topk_sample_logprobs),
        )
        return _about_prompt(job, [sequence] * job.num_samples)

    async def cancel_sample(self, job_id: str) -> None:
        """See `Engine.cancel_sample`; nothing is ever under way."""

    def die(self) -> None:
        """Do what a process does when it is killed."""
        self.running = False
        self._adapters.clear()
        self._samplers.clear()
        for callback in self._callbacks:
            callback()

    def _check_running(self) -> None:
        if not self.running:
            raise EngineDiedError("the engine is not running")

    def _adapter(self, model_id: str) -> _Adapter:
        self._check_running()
        if model_id not in self._adapters:
            raise EngineError(f"no adapter {model_id}")
        return self._adapters[model_id]


def _no_topk(rows: int, k: int) -> TopK | None:
    if not k:
        return None
    return TopK(token_ids=np.zeros((rows, k), np.int32), logprobs=np.full((rows, k), -99999.0, np.float32))


def _about_prompt(job: SampleJob, sequences: Sequence[SampledTokens]) -> SampleOutput:
    length = job.prompt.size
    scores = np.zeros(length, np.float32)
    scores[: max(1, length - (job.prompt_logprobs_last_n or length))] = np.nan
    targets, k = job.target_prompt_tokens, job.prompt_alt_tokens_k
    return SampleOutput(
        sequences=sequences,
        prompt_logprobs=scores if job.prompt_logprobs else None,
        topk_prompt=_no_topk(length, job.topk_prompt_logprobs),
        target_prompt_logprobs=None if targets is None else np.zeros(targets.shape, np.float32),
        prompt_alt_tokens=np.zeros((length - 1, k), np.int64) if k else None,
        prompt_alt_logprobs=np.zeros((length - 1, k), np.float32) if k else None,
    )
