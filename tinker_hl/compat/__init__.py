"""`import tinker` gives this client: code that was written for the official SDK runs unchanged.

    import tinker_hl.compat
    tinker_hl.compat.install()      # before the first `import tinker`

or, for a program that nobody wants to edit,

    python -m tinker_hl.compat SCRIPT [ARGUMENTS]
    python -m tinker_hl.compat -m MODULE [ARGUMENTS]

`tinker` and its sub-modules become names for our own objects, looked up when they are asked for: nothing is copied, so
`tinker.Datum is tinker_hl.Datum`. It lasts for this process; the official package, if it is installed, stays where it
is and is not touched.
"""

import sys
import threading

from tinker_hl.compat.finder import AliasFinder, AliasModule
from tinker_hl.errors import ConfigurationError

__all__ = ["install", "uninstall"]

_lock = threading.Lock()
_finder = AliasFinder()


def install() -> None:
    """Let `import tinker`, and each of its public sub-modules, give this client. Again is no harm.

    Raises:
        ConfigurationError: The official package has been imported already; what holds its classes would go on using
            them beside ours.
    """
    with _lock:
        _refuse_the_real_one()
        if _finder not in sys.meta_path:
            # First, so that it also stands before an official package that is installed.
            sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Take the names back, for tests. Objects that were imported through them stay what they are."""
    with _lock:
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, AliasModule)]:
            del sys.modules[name]


def _refuse_the_real_one() -> None:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "tinker" and not isinstance(module, AliasModule):
            place = getattr(module, "__file__", None) or "somewhere without a file"
            raise ConfigurationError(
                f"tinker_hl.compat cannot be installed: {name!r} is imported already, from {place}",
                hint="Call tinker_hl.compat.install() before the first `import tinker`, "
                "or run the program by `python -m tinker_hl.compat SCRIPT`.",
            )
