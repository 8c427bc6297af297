"""Unpack an archive of a checkpoint that came over the network, and so is not trusted.

Sizes are bounded, and nothing is written outside the folder: no absolute names, no `..`, no links, no devices, no name
twice. Knows nothing of where the archive is from, nor of what the files mean.
"""

import shutil
import tarfile
import unicodedata
import zlib
from pathlib import Path
from typing import Final

from tinker_hl.checkpoints.disk import check_room
from tinker_hl.checkpoints.errors import ArchiveError

__all__ = ["MAX_BYTES", "MAX_FILES", "checkpoint_root", "unpack_archive"]

PIECE: Final = 1 << 20
MAX_BYTES: Final = 64 << 30
"""Of the archive, and of what is in it; an adapter of rank 128 on the largest open models has about 30 GiB."""
MAX_FILES: Final = 10_000


def unpack_archive(archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
    """Unpack a tar file (plain or compressed) of plain files and folders into a new folder.

    Members are checked and written one by one, so that nothing is read twice; on an error, throw the folder away.

    Raises:
        ArchiveError: damaged, too large, too many files, or a member that is no plain file under the folder.
        DiskSpaceError: the next file does not fit on the disk.
    """
    folder.mkdir(parents=True)
    left, files = max_bytes, 0
    seen: set[str] = set()
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                files += 1
                left -= max(member.size, 0)
                if files > max_files or left < 0:
                    limit = f"{max_files} files" if files > max_files else f"{max_bytes} bytes"
                    raise ArchiveError(f"the archive holds more than the limit of {limit}")
                _write(tar, member, folder, seen)
            _read_to_the_end(tar, left)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, zlib.error) as error:
        raise ArchiveError(f"the archive cannot be unpacked: {error}") from error


def _read_to_the_end(tar: tarfile.TarFile, most: int) -> None:
    """Let the compression verify its checksum, which stands behind everything; tarfile stops before it."""
    while tar.fileobj is not None and (piece := tar.fileobj.read(PIECE)):
        most -= len(piece)
        if most + tarfile.RECORDSIZE < 0:
            raise ArchiveError("the archive goes on after its end for longer than the limit")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, seen: set[str]) -> None:
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise ArchiveError(f"the archive holds {member.name!r}, which is neither a file nor a folder")
    try:
        # The filter of PEP 706 refuses `..`, makes absolute names relative, and takes away odd permissions.
        safe = tarfile.data_filter(member, str(folder))
    except tarfile.FilterError as error:
        raise ArchiveError(f"the archive holds {member.name!r}, which would be written elsewhere") from error
    if safe.name != member.name or "\\" in safe.name or "\0" in safe.name:
        raise ArchiveError(f"the archive holds {member.name!r}, an absolute name, or one that is none on every system")
    target = folder / safe.name
    if safe.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    # Some file systems take two spellings for one name: the second would overwrite the first there.
    name = unicodedata.normalize("NFC", target.relative_to(folder).as_posix()).casefold()
    if name in seen:
        raise ArchiveError(f"the archive holds {member.name!r} twice")
    seen.add(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    check_room(folder, member.size)
    source = tar.extractfile(member)
    if source is None:
        raise ArchiveError(f"the archive holds {member.name!r} without content")
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file, PIECE)
    if target.stat().st_size != member.size:
        raise ArchiveError(f"the archive ends within {member.name!r}")


def checkpoint_root(unpacked: Path) -> Path:
    """Where the files are: services put them at the top of the archive, or under one folder."""
    inside = list(unpacked.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else unpacked
