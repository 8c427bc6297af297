"""Print the public surface of whatever `import tinker` gives, as JSON: names, signatures, defaults, errors, fields.

Run by the official SDK's own python, and by ours through `python -m tinker_hl.compat`, so that both are looked at by
the same eyes. It knows nothing of either, and judges nothing.

    python dump_surface.py               also the modules that the package has, and the names of its own in each
    python dump_surface.py MODULES.json  instead, those of these modules and names that can be imported
"""

import collections.abc
import dataclasses
import enum
import importlib
import importlib.metadata
import inspect
import json
import sys
import types as python_types
import typing
import warnings
from pathlib import Path
from typing import Any

import tinker
import tinker.types

warnings.simplefilter("ignore")

PRIVATE_BUT_USED = {"_exceptions", "_types", "_version"}
"""Modules that code outside the package imports from in spite of their names."""

INNER_CLASSES = [("retry_handler", "RetryConfig"), ("telemetry", "Telemetry")]
"""Classes below `tinker.lib` that public calls take or return, though they are exported nowhere."""


def is_public(name: str) -> bool:
    return not name.startswith("_")


def shown(value: Any) -> str:
    """A default, so that equal ones of two packages look equal."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value.value if isinstance(value, enum.Enum) else float(value) if type(value) is int else value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(shown(item) for item in value)}]"
    if isinstance(value, dict):
        return repr(value)
    if isinstance(value, type):
        return value.__name__
    return f"{type(value).__name__}()"


def made_defaults(cls: Any) -> dict[str, str]:
    """The defaults that are made anew for each object, which a signature does not show."""
    made: dict[str, str] = {}
    for name, field in getattr(cls, "model_fields", {}).items():
        if getattr(field, "default_factory", None) is not None:
            made[name] = shown(field.default_factory())
    for name, field in getattr(cls, "__dataclass_fields__", {}).items():
        if callable(field.default_factory):
            made[name] = shown(field.default_factory())
    for field in getattr(cls, "__attrs_attrs__", ()):
        if hasattr(field.default, "factory") and not field.default.takes_self:
            made[field.alias or field.name] = shown(field.default.factory())
    return made


def signature(function: Any, made: dict[str, str] | None = None) -> list[list[Any]] | None:
    """[name, kind, default or None if there is none] of each parameter, the object itself left out."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    rows = []
    for name, parameter in found.parameters.items():
        if name == "self" or not is_public(name):
            continue
        default = None if parameter.default is inspect.Parameter.empty else shown(parameter.default)
        rows.append([name, parameter.kind.name, (made or {}).get(name, default)])
    return rows


def owner(cls: type, name: str) -> str:
    """The package of the class that a member comes from."""
    for base in cls.__mro__:
        if name in vars(base):
            return base.__module__.partition(".")[0]
    return ""


def member(cls: type, name: str) -> dict[str, Any]:
    raw = inspect.getattr_static(cls, name)
    if isinstance(raw, property) or type(raw).__name__ in {"cached_property", "member_descriptor"}:
        return {"kind": "value", "owner": owner(cls, name)}
    bound = isinstance(raw, (staticmethod, classmethod))
    function = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
    if not inspect.isroutine(function):
        return {"kind": "value", "owner": owner(cls, name)}
    rows = signature(getattr(cls, name) if bound else function)
    plain = inspect.unwrap(function)
    return {
        "kind": "method",
        "owner": owner(cls, name),
        "signature": rows,
        "async": inspect.iscoroutinefunction(plain),
        "on_class": bound,
        "function": bound or isinstance(function, python_types.FunctionType),
    }


def fields(cls: Any) -> list[str]:
    names = list(getattr(cls, "model_fields", None) or getattr(cls, "__dataclass_fields__", {}))
    names += [field.alias or field.name for field in getattr(cls, "__attrs_attrs__", ())]
    return [name for name in names if is_public(name)]


def replaceable(cls: Any) -> list[str] | None:
    """What `dataclasses.replace` can change on an object; None where it takes none of them."""
    if not dataclasses.is_dataclass(cls):
        return None
    return [field.name for field in dataclasses.fields(cls) if field.init and is_public(field.name)]


def described_class(cls: type) -> dict[str, Any]:
    members = {name: member(cls, name) for name in dir(cls) if is_public(name)}
    told = {
        "kind": "class",
        "home": cls.__module__.partition(".")[0],
        "signature": signature(cls, made_defaults(cls)),
        "fields": fields(cls),
        "replaceable": replaceable(cls),
        "members": members,
        "bases": [base.__name__ for base in cls.__mro__[1:] if base is not object],
    }
    if issubclass(cls, BaseException):
        told["kind"] = "warning" if issubclass(cls, Warning) else "exception"
    if issubclass(cls, enum.Enum):
        told |= {"kind": "enum", "values": {item.name: item.value for item in cls}, "members": {}, "fields": []}
        told["signature"] = None
    if hasattr(cls, "__total__"):  # a TypedDict, of `typing` or of its extensions
        keys = sorted(getattr(cls, "__annotations__", {}))
        told = {"kind": "typed dict", "values": keys}
    return told


def alternatives(value: Any) -> list[str]:
    """What a type alias allows, by name."""
    origin = typing.get_origin(value)
    if origin is typing.Annotated:
        return alternatives(typing.get_args(value)[0])
    if origin is typing.Literal:
        return [repr(item) for item in typing.get_args(value)]
    if origin in (typing.Union, python_types.UnionType):
        return [name for item in typing.get_args(value) for name in alternatives(item)]
    if isinstance(value, typing.ForwardRef):
        return [value.__forward_arg__.rpartition(".")[2]]
    if isinstance(value, typing.TypeAliasType) if hasattr(typing, "TypeAliasType") else False:
        return alternatives(value.__value__)
    if origin is collections.abc.Callable:
        return ["Callable"]
    if origin is not None:
        inner = [name for item in typing.get_args(value) for name in alternatives(item)]
        return [f"{getattr(origin, '__name__', origin)}[{', '.join(inner)}]"]
    if isinstance(value, list):
        return [f"[{', '.join(name for item in value for name in alternatives(item))}]"]
    return [getattr(value, "__name__", str(value))]


def described(value: Any) -> dict[str, Any]:
    if inspect.ismodule(value):
        return {"kind": "module"}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"kind": "constant"}
    if isinstance(value, type) and value.__module__ == "builtins":
        return {"kind": "alias", "values": [value.__name__]}
    # A generic alias calls itself a class as well, and a protocol is one whose own class is in `typing`.
    if typing.get_origin(value) is None and isinstance(value, type):
        return described_class(value)
    if typing.get_origin(value) is not None or type(value).__module__ == "typing":
        return {"kind": "alias", "values": sorted(alternatives(value))}
    if inspect.isfunction(value):
        return {"kind": "function", "signature": signature(value), "async": inspect.iscoroutinefunction(value)}
    if isinstance(value, collections.abc.Callable):
        return {"kind": "callable", "signature": signature(value)}
    return {"kind": "constant"}


def namespace(module: Any, asked: list[str] | None = None) -> dict[str, Any]:
    """Every public name of a module, and those that are asked for; its sub-modules only if it exports them."""
    told = {}
    there = [name for name in asked or () if hasattr(module, name)]
    for name in sorted({*dir(module), *getattr(module, "__all__", ()), *there}):
        if (is_public(name) or name in {"__version__", "__title__"}) and name not in {"annotations"}:
            value = getattr(module, name)
            if not (inspect.ismodule(value) and name not in getattr(module, "__all__", ())):
                told[name] = described(value)
    return told


def inner(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"tinker.lib.{module}"), name)


def own_names(module: Any) -> list[str]:
    """The names of a module that belong to the package: what it defines itself, and every public name it holds."""
    public = {**vars(tinker.types), **vars(tinker)}
    homes = {module.__name__, "tinker"}
    names = []
    for name, value in vars(module).items():
        if not is_public(name) or inspect.ismodule(value) or name == "annotations":
            continue
        at_home = inspect.isclass(value) or inspect.isfunction(value)
        if (at_home and value.__module__ in homes) or public.get(name, vars) is value:
            names.append(name)
    return sorted(names)


def module_tree() -> dict[str, list[str]]:
    """Each module that a user could import, and the package's own names in it. `tinker.lib` has no `__init__`."""
    root = Path(tinker.__path__[0])
    told = {"tinker": list(namespace(tinker))}
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        inner = any(part.startswith("_") for part in parts) and parts[0] not in PRIVATE_BUT_USED
        if parts and not inner and "cli" not in parts and not parts[-1].endswith("_test"):
            name = ".".join(("tinker", *parts))
            told[name] = own_names(importlib.import_module(name))
    return told


def importable(asked: dict[str, list[str]]) -> dict[str, list[str]]:
    """Of the names of another package's modules, those that are here; a module that is not here is left out."""
    told = {}
    for name, names in asked.items():
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        told[name] = [wanted for wanted in names if hasattr(module, wanted)]
    return told


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text()) if sys.argv[1:] else {}
    auth = namespace(tinker.auth) if "auth" in tinker.__all__ else {}
    told = {
        "version": importlib.metadata.version("tinker"),
        "all": sorted(tinker.__all__),
        "top": namespace(tinker, asked.get("tinker")),
        "types": namespace(tinker.types),
        "auth": {name: told for name, told in auth.items() if getattr(tinker.auth, name).__module__.endswith(".auth")},
        "lib": {f"{module}.{name}": described(inner(module, name)) for module, name in INNER_CLASSES},
        "modules": importable(asked) if asked else module_tree(),
    }
    print(json.dumps(told))


main()
