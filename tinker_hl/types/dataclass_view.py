"""What `dataclasses` asks of a class, answered for records: `replace`, `fields`, `asdict` and `is_dataclass` take them.

In 0.38 the types of the hot path are dataclasses, and research code calls `dataclasses.replace` on them. It knows how
a record is constructed, and nothing of particular types.
"""

import dataclasses
import inspect
from functools import cache
from typing import Any, ClassVar

import attrs

__all__ = ["DataclassView"]


class _FieldsOnDemand:
    """Makes a class's fields when they are first asked for: importing the types pays nothing."""

    def __get__(self, instance: object, owner: type) -> dict[str, dataclasses.Field[Any]]:
        return _standard_class(owner).__dataclass_fields__  # type: ignore[no-any-return, attr-defined]


class _ParametersOnDemand:
    """What the standard library's own decorator would have noted: these classes are frozen."""

    def __get__(self, instance: object, owner: type) -> Any:
        return _standard_class(owner).__dataclass_params__  # type: ignore[attr-defined]


class DataclassView:
    """Beside `Record` among the bases of a class, it lets the functions of `dataclasses` work on its instances.

    The fields are the constructor's arguments, each of which is an attribute too. A constructor of its own may take
    others by keyword only, as 0.7 named them; those are no fields.
    """

    __slots__ = ()

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]] = _FieldsOnDemand()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    __dataclass_params__: ClassVar[Any] = _ParametersOnDemand()


@cache
def _standard_class(owner: type) -> type:
    """A dataclass with the fields of a record; nobody sees more of it than what describes them."""
    if not attrs.has(owner):
        return dataclasses.make_dataclass(owner.__name__, [], frozen=True)
    known = attrs.fields_dict(owner)
    fields = [_field(parameter, known.get(parameter.name)) for parameter in _arguments(owner)]
    return dataclasses.make_dataclass(owner.__name__, fields, frozen=True)


def _arguments(owner: type) -> list[inspect.Parameter]:
    """The arguments that are fields: those that can be given by place, or all if none can."""
    parameters = [*inspect.signature(owner).parameters.values()]
    by_place = [parameter for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    return by_place or parameters


def _field(parameter: inspect.Parameter, known: "attrs.Attribute[Any] | None") -> tuple[str, Any, Any]:
    by_keyword = parameter.kind is parameter.KEYWORD_ONLY
    default: Any = parameter.default if known is None or known.default is attrs.NOTHING else known.default
    kind = Any if known is None else known.type
    if default is parameter.empty:
        return parameter.name, kind, dataclasses.field(kw_only=by_keyword)
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class, whatever its stub says
        return parameter.name, kind, dataclasses.field(default_factory=default.factory, kw_only=by_keyword)
    return parameter.name, kind, dataclasses.field(default=default, kw_only=by_keyword)
