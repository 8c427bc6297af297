"""The import hook: `tinker` and its sub-modules are modules whose names are found in ours.

It knows which modules there are (`modules.py`) and how Python imports. It does not know when the hook is in use.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import os
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any, Final

from tinker_hl.compat.modules import ELSEWHERE, MODULES, PACKAGES
from tinker_hl.version import OFFICIAL_VERSION

__all__ = ["AliasFinder", "AliasModule"]

METADATA: Final = (
    f"Metadata-Version: 2.1\nName: tinker\nVersion: {OFFICIAL_VERSION}\nSummary: tinker_hl, through tinker_hl.compat\n"
)
CONSTANTS: Final = {"__version__": OFFICIAL_VERSION, "__title__": "tinker"}
OWN_HOMES: Final = {
    "tinker": ("tinker_hl",),
    "tinker.auth": ("tinker_hl.auth", "tinker_hl"),
    "tinker.lib.telemetry": ("tinker_hl.telemetry", "tinker_hl.types", "tinker_hl"),
}
HOMES: Final = ("tinker_hl.types", "tinker_hl")
_MISSING: Final = object()


class AliasModule(ModuleType):
    """A module of the official package's name. It holds nothing: each name is looked up in ours when asked for.

    What a program sets on it (a test's patch) it holds, in front of the name behind it, until that is deleted again.
    """

    def __getattr__(self, name: str) -> Any:
        if f"{self.__name__}.{name}" in MODULES:
            return importlib.import_module(f"{self.__name__}.{name}")
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name == "__all__":
            return _names_behind(self.__name__)
        found = _MISSING if name.startswith("__") else _found_behind(self.__name__, name)
        if found is _MISSING:
            raise AttributeError(f"module {self.__name__!r}, which is tinker_hl's, has no attribute {name!r}")
        return found

    def __dir__(self) -> list[str]:
        inner = (module.rpartition(".") for module in MODULES)
        submodules = {name for parent, _, name in inner if parent == self.__name__ and not name.startswith("_")}
        return sorted({*vars(self), *submodules, *_names_behind(self.__name__)})


def _homes(module: str) -> tuple[str, ...]:
    """Our modules in which the names of one of theirs are."""
    return OWN_HOMES.get(module, HOMES)


def _found_behind(module: str, name: str) -> Any:
    if name in ELSEWHERE:
        home, original = ELSEWHERE[name]
        return getattr(importlib.import_module(home), original)
    for home in _homes(module):
        found = getattr(importlib.import_module(home), name, _MISSING)
        if found is not _MISSING:
            return found
    return _MISSING


def _names_behind(module: str) -> list[str]:
    return list(importlib.import_module(_homes(module)[0]).__all__)


class _AliasLoader(importlib.abc.Loader):
    """Makes the modules; there is no code to run in them."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return AliasModule(spec.name, "A name for tinker_hl; see tinker_hl.compat.")

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: names are looked up when they are asked for."""


class _AliasDistribution(importlib.metadata.Distribution):
    """What `importlib.metadata.version("tinker")` reads."""

    def read_text(self, filename: str) -> str | None:
        return METADATA if filename == "METADATA" else None

    def locate_file(self, path: "str | os.PathLike[str]") -> Any:
        raise FileNotFoundError(f"the package tinker is tinker_hl here and has no files of its own, so no {path}")


class AliasFinder(importlib.metadata.DistributionFinder):
    """Finds `tinker` and what is below it; everything else is left to the other finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of one of the official package's modules, or None."""
        if fullname not in MODULES:
            return None
        return importlib.machinery.ModuleSpec(
            fullname, _AliasLoader(), origin="tinker_hl.compat", is_package=fullname in PACKAGES
        )

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        """The distribution `tinker`, if that one or all are asked for."""
        asked = None if context is None else context.name
        return [_AliasDistribution()] if asked in (None, "tinker") else []
