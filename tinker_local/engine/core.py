"""The engine itself, without process or queue: base models, adapters in training, samplers, by id.

Methods are called by one thread. Those that take long are generators that yield where other work may go first; the rest
answer at once. It knows nothing of order: whoever calls it (`tinker_local.engine.worker`) keeps that.
"""

import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch

from tinker_local.engine import checkpoint
from tinker_local.engine.admitting import cache_tokens_for
from tinker_local.engine.base_model import BaseModel, load_base_model, pick_device
from tinker_local.engine.custom_loss import CUSTOM, CustomLoss
from tinker_local.engine.lora import LoraWeights
from tinker_local.engine.losses import parse_loss, uploaded
from tinker_local.engine.protocol import (
    BaseModelInfo,
    EngineError,
    LoraSpec,
    OptimizerFamily,
    OptimizerSettings,
    TrainingDatum,
    TrainingOutput,
    UserFaultError,
)
from tinker_local.engine.recomputation import recompute_layers
from tinker_local.engine.sampling import Sampler, Sampling
from tinker_local.engine.training import FAMILIES, TrainingAdapter, run_pass
from tinker_local.settings import ModelSource

__all__ = ["EngineCore"]


class EngineCore:
    """Everything loaded, in one process."""

    def __init__(self) -> None:
        self.bases: dict[str, BaseModel] = {}
        self.adapters: dict[str, TrainingAdapter] = {}
        self.sampling = Sampling()

    def start(
        self,
        models: Sequence[ModelSource],
        threads: int | None,
        device: str | None,
        dtype: Any,
        activation_checkpointing: bool = False,
        compiled: bool = False,
        kv_cache_tokens: int | None = None,
    ) -> list[BaseModelInfo]:
        """Load the base models.

        Raises:
            EngineError: one cannot be loaded, or two claim one name.
        """
        if activation_checkpointing and compiled:
            raise EngineError("choose activation checkpointing or compiled passes, not both")
        if threads is not None:
            torch.set_num_threads(threads)
        target = pick_device(device)
        infos = []
        for source in models:
            base = load_base_model(source, target, dtype)
            if activation_checkpointing and not recompute_layers(base.decoder):
                raise EngineError(f"base model {source.name!r} has no list of equal layers to checkpoint")
            if compiled:
                base.compile_training()
            for name in (source.name, *source.aliases):
                if self.bases.setdefault(name, base) is not base:
                    raise EngineError(f"two base models are called {name!r}")
        for base in dict.fromkeys(self.bases.values()):
            tokens = kv_cache_tokens or cache_tokens_for(base, share=1 / len(models))
            base.info = attrs.evolve(base.info, kv_cache_tokens=tokens)
            infos.append(base.info)
        return infos

    def base(self, name: str) -> BaseModel:
        """A base model by name or alias."""
        if name not in self.bases:
            raise UserFaultError(f"base model {name!r} is not served here; there are {', '.join(self.bases)}")
        return self.bases[name]

    def adapter(self, model_id: str) -> TrainingAdapter:
        """An adapter in training."""
        if model_id not in self.adapters:
            raise UserFaultError(f"model {model_id!r} is not loaded in the engine")
        return self.adapters[model_id]

    def create_adapter(self, model_id: str, base_model: str, lora: LoraSpec) -> None:
        """See `Engine.create_adapter`."""
        base = self.base(base_model)
        if lora.optimizer not in FAMILIES:
            raise UserFaultError(f"optimizer {lora.optimizer!r} is not known here; there are {', '.join(FAMILIES)}")
        weights = LoraWeights.fresh(base.sites, lora, base.device)
        self.adapters[model_id] = TrainingAdapter(base, lora, weights)

    def load_adapter(
        self,
        model_id: str,
        base_model: str | None,
        directory: str,
        optimizer: bool,
        family: OptimizerFamily | None = None,
    ) -> LoraSpec:
        """See `Engine.load_adapter`."""
        folder = Path(directory)
        base, spec, weights = self._read(folder, base_model)
        spec = attrs.evolve(spec, optimizer=family or spec.optimizer)
        state = checkpoint.read_optimizer(folder, weights, base, spec.optimizer) if optimizer else None
        self.adapters[model_id] = TrainingAdapter(base, spec, weights, state)
        return spec

    def _read(self, folder: Path, base_model: str | None) -> tuple[BaseModel, LoraSpec, LoraWeights]:
        head = checkpoint.read_head(folder)
        base = self.base(base_model) if base_model is not None else self._base_of(head)
        spec, weights = checkpoint.read_weights(folder, head, base)
        return base, spec, weights

    def _base_of(self, head: checkpoint.CheckpointHead) -> BaseModel:
        for name in (head.base_model, head.base_path):
            if name is not None and name in self.bases:
                return self.bases[name]
        for base in self.bases.values():
            if head.base_path is not None and head.base_path in (base.source, base.info.directory):
                return base
        raise UserFaultError(
            f"the checkpoint was trained on {head.base_model or head.base_path!r}, which is not served here; "
            f"there are {', '.join(self.bases)}"
        )

    def unload_adapter(self, model_id: str) -> None:
        """See `Engine.unload_adapter`."""
        self.adapters.pop(model_id, None)

    def save_adapter(self, model_id: str, directory: str, optimizer: bool) -> None:
        """See `Engine.save_adapter`."""
        adapter = self.adapter(model_id)
        state = adapter.optimizer if optimizer else None
        try:
            checkpoint.save_checkpoint(Path(directory), adapter.base, adapter.spec, adapter.weights, state)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise EngineError(
                f"the checkpoint could not be written ({why}); free space on the service's disk"
            ) from error

    def forward_backward(
        self,
        model_id: str,
        data: Sequence[TrainingDatum],
        loss_fn: str,
        loss_fn_config: Mapping[str, float | str],
        backward: bool,
    ) -> Generator[None, None, TrainingOutput]:
        """See `Engine.forward_backward`; yields between micro-batches."""
        custom = CustomLoss.parse(loss_fn_config) if loss_fn == CUSTOM else None
        loss = parse_loss(loss_fn, loss_fn_config) if custom is None else uploaded()
        return (yield from run_pass(self.adapter(model_id), data, loss, backward=backward, custom=custom))

    def optim_step(self, model_id: str, settings: OptimizerSettings) -> Mapping[str, float]:
        """See `Engine.optim_step`."""
        return self.adapter(model_id).step(settings)

    def create_sampler(
        self, sampler_id: str, base_model: str | None, model_id: str | None, directory: str | None
    ) -> None:
        """See `Engine.create_sampler`."""
        if self.sampling.knows(sampler_id):
            return
        if model_id is not None:
            adapter = self.adapter(model_id)
            sampler = Sampler(adapter.base, adapter.weights.copy())
        elif directory is not None:
            base, _, weights = self._read(Path(directory), base_model)
            sampler = Sampler(base, weights)
        elif base_model is not None:
            sampler = Sampler(self.base(base_model), None)
        else:
            raise UserFaultError("a sampler needs a base model, a model in training, or a checkpoint")
        self.sampling.create(sampler_id, sampler)
