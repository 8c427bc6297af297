"""What can be wrong with a datum, one function a rule, and `lint`, which applies them all.

An *error* would be refused by a service, or teaches something else than what was meant; a *warning* is most likely not
meant; a *note* is worth knowing. The rules know datums, and nothing of files, tokenizers or models but two numbers.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from tinker_hl.errors import InvalidDatumError
from tinker_hl.linting.data_file import Row
from tinker_hl.types import Datum, EncodedTextChunk
from tinker_hl.types.datum import LIST_DTYPES, validate_datum
from tinker_hl.types.record import json_bytes

__all__ = ["RULES", "Finding", "Severity", "lint", "lint_rows"]

Severity = Literal["error", "warning", "note"]

SHIFTS: Final = (0, 2, -1)
"""Shifts of the targets that are mistakes: none, twice, and the wrong way; the right one is 1."""
MOSTLY: Final = 0.9
FEWEST: Final = 4
"""Positions from which on a shift is told: three equal tokens are a coincidence."""


@attrs.frozen(kw_only=True)
class Finding:
    """Something that a rule found."""

    rule: str
    severity: Severity
    message: str
    """What, where in the datum, and what is right."""
    index: int
    """The datum's place, from 0."""
    line: int | None = None
    """Of its file, from 1."""


@attrs.frozen(kw_only=True)
class _Bounds:
    """What is known of the model and of the loss; None is unknown."""

    loss_fn: str | None
    vocabulary_size: int | None
    max_length: int | None


_Found = Iterator[tuple[Severity, str]]


def lint(
    data: Iterable[Datum],
    *,
    loss_fn: str | None = None,
    vocabulary_size: int | None = None,
    max_length: int | None = None,
) -> list[Finding]:
    """Look for what is wrong with datums.

    Args:
        data: Of one training run.
        loss_fn: The loss that they are for; None checks what no loss takes.
        vocabulary_size: Ids must be below it; None does not check.
        max_length: Tokens that the model reads at most; None does not check.

    Returns:
        The findings, in the order of the data.
    """
    rows = (Row(line=index, datum=datum) for index, datum in enumerate(data))
    bounds = _Bounds(loss_fn=loss_fn, vocabulary_size=vocabulary_size, max_length=max_length)
    return [attrs.evolve(finding, line=None) for finding in _findings(rows, bounds, place="datum")]


def lint_rows(
    rows: Iterable[Row],
    *,
    loss_fn: str | None = None,
    vocabulary_size: int | None = None,
    max_length: int | None = None,
) -> Iterator[Finding]:
    """The same for the rows of a file, one by one; see `lint`. A row that is no datum is a finding, too."""
    bounds = _Bounds(loss_fn=loss_fn, vocabulary_size=vocabulary_size, max_length=max_length)
    return _findings(rows, bounds, place="line")


def _findings(rows: Iterable[Row], bounds: "_Bounds", *, place: str) -> Iterator[Finding]:
    """What is wrong with each row; `place` is what the number of a row is called."""
    seen: dict[bytes, int] = {}
    for index, row in enumerate(rows):
        if row.datum is None:
            yield Finding(rule="unreadable", severity="error", message=row.fault or "", index=index, line=row.line)
            continue
        for name, rule in RULES.items():
            for severity, message in rule(row.datum, bounds):
                yield Finding(rule=name, severity=severity, message=message, index=index, line=row.line)
        first = seen.setdefault(hashlib.sha256(json_bytes(row.datum.wire_dict())).digest(), row.line)
        if first != row.line:
            message = f"the same as {place} {first}"
            yield Finding(rule="duplicate", severity="warning", message=message, index=index, line=row.line)


def _invalid(datum: Datum, bounds: _Bounds) -> _Found:
    """What the client itself would refuse to send."""
    try:
        validate_datum(datum, 0, bounds.loss_fn)
    except InvalidDatumError as error:
        said = str(error.message)
        yield "error", said.removeprefix("datum 0: ").removeprefix("datum 0 ")


def _dtype(datum: Datum, bounds: _Bounds) -> _Found:
    for key, tensor in datum.loss_fn_inputs.items():
        wanted = LIST_DTYPES.get(key)
        if wanted is not None and tensor.dtype != wanted:
            yield "error", f"{key} is {tensor.dtype}; {wanted} is needed"


def _vocabulary(datum: Datum, bounds: _Bounds) -> _Found:
    tokens, targets = _tokens(datum), _numbers(datum, "target_tokens")
    for name, ids in (("model_input", tokens), ("target_tokens", targets)):
        if ids is None or ids.size == 0:
            continue
        if ids.min() < 0:
            place = int(np.argmin(ids))
            yield "error", f"{name} has the id {int(ids.reshape(-1)[place])} at {place}; ids begin at 0"
        if bounds.vocabulary_size is not None and ids.max() >= bounds.vocabulary_size:
            place = int(np.argmax(ids))
            size = bounds.vocabulary_size
            yield (
                "error",
                f"{name} has the id {int(ids.reshape(-1)[place])} at {place}; the vocabulary ends at {size - 1}",
            )


def _too_long(datum: Datum, bounds: _Bounds) -> _Found:
    length = datum.model_input.known_length
    if bounds.max_length is not None and length is not None and length > bounds.max_length:
        yield "error", f"{length} tokens; the model reads at most {bounds.max_length}"


def _shift(datum: Datum, bounds: _Bounds) -> _Found:
    """Position i of the input foresees target i, so that target i is input i + 1."""
    tokens, targets, counted = _tokens(datum), _numbers(datum, "target_tokens"), _counted(datum)
    if tokens is None or targets is None or targets.shape != tokens.shape or counted is None:
        return
    right, of_right = _agreement(tokens, targets, counted, 1)
    for shift in SHIFTS:
        wrong, of_wrong = _agreement(tokens, targets, counted, shift)
        if of_wrong >= FEWEST and wrong >= MOSTLY * of_wrong and wrong / of_wrong > 0.5 + right / max(of_right, 1):
            said = "are the input itself" if shift == 0 else f"are the input moved by {shift}"
            yield "error", f"the targets {said}; target i must be input token i + 1"
            return
    if of_right and right < of_right:
        yield "note", f"{of_right - right} of {of_right} counted targets are not the input's next token"


def _zero_weights(datum: Datum, bounds: _Bounds) -> _Found:
    weights = _numbers(datum, "weights")
    if weights is not None and weights.size and not weights.any():
        yield "warning", "all weights are 0: it teaches nothing"


def _zero_advantages(datum: Datum, bounds: _Bounds) -> _Found:
    advantages = _numbers(datum, "advantages")
    if advantages is not None and advantages.size and not advantages.any():
        yield "note", "all advantages are 0: it teaches nothing"


def _impossible_logprobs(datum: Datum, bounds: _Bounds) -> _Found:
    logprobs = _numbers(datum, "logprobs")
    if logprobs is not None and bool((logprobs > 0).any()):  # what is no number is told by `invalid`
        place = int(np.nanargmax(logprobs))
        yield "error", f"logprobs has {float(logprobs.reshape(-1)[place]):g} at {place}; no logprob is above 0"


def _no_weights(datum: Datum, bounds: _Bounds) -> _Found:
    if bounds.loss_fn == "cross_entropy" and "weights" not in datum.loss_fn_inputs:
        yield "note", "no weights: every position counts, those of a prompt too"


RULES: Final[dict[str, Callable[[Datum, _Bounds], _Found]]] = {
    "invalid": _invalid,
    "dtype": _dtype,
    "vocabulary": _vocabulary,
    "too-long": _too_long,
    "shift": _shift,
    "zero-weights": _zero_weights,
    "zero-advantages": _zero_advantages,
    "logprobs": _impossible_logprobs,
    "no-weights": _no_weights,
}
"""By name; `unreadable` and `duplicate` are found beside them."""


def _tokens(datum: Datum) -> NDArray[np.int64] | None:
    """The input's ids [T]; None if it is not text alone."""
    if not all(isinstance(chunk, EncodedTextChunk) for chunk in datum.model_input.chunks):
        return None
    return np.asarray(datum.model_input.to_ints(), dtype=np.int64)


def _numbers(datum: Datum, key: str) -> NDArray[Any] | None:
    tensor = datum.loss_fn_inputs.get(key)
    return None if tensor is None else tensor.to_numpy()


def _counted(datum: Datum) -> NDArray[np.bool_] | None:
    """Which positions [T] the loss looks at; None if their weights have another shape than the targets."""
    targets, weights = _numbers(datum, "target_tokens"), _numbers(datum, "weights")
    if targets is None:
        return None
    if weights is None:
        return np.ones(targets.shape, dtype=bool)
    return weights != 0 if weights.shape == targets.shape else None


def _agreement(
    tokens: NDArray[np.int64], targets: NDArray[Any], counted: NDArray[np.bool_], shift: int
) -> tuple[int, int]:
    """At how many counted positions target i is input token i + shift, and at how many there is such a token."""
    places = np.arange(tokens.size)
    inside = counted & (places + shift >= 0) & (places + shift < tokens.size)
    here = places[inside]
    return int(np.sum(targets[here] == tokens[here + shift])), here.size
