"""Two surfaces, as tests/interop/scripts/dump_surface.py tells them: what code written for the one misses in the other.

Ours may take more than theirs does (another argument, a default where they have none); it may not take less. The
module compares and counts. It knows no package, runs nothing, and has no opinion on whether a difference is good.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

__all__ = ["Comparison", "Difference", "compare"]

Surface = dict[str, Any]
Row = Sequence[Any]
"""Of a parameter: its name, kind, and default or None."""

NAMESPACES = {"top": "tinker", "types": "tinker.types", "auth": "tinker.auth", "lib": "tinker.lib"}

PYDANTIC_SETTINGS = "model_config"


@attrs.frozen(order=True)
class Difference:
    """One thing that their surface has and ours has not, or has otherwise."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@attrs.define
class Comparison:
    """What was found: differences in the order of their places, and how much was looked at.

    `same` counts the names, signatures and fields that are equal, `wider` those where ours takes more.
    """

    differences: list[Difference] = attrs.field(factory=list)
    same: int = 0
    wider: int = 0

    def note(self, place: str, found: Sequence[str], *, wider: bool = False) -> None:
        """Count one thing that was compared, and keep what is wrong with it."""
        self.differences += [
            Difference(place, what) for what in found if Difference(place, what) not in self.differences
        ]
        if not found:
            self.wider += wider
            self.same += not wider


def compare(theirs: Surface, ours: Surface) -> Comparison:
    """Hold every name of theirs against ours."""
    found = Comparison()
    done: set[str] = set()
    for key, module in NAMESPACES.items():
        for name, described in theirs[key].items():
            # A type that is exported twice is compared once.
            if name not in done:
                done.add(name)
                _compare_name(found, f"{module}.{name}", described, ours[key].get(name) or ours["top"].get(name))
    _compare_models(found, theirs, ours)
    _compare_modules(found, theirs["modules"], ours["modules"])
    return found


def _compare_name(found: Comparison, place: str, theirs: Surface, ours: Surface | None) -> None:
    if ours is None:
        found.note(place, ["is not there"])
    elif theirs["kind"] != ours["kind"]:
        found.note(place, [f"is a {theirs['kind']} there, and a {ours['kind']} here"])
    elif theirs["kind"] in {"class", "exception", "warning"}:
        found.note(place, [])
        _compare_class(found, place, theirs, ours)
    elif "values" in theirs:
        missing = [f"has no {value}" for value in theirs["values"] if value not in ours["values"]]
        found.note(place, missing, wider=theirs["values"] != ours["values"])
    elif theirs["kind"] == "function":
        _compare_function(found, place, theirs, ours)
    else:
        found.note(place, [])


def _compare_class(found: Comparison, place: str, theirs: Surface, ours: Surface) -> None:
    if theirs["home"] != "tinker" and ours["home"] != theirs["home"]:
        found.note(place, [f"is {theirs['home']}'s there, and another one here"])
    if theirs["kind"] != "class":
        lost = [base for base in theirs["bases"] if base not in ours["bases"]]
        found.note(place, [f"is no {base}" for base in lost], wider=theirs["bases"] != ours["bases"])
    _compare_signatures(found, place, theirs["signature"], ours["signature"])
    _compare_replacing(found, place, theirs["replaceable"], ours["replaceable"])
    members = ours["members"]
    for name in theirs["fields"]:
        found.note(f"{place}.{name}", [] if name in ours["fields"] or name in members else ["is not there"])
    for name, member in theirs["members"].items():
        if member["owner"] == "tinker" and name not in theirs["fields"] and name != PYDANTIC_SETTINGS:
            _compare_member(found, f"{place}.{name}", member, members.get(name), is_field=name in ours["fields"])


def _compare_replacing(found: Comparison, place: str, theirs: list[str] | None, ours: list[str] | None) -> None:
    """What code may change by `dataclasses.replace`, where their class is a dataclass."""
    if theirs is None:
        return
    lost = [f"`dataclasses.replace` cannot change `{name}`" for name in theirs if name not in (ours or [])]
    found.note(place, lost if ours is not None else ["`dataclasses` does not know it"])


def _compare_member(found: Comparison, place: str, theirs: Surface, ours: Surface | None, *, is_field: bool) -> None:
    if theirs["kind"] == "value":
        there = is_field or (ours is not None and ours["kind"] == "value")
        found.note(place, [] if there else ["is not there"])
    elif ours is None:
        found.note(place, ["is not there"])
    elif ours["kind"] != "method":
        found.note(place, ["is no method"])
    elif ours["on_class"] != theirs["on_class"]:
        found.note(place, ["belongs to the class" if ours["on_class"] else "belongs to the object"])
    elif not ours["function"]:
        found.note(place, ["is no ordinary function, so it cannot be wrapped"])
    else:
        _compare_function(found, place, theirs, ours)


def _compare_function(found: Comparison, place: str, theirs: Surface, ours: Surface) -> None:
    if theirs["async"] != ours["async"]:
        found.note(place, ["is a coroutine function there" if theirs["async"] else "is a coroutine function here"])
    else:
        _compare_signatures(found, place, theirs["signature"], ours["signature"])


def _compare_signatures(
    found: Comparison, place: str, theirs: Sequence[Row] | None, ours: Sequence[Row] | None
) -> None:
    if theirs is not None and ours is not None:
        found.note(place, list(_losses(theirs, ours)), wider=list(theirs) != list(ours))


def _losses(theirs: Sequence[Row], ours: Sequence[Row]) -> Iterator[str]:
    """What a caller who knows their signature cannot do with ours."""
    if [row[1] for row in theirs] == ["VAR_POSITIONAL", "VAR_KEYWORD"]:
        return  # It hands its arguments on, so it says nothing of them.
    places = {row[0]: index for index, row in enumerate(ours)}
    kinds = {row[1] for row in ours}
    for index, (name, kind, default) in enumerate(theirs):
        if kind.startswith("VAR_"):
            if kind not in kinds:
                yield f"takes no `{'**' if kind == 'VAR_KEYWORD' else '*'}{name}`"
        elif name not in places:
            yield f"has no argument `{name}`"
        else:
            _, our_kind, our_default = ours[places[name]]
            if kind == "POSITIONAL_OR_KEYWORD" and (our_kind != kind or places[name] != index):
                yield f"`{name}` is not argument {index + 1}, as it is there"
            if kind == "KEYWORD_ONLY" and our_kind == "POSITIONAL_ONLY":
                yield f"`{name}` cannot be given by name"
            if default is not None and our_default != default:
                yield f"`{name}` " + (
                    "is required" if our_default is None else f"is {our_default} by default, {default} there"
                )
    known = {row[0] for row in theirs}
    for name, kind, default in ours:
        if name not in known and default is None and not kind.startswith("VAR_"):
            yield f"requires `{name}`"


def _compare_models(found: Comparison, theirs: Surface, ours: Surface) -> None:
    """What their types inherit from pydantic, taken together: it is the same for all of them."""
    inherited: dict[str, set[str]] = {}
    for name, described in theirs["types"].items():
        ours_of_it = ours["types"].get(name, {}).get("members", {})
        for member, told in described.get("members", {}).items():
            if told["owner"] == "pydantic" and name in ours["types"]:
                inherited.setdefault(member, set())
                if member not in ours_of_it:
                    inherited[member].add(name)
    for member, lacking in sorted(inherited.items()):
        found.note(f"pydantic.BaseModel.{member}", ["is not there"] if lacking else [])


def _compare_modules(found: Comparison, theirs: dict[str, list[str]], ours: dict[str, list[str]]) -> None:
    """Import paths: a module that holds nothing of the package's own is nobody's import."""
    for module, names in theirs.items():
        if module == "tinker":
            continue  # Compared name by name already.
        if names and module not in ours:
            found.note(f"import {module}", ["is not there"])
        elif names:
            found.note(f"import {module}", [])
            for name in names:
                found.note(f"from {module} import {name}", [] if name in ours[module] else ["is not there"])
