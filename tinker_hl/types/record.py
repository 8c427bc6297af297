"""The base of every public type: an immutable record that refuses misspelt arguments and can be dumped to JSON.

Each type is an `attrs.frozen` class. What `Record` adds is the part of pydantic's surface that research code uses
(`model_copy`, `model_dump`, `model_dump_json`, `model_fields`, `model_validate`, `model_validate_json`, and the pairs
that `dict` takes), so that code written against either generation of the official SDK runs. It knows nothing of
particular types.
"""

import base64
import copy
import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import attrs
import numpy as np
import orjson

from tinker_hl.types.pydantic_view import FieldsOfClass

__all__ = ["Answer", "Record", "json_bytes"]


class Record:
    """A frozen attrs class. Unknown keywords raise `TypeError` and name the likely one.

    Where a field is a record, its constructor takes a plain dict too, as pydantic's do.
    """

    __slots__ = ()

    keeps_unknown_out: ClassVar[bool] = True
    """Whether `model_validate` refuses fields that the type does not have (it drops them otherwise)."""

    model_fields = FieldsOfClass()

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        # Attrs calls this on the finished class, so that no type can forget it, as it could a decorator.
        cls.__init__ = _explain_misspelling(cls)  # type: ignore[method-assign]  # the very point

    if TYPE_CHECKING:  # attrs makes it, which not every type checker knows

        def __attrs_init__(self, *args: Any, **kwargs: Any) -> None: ...

    def _fields(self) -> dict[str, Any]:
        """Field name -> value, as a user reads them."""
        return {shown: getattr(self, name) for shown, name in _names_of(type(self))}

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Pairs of name and value, so that `dict(record)` has its fields."""
        return iter(self._fields().items())

    def _wire_fields(self) -> dict[str, Any]:
        """Field name -> value, as they are sent; differs where arrays stand for lists."""
        return self._fields()

    def wire_dict(self) -> dict[str, Any]:
        """What is sent: every field that is not None, tags included; arrays stay numpy, bytes become base64."""
        return {name: _wire(value) for name, value in self._wire_fields().items() if value is not None}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields replaced (and validated, which pydantic does not do)."""
        source: Any = copy.deepcopy(self) if deep else self
        copied: Self = attrs.evolve(source, **dict(update or {}))
        return copied

    def model_dump(
        self,
        *,
        mode: str = "python",
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        by_alias: bool | None = None,
        exclude_unset: bool = False,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        round_trip: bool = False,
        warnings: bool = True,
    ) -> dict[str, Any]:
        """Nested dicts and lists; bytes are base64, as they are sent.

        Args:
            mode: `"python"` leaves datetimes as they are; `"json"` gives only what JSON can hold.
            include: names of the fields to give; None gives all.
            exclude: names of fields to leave out.
            by_alias: accepted for compatibility: fields have one name.
            exclude_unset: the same as `exclude_defaults`, as a record does not remember what it was given.
            exclude_defaults: leave out fields that are at their defaults, in records within it too.
            exclude_none: leave out fields whose value is None, in records within it too.
            round_trip: accepted for compatibility: `model_validate` takes every dump that is whole.
            warnings: accepted for compatibility: there are none.

        Raises:
            TypeError: `include` or `exclude` is a dict, as for fields of records within it.
        """
        only_others = exclude_defaults or exclude_unset
        at_default = self._defaults() if only_others else {}
        left_out = _names(exclude) or ()
        wanted = _names(include)
        return {
            name: _plain(value, as_json=mode == "json", exclude_none=exclude_none, exclude_defaults=only_others)
            for name, value in self._fields().items()
            if (wanted is None or name in wanted)
            and name not in left_out
            and not (exclude_none and value is None)
            and not (name in at_default and _same(value, at_default[name]))
        }

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """The same as JSON text; `indent` of any size gives two spaces. See `model_dump` for the options."""
        option = orjson.OPT_INDENT_2 if indent else 0
        return orjson.dumps(self.model_dump(**{**options, "mode": "json"}), option=option).decode()

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Field name -> its default, of those that have one."""
        described = cls.model_fields
        made = {name: one.default_factory() for name, one in described.items() if one.default_factory is not None}
        return made | {name: one.default for name, one in described.items() if one.default is not attrs.NOTHING}

    @classmethod
    def model_validate(cls, value: Any) -> Self:
        """Build one from a mapping, checking types. Raises `ValueError` naming the field."""
        from tinker_hl.codec.structure import structure  # the codec knows the types, so they import it late

        if isinstance(value, cls):
            return value
        if cls.keeps_unknown_out and isinstance(value, Mapping):
            known = _argument_names(cls.__init__)
            for name in value:
                if known is not None and name not in known:
                    raise ValueError(_unknown_argument(cls, str(name), known))
        return structure(value, cls)

    @classmethod
    def model_validate_json(cls, data: str | bytes) -> Self:
        """Build one from JSON text. Raises `ValueError` naming the field."""
        return cls.model_validate(orjson.loads(data))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """For pydantic, which alone calls it: a user's own model may have a record as a field, from a dict or JSON."""
        from pydantic_core import core_schema  # there whenever pydantic is; this package does not need it

        written = core_schema.plain_serializer_function_ser_schema(
            lambda record, info: record.model_dump(mode=info.mode, exclude_none=info.exclude_none), info_arg=True
        )
        return core_schema.no_info_plain_validator_function(cls.model_validate, serialization=written)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        """For pydantic's JSON Schema: an object of this name."""
        return {"title": cls.__name__, "type": "object"}


class Answer(Record):
    """What a service answers: fields that a newer service adds are dropped."""

    __slots__ = ()
    keeps_unknown_out: ClassVar[bool] = False


def json_bytes(value: Any) -> bytes:
    """Compact JSON of a `wire_dict`, numpy arrays included. NaN and infinities become null: check before."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


_field_names: dict[type, tuple[tuple[str, str], ...]] = {}


def _names_of(cls: type) -> tuple[tuple[str, str], ...]:
    """The name of each field, as a user has it and as it is stored; looked up once for each type."""
    names = _field_names.get(cls)
    if names is None:
        fields = attrs.fields(cast("type[attrs.AttrsInstance]", cls))
        names = _field_names[cls] = tuple((field.alias or field.name, field.name) for field in fields)
    return names


def _argument_names(build: Callable[..., None]) -> tuple[str, ...] | None:
    """The names that a constructor takes; None if it takes any."""
    parameters = inspect.signature(build).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return tuple(parameter.name for parameter in parameters if parameter.name != "self")


def _unknown_argument(cls: type, name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known) or 'no arguments'}"
    return f"{cls.__name__} has no argument {name!r}; {guess}"


def _explain_misspelling(cls: type) -> Callable[..., None]:
    build: Callable[..., None] = cls.__init__  # type: ignore[misc]  # a class, not an instance

    @functools.wraps(build)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it becomes that method
        for name, value in kwargs.items():
            if _may_be_records(value):
                kwargs[name] = _with_records(cls, name, value)
        try:
            build(self, *args, **kwargs)
        except TypeError:
            known = _argument_names(build)  # looked up only now: making a record is on the hot path
            for name in kwargs:
                if known is not None and name not in known:
                    raise TypeError(_unknown_argument(cls, name, known)) from None
            _name_the_field(cls, build, args, kwargs)
            raise
        except ValueError:
            _name_the_field(cls, build, args, kwargs)
            raise

    return __init__


def _name_the_field(cls: type, build: Callable[..., None], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise what a field's converter says of its argument with the field's name; what else was wrong, the caller tells.

    The converters are asked again, as what they raised does not tell whose it was.
    """
    try:
        given = inspect.signature(build).bind(None, *args, **kwargs).arguments
    except TypeError:
        return
    for field in attrs.fields(cast("type[attrs.AttrsInstance]", cls)):
        name = field.alias or field.name
        convert: Any = field.converter
        if name not in given or not callable(convert) or isinstance(convert, attrs.Converter):
            continue
        try:
            convert(given[name])
        except (TypeError, ValueError) as error:
            if type(error) in (TypeError, ValueError) and name not in str(error):
                raise type(error)(f"{cls.__name__}.{name}: {error}") from None
            return


def _may_be_records(value: Any) -> bool:
    """Whether plain dicts may stand for records, as they could in pydantic's constructors. On the hot path."""
    kind = type(value)
    return kind is dict or (kind is list and bool(value) and type(value[0]) is dict)


def _with_records(cls: type, name: str, value: Any) -> Any:
    from tinker_hl.codec.structure import structure_field  # the codec knows the types, so they import it late

    return structure_field(value, cls, name)


_AS_THEY_ARE = frozenset({bool, int, float, str, np.ndarray})
"""Types whose values are sent as they are: nearly all fields have one."""


def _wire(value: Any) -> Any:
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, Record):
        return value.wire_dict()
    if isinstance(value, (list, tuple)):
        return [_wire(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _wire(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Enum):
        return value.value
    return _written(value) if isinstance(value, datetime) else value


def _written(moment: datetime) -> str:
    """ISO 8601, as pydantic writes it: UTC is Z."""
    return moment.isoformat().replace("+00:00", "Z")


def _names(given: Collection[str] | None) -> Collection[str] | None:
    if isinstance(given, (str, Mapping)):
        raise TypeError(f"a set or a list of names of fields is needed, got {type(given).__name__}")
    return given


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))


def _plain(value: Any, *, as_json: bool, **options: Any) -> Any:
    """A value as `model_dump` gives it; `options` are that one's."""
    if isinstance(value, Record):
        return value.model_dump(mode="json" if as_json else "python", **options)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item, as_json=as_json, **options) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item, as_json=as_json, **options) for key, item in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if as_json and isinstance(value, datetime):
        return _written(value)
    if as_json and isinstance(value, Enum):
        return value.value
    return value
