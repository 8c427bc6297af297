"""Running a program as `__main__`, and again in the child processes that it spawns.

A spawned child imports its parent's main program anew, so the names must be in place there too: the parent's
`__main__` says that it came from `tinker_hl.compat.spawned`, which the child then runs, and which finds the program in
the environment. The module knows nothing of what the names are.
"""

import importlib.machinery
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType

import attrs

from tinker_hl.compat import install
from tinker_hl.errors import ConfigurationError

__all__ = ["Program"]

VARIABLE = "TINKER_HL_COMPAT_PROGRAM"
SPAWNED = "tinker_hl.compat.spawned"


@attrs.frozen
class Program:
    """A script's path, or a module's name as `python -m` takes it."""

    name: str
    is_module: bool

    @classmethod
    def inherited(cls) -> "Program":
        """The program of the process that spawned this one."""
        kind, _, name = os.environ[VARIABLE].partition(":")
        return cls(name, kind == "module")

    def prepared(self, arguments: list[str]) -> Callable[[], None]:
        """Make it `__main__`, with what it finds in `sys.argv`, `sys.path` and `sys.modules` as usual.

        Returns:
            What runs it.

        Raises:
            ConfigurationError: There is no such script or module, or `tinker` is imported already.
        """
        install()
        code, package, file = self._code()
        sys.argv = [file, *arguments]
        if not self.is_module:
            sys.path[0] = str(Path(file).parent)
        os.environ[VARIABLE] = f"module:{self.name}" if self.is_module else f"script:{file}"
        main = _module("__main__", package, file)
        main.__spec__ = importlib.machinery.ModuleSpec(SPAWNED, None)
        sys.modules["__main__"] = main
        return lambda: exec(code, vars(main))

    def load(self) -> ModuleType:
        """Run it as a spawned child does, as `__mp_main__`, so that what it defines can be unpickled."""
        install()
        code, package, file = self._code()
        module = _module("__mp_main__", package, file)
        exec(code, vars(module))
        return module

    def _code(self) -> tuple[CodeType, str, str]:
        """The code, the package that relative imports start from, the file."""
        return self._module_code(self.name) if self.is_module else self._script_code()

    def _script_code(self) -> tuple[CodeType, str, str]:
        file = str(Path(self.name).resolve())
        try:
            with io.open_code(file) as opened:
                return compile(opened.read(), file, "exec"), "", file
        except OSError as error:
            raise ConfigurationError(f"the script {self.name!r} cannot be read: {error}") from error

    def _module_code(self, name: str) -> tuple[CodeType, str, str]:
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            spec = None
        if spec is not None and spec.submodule_search_locations is not None:
            return self._module_code(f"{name}.__main__")
        code = None if spec is None else getattr(spec.loader, "get_code", lambda _: None)(name)
        if spec is None or code is None:
            raise ConfigurationError(f"there is no module {name!r} with code to run")
        return code, spec.parent or "", spec.origin or name


def _module(name: str, package: str, file: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = file
    module.__package__ = package or None
    return module
