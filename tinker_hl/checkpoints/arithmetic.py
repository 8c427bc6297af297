"""Adapters combined: averaged, scaled, brought to a smaller rank. It reads and writes no files.

What is averaged is what adapters do, the products s * B @ A. The mean of the A times the mean of the B is something
else: with two adapters it holds the cross terms B1 A2 and B2 A1, and two equal ones of opposite signs in both matrices
would give nothing. The sum of products is exactly a product again,

    w1 s1 B1 A1 + w2 s2 B2 A2 = [w1 s1 B1 | w2 s2 B2] @ [A1 ; A2],

of the ranks' sum; where that is too much, `compress` gives the closest one of a smaller rank.
"""

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

from tinker_hl.checkpoints.adapter import Adapter, LoraPair, as_adapter
from tinker_hl.checkpoints.errors import AdapterError

__all__ = ["average", "compress", "scale", "spectrum", "thin_svd"]


def scale(adapter: Adapter | str | Path, factor: float) -> Adapter:
    """The adapter with its effect multiplied; 0 switches it off, 1 leaves it, negative values turn it around.

    Args:
        adapter: Or its folder.
        factor: Goes into B, so that ranks and `lora_alpha` stay.
    """
    if not np.isfinite(factor):
        raise AdapterError(f"factor must be finite, got {factor}")
    adapter = as_adapter(adapter)
    pairs = {layer: LoraPair(pair.a, np.float32(factor) * pair.b) for layer, pair in adapter.pairs.items()}
    return attrs.evolve(adapter, pairs=pairs)


def average(
    adapters: Sequence[Adapter | str | Path], weights: Sequence[float] | None = None, *, rank: int | None = None
) -> Adapter:
    """The weighted sum of what adapters do; by default their mean.

    For an exponential moving average with decay d write `average([mean, newest], [d, 1 - d], rank=...)`.

    Args:
        adapters: Or their folders; all for one base model. A layer that one of them lacks counts as unchanged there.
        weights: One for each; they need not sum to 1. None: 1 / n each.
        rank: Of the result. None keeps it exact, with the sum of the ranks.

    Returns:
        An adapter whose `lora_alpha` equals its rank.

    Raises:
        AdapterError: They do not fit each other.
    """
    read = [as_adapter(adapter) for adapter in adapters]
    if not read:
        raise AdapterError("there is nothing to average")
    parts = [1.0 / len(read)] * len(read) if weights is None else [float(weight) for weight in weights]
    if len(parts) != len(read) or not np.isfinite(parts).all():
        raise AdapterError(f"{len(read)} adapters need as many finite weights, got {parts}")
    _check_family(read)
    total = sum(adapter.rank for adapter in read)
    pairs = {layer: _stacked(read, parts, layer, total) for layer in sorted({n for one in read for n in one.pairs})}
    exact = _with_rank(read[0], pairs, total)
    return exact if rank is None else compress(exact, rank)


def compress(adapter: Adapter | str | Path, rank: int) -> Adapter:
    """The closest adapter of a rank, layer by layer, by the truncated singular value decomposition of the product.

    No adapter of that rank is closer in the Frobenius norm (Eckart and Young 1936). The dense product is never built:
    B = Qb Rb and A' = Qa Ra leave the decomposition of the small matrix Rb Ra'. The roots of the singular values go to
    both sides.

    Args:
        adapter: Or its folder.
        rank: At least 1; a larger one than the adapter's pads with zeros.
    """
    if rank < 1:
        raise AdapterError(f"rank must be 1 or more, got {rank}")
    adapter = as_adapter(adapter)
    pairs = {}
    for layer, pair in adapter.pairs.items():
        left, values, right = thin_svd(adapter.scaling * pair.b.astype(np.float64), pair.a.astype(np.float64))
        kept = min(rank, values.size)
        roots = np.sqrt(values[:kept])
        b = np.zeros((pair.b.shape[0], rank), np.float32)
        a = np.zeros((rank, pair.a.shape[1]), np.float32)
        b[:, :kept], a[:kept] = left[:, :kept] * roots, roots[:, None] * right[:kept]
        pairs[layer] = LoraPair(a, b)
    return _with_rank(adapter, pairs, rank)


def thin_svd(b: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The singular value decomposition of b @ a without building it.

    Args:
        b: float64 [out, rank]
        a: float64 [rank, in]

    Returns:
        U [out, k], singular values [k] from the largest, V transposed [k, in], with k = min(out, rank, in).
    """
    q_b, r_b = np.linalg.qr(b)
    q_a, r_a = np.linalg.qr(a.T)
    left, values, right = np.linalg.svd(r_b @ r_a.T, full_matrices=False)
    return q_b @ left, values, right @ q_a.T


def spectrum(b: np.ndarray, a: np.ndarray) -> np.ndarray:
    """The singular values of b @ a, from the largest."""
    core = np.asarray(np.linalg.qr(b, mode="r")) @ np.asarray(np.linalg.qr(a.T, mode="r")).T
    return np.asarray(np.linalg.svd(core, compute_uv=False))


def _stacked(adapters: Sequence[Adapter], weights: Sequence[float], layer: str, total: int) -> LoraPair:
    pairs = [
        (one, weight, one.pairs[layer]) for one, weight in zip(adapters, weights, strict=True) if layer in one.pairs
    ]
    shapes = {(pair.b.shape[0], pair.a.shape[1]) for _, _, pair in pairs}
    if len(shapes) != 1:
        raise AdapterError(f"{layer} has the shapes {sorted(shapes)} (out, in): the adapters are of different models")
    (out, width) = shapes.pop()
    a, b = np.zeros((total, width), np.float32), np.zeros((out, total), np.float32)
    at = 0
    for one, weight, pair in pairs:
        a[at : at + one.rank] = pair.a
        b[:, at : at + one.rank] = np.float32(weight * one.scaling) * pair.b
        at += one.rank
    return LoraPair(a, b)


def _check_family(adapters: Sequence[Adapter]) -> None:
    bases = {adapter.served_base_model for adapter in adapters} - {None}
    if len(bases) > 1:
        raise AdapterError(f"the adapters are of different base models: {', '.join(sorted(map(str, bases)))}")
    if len({bool(adapter.config.get("fan_in_fan_out")) for adapter in adapters}) > 1:
        raise AdapterError("fan_in_fan_out differs: the adapters' layers are stored in different orientations")


def _with_rank(adapter: Adapter, pairs: dict[str, LoraPair], rank: int) -> Adapter:
    config = {
        **adapter.config,
        "r": rank,
        "lora_alpha": rank,
        "use_rslora": False,
        # Full names: short ones may mean layers that these adapters leave alone.
        "target_modules": sorted(pairs),
    }
    return attrs.evolve(adapter, config=config, pairs=pairs)
