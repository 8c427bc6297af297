"""SHA-256 of files: what a server promises, and a list beside the files that `sha256sum -c` reads, too.

It does not know where files come from.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tinker_hl.checkpoints.errors import ChecksumError

__all__ = ["SUMS_FILE", "promised_sha256", "sha256_of", "verify", "write_sums"]

SUMS_FILE: Final = "SHA256SUMS"
_LINE: Final = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_REPR_DIGEST: Final = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):", re.IGNORECASE)
_DIGEST: Final = re.compile(r"sha-256=([A-Za-z0-9+/=]+)", re.IGNORECASE)
_PIECE: Final = 1 << 20


def promised_sha256(headers: Mapping[str, str]) -> str | None:
    """The hash of the whole file that an answer's headers promise, in hexadecimal; None if they name none.

    Read are `Repr-Digest` (RFC 9530), its predecessor `Digest` (RFC 3230), and `x-amz-checksum-sha256` where it is the
    whole file's and not that of its parts.

    Args:
        headers: Names in lower case.
    """
    found = _REPR_DIGEST.search(headers.get("repr-digest", "")) or _DIGEST.search(headers.get("digest", ""))
    text = found[1] if found else headers.get("x-amz-checksum-sha256", "")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw.hex() if len(raw) == hashlib.sha256().digest_size else None


def sha256_of(path: Path) -> str:
    """The hash of a file, in hexadecimal, in constant memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def write_sums(folder: Path) -> dict[str, str]:
    """Write `SHA256SUMS` into a folder of files; returns the hash of each by its name relative to the folder."""
    sums = {name: sha256_of(folder / name) for name in _files(folder)}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    (folder / SUMS_FILE).write_text(lines, encoding="utf-8", newline="\n")
    return sums


def verify(folder: str | Path) -> dict[str, str]:
    """Read every file of a downloaded checkpoint again, and hold it against `SHA256SUMS`.

    Args:
        folder: From `download`.

    Returns:
        The SHA-256 of each file, by name.

    Raises:
        ChecksumError: A file is missing, was added, or has changed; or there is no list.
    """
    folder = Path(folder)
    try:
        lines = (folder / SUMS_FILE).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ChecksumError(f"{folder} has no readable {SUMS_FILE}: {error}", hint="download it again") from error
    wanted: dict[str, str] = {}
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            raise ChecksumError(f"{SUMS_FILE} of {folder} has the line {line[:80]!r}, which names no hash and file")
        wanted[found[2]] = found[1]
    there = set(_files(folder))
    for name in sorted(there ^ wanted.keys()):
        raise ChecksumError(f"{folder}: {name} is {'not in ' + SUMS_FILE if name in there else 'missing'}")
    for name, digest in wanted.items():
        if sha256_of(folder / name) != digest:
            raise ChecksumError(f"{folder}: {name} has changed since it was downloaded", hint="download it again")
    return wanted


def _files(folder: Path) -> list[str]:
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in files if name != SUMS_FILE)
