"""What can be wrong with a checkpoint on this side of the network, as errors of the client's tree.

```
TinkerError
└── CheckpointError
    ├── ArchiveError             an archive is damaged, too large, or holds what no checkpoint holds
    ├── ChecksumError            bytes are not those that were promised
    ├── DiskSpaceError           the disk has no room
    ├── AdapterError             files are no LoRA adapter, or one that means more than plain LoRA
    └── PublishError             a repository cannot take the checkpoint
```
"""

from tinker_hl.errors import TinkerError

__all__ = ["AdapterError", "ArchiveError", "CheckpointError", "ChecksumError", "DiskSpaceError", "PublishError"]


class CheckpointError(TinkerError):
    """A checkpoint cannot be fetched, read, written or changed as asked."""


class ArchiveError(CheckpointError):
    """An archive is damaged, too large, or holds what no checkpoint holds."""


class ChecksumError(CheckpointError):
    """Bytes are not those that were promised; what was fetched is not kept."""


class DiskSpaceError(CheckpointError):
    """The disk has no room for what is asked; nothing was written that was not there before."""


class AdapterError(CheckpointError, ValueError):
    """Files are no LoRA adapter, two of them do not fit each other, or one means more than plain LoRA."""


class PublishError(CheckpointError):
    """A repository cannot take the checkpoint, or should not."""
