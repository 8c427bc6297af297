"""JSON objects to public types, by cattrs.

Lenient where a newer or another server may differ: unknown fields are dropped, null stands for the default, a string
outside a `Literal` is kept, an unknown union tag gives `Unrecognized`. Strict where a mistake would travel on: a number
is not taken for text, nor null for a required field. Knows nothing of HTTP.
"""

import inspect
import types
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from tinker_hl.codec.structure_error import StructureError
from tinker_hl.errors import RequestErrorCategory
from tinker_hl.types.datum import Datum
from tinker_hl.types.dmel_chunk import DmelChunk
from tinker_hl.types.image_chunk import ImageAssetPointerChunk, ImageChunk
from tinker_hl.types.model_input import EncodedTextChunk, ModelInput, ModelInputChunk
from tinker_hl.types.open_record import OpenRecord, Unrecognized
from tinker_hl.types.optimizer import OptimStepRequest
from tinker_hl.types.provenance import ProvenanceSpan, ProvenanceSpans
from tinker_hl.types.record import Record
from tinker_hl.types.sample_response import PromptAltTokens, SampledSequence, SampleResponse
from tinker_hl.types.tensor_data import TensorData

__all__ = ["StructureError", "structure", "structure_field"]

T = TypeVar("T")
Structurer = Callable[[Any, Any], Any]


def structure(value: Any, kind: type[T]) -> T:
    """One public object from parsed JSON.

    Args:
        value: what a JSON parser gave.
        kind: the public type.

    Raises:
        StructureError: a required field is missing, or a value is of the wrong kind.
    """
    try:
        return _converter().structure(value, kind)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError) as error:
        faults = "; ".join(cattrs.transform_error(error, path=kind.__name__))
        raise StructureError(f"not a {kind.__name__}: {faults}") from error


def structure_field(value: Any, kind: type[Any], name: str) -> Any:
    """What a constructor makes of a plain dict, or a list of such, that it was given for a field.

    Args:
        value: the dict or list.
        kind: the public type.
        name: the argument; one that is no record is left as it is.

    Raises:
        StructureError: the field is a record, and this is none.
    """
    owner: Any = kind
    wanted, is_dict = _record_field(owner, name)
    # Only dicts of plain dicts: a dict of tensors, which is on the hot path, is what it should be.
    if wanted is None or (is_dict and not all(type(item) is dict for item in value.values())):
        return value
    try:
        return _converter().structure(value, wanted)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError) as error:
        faults = "; ".join(cattrs.transform_error(error, path=f"{kind.__name__}.{name}"))
        raise StructureError(f"not a {kind.__name__}: {faults}") from error


@cache
def _record_field(kind: type[Any], name: str) -> tuple[Any, bool]:
    """A field's type if it holds records, else None; and whether it is a dict of them."""
    field = attrs.fields_dict(kind).get(name)
    wanted: Any = None if field is None else field.type
    is_dict = get_origin(wanted) is dict
    return (wanted if _holds_records(get_args(wanted)[1] if is_dict else wanted) else None), is_dict


@cache
def _holds_records(kind: Any) -> bool:
    """Whether a field is a record, one of several, or a list of such."""
    if inspect.isclass(kind):
        return issubclass(kind, Record)
    return get_origin(kind) in (Union, types.UnionType, list) and any(map(_holds_records, get_args(kind)))


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(prefer_attrib_converters=True)
    for kind, check in ((str, _text), (int, _whole), (float, _number), (bool, _truth), (datetime, _moment)):
        converter.register_structure_hook(kind, check)
    converter.register_structure_hook_func(lambda kind: kind == float | str, _number_or_text)
    converter.register_structure_hook_factory(_is_literal, lambda _: _as_it_is)
    converter.register_structure_hook_factory(
        lambda kind: isinstance(kind, type) and issubclass(kind, Record) and attrs.has(kind),
        lambda kind: _record_structurer(kind, converter),
    )
    converter.register_structure_hook_factory(_is_union_of_records, lambda union: _union_structurer(union, converter))
    for special in (TensorData, SampledSequence, EncodedTextChunk, OptimStepRequest):
        converter.register_structure_hook(special, _from_keywords)
    converter.register_structure_hook(SampleResponse, lambda value, _: _samples(value, converter))
    converter.register_structure_hook(RequestErrorCategory, lambda value, _: RequestErrorCategory(value))
    converter.register_structure_hook_func(
        lambda kind: kind == ModelInputChunk, lambda value, _: _chunk(value, converter)
    )
    converter.register_structure_hook(ModelInput, lambda value, _: _model_input(value, converter))
    converter.register_structure_hook(Datum, lambda value, _: _datum(value, converter))
    return converter


def _record_structurer(kind: type[Any], converter: cattrs.Converter) -> Structurer:
    if issubclass(kind, OpenRecord):
        return lambda value, _: kind(**_mapping(value))
    # A field's own converter is called by cattrs and not by the constructor, so that what it refuses is named.
    own = {field.name: override(struct_hook=_by(field.converter)) for field in attrs.fields(kind) if field.converter}
    build = make_dict_structure_fn(kind, converter, **own)  # type: ignore[arg-type]  # flags have other names
    return lambda value, _: build({key: item for key, item in _mapping(value).items() if item is not None}, kind)


def _by(convert: Callable[[Any], Any]) -> Structurer:
    return lambda value, _: convert(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"an object is needed, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _as_it_is(value: Any, _: Any) -> Any:
    if not isinstance(value, (str, int)):
        raise TypeError(f"text is needed, got {_kind(value)}")
    return value


def _is_union_of_records(kind: Any) -> bool:
    if get_origin(kind) not in (Union, types.UnionType):
        return False
    members = [member for member in get_args(kind) if member is not type(None)]
    return len(members) > 1 and all(isinstance(member, type) and issubclass(member, Record) for member in members)


def _union_structurer(union: Any, converter: cattrs.Converter) -> Structurer:
    """Choose by the tag that every member has a default for; the member without one takes what nobody else does."""
    members: list[Any] = [member for member in get_args(union) if member is not type(None)]
    # The first member has the tag, or is the one that does without.
    tag = next(
        name for some in (members[:1], members[1:]) for name in ("type", "state", "event") if _all_have(some, name)
    )
    defaults = {member: attrs.fields_dict(member).get(tag) for member in members}
    by_tag = {
        field.default: member for member, field in defaults.items() if field and field.default is not attrs.NOTHING
    }
    otherwise: Any = next((member for member in members if issubclass(member, OpenRecord)), Unrecognized)
    untagged = next((member for member in members if tag not in attrs.fields_dict(member)), None)

    def choose(value: Any, _: Any) -> Any:
        if value is None and type(None) in get_args(union):
            return None
        if isinstance(value, Record):
            return value
        fields = _mapping(value)
        name = fields.get(tag)
        member = untagged if name is None else by_tag.get(name)
        if member is not None:
            return converter.structure(value, member)
        others = {key: item for key, item in fields.items() if key not in (tag, "type")}
        return otherwise(type=str(name), **others)

    return choose


def _all_have(members: list[Any], name: str) -> bool:
    return all(name in attrs.fields_dict(member) for member in members)


def _from_keywords(value: Any, kind: type[Any]) -> Any:
    """For classes with a constructor of their own: hand over the arguments that it takes."""
    taken = inspect.signature(kind.__init__).parameters
    return kind(**{key: item for key, item in _mapping(value).items() if key in taken})


def _model_input(value: Any, converter: cattrs.Converter) -> ModelInput:
    return ModelInput(chunks=[_chunk(chunk, converter) for chunk in _mapping(value)["chunks"]])


_KIND_BY_KEY = (("tokens", EncodedTextChunk), ("dmel", DmelChunk), ("location", ImageAssetPointerChunk))


def _chunk(value: Any, converter: cattrs.Converter) -> ModelInputChunk:
    """A chunk by its keys: servers and clients of the 0.7 generation leave the tag out."""
    if isinstance(value, ModelInputChunk):
        return value
    keys = _mapping(value)
    kind: type[Any] = next((kind for key, kind in _KIND_BY_KEY if key in keys), ImageChunk)
    chunk: ModelInputChunk = converter.structure(value, kind)
    return chunk


def _datum(value: Any, converter: cattrs.Converter) -> Datum:
    inputs = _mapping(_mapping(value).get("loss_fn_inputs") or {})
    return Datum(
        converter.structure(value["model_input"], ModelInput),
        {key: item if isinstance(item, TensorData) else TensorData(**item) for key, item in inputs.items()},
        *(_spans(value.get(name)) for name in ("model_input_spans", "loss_fn_input_spans")),
    )


def _spans(value: Any) -> ProvenanceSpans | None:
    """Spans as they are: a plain dict does not say of which kind it is."""
    if value is not None and not all(isinstance(span, ProvenanceSpan) for span in value):
        raise TypeError("a provenance span as a dict does not say of which kind it is; give it by with_provenance")
    return None if value is None else list(value)


def _samples(value: Any, converter: cattrs.Converter) -> SampleResponse:
    fields = dict(_mapping(value))
    for name, kind in (("target_prompt_logprobs", TensorData), ("prompt_alt_tokens", PromptAltTokens)):
        if fields.get(name) is not None:
            fields[name] = converter.structure(fields[name], kind)
    fields["sequences"] = [converter.structure(sequence, SampledSequence) for sequence in fields["sequences"]]
    response: SampleResponse = _from_keywords(fields, SampleResponse)
    return response


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is needed, got {_kind(value)}")
    return value


def _whole(value: Any, _: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a whole number is needed, got {_kind(value)}")
    return value


def _number(value: Any, _: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"a number is needed, got {_kind(value)}")
    return value if isinstance(value, int) else float(value)


def _number_or_text(value: Any, _: Any) -> float | str:
    return value if isinstance(value, str) else _number(value, float)


def _truth(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"true or false is needed, got {_kind(value)}")
    return value


def _moment(value: Any, _: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(_text(value, str))
