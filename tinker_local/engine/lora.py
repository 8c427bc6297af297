"""Low-rank adapters (Hu et al. 2021): y = W x + (alpha / rank) B A x, many of them over one set of base weights.

Why not peft's own layers: there each adapter lives inside the model, so that switching, snapshots and batches that mix
adapters cost Python work in every layer. Here the model holds no adapter at all. Each linear map that can be adapted
(a `Site`) asks a `Switch` what acts on it in this very forward pass. The weights of one adapter are one flat float32
vector, so that a snapshot is one copy and an optimizer step a handful of operations.

The module knows nothing of files, losses or requests. Letters: R rank, I and O features in and out of a site.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, Protocol

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

from tinker_local.engine.protocol import LoraSpec, UserFaultError

__all__ = ["Active", "Layout", "LoraWeights", "Part", "SingleAdapter", "Site", "Switch", "find_sites", "make_layout"]

Part = Literal["attn", "mlp", "unembed"]

_ATTENTION_WORDS: Final = ("attn", "attention")
_MLP_WORDS: Final = ("mlp", "ffn", "feed_forward", "fc1", "fc2", "moe", "experts")
_ROUTERS: Final = ("gate", "router", "shared_expert_gate")
_ALIGNMENT: Final = 16
"""Each matrix starts at a multiple of 16 floats (a cache line), so that kernels see the same alignment in each copy."""


@attrs.frozen(kw_only=True)
class Site:
    """One linear map of a base model that an adapter can act on."""

    index: int
    name: str
    """Dotted path inside the model, as peft writes it."""
    part: Part
    in_features: int
    out_features: int
    transposed: bool = False
    """The base stores its weight as [I, O] (GPT-2's Conv1D); peft calls this `fan_in_fan_out`."""


class Active(Protocol):
    """What acts on the sites during one forward pass."""

    def add(self, site: int, x: Tensor, y: Tensor) -> Tensor:
        """`y` [..., O], the base's answer to `x` [..., I], plus what the adapter adds; may write into `y`."""
        ...


class Switch:
    """Says what acts on a model right now. One thread runs the model, so that this is a plain attribute."""

    def __init__(self) -> None:
        self.active: Active | None = None

    def attach(self, module: nn.Module, site: int) -> None:
        """Let the switch act on `module`'s output; a hook leaves the model's names and ties as they are."""

        def add(_: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
            active = self.active
            return y if active is None else active.add(site, inputs[0], y)

        module.register_forward_hook(add)


def find_sites(model: nn.Module, unembedding: nn.Module | None) -> list[tuple[Site, nn.Module]]:
    """The linear maps of a causal language model that adapters can act on, in the order of the model.

    A map belongs to attention or to the MLP by the names on its path; routers of mixtures of experts are left out.
    """
    found: list[tuple[Site, nn.Module]] = []
    for name, module in model.named_modules():
        shape = _linear_shape(module)
        part = _part_of(name, module is unembedding)
        if shape is not None and part is not None:
            site = Site(
                index=len(found),
                name=name,
                part=part,
                in_features=shape[0],
                out_features=shape[1],
                transposed=not isinstance(module, nn.Linear),
            )
            found.append((site, module))
    return found


def _linear_shape(module: nn.Module) -> tuple[int, int] | None:
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if type(module).__name__ == "Conv1D":
        weight = module.get_parameter("weight")
        return weight.shape[0], weight.shape[1]
    return None


def _part_of(name: str, is_unembedding: bool) -> Part | None:
    if is_unembedding:
        return "unembed"
    path = name.split(".")
    if path[-1] in _ROUTERS:
        return None
    for word in reversed(path[:-1] + [path[-1]] * (path[-1] in _MLP_WORDS)):
        if any(mark in word for mark in _ATTENTION_WORDS):
            return "attn"
        if any(mark in word for mark in _MLP_WORDS):
            return "mlp"
    return None


@attrs.frozen(eq=False)
class Layout:
    """Where each matrix of one adapter lies in its flat vector."""

    sites: tuple[Site, ...]
    rank: int
    starts: tuple[tuple[int, int], ...]
    """Offsets of A [R, I] and B [O, R] of each site."""
    size: int

    def views(self, flat: Tensor) -> list[tuple[Tensor, Tensor]]:
        """A [R, I] and B [O, R] of each site, as views of `flat` [size]."""
        pairs = []
        for site, (start_a, start_b) in zip(self.sites, self.starts, strict=True):
            a = flat[start_a : start_a + self.rank * site.in_features].view(self.rank, site.in_features)
            b = flat[start_b : start_b + self.rank * site.out_features].view(site.out_features, self.rank)
            pairs.append((a, b))
        return pairs


def make_layout(sites: Iterable[Site], rank: int) -> Layout:
    """Lay the matrices of an adapter of this rank on these sites one after the other."""
    chosen = tuple(sites)
    starts, end = [], 0
    for site in chosen:
        start_a = end
        start_b = start_a + _aligned(rank * site.in_features)
        end = start_b + _aligned(rank * site.out_features)
        starts.append((start_a, start_b))
    return Layout(chosen, rank, tuple(starts), end)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def chosen_sites(sites: Sequence[Site], lora: LoraSpec) -> list[Site]:
    """The sites that a request asks to train.

    Raises:
        UserFaultError: nothing is asked for, or a part that this model does not have in a form LoRA can act on.
    """
    if lora.rank < 1:
        raise UserFaultError(f"lora rank is {lora.rank}; it must be at least 1")
    wanted: Mapping[Part, bool] = {"attn": lora.train_attn, "mlp": lora.train_mlp, "unembed": lora.train_unembed}
    if not any(wanted.values()):
        raise UserFaultError("train_attn, train_mlp and train_unembed are all false: there is nothing to train")
    for part, asked in wanted.items():
        if asked and not any(site.part == part for site in sites):
            raise UserFaultError(
                f"train_{part} is true, but this base model has no linear layer there that LoRA can act on; "
                f"pass train_{part}=False"
            )
    return [site for site in sites if wanted[site.part]]


@attrs.frozen(eq=False)
class LoraWeights:
    """The weights of one adapter: a flat float32 vector and how to read it."""

    layout: Layout
    flat: Tensor
    """[size], float32."""
    alpha: float

    @property
    def scale(self) -> float:
        """What the product B A x is multiplied by."""
        return self.alpha / self.layout.rank

    @classmethod
    def fresh(cls, sites: Sequence[Site], lora: LoraSpec, device: torch.device) -> "LoraWeights":
        """B zero, A Kaiming-uniform with a = sqrt(5), as peft: uniform within 1/sqrt(I). Drawn on the CPU."""
        layout = make_layout(chosen_sites(sites, lora), lora.rank)
        generator = torch.Generator()
        if lora.seed is None:
            generator.seed()
        else:
            generator.manual_seed(lora.seed % 2**63)
        flat = torch.zeros(layout.size, dtype=torch.float32)
        for a, _ in layout.views(flat):
            bound = 1 / math.sqrt(a.shape[1])
            a.uniform_(-bound, bound, generator=generator)
        return cls(layout, flat.to(device), lora.alpha)

    def copy(self) -> "LoraWeights":
        """The same weights in memory of their own."""
        return LoraWeights(self.layout, self.flat.clone(), self.alpha)


class SingleAdapter:
    """One adapter acting on every row of the batch."""

    def __init__(self, site_count: int, layout: Layout, pairs: Sequence[tuple[Tensor, Tensor]], scale: float) -> None:
        self._scale = scale
        self._pairs: list[tuple[Tensor, Tensor] | None] = [None] * site_count
        for site, pair in zip(layout.sites, pairs, strict=True):
            self._pairs[site.index] = pair

    @classmethod
    def frozen(cls, site_count: int, weights: LoraWeights, dtype: torch.dtype) -> "SingleAdapter":
        """For sampling: the weights as they are, in the base's dtype."""
        pairs = [(a.to(dtype), b.to(dtype)) for a, b in weights.layout.views(weights.flat)]
        return cls(site_count, weights.layout, pairs, weights.scale)

    def add(self, site: int, x: Tensor, y: Tensor) -> Tensor:
        """See `Active.add`."""
        pair = self._pairs[site]
        if pair is None:
            return y
        a, b = pair
        if a.dtype != x.dtype:
            a, b = a.to(x.dtype), b.to(x.dtype)
        low = functional.linear(x.reshape(-1, x.shape[-1]), a)
        rows = y.view(-1, y.shape[-1])
        # One fused multiply-add: scaling and sum cost no pass of their own. Not in place under autograd, where writing
        # through a view makes the backward pass copy the gradient.
        if torch.is_grad_enabled():
            return torch.addmm(rows, low, b.t(), alpha=self._scale).view(y.shape)
        rows.addmm_(low, b.t(), alpha=self._scale)
        return y
