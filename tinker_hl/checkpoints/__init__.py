"""Checkpoints after training: fetched, exported, published, compared, combined, thinned out.

Importing it is cheap: every name is loaded from its module on first use. docs/checkpoints.md shows each of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinker_hl.checkpoints.adapter import Adapter as Adapter
    from tinker_hl.checkpoints.adapter import LoraPair as LoraPair
    from tinker_hl.checkpoints.ancestry import Lineage as Lineage
    from tinker_hl.checkpoints.ancestry import LineageNode as LineageNode
    from tinker_hl.checkpoints.ancestry import lineage as lineage
    from tinker_hl.checkpoints.ancestry import started_from as started_from
    from tinker_hl.checkpoints.archive import unpack_archive as unpack_archive
    from tinker_hl.checkpoints.arithmetic import average as average
    from tinker_hl.checkpoints.arithmetic import compress as compress
    from tinker_hl.checkpoints.arithmetic import scale as scale
    from tinker_hl.checkpoints.checksums import verify as verify
    from tinker_hl.checkpoints.comparing import AdapterDiff as AdapterDiff
    from tinker_hl.checkpoints.comparing import LayerDiff as LayerDiff
    from tinker_hl.checkpoints.comparing import diff as diff
    from tinker_hl.checkpoints.downloading import Downloaded as Downloaded
    from tinker_hl.checkpoints.downloading import download as download
    from tinker_hl.checkpoints.downloading import download_async as download_async
    from tinker_hl.checkpoints.errors import AdapterError as AdapterError
    from tinker_hl.checkpoints.errors import ArchiveError as ArchiveError
    from tinker_hl.checkpoints.errors import CheckpointError as CheckpointError
    from tinker_hl.checkpoints.errors import ChecksumError as ChecksumError
    from tinker_hl.checkpoints.errors import DiskSpaceError as DiskSpaceError
    from tinker_hl.checkpoints.errors import PublishError as PublishError
    from tinker_hl.checkpoints.export import export_merged as export_merged
    from tinker_hl.checkpoints.export import export_peft as export_peft
    from tinker_hl.checkpoints.hub import Pushed as Pushed
    from tinker_hl.checkpoints.hub import push as push
    from tinker_hl.checkpoints.hub import repository_name as repository_name
    from tinker_hl.checkpoints.importing import import_adapter as import_adapter
    from tinker_hl.checkpoints.importing import import_adapter_async as import_adapter_async
    from tinker_hl.checkpoints.pruning import Decision as Decision
    from tinker_hl.checkpoints.pruning import PrunePlan as PrunePlan
    from tinker_hl.checkpoints.pruning import RetentionPolicy as RetentionPolicy
    from tinker_hl.checkpoints.pruning import plan_prune as plan_prune
    from tinker_hl.checkpoints.pruning import prune as prune
    from tinker_hl.checkpoints.pruning import prune_async as prune_async

_NAMES_BY_MODULE = {
    "adapter": ("Adapter", "LoraPair"),
    "archive": ("unpack_archive",),
    "arithmetic": ("average", "compress", "scale"),
    "checksums": ("verify",),
    "comparing": ("AdapterDiff", "LayerDiff", "diff"),
    "downloading": ("Downloaded", "download", "download_async"),
    "errors": ("AdapterError", "ArchiveError", "CheckpointError", "ChecksumError", "DiskSpaceError", "PublishError"),
    "export": ("export_merged", "export_peft"),
    "hub": ("Pushed", "push", "repository_name"),
    "ancestry": ("Lineage", "LineageNode", "lineage", "started_from"),
    "importing": ("import_adapter", "import_adapter_async"),
    "pruning": ("Decision", "PrunePlan", "RetentionPolicy", "plan_prune", "prune", "prune_async"),
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
