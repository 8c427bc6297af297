"""Adapters on disk, as peft lays them out: `adapter_config.json`, `adapter_model.safetensors`, `optimizer.safetensors`.

What is written loads in plain peft; what peft wrote loads here, as far as it is plain LoRA. No pickle, ever. A save
returns when each file is flushed to disk. The folder's name, and when it becomes visible, are the caller's affair.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tinker_local import durable
from tinker_local.engine.base_model import BaseModel
from tinker_local.engine.lora import Layout, LoraWeights, Site, make_layout
from tinker_local.engine.protocol import ADAMW, DIMUON, LoraSpec, UserFaultError
from tinker_local.engine.training import FAMILIES, OptimizerState

__all__ = ["CheckpointHead", "read_head", "read_optimizer", "read_weights", "save_checkpoint"]

_CONFIG: Final = "adapter_config.json"
_WEIGHTS: Final = "adapter_model.safetensors"
_OPTIMIZER: Final = "optimizer.safetensors"
_PREFIX: Final = "base_model.model."
_BASE_KEY: Final = "tinker_hl.base_model"
_SPEC_KEY: Final = "tinker_hl.lora"
_UNSUPPORTED: Final[Mapping[str, Any]] = {
    "use_dora": False,
    "bias": "none",
    "modules_to_save": None,
    "rank_pattern": None,
    "alpha_pattern": None,
    "trainable_token_indices": None,
    "layer_replication": None,
    "lora_bias": False,
}
"""Settings of peft that change what the matrices mean, with the value that does not."""


_VECTORS: Final[Mapping[str, Mapping[str, str]]] = {
    ADAMW: {"exp_avg.": "mean", "exp_avg_sq.": "square"},
    DIMUON: {"momentum.": "momentum"},
}
"""The vectors of an optimizer's state: what their names begin with in the file, and the field."""


@attrs.frozen(kw_only=True)
class CheckpointHead:
    """What a checkpoint says of itself."""

    rank: int
    alpha: float
    base_model: str | None
    """The served name it was trained on; None for an adapter made elsewhere."""
    base_path: str | None
    """peft's `base_model_name_or_path`."""
    optimizer: str = ADAMW
    """The family that it was trained with."""


def save_checkpoint(
    directory: Path, base: BaseModel, spec: LoraSpec, weights: LoraWeights, optimizer: OptimizerState | None
) -> None:
    """Write an adapter into an existing folder.

    Args:
        directory: empty.
        base: that the adapter belongs to.
        spec: how it was asked for.
        weights: the adapter.
        optimizer: its state; None leaves the file out.
    """
    tensors = _named(weights.layout, weights.flat)
    described = {"format": "pt", _BASE_KEY: base.info.name, _SPEC_KEY: json.dumps(attrs.asdict(spec))}
    durable.write(directory / _CONFIG, json.dumps(_peft_config(base, weights), indent=2, sort_keys=True).encode())
    durable.write(directory / _WEIGHTS, save(tensors, metadata=described))
    if optimizer is not None:
        state = {"step": torch.tensor(optimizer.steps, dtype=torch.int64)}
        for prefix, field in _VECTORS[spec.optimizer].items():
            state |= _named(weights.layout, getattr(optimizer, field), prefix)
        durable.write(directory / _OPTIMIZER, save(state, metadata={"format": "pt", "optimizer": spec.optimizer}))
    durable.flush_folder(directory)


def _named(layout: Layout, flat: Tensor, prefix: str = "") -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for site, (a, b) in zip(layout.sites, layout.views(flat.detach().cpu()), strict=True):
        named[f"{prefix}{_PREFIX}{site.name}.lora_A.weight"] = a.contiguous()
        named[f"{prefix}{_PREFIX}{site.name}.lora_B.weight"] = b.contiguous()
    return named


def _peft_config(base: BaseModel, weights: LoraWeights) -> dict[str, Any]:
    sites = weights.layout.sites
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.source,
        "r": weights.layout.rank,
        "lora_alpha": int(weights.alpha) if weights.alpha == int(weights.alpha) else weights.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(site.transposed for site in sites),
        "inference_mode": True,
        "init_lora_weights": True,
        "target_modules": _target_modules(sites, base.sites),
    }


def _target_modules(sites: Sequence[Site], all_sites: Sequence[Site]) -> list[str]:
    """Last names where they mean exactly these sites, as people write them; else full paths."""
    chosen = {site.name for site in sites}
    last = {name.rsplit(".", 1)[-1] for name in chosen}
    meant = {site.name for site in all_sites if site.name.rsplit(".", 1)[-1] in last}
    return sorted(last if meant == chosen else chosen)


def read_head(directory: Path) -> CheckpointHead:
    """What the checkpoint in a folder is.

    Raises:
        UserFaultError: there is no adapter, or one that means something else than plain LoRA.
    """
    path = directory / _CONFIG
    if not path.is_file() or not (directory / _WEIGHTS).is_file():
        raise UserFaultError(f"the checkpoint has no {_CONFIG} with {_WEIGHTS}; only safetensors adapters are read")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UserFaultError(f"{_CONFIG} of the checkpoint is not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise UserFaultError(f"{_CONFIG} of the checkpoint describes no LoRA adapter")
    for key, plain in _UNSUPPORTED.items():
        if config.get(key) not in (plain, None, False, {}, []):
            raise UserFaultError(f"{_CONFIG} has {key}={config[key]!r}; only plain LoRA of one rank is read")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise UserFaultError(f"{_CONFIG} has r={rank!r}; it must be a whole number, 1 or more")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha < math.inf:
        raise UserFaultError(f"{_CONFIG} has lora_alpha={alpha!r}; it must be a positive number")
    if config.get("use_rslora"):
        alpha = alpha * math.sqrt(rank)  # rsLoRA scales by alpha / sqrt(rank)
    with _open(directory / _WEIGHTS) as file:
        described = file.metadata() or {}
    return CheckpointHead(
        rank=rank,
        alpha=float(alpha),
        base_model=described.get(_BASE_KEY),
        base_path=config.get("base_model_name_or_path"),
        optimizer=_optimizer_of(described.get(_SPEC_KEY, "{}")),
    )


def _optimizer_of(described: str) -> str:
    """The family that the weights file says its adapter was trained with; old ones do not say."""
    try:
        return str(json.loads(described).get("optimizer", ADAMW))
    except (ValueError, AttributeError):
        raise UserFaultError(f"{_WEIGHTS} has {_SPEC_KEY}={described[:80]!r}, which is no JSON object") from None


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise UserFaultError(f"{path.name} of the checkpoint cannot be read: {error}") from error


def read_weights(directory: Path, head: CheckpointHead, base: BaseModel) -> tuple[LoraSpec, LoraWeights]:
    """The adapter in a folder, checked against the base model that it is to act on.

    Raises:
        UserFaultError: a tensor has no place in this base model, a wrong shape, or is not finite.
    """
    with _open(directory / _WEIGHTS) as file:
        tensors = {_plain_name(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    sites = [site for site in base.sites if f"{site.name}.lora_A.weight" in tensors]
    layout = make_layout(sites, head.rank)
    flat = torch.zeros(layout.size, dtype=torch.float32)
    _fill(layout, flat, tensors, _WEIGHTS, base.info.name)
    if not sites:
        raise UserFaultError(f"{_WEIGHTS} holds no LoRA matrix")
    parts = {site.part for site in sites}
    spec = LoraSpec(
        rank=head.rank,
        alpha=head.alpha,
        train_attn="attn" in parts,
        train_mlp="mlp" in parts,
        train_unembed="unembed" in parts,
        optimizer=DIMUON if head.optimizer == DIMUON else ADAMW,
    )
    return spec, LoraWeights(layout, flat.to(base.device), head.alpha)


def read_optimizer(directory: Path, weights: LoraWeights, base: BaseModel, family: str) -> OptimizerState:
    """The optimizer state in a folder.

    Raises:
        UserFaultError: there is none, it is another family's, or it does not fit the adapter.
    """
    path = directory / _OPTIMIZER
    if not path.is_file():
        raise UserFaultError("the checkpoint was saved without optimizer state; load its weights only")
    with _open(path) as file:
        saved = (file.metadata() or {}).get("optimizer", ADAMW)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    if saved != family:
        raise UserFaultError(f"the checkpoint's optimizer is {saved}, the model's is {family}; load its weights only")
    steps = tensors.pop("step", None)
    if steps is None:
        raise UserFaultError(f"{_OPTIMIZER} has no step count")
    vectors = {}
    for prefix, field in _VECTORS[family].items():
        flat = torch.zeros(weights.layout.size, dtype=torch.float32)
        part = {_plain_name(name[len(prefix) :]): t for name, t in tensors.items() if name.startswith(prefix)}
        _fill(weights.layout, flat, part, _OPTIMIZER, base.info.name)
        vectors[field] = flat.to(base.device)
    return FAMILIES[family](**vectors, steps=int(steps))


def _plain_name(name: str) -> str:
    """The name without peft's prefix, and without the adapter's name where an old version wrote it."""
    plain = name.removeprefix(_PREFIX)
    return plain.replace(".lora_A.default.", ".lora_A.").replace(".lora_B.default.", ".lora_B.")


def _fill(layout: Layout, flat: Tensor, tensors: Mapping[str, Tensor], file: str, base_name: str) -> None:
    left = dict(tensors)
    for site, pair in zip(layout.sites, layout.views(flat), strict=True):
        for letter, place in zip("AB", pair, strict=True):
            name = f"{site.name}.lora_{letter}.weight"
            value = left.pop(name, None)
            if value is None or value.shape != place.shape:
                found = "missing" if value is None else f"of shape {list(value.shape)}"
                raise UserFaultError(
                    f"{file}: {name} is {found}; for base model {base_name!r} it must be {list(place.shape)}"
                )
            if not value.isfinite().all():
                raise UserFaultError(f"{file}: {name} holds numbers that are not finite")
            place.copy_(value)
    if left:
        raise UserFaultError(f"{file}: {next(iter(left))} has no place in base model {base_name!r}")
