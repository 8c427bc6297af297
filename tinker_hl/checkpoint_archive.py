"""Fetch a checkpoint's weights as a folder: ask for its archive, stream it to disk, unpack it safely.

What comes over the network is not trusted: sizes are bounded, and nothing is written outside the folder (no absolute
names, no `..`, no links, no devices). Knows nothing of what the files mean.
"""

import os
import shutil
import tarfile
import tempfile
import time
from http.client import HTTPException
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tinker_hl.errors import APIConnectionError, APITimeoutError, TinkerError

if TYPE_CHECKING:
    from tinker_hl import RestClient

__all__ = ["ArchiveError", "download_checkpoint", "unpack_archive"]

PIECE: Final = 1 << 20
MAX_BYTES: Final = 64 << 30
"""Of the archive, and of what is in it; an adapter of rank 128 on the largest open models has about 30 GiB."""
MAX_FILES: Final = 10_000
SILENCE_SECONDS: Final = 60.0
"""How long the connection may be silent."""


class ArchiveError(TinkerError):
    """An archive is damaged, too large, or holds what no checkpoint holds."""


def download_checkpoint(
    rest: "RestClient", tinker_path: str, folder: Path, *, timeout: float = 3600.0, max_bytes: int = MAX_BYTES
) -> Path:
    """Fetch the files of a sampler checkpoint into a new folder.

    Args:
        rest: the client that asks for the archive's address.
        tinker_path: `tinker://<run>/sampler_weights/<name>`.
        folder: made here; it appears complete or not at all.
        timeout: seconds for everything.
        max_bytes: of the archive, and of what is in it.

    Returns:
        `folder`.

    Raises:
        ArchiveError: see there; also if `folder` exists.
        APITimeoutError, APIConnectionError: the archive did not arrive.
        TinkerError: the service has no such checkpoint, or no archive of it.
    """
    if folder.exists():
        raise ArchiveError(f"{folder} exists", hint="choose another folder, or remove it")
    deadline = time.monotonic() + timeout
    url = rest.get_checkpoint_archive_url_from_tinker_path(tinker_path).result(timeout).url
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", suffix=".tmp", dir=folder.parent) as work:
        archive, unpacked = Path(work) / "archive.tar.gz", Path(work) / "files"
        _fetch(url, archive, deadline=deadline, max_bytes=max_bytes)
        unpack_archive(archive, unpacked, max_bytes=max_bytes)
        os.replace(_root(unpacked), folder)
    return folder


def _fetch(url: str, archive: Path, *, deadline: float, max_bytes: int) -> None:
    """Stream to a file. The address is signed, so no key is sent; it may hold a signature, so it is never shown."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ArchiveError(f"the service answered with a {parts.scheme or 'relative'} address, not http or https")
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        with (
            urlopen(Request(url), timeout=SILENCE_SECONDS) as answer,  # the scheme was checked above
            archive.open("wb") as file,
        ):
            received = _copy(answer, file, deadline=deadline, max_bytes=max_bytes, where=where)
            promised = answer.headers.get("Content-Length")
    except TimeoutError as error:
        raise APITimeoutError(
            message=f"{where} was silent for {SILENCE_SECONDS:g} s while sending a checkpoint"
        ) from error
    except (URLError, HTTPException, OSError) as error:
        raise APIConnectionError(message=f"a checkpoint could not be fetched from {where}: {error}") from error
    if promised is not None and received != int(promised):
        raise APIConnectionError(message=f"{where} sent {received} of {promised} bytes of a checkpoint")


def _copy(answer: IO[bytes], file: IO[bytes], *, deadline: float, max_bytes: int, where: str) -> int:
    received = 0
    while piece := answer.read(PIECE):
        received += len(piece)
        if received > max_bytes:
            raise ArchiveError(f"the archive is larger than the limit of {max_bytes} bytes", hint="raise max_bytes")
        if time.monotonic() > deadline:
            raise APITimeoutError(message=f"{where} sent {received} bytes of a checkpoint, then the time was up")
        file.write(piece)
    return received


def unpack_archive(archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
    """Unpack a tar file (plain or compressed) of plain files and folders into a new folder.

    Members are checked and written one by one, so that nothing is read twice; on an error, throw the folder away.

    Raises:
        ArchiveError: damaged, too large, too many files, or a member that is no plain file under the folder.
    """
    folder.mkdir(parents=True)
    left, files = max_bytes, 0
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                files += 1
                left -= max(member.size, 0)
                if files > max_files or left < 0:
                    limit = f"{max_files} files" if files > max_files else f"{max_bytes} bytes"
                    raise ArchiveError(f"the archive holds more than the limit of {limit}")
                _write(tar, member, folder)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise ArchiveError(f"the archive cannot be unpacked: {error}") from error


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    if not (member.isreg() or member.isdir()):
        raise ArchiveError(f"the archive holds {member.name!r}, which is neither a file nor a folder")
    try:
        # The filter of PEP 706 refuses `..`, makes absolute names relative, and takes away odd permissions.
        safe = tarfile.data_filter(member, str(folder))
    except tarfile.FilterError as error:
        raise ArchiveError(f"the archive holds {member.name!r}, which would be written elsewhere") from error
    if safe.name != member.name:
        raise ArchiveError(f"the archive holds {member.name!r}, an absolute name")
    target = folder / safe.name
    if safe.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    if source is None:
        raise ArchiveError(f"the archive holds {member.name!r} without content")
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file, PIECE)


def _root(unpacked: Path) -> Path:
    """Where the files are: services put them at the top of the archive, or under one folder."""
    inside = list(unpacked.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else unpacked
