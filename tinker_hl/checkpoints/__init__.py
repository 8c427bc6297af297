"""Checkpoints after training: fetched, exported, published, compared, combined, thinned out.

Importing it is cheap: every name is loaded from its module on first use. docs/checkpoints.md shows each of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinker_hl.checkpoints.archive import unpack_archive as unpack_archive
    from tinker_hl.checkpoints.checksums import verify as verify
    from tinker_hl.checkpoints.download import Downloaded as Downloaded
    from tinker_hl.checkpoints.download import download as download
    from tinker_hl.checkpoints.download import download_async as download_async
    from tinker_hl.checkpoints.errors import AdapterError as AdapterError
    from tinker_hl.checkpoints.errors import ArchiveError as ArchiveError
    from tinker_hl.checkpoints.errors import CheckpointError as CheckpointError
    from tinker_hl.checkpoints.errors import ChecksumError as ChecksumError
    from tinker_hl.checkpoints.errors import DiskSpaceError as DiskSpaceError
    from tinker_hl.checkpoints.errors import PublishError as PublishError

_NAMES_BY_MODULE = {
    "archive": ("unpack_archive",),
    "checksums": ("verify",),
    "download": ("Downloaded", "download", "download_async"),
    "errors": ("AdapterError", "ArchiveError", "CheckpointError", "ChecksumError", "DiskSpaceError", "PublishError"),
}
_PLACES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__all__ = [*_PLACES]  # pyright: ignore[reportUnsupportedDunderAll]  # each is loaded by __getattr__


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once."""
    if name not in _PLACES:
        raise AttributeError(f"module 'tinker_hl.checkpoints' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tinker_hl.checkpoints.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
