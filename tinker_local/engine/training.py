"""An adapter in training, and one pass of data through it.

A pass is a generator that yields between micro-batches, so that samples and other models get their turn. It gathers its
gradient apart and adds it at its end: a pass that is refused half-way leaves no trace. Letters: B rows, T positions,
H width, K candidates a position, n valid positions of a micro-batch.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Final, NoReturn

import attrs
import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tinker_local.engine import dimuon, optimizer
from tinker_local.engine.base_model import BaseModel
from tinker_local.engine.batching import plan_batches
from tinker_local.engine.custom_loss import CustomLoss, CustomPass
from tinker_local.engine.dimuon import DimuonState, dimuon_step
from tinker_local.engine.lora import LoraWeights, SingleAdapter
from tinker_local.engine.losses import Loss, check_data
from tinker_local.engine.optimizer import AdamState, adam_step, all_finite
from tinker_local.engine.protocol import (
    ADAMW,
    DIMUON,
    AdamSettings,
    DimuonSettings,
    LoraSpec,
    OptimizerSettings,
    TrainingDatum,
    TrainingOutput,
    UserFaultError,
)
from tinker_local.engine.vision import Placement, check_images, place_images

__all__ = ["FAMILIES", "TrainingAdapter", "run_pass", "target_logprobs"]

OptimizerState = AdamState | DimuonState
FAMILIES: Final[Mapping[str, type[AdamState] | type[DimuonState]]] = {ADAMW: AdamState, DIMUON: DimuonState}
"""The optimizers, by their names on the wire."""
MAX_POSITIONS: Final = 8192
"""Positions of one micro-batch."""
_LOGIT_ELEMENTS: Final = 2**24
"""Logits held at once; above it they are computed again in the backward pass instead of being kept."""


class TrainingAdapter:
    """One adapter in training: weights, gathered gradient, optimizer state.

    The gradient is None when nothing was gathered since the last step; otherwise it is finite.
    """

    def __init__(
        self, base: BaseModel, spec: LoraSpec, weights: LoraWeights, state: OptimizerState | None = None
    ) -> None:
        self.base = base
        self.spec = spec
        self.weights = weights
        self.optimizer = state or FAMILIES[spec.optimizer].fresh(weights.flat)
        self.gradient: Tensor | None = None
        self._leaves = [
            (a.requires_grad_(), b.requires_grad_()) for a, b in weights.layout.views(weights.flat.detach())
        ]
        self.acting = SingleAdapter(len(base.sites), weights.layout, self._leaves, weights.scale)

    def gather_into(self, gradient: Tensor | None) -> None:
        """Have backward passes add to this flat vector; None stops it."""
        for leaves, parts in zip(
            self._leaves,
            [(None, None)] * len(self._leaves) if gradient is None else self.weights.layout.views(gradient),
            strict=True,
        ):
            leaves[0].grad, leaves[1].grad = parts

    def add_gradient(self, gradient: Tensor) -> None:
        """Add what one pass gathered.

        Raises:
            UserFaultError: the sum is not finite; what was gathered before stays.
        """
        total = gradient if self.gradient is None else self.gradient + gradient
        if not all_finite(total):
            raise UserFaultError("the gradient of this batch is not finite; it was dropped, the model is unchanged")
        self.gradient = total

    def step(self, settings: OptimizerSettings) -> Mapping[str, float]:
        """One optimizer step; the gathered gradient is used up. Without one nothing changes and the norm is 0.

        Raises:
            UserFaultError: the settings are another optimizer's, or see `adam_step` and `dimuon_step`; weights,
                optimizer and gradient are as before.
        """
        flat, gradient, state = self.weights.flat, self.gradient, self.optimizer
        if isinstance(settings, AdamSettings) and isinstance(state, AdamState):
            optimizer.check_settings(settings)
            metrics = None if gradient is None else adam_step(flat, gradient.clone(), state, settings)
        elif isinstance(settings, DimuonSettings) and isinstance(state, DimuonState):
            dimuon.check_settings(settings)
            layout = self.weights.layout
            metrics = None if gradient is None else dimuon_step(layout, flat, gradient.clone(), state, settings)
        else:
            raise UserFaultError(
                f"the model's optimizer is {self.spec.optimizer}, and these are another one's settings"
            )
        self.gradient = None
        return metrics or {"grad_norm": 0.0, "learning_rate": settings.learning_rate}


@attrs.frozen(eq=False)
class _MicroBatch:
    """Rows of similar length, right-padded: no valid position sees the padding, so that no mask is needed."""

    tokens: Tensor
    """[B, T], int64."""
    valid: Tensor | None
    """[n], int64: flat places of the valid positions, datum after datum; None where all are."""
    targets: Tensor
    """[n] or [n, K], int64."""
    given: Mapping[str, Tensor]
    """The loss inputs, shaped as the targets, float32."""
    rows: Tensor
    """[n], int64: which datum each valid position is of."""
    placements: Sequence[Placement] = ()

    @classmethod
    def of(cls, data: Sequence[TrainingDatum], loss: Loss, base: BaseModel) -> "_MicroBatch":
        device = base.device
        lengths = [datum.tokens.size for datum in data]
        width = max(lengths)
        filled = np.zeros((len(data), width), dtype=np.int64)
        for row, datum in enumerate(data):
            filled[row, : datum.tokens.size] = datum.tokens
        tokens = torch.from_numpy(filled).to(device)
        placements = place_images(base.images, tokens, [datum.images for datum in data])
        valid = None
        if min(lengths) < width:
            places = np.concatenate([row * width + np.arange(length) for row, length in enumerate(lengths)])
            valid = torch.from_numpy(places).to(device)
        targets = np.concatenate([datum.target_tokens for datum in data])
        given = {
            name: torch.from_numpy(np.concatenate([_input(datum, name) for datum in data])).to(device)
            for name in loss.reads
            if any(name in datum.inputs for datum in data)
        }
        rows = torch.from_numpy(np.repeat(np.arange(len(data)), lengths)).to(device)
        return cls(tokens, valid, torch.from_numpy(targets).to(device), given, rows, placements)


def _input(datum: TrainingDatum, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    value = datum.inputs.get(name)
    return np.ones(datum.target_tokens.shape, dtype=np.float32) if value is None else value.astype(np.float32)


def run_pass(
    adapter: TrainingAdapter,
    data: Sequence[TrainingDatum],
    loss: Loss,
    *,
    backward: bool,
    custom: CustomLoss | None = None,
) -> Generator[None, None, TrainingOutput]:
    """Run data through the model; with `backward`, add the gradient of the summed loss to the adapter's.

    Yields between micro-batches. Metrics: `loss:sum`; `tokens:sum`, the positions computed; `loss_tokens:sum`, those
    whose weight or advantage is not 0; and a custom loss's own, which is computed in place of `loss`.

    Raises:
        UserFaultError: the data or the loss are at fault; the adapter is unchanged.
    """
    base = adapter.base
    check_data(data, loss, vocabulary=base.info.vocabulary_size, context=base.info.max_context_length)
    _check_images(base, data)
    uploaded = None if custom is None else CustomPass(custom, data)
    gradient = torch.zeros_like(adapter.weights.flat) if backward else None
    logprobs: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None] = [None] * len(data)
    total, counted = 0.0, 0
    for number, indices in enumerate(_plan(data)):
        if number:
            yield
        chosen = [data[index] for index in indices]
        batch = _MicroBatch.of(chosen, loss, base)
        own = None if uploaded is None else partial(uploaded.run, indices=indices)
        values, batch_loss, batch_counted = _run_batch(adapter, batch, loss, gradient, own, indices)
        total, counted = total + batch_loss, counted + batch_counted
        cuts = np.cumsum([datum.tokens.size for datum in chosen])[:-1]
        for index, part in zip(indices, np.split(values, cuts), strict=True):
            logprobs[index] = part
    if not np.isfinite(total):
        raise UserFaultError(f"the loss of this batch is {total}; nothing was gathered, the model is unchanged")
    if gradient is not None:
        adapter.add_gradient(gradient)
    metrics = {
        "loss:sum": total,
        "tokens:sum": float(sum(datum.tokens.size for datum in data)),
        "loss_tokens:sum": float(counted),
        **({} if uploaded is None else uploaded.metrics),
    }
    return TrainingOutput(logprobs=[part for part in logprobs if part is not None], metrics=metrics)


def _check_images(base: BaseModel, data: Sequence[TrainingDatum]) -> None:
    for index, datum in enumerate(data):
        try:
            check_images(base.images, datum.images)
        except UserFaultError as error:
            raise UserFaultError(f"datum {index}: {error}") from None


def _plan(data: Sequence[TrainingDatum]) -> list[list[int]]:
    """Micro-batches; data with another number of candidates, or other optional inputs, go to batches of their own."""
    groups: dict[object, list[int]] = {}
    for index, datum in enumerate(data):
        key = (datum.target_tokens.shape[1:], frozenset(datum.inputs))
        groups.setdefault(key, []).append(index)
    return [
        [members[place] for place in batch]
        for members in groups.values()
        for batch in plan_batches([data[index].tokens.size for index in members], max_positions=MAX_POSITIONS)
    ]


def _run_batch(
    adapter: TrainingAdapter,
    batch: _MicroBatch,
    loss: Loss,
    gradient: Tensor | None,
    custom: Callable[[Tensor], tuple[Tensor, float]] | None,
    indices: Sequence[int],
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], float, int]:
    """Logprobs of all targets, the summed loss (in float64), the number of targets that count."""
    with torch.set_grad_enabled(gradient is not None), adapter.base.acting(adapter.acting):
        states = adapter.base.training_states(batch.tokens, batch.placements)
        states = states.reshape(-1, states.shape[-1])
        if batch.valid is not None:
            states = states.index_select(0, batch.valid)
        values = target_logprobs(adapter.base, states, batch.targets)
        if custom is None:
            terms = loss.terms(values, batch.given, batch.rows)
            root, slope, total = terms.sum(), None, float(terms.detach().sum(dtype=torch.float64))
            if not np.isfinite(total):
                _refuse(terms.detach(), batch.rows, indices)
        else:
            root, (slope, total) = values, custom(values)
        if gradient is not None:
            adapter.gather_into(gradient)
            try:
                torch.autograd.backward(root, slope)
            finally:
                adapter.gather_into(None)
    factor = batch.given.get("weights" if loss.name == "cross_entropy" else "advantages")
    counted = batch.targets.numel() if factor is None else int(torch.count_nonzero(factor))
    return values.detach().cpu().numpy(), total, counted


def _refuse(terms: Tensor, rows: Tensor, indices: Sequence[int]) -> NoReturn:
    """Name the datum whose loss is not finite."""
    wrong = ~torch.isfinite(terms.reshape(len(rows), -1)).all(1)
    place = int(wrong.to(torch.int8).argmax())
    raise UserFaultError(
        f"datum {indices[int(rows[place])]}: its loss is not finite (the term of a position is "
        f"{float(terms.reshape(len(rows), -1)[place].sum())}); nothing was gathered, the model is unchanged. Look for "
        "extreme weights, advantages or logprobs"
    )


def target_logprobs(base: BaseModel, states: Tensor, targets: Tensor) -> Tensor:
    """Logprobs of targets under the model, float32.

    Args:
        base: with whatever adapter acts on it.
        states: [n, H].
        targets: [n] or [n, K], int64.

    Returns:
        Shaped as `targets`.
    """
    rows = max(1, _LOGIT_ELEMENTS // base.info.vocabulary_size)
    if states.shape[0] <= rows:
        return _logprobs(base, states, targets)
    parts = []
    for part, wanted in zip(torch.split(states, rows), torch.split(targets, rows), strict=True):
        if torch.is_grad_enabled():
            parts.append(checkpoint(_logprobs, base, part, wanted, use_reentrant=False))
        else:
            parts.append(_logprobs(base, part, wanted))
    return torch.cat(parts)


def _logprobs(base: BaseModel, states: Tensor, targets: Tensor) -> Tensor:
    logits = base.logits(states)
    wanted = targets if targets.ndim == 2 else targets.unsqueeze(1)
    values = logits.gather(1, wanted) - logits.logsumexp(1, keepdim=True)
    return values if targets.ndim == 2 else values.squeeze(1)
