"""Regularizers of more than single positions: of Gram matrices, and of another loss's gradient."""

from collections.abc import Callable
from typing import Any, Literal

import attrs
import torch
from torch import Tensor

from tinker_hl.errors import InvalidDatumError
from tinker_hl.losses.datum_rows import Rows, RowSource, rows_of
from tinker_hl.losses.options import between, one_of, refused, whole
from tinker_hl.losses.regularizer import Regularizer, refuse_single_targets
from tinker_hl.types import Datum

__all__ = ["GradientPenalty", "Orthogonality"]

LEAST_NORM = 1e-8


@attrs.frozen(kw_only=True)
class Orthogonality(Regularizer):
    """Vectors are to be orthogonal. With G the Gram matrix of the n vectors, each divided by its norm (at least 1e-8):

        soft      sum_(i != j) G_ij^2
        hard      ||G - I||_F^2                         (Brock et al. 2017; Bansal et al. 2018)
        spectral  (tr G - n)^2 + sum_(i != j) G_ij^2

    Elements of weight 0 count as 0 in their vector; other weights multiply it.

    Args:
        mode: Of the three.
        axis: What the vectors are. `rows`: the datums, which must have one shape, for one matrix a call. `sequence`:
            the positions of a datum, K numbers each; `vocabulary`: its candidates, T numbers each. These are one matrix
            a datum, whose penalties are added up.
    """

    mode: Literal["soft", "hard", "spectral"] = attrs.field(
        default="soft", validator=one_of("soft", "hard", "spectral")
    )
    axis: Literal["rows", "sequence", "vocabulary"] = attrs.field(
        default="rows", validator=one_of("rows", "sequence", "vocabulary")
    )

    def penalty(self, logprobs: Rows, *, reference: Rows | None = None, weights: Rows | None = None) -> Tensor:
        """See `Regularizer.penalty`."""
        if weights is not None:
            logprobs = [row * weight for row, weight in zip(logprobs, weights, strict=True)]
        return torch.stack([self._of(matrix) for matrix in self._matrices(logprobs)]).sum()

    def _matrices(self, rows: Rows) -> list[Tensor]:
        if self.axis == "rows":
            for index, row in enumerate(rows):
                if row.shape != rows[0].shape:
                    raise InvalidDatumError(
                        f"Orthogonality(axis='rows') needs datums of one shape; it has {list(row.shape)}, the first "
                        f"{list(rows[0].shape)}",
                        datum_index=index,
                        field="loss_fn_inputs['target_tokens']",
                    )
            return [torch.stack([row.reshape(-1) for row in rows])]
        refuse_single_targets(self, rows, f".axis = {self.axis!r}")
        return [row if self.axis == "sequence" else row.T for row in rows]

    def _of(self, vectors: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        unit = vectors / norms.clamp(min=LEAST_NORM)
        gram = unit @ unit.T
        count = gram.shape[0]
        identity = torch.eye(count, dtype=gram.dtype, device=gram.device)
        if self.mode == "hard":
            return torch.square(gram - identity).sum()
        apart = torch.square(gram * (1 - identity)).sum()
        return apart if self.mode == "soft" else torch.square(torch.trace(gram) - count) + apart


def _callable_option(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if not callable(value):
        raise refused(instance, attribute.name, f"must be a function of (data, logprobs), got {value!r}")


@attrs.define(kw_only=True)
class GradientPenalty:
    """The mean over the datums of (||df/dx_i||_2 - target)^2: another loss f is to have gradients of one size.

    x_i are the datum's logprobs; or, with a reference, points between, e x_i + (1 - e) reference_i with e uniform in
    [0, 1), drawn anew for each datum and call (WGAN-GP, Gulrajani et al. 2017). The gradient is with respect to the
    logprobs, which are what the client sees, not the model's inputs. A loss that is linear in the logprobs, as cross
    entropy is, has a constant gradient, so that its penalty trains nothing and a pipeline refuses it.

    Args:
        loss: f, in the form of a custom loss; it is evaluated once more than it is elsewhere.
        target: The norm to have.
        reference: Of the interpolation: a key of `loss_fn_inputs`, arrays, or a function of the datums; None for none.
        seed: Of e; the same seed gives the same sequence of draws.
    """

    loss: Callable[[list[Datum], list[Tensor]], Any] = attrs.field(validator=_callable_option)
    target: float = attrs.field(default=1.0, validator=between(0, 1e30))
    reference: RowSource | None = None
    seed: int = attrs.field(default=0, validator=whole(0))
    _generator: torch.Generator = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.seed)

    def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The penalty of a call, with the mean of the norms as a metric."""
        points = self._points(data, logprobs)
        found = self.loss(data, points)
        value = found[0] if isinstance(found, tuple) else found
        gradients = torch.autograd.grad(value, points, create_graph=True, allow_unused=True, materialize_grads=True)
        norms = torch.stack([torch.linalg.vector_norm(each) for each in gradients])
        return torch.square(norms - self.target).mean(), {"norm:mean": norms.detach().mean().item()}

    def _points(self, data: list[Datum], logprobs: list[Tensor]) -> list[Tensor]:
        if self.reference is None:
            return list(logprobs)
        found = rows_of(self.reference, data, logprobs, "GradientPenalty.reference")
        shares = torch.rand(len(data), generator=self._generator).tolist()
        return [share * x + (1 - share) * y for share, x, y in zip(shares, logprobs, found, strict=True)]
