"""`diff`: how two adapters differ, layer by layer, by what they do. It changes nothing.

For each layer the products P = s * B @ A are compared. No product is built: inner products come from the small
matrices, singular values from their QR decompositions, all in float64.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import attrs
import numpy as np

from tinker_hl.checkpoints.adapter import Adapter, LoraPair, as_adapter
from tinker_hl.checkpoints.arithmetic import spectrum
from tinker_hl.checkpoints.errors import AdapterError

__all__ = ["AdapterDiff", "LayerDiff", "diff"]


@attrs.frozen(kw_only=True)
class LayerDiff:
    """One layer under two adapters, P and Q; norms are Frobenius norms."""

    layer: str
    norm_first: float
    """|P|; 0 where the first has no such layer."""
    norm_second: float
    norm_difference: float
    """|Q - P|"""
    cosine: float
    """<P, Q> / (|P| |Q|); NaN where one of them is zero."""
    spectrum_first: tuple[float, ...]
    """Singular values of P, from the largest."""
    spectrum_second: tuple[float, ...]
    spectrum_difference: tuple[float, ...]
    """Singular values of Q - P."""

    @property
    def relative_change(self) -> float:
        """|Q - P| / |P|; infinite where P is zero and Q is not, 0 where both are."""
        if self.norm_first:
            return self.norm_difference / self.norm_first
        return math.inf if self.norm_difference else 0.0

    @property
    def stable_rank_difference(self) -> float:
        """|Q - P|^2 / (largest singular value)^2: how many directions the change is spread over; 0 for no change."""
        largest = self.spectrum_difference[0] if self.spectrum_difference else 0.0
        return (self.norm_difference / largest) ** 2 if largest else 0.0

    @property
    def effective_rank_difference(self) -> float:
        """exp of the entropy of the normalized singular values of Q - P (Roy and Vetterli 2007); 0 for no change."""
        values = np.asarray(self.spectrum_difference)
        if not values.sum():
            return 0.0
        shares = values / values.sum()
        shares = shares[shares > 0]
        return float(np.exp(-(shares * np.log(shares)).sum()))


@attrs.frozen(kw_only=True)
class AdapterDiff:
    """Two adapters compared: all layers that either has, by name, and the whole as one long vector."""

    layers: Mapping[str, LayerDiff]
    norm_first: float
    norm_second: float
    norm_difference: float
    cosine: float
    """NaN where one of them is zero."""

    def largest(self, count: int = 10) -> list[LayerDiff]:
        """The layers that changed most, by |Q - P|."""
        return sorted(self.layers.values(), key=lambda layer: -layer.norm_difference)[:count]


def diff(first: Adapter | str | Path, second: Adapter | str | Path) -> AdapterDiff:
    """Compare two adapters of one base model; their ranks may differ.

    Args:
        first: Or its folder.
        second: Or its folder.

    Raises:
        AdapterError: A layer has two shapes: they are of different models.
    """
    first, second = as_adapter(first), as_adapter(second)
    layers = {}
    inner = 0.0
    for layer in sorted({*first.pairs, *second.pairs}):
        p, q = _factors(first, layer), _factors(second, layer)
        if p is not None and q is not None and (p[0].shape[0], p[1].shape[1]) != (q[0].shape[0], q[1].shape[1]):
            raise AdapterError(
                f"{layer} is {p[0].shape[0]} x {p[1].shape[1]} in the first adapter and "
                f"{q[0].shape[0]} x {q[1].shape[1]} in the second: they are of different models"
            )
        one, product = _compared(layer, p, q)
        layers[layer] = one
        inner += product
    norms = [
        math.sqrt(sum(value**2 for value in values))
        for values in zip(
            *((one.norm_first, one.norm_second, one.norm_difference) for one in layers.values()), strict=True
        )
    ]
    return AdapterDiff(
        layers=layers,
        norm_first=norms[0],
        norm_second=norms[1],
        norm_difference=norms[2],
        cosine=_cosine(inner, norms[0], norms[1]),
    )


Factors = tuple[np.ndarray, np.ndarray]
"""s * B [out, rank] and A [rank, in], float64."""


def _factors(adapter: Adapter, layer: str) -> Factors | None:
    pair: LoraPair | None = adapter.pairs.get(layer)
    return None if pair is None else (adapter.scaling * pair.b.astype(np.float64), pair.a.astype(np.float64))


def _compared(layer: str, p: Factors | None, q: Factors | None) -> tuple[LayerDiff, float]:
    """The layer, and the inner product of its updates."""
    values_p, values_q = (np.zeros(0) if one is None else spectrum(*one) for one in (p, q))
    if p is None or q is None:
        inner, values_difference = 0.0, values_q if p is None else values_p
    else:
        # <B A, D C> = sum of (B' D) * (A C'), elementwise.
        inner = float(((p[0].T @ q[0]) * (p[1] @ q[1].T)).sum())
        values_difference = spectrum(np.hstack([q[0], -p[0]]), np.vstack([q[1], p[1]]))
    norm_p, norm_q, norm_difference = (float(np.linalg.norm(v)) for v in (values_p, values_q, values_difference))
    one = LayerDiff(
        layer=layer,
        norm_first=norm_p,
        norm_second=norm_q,
        norm_difference=norm_difference,
        cosine=_cosine(inner, norm_p, norm_q),
        spectrum_first=tuple(values_p.tolist()),
        spectrum_second=tuple(values_q.tolist()),
        spectrum_difference=tuple(values_difference.tolist()),
    )
    return one, inner


def _cosine(inner: float, first: float, second: float) -> float:
    return max(-1.0, min(1.0, inner / (first * second))) if first and second else math.nan
