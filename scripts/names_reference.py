"""Write `docs/reference.md`: every public name of the client, from the code.

    python scripts/names_reference.py           write the page
    python scripts/names_reference.py --check   fail if the page is not what the code says

What a name is for is said once, in its docstring, of which the first sentence stands here; this script walks the rooms.
"""

import argparse
import enum
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

__all__ = ["PAGE", "ROOMS", "main", "page"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference.md"
ROOMS = (
    "tinker_hl",
    "tinker_hl.types",
    "tinker_hl.auth",
    "tinker_hl.checkpoints",
    "tinker_hl.configuration",
    "tinker_hl.experimental",
    "tinker_hl.linting",
    "tinker_hl.losses",
    "tinker_hl.many",
    "tinker_hl.probing",
    "tinker_hl.recovery",
    "tinker_hl.retry",
    "tinker_hl.run_metrics",
    "tinker_hl.sending_plan",
    "tinker_hl.testing",
    "tinker_hl.tokenizer",
    "tinker_hl.tracing",
    "tinker_hl.transport",
    "tinker_local.embedded",
    "tinker_local.settings",
)
STARS = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
LONGEST = 60
"""Characters of a default that are shown."""
RECORDS = ("tinker_hl.types.record", "tinker_hl.types.open_record", "tinker_hl.types.dataclass_view")
"""What all types of the wire can do; told once, in docs/types.md."""
HEADER = """# Every public name

Written by `make reference` from the code. [The client](client.md) and the pages beside it say how things are used; here
each name has its arguments and the first sentence of its documentation, and `help(NAME)` the rest. A method
`X_async` beside a method `X` does the same for code that awaits, and is left out here; so is what [types](types.md)
says of all types, and what a class has from another one of this page.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/reference.md from the code.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args(arguments)
    wanted = page()
    if not options.check:
        PAGE.write_text(wanted, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != wanted:
        print(f"{PAGE.name} is not what the code says: run make reference", file=sys.stderr)
        return 1
    return 0


def page() -> str:
    """The whole page, in Markdown."""
    lines = [HEADER, "Rooms: " + " · ".join(f"[`{room}`](#{_anchor(room)})" for room in ROOMS), ""]
    told: dict[int, str] = {}
    modules = [importlib.import_module(room) for room in ROOMS]
    public = {id(getattr(module, name)) for module in modules for name in module.__all__}
    for room, module in zip(ROOMS, modules, strict=True):
        lines += [f"## `{room}`", "", _first(module), ""]
        for name in sorted(module.__all__, key=str.lower):
            value = getattr(module, name)
            if not name.startswith("__") and not inspect.ismodule(value):
                lines += _entry(name, value, told, public, room)
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _entry(name: str, value: Any, told: dict[int, str], public: set[int], room: str) -> Iterator[str]:
    documented = inspect.isclass(value) or inspect.isroutine(value)
    if documented and id(value) in told:
        yield f"- `{name}`: see [`{told[id(value)]}`](#{_anchor(told[id(value)])})"
        return
    if not documented:
        yield f"- `{name}`{_plain(value)}"
        return
    told[id(value)] = room
    yield f"- `{name}{_signature(value)}`: {_first(value)}"
    if inspect.isclass(value):
        for member, found in _members(value, public):
            call = "" if isinstance(found, property) else _signature(found)
            yield f"  - `.{member}{call}`: {_first(found)}"


def _members(kind: type, public: set[int]) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, in the order in which they were written."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        ours = base.__module__.split(".")[0] in ("tinker_hl", "tinker_local") and base.__module__ not in RECORDS
        if ours and (base is kind or id(base) not in public):
            found |= vars(base)
    for name, raw in found.items():
        value = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
        twin = name.endswith("_async") and name.removesuffix("_async") in found
        if name.startswith("_") or twin or not (inspect.isfunction(value) or isinstance(value, property)):
            continue
        yield name, value


def _signature(value: Any) -> str:
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        return ""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    hidden = {name for name in signature.parameters if name in ("self", "cls") or name.startswith("_")}
    if inspect.isclass(value) and issubclass(value, BaseException):
        return ""
    parts, keyword_only = [], False
    for name, parameter in signature.parameters.items():
        if name in hidden:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        keyword_only = keyword_only or parameter.kind is parameter.VAR_POSITIONAL
        parts.append(f"{STARS.get(parameter.kind.name, '')}{name}{_default(parameter.default)}")
    return f"({', '.join(parts)})"


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    shown = repr(value)
    return "=..." if value is attrs.NOTHING or " at 0x" in shown or len(shown) > LONGEST else f"={shown}"


def _plain(value: Any) -> str:
    shown = repr(value).replace("typing.", "").replace("tinker_hl.types.", "")
    return f": `{shown}`" if len(shown) <= 2 * LONGEST and " at 0x" not in shown else ""


def _first(value: Any) -> str:
    """The first sentence of its own documentation."""
    documentation = inspect.getdoc(value) or ""
    if documentation.startswith("See the module"):
        documentation = inspect.getdoc(inspect.getmodule(value)) or ""
    text = " ".join(documentation.split("\n\n")[0].split())
    return re.split(r"(?<=\.)(?<!et al\.) ", text, maxsplit=1)[0]


def _anchor(room: str) -> str:
    return room.replace(".", "")


if __name__ == "__main__":
    sys.exit(main())
