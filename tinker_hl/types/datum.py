"""One training example: what the model reads, and what the loss reads."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs
import numpy as np

from tinker_hl.errors import InvalidDatumError
from tinker_hl.types.arrays import TensorDtype, as_values, is_torch_tensor
from tinker_hl.types.dataclass_view import DataclassView
from tinker_hl.types.image_chunk import ImageAssetPointerChunk
from tinker_hl.types.loss_names import meant_instead
from tinker_hl.types.model_input import ModelInput
from tinker_hl.types.provenance import PromptProvenanceSpan, ProvenanceSpans, SampledProvenanceSpan
from tinker_hl.types.record import Record
from tinker_hl.types.tensor_data import TensorData

__all__ = ["Datum", "LossFnInputs", "as_tensor_data", "validate_datum"]

LossFnInputs: TypeAlias = dict[str, TensorData]

LIST_DTYPES: Final[Mapping[str, TensorDtype]] = {
    "target_tokens": "int64",
    "weights": "float32",
    "advantages": "float32",
    "logprobs": "float32",
    "clip_low_threshold": "float32",
    "clip_high_threshold": "float32",
    "sequence_ratio_mask": "float32",
}
"""What numbers mean under each key, whatever they come in; these also have one row a position of the model input."""
KNOWN_INPUTS: Final = tuple(LIST_DTYPES)

_COMPRESSED_KEYS: Final = frozenset({"target_tokens", "weights"})

_POLICY_INPUTS: Final = ("target_tokens", "logprobs", "advantages")
REQUIRED_INPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "cross_entropy": ("target_tokens",),
    "importance_sampling": _POLICY_INPUTS,
    "ppo": _POLICY_INPUTS,
    "cispo": _POLICY_INPUTS,
    "dro": _POLICY_INPUTS,
    "gspo": _POLICY_INPUTS,
}
"""Without these a loss cannot be computed. `weights` is not among them: some services take 1.0."""


def as_tensor_data(key: str, value: Any) -> TensorData:
    """What a loss input of any accepted kind is on the wire.

    Args:
        key: under a known one the dtype is that of `LIST_DTYPES`: a mask of bools is float32 weights. Under others it
            is that of the array, float32 or int64.
        value: TensorData (kept as it is), a list, a tuple, a range, a numpy array, a torch tensor; targets may be a
            `ModelInput` of text too.

    Raises:
        InvalidDatumError: a list under a key whose dtype is not known (give an array).
        TypeError, ValueError: not numbers, ragged, or lossy; the message names the key.
    """
    if isinstance(value, TensorData):
        return value.frozen()
    if isinstance(value, (list, tuple, range)) and key not in LIST_DTYPES:
        raise _unknown_list(key)
    try:
        if is_torch_tensor(value):
            tensor = TensorData(value, LIST_DTYPES.get(key), np.shape(value))
            return tensor.compressed() if key in _COMPRESSED_KEYS else tensor
        if isinstance(value, np.ndarray):
            return TensorData(value, LIST_DTYPES.get(key), value.shape)
        if isinstance(value, (list, tuple, range)):
            return _from_list(key, value)
        if isinstance(value, ModelInput) and key == "target_tokens":
            return _from_list(key, value.to_ints())
    except (TypeError, ValueError) as error:
        raise type(error)(f"loss_fn_inputs[{key!r}]: {error}") from None
    raise TypeError(
        f"loss_fn_inputs[{key!r}] must be a list, a tuple, a numpy array, a torch tensor or TensorData, "
        f"got {type(value).__name__}"
    )


def _unknown_list(key: str) -> InvalidDatumError:
    meant = meant_instead(key, KNOWN_INPUTS)
    hint = f"Did you mean {meant!r}?" if meant else f"Known: {', '.join(KNOWN_INPUTS)}."
    return InvalidDatumError("a list has no dtype under this key; give an array", field=_field(key), hint=hint)


def _from_list(key: str, value: Sequence[Any]) -> TensorData:
    values = as_values(value, LIST_DTYPES[key])
    values.flags.writeable = False
    return TensorData.adopt(values)


def _tensors(inputs: Mapping[str, Any]) -> LossFnInputs:
    if not isinstance(inputs, Mapping):
        raise TypeError(f"loss_fn_inputs must be a dict, got {type(inputs).__name__}")
    return {key: as_tensor_data(key, value) for key, value in inputs.items()}


@attrs.frozen(repr=False)
class Datum(DataclassView, Record):
    """One training example. Position i of `model_input` predicts `target_tokens[i]`: the caller has shifted already.

    `loss_fn_inputs` is an ordinary dict whose entries may be replaced; values are copied when the datum is made.
    """

    model_input: ModelInput = attrs.field(validator=attrs.validators.instance_of(ModelInput))
    loss_fn_inputs: LossFnInputs = attrs.field(factory=dict, converter=_tensors)
    model_input_spans: ProvenanceSpans | None = None
    loss_fn_input_spans: ProvenanceSpans | None = None

    def __repr__(self) -> str:
        spans = "" if self.model_input_spans is None else ", with provenance"
        return f"Datum(model_input={self.model_input!r}, loss_fn_inputs={self.loss_fn_inputs!r}{spans})"

    def detached(self) -> "Datum":
        """The same with a dict of its own: entries that are replaced in this one do not change there."""
        if type(self) is not Datum:
            return attrs.evolve(self, loss_fn_inputs=dict(self.loss_fn_inputs))
        # By hand, as it is done for each datum of each pass: what was checked when this one was made is not again.
        twin = object.__new__(Datum)
        for name in ("model_input", "model_input_spans", "loss_fn_input_spans"):
            object.__setattr__(twin, name, getattr(self, name))
        object.__setattr__(twin, "loss_fn_inputs", _tensors(self.loss_fn_inputs))
        return twin

    def with_provenance(self, model_input: ProvenanceSpans, loss_fn_inputs: ProvenanceSpans) -> "Datum":
        """The same, saying where its tokens came from.

        Args:
            model_input: spans that cover the model input; their lengths add up to its length.
            loss_fn_inputs: spans that cover `target_tokens`; their lengths add up to its length, if it has one axis.

        Raises:
            TypeError: something else than a span.
            ValueError: the lengths do not add up.
        """
        _check_spans("model_input", model_input, self.model_input.length)
        targets = self.loss_fn_inputs.get("target_tokens")
        one_axis = targets is not None and targets.to_numpy().ndim == 1
        _check_spans(
            "loss_fn_inputs", loss_fn_inputs, targets.values.size if targets is not None and one_axis else None
        )
        return attrs.evolve(self, model_input_spans=list(model_input), loss_fn_input_spans=list(loss_fn_inputs))


def _check_spans(name: str, spans: ProvenanceSpans, length: int | None) -> None:
    for place, span in enumerate(spans):
        if not isinstance(span, (PromptProvenanceSpan, SampledProvenanceSpan)):
            raise TypeError(f"{name}[{place}] must be a provenance span, got {type(span).__name__}")
    covered = sum(span.length for span in spans)
    if length is not None and covered != length:
        raise ValueError(f"the spans of {name} cover {covered} positions, not {length}")


def validate_datum(datum: Datum, index: int, loss_fn: str | None = None) -> None:
    """Refuse what a service would refuse, or what would poison a step, before anything is sent.

    Args:
        datum: the example.
        index: its place in the call's list, for the message.
        loss_fn: if it is a loss of the protocol, the inputs that it needs must be there.

    Raises:
        InvalidDatumError: empty, not finite, without a needed input, with one that is misspelt, or with one whose
            rows are not the positions.
    """
    if not isinstance(datum, Datum):
        raise InvalidDatumError(f"a Datum is needed, got {type(datum).__name__}", datum_index=index)
    positions = _positions(datum.model_input, index)
    for key in REQUIRED_INPUTS.get(loss_fn or "", ()):
        if key not in datum.loss_fn_inputs:
            raise InvalidDatumError(f"the loss {loss_fn!r} needs it", datum_index=index, field=_field(key))
    for key, value in datum.loss_fn_inputs.items():
        if key not in LIST_DTYPES and loss_fn in REQUIRED_INPUTS and (meant := meant_instead(key, KNOWN_INPUTS)):
            raise InvalidDatumError(f"did you mean {meant!r}?", datum_index=index, field=_field(key))
        _check_input(key, value, positions, index)
    if (datum.model_input_spans is None) != (datum.loss_fn_input_spans is None):
        raise InvalidDatumError("spans are given for both fields or for neither", datum_index=index)


def _field(key: str) -> str:
    return f"loss_fn_inputs[{key!r}]"


def _positions(model_input: ModelInput, index: int) -> int | None:
    """Length of the model input, None if an image hides it."""
    if any(isinstance(chunk, ImageAssetPointerChunk) for chunk in model_input.chunks):
        raise InvalidDatumError(
            "an image pointer cannot be trained on; give the image's bytes as an ImageChunk",
            datum_index=index,
            field="model_input",
        )
    positions = model_input.known_length
    if positions == 0:
        raise InvalidDatumError("it has no tokens", datum_index=index, field="model_input")
    return positions


def _check_input(key: str, value: object, positions: int | None, index: int) -> None:
    try:
        tensor = as_tensor_data(key, value)
    except (TypeError, ValueError) as error:
        raise InvalidDatumError(str(error.args[0]), datum_index=index) from error
    if tensor.dtype == "float32" and not np.isfinite(tensor.values).all():
        place = int(np.flatnonzero(~np.isfinite(tensor.values))[0])
        number = tensor.values.reshape(-1)[place]
        raise InvalidDatumError(f"{number} at element {place} is not finite", datum_index=index, field=_field(key))
    shape = tensor.shape or [tensor.values.size]
    if positions is not None and key in LIST_DTYPES and (len(shape) not in (1, 2) or shape[0] != positions):
        raise InvalidDatumError(
            f"shape {list(shape)} does not fit {positions} positions: [{positions}] or [{positions}, K] is needed",
            datum_index=index,
            field=_field(key),
        )
