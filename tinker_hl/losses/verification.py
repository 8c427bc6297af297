"""Holds what a server returned of a pass against the losses' formulas, and finds where the two part. No torch.

The logprobs are taken as the server gives them: what is verified is that they can be logprobs, and that the loss is the
one that they give. A server that reports single positions (`elementwise_loss`) is held to these; else the sum is, and
where it differs, passes over fewer datums and shorter ones find the place: of two sums of which the shorter one agrees
and the longer one does not, by one datum or one position, that one is it.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from tinker_hl import loop
from tinker_hl.errors import TinkerError, VerificationError
from tinker_hl.losses.reference import REFERENCE_DEFAULTS, elementwise_loss
from tinker_hl.types import Datum, EncodedTextChunk, ForwardBackwardOutput, ModelInput, TensorData

__all__ = ["Expectation", "disagreement", "verify_pass"]

RELATIVE: Final = 2e-5
"""Of the terms' absolute values: servers compute in float32, and add up many."""
ABSOLUTE: Final = 1e-5
ABOVE_ZERO: Final = 1e-4
"""A logprob may be this much above 0, by rounding."""
ELEMENTWISE: Final = "elementwise_loss"
UNCHECKED: Final = "Without verify=True results are taken as they come."

Forward = Callable[[Sequence[Datum]], Awaitable[ForwardBackwardOutput]]


@attrs.frozen
class Expectation:
    """A pass: its data, and the loss that a server was asked for."""

    data: Sequence[Datum]
    loss_fn: str
    loss_fn_config: Mapping[str, float | str] | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is a reference for the loss."""
        return self.loss_fn in REFERENCE_DEFAULTS


async def verify_pass(expected: Expectation, output: ForwardBackwardOutput, forward: Forward | None) -> None:
    """Raise if a result is not what the loss's formula gives; a loss without a reference passes.

    Args:
        expected: The pass.
        output: Its result.
        forward: Makes a pass without gradient over other datums, with the same loss, to find where a sum differs; None
            where none can be made.

    Raises:
        VerificationError: Names the first datum that differs and the position, where they can be found.
    """
    if not expected.is_known:
        return
    found = await loop.in_worker(disagreement, expected, output)
    if found is None:
        return
    if found.datum_index is not None or forward is None:
        raise found
    try:
        located = await _located(expected, forward)
    except TinkerError as error:
        found.add_note(f"the place could not be looked for: {type(error).__name__}: {error.message}")
        raise found from None
    raise located or found


def disagreement(expected: Expectation, output: ForwardBackwardOutput) -> VerificationError | None:
    """What a result is not as it should be, if anything; only from what it says itself.

    Args:
        expected: The pass.
        output: Its result.
    """
    if len(output.loss_fn_outputs) != len(expected.data):
        answered = len(output.loss_fn_outputs)
        return _error(f"the server answered for {answered} datums", float(answered), float(len(expected.data)))
    rows: list[NDArray[np.float64]] = []
    for index, (datum, record) in enumerate(zip(expected.data, output.loss_fn_outputs, strict=True)):
        wrong = _wrong_logprobs(datum, record, index)
        if wrong is not None:
            return wrong
        rows.append(elementwise_loss(expected.loss_fn, _logprobs(datum, record), *_read(expected, datum)))
    for index, (row, record) in enumerate(zip(rows, output.loss_fn_outputs, strict=True)):
        wrong = _wrong_element(expected, row, record, index)
        if wrong is not None:
            return wrong
    return _wrong_sum(expected, output, rows)


def _read(expected: Expectation, datum: Datum) -> tuple[Mapping[str, Any], Mapping[str, float | str] | None]:
    return datum.loss_fn_inputs, expected.loss_fn_config


def _shape(datum: Datum) -> tuple[int, ...]:
    targets = datum.loss_fn_inputs["target_tokens"]
    return (targets.values.size,) if targets.shape is None else tuple(targets.shape)


def _logprobs(datum: Datum, record: Mapping[str, TensorData]) -> NDArray[np.float64]:
    return record["logprobs"].to_numpy().astype(np.float64).reshape(_shape(datum))


def _wrong_logprobs(datum: Datum, record: Mapping[str, TensorData], index: int) -> VerificationError | None:
    """Logprobs that are none: missing, of another number than the targets, not finite, or above 0."""
    if "logprobs" not in record:
        return _error("the server returned no logprobs", math.nan, math.nan, index, hint=UNCHECKED)
    values = record["logprobs"].to_numpy().astype(np.float64).reshape(-1)
    count = math.prod(_shape(datum))
    if values.size != count:
        return _error(f"the server returned {values.size} logprobs", float(values.size), float(count), index)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values <= ABOVE_ZERO)))
    if not wrong.size:
        return None
    place = int(wrong[0])
    told = f"the logprob {values[place]} is no logarithm of a probability, which is finite and at most"
    return _error(told, float(values[place]), 0.0, index, place // (count // _shape(datum)[0]))


def _wrong_element(
    expected: Expectation, row: NDArray[np.float64], record: Mapping[str, TensorData], index: int
) -> VerificationError | None:
    if ELEMENTWISE not in record:
        return None
    values = record[ELEMENTWISE].to_numpy().astype(np.float64).reshape(-1)
    if values.size != row.size:
        return _error(f"the server returned {values.size} losses", float(values.size), float(row.size), index)
    flat = row.reshape(-1)
    wrong = np.flatnonzero(~(np.abs(values - flat) <= ABSOLUTE + RELATIVE * np.abs(flat)))
    if not wrong.size:
        return None
    place = int(wrong[0])
    told = f"the server's {expected.loss_fn} is {values[place]}"
    return _error(told, float(values[place]), float(flat[place]), index, place // (row.size // row.shape[0]))


def _wrong_sum(
    expected: Expectation, output: ForwardBackwardOutput, rows: Sequence[NDArray[np.float64]]
) -> VerificationError | None:
    total = math.fsum(float(row.sum()) for row in rows)
    if "loss:sum" not in output.metrics:
        return _error("the server reported no loss:sum", math.nan, total, hint=UNCHECKED)
    returned = output.metrics["loss:sum"]
    size = math.fsum(float(np.abs(row).sum()) for row in rows)
    if abs(returned - total) <= ABSOLUTE + RELATIVE * size:
        return None
    return _error(f"the server's {expected.loss_fn} adds up to {returned}", returned, total, hint=_hint(expected))


def _hint(expected: Expectation) -> str | None:
    """Of losses whose defaults the protocol leaves open: which ones were taken."""
    open_keys = set(REFERENCE_DEFAULTS[expected.loss_fn]) - set(expected.loss_fn_config or {})
    if not open_keys:
        return None
    taken = ", ".join(f"{key} = {REFERENCE_DEFAULTS[expected.loss_fn][key]:g}" for key in sorted(open_keys))
    return f"It was held against the defaults {taken}; give loss_fn_config if the server has others."


def _error(
    what: str,
    returned: float,
    expected: float,
    datum_index: int | None = None,
    position: int | None = None,
    *,
    hint: str | None = None,
) -> VerificationError:
    place = "" if datum_index is None else f"datum {datum_index}"
    place += "" if position is None else f", position {position}"
    reference = "" if math.isnan(expected) else f", the reference says {expected:.9g}"
    message = f"{place}: {what}{reference}" if place else what + reference
    return VerificationError(
        message, returned=returned, expected=expected, datum_index=datum_index, position=position, hint=hint
    )


# Finding the place.


async def _located(expected: Expectation, forward: Forward) -> VerificationError | None:
    """The datum at which the sum of the first ones parts from the reference, and the position in it."""
    data = expected.data
    sums = _Sums(expected, forward, lambda count: data[:count])
    index = await sums.first_wrong(len(data))
    if index is None:
        return None
    datum = data[index]
    returned, reference = await sums.last(index)
    length = _shape(datum)[0]
    position = None
    if all(isinstance(chunk, EncodedTextChunk) for chunk in datum.model_input.chunks):
        within = _Sums(expected, forward, lambda count: [_beginning(datum, count)])
        position = await within.first_wrong(length)
        if position is not None:
            returned, reference = await within.last(position)
    return _error(
        f"the server's {expected.loss_fn} is {returned:.9g}",
        returned,
        reference,
        index,
        position,
        hint=_hint(expected),
    )


class _Sums:
    """Sums over the beginnings of something, by the server and by the reference; each is asked for once.

    Args:
        expected: The loss.
        forward: Asks the server.
        beginning: The datums of the first so many parts.
    """

    def __init__(self, expected: Expectation, forward: Forward, beginning: Callable[[int], Sequence[Datum]]) -> None:
        self._expected = expected
        self._forward = forward
        self._beginning = beginning
        self._known: dict[int, tuple[float, float, bool]] = {0: (0.0, 0.0, False)}

    async def first_wrong(self, count: int) -> int | None:
        """The part at which they part, counted from 0; None if all `count` together agree."""
        if not (await self._at(count))[2]:
            return None
        right, wrong = 0, count
        while wrong - right > 1:
            middle = (right + wrong) // 2
            right, wrong = (right, middle) if (await self._at(middle))[2] else (middle, wrong)
        return wrong - 1

    async def last(self, index: int) -> tuple[float, float]:
        """What a part adds to the sum, by the server and by the reference."""
        before, after = await self._at(index), await self._at(index + 1)
        return after[0] - before[0], after[1] - before[1]

    async def _at(self, count: int) -> tuple[float, float, bool]:
        if count not in self._known:
            data = self._beginning(count)
            asked = attrs.evolve(self._expected, data=data)
            output = await self._forward(data)
            self._known[count] = await loop.in_worker(_compared, asked, output)
        return self._known[count]


def _compared(expected: Expectation, output: ForwardBackwardOutput) -> tuple[float, float, bool]:
    wrong = disagreement(expected, output)
    if wrong is not None and wrong.datum_index is not None:
        return wrong.returned, wrong.expected, True
    returned = output.metrics.get("loss:sum", math.nan)
    rows = zip(expected.data, output.loss_fn_outputs, strict=True)
    terms = [elementwise_loss(expected.loss_fn, _logprobs(d, r), *_read(expected, d)).sum() for d, r in rows]
    return returned, math.fsum(map(float, terms)), wrong is not None


def _beginning(datum: Datum, count: int) -> Datum:
    """The first positions of a datum: what comes later has no part in their logprobs."""
    length = _shape(datum)[0]
    inputs = {}
    for key, value in datum.loss_fn_inputs.items():
        array = value.to_numpy()
        inputs[key] = TensorData.from_numpy(array[:count].copy()) if array.shape[:1] == (length,) else value
    tokens = datum.model_input.to_ints()[:count]
    return Datum(model_input=ModelInput.from_ints(tokens), loss_fn_inputs=inputs)
