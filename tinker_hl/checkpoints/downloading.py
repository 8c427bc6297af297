"""`download`: the files of a checkpoint as a folder, whole or not at all.

How they travel is what the server offers: weights that were saved for download come file by file, all others as one
archive; on a server that makes no archives, as the hosted service since 0.38, the checkpoint is loaded into a new run,
saved for download, fetched, and that copy is deleted. What has arrived is kept beside the folder in `.NAME.partial`
until all of it has, so that the next call goes on where this one stopped. Knows nothing of what the files mean.
"""

import asyncio
import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from tinker_hl.checkpoints.archive import MAX_BYTES, MAX_FILES, checkpoint_root, unpack_archive
from tinker_hl.checkpoints.checksums import SUMS_FILE, write_sums
from tinker_hl.checkpoints.disk import alone_in
from tinker_hl.checkpoints.errors import ArchiveError, CheckpointError, ChecksumError
from tinker_hl.checkpoints.fetching import Fetch, Fetched
from tinker_hl.checkpoints.patience import Patience
from tinker_hl.clients.rest import RestClient
from tinker_hl.errors import APIStatusError, TinkerError
from tinker_hl.types import ParsedCheckpointTinkerPath

if TYPE_CHECKING:
    from tinker_hl import ServiceClient

__all__ = ["Downloaded", "Progress", "download", "download_async"]

Progress = Callable[[int, int | None], None]
"""Told the bytes that are there, and all there will be, or None where the server does not say."""
EXPORT_TTL_SECONDS: Final = 3600
_NOT_OFFERED: Final = frozenset({400, 404, 405, 501})
"""Answers of a server that has no such operation, or not for this checkpoint."""
_ARCHIVE: Final = "archive"
_NOTES: Final = "download.json"


@attrs.frozen(kw_only=True)
class Downloaded:
    """A checkpoint that is a folder now."""

    folder: Path
    tinker_path: str
    files: Mapping[str, str]
    """The SHA-256 of each file, by its name relative to the folder; `SHA256SUMS` in the folder says the same."""
    size_bytes: int
    """Bytes that travelled, those of earlier calls among them."""
    resumed_from: int
    """Bytes that were there before this call."""
    way: Literal["archive", "files"]
    """Whether one archive was fetched or file after file."""
    server_hash: bool
    """Whether the server named the hash of everything that travelled, so that it was verified from end to end."""


def download(
    client: "ServiceClient | RestClient",
    tinker_path: str,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    timeout: float = 3600.0,
    max_bytes: int = MAX_BYTES,
) -> Downloaded:
    """Fetch the files of a checkpoint into a folder.

    Args:
        client: Asks for the addresses. A `ServiceClient` can also have the checkpoint exported, on servers that make
            no archives.
        tinker_path: `tinker://<run>/<segment>/<name>`.
        folder: Appears whole or not at all. It holds the checkpoint's files and `SHA256SUMS` (see `verify`).
        overwrite: Replace the folder if it exists.
        progress: Called from this thread after each piece; must be quick.
        timeout: Seconds for everything.
        max_bytes: Of what travels, and of what is in an archive.

    Returns:
        What was fetched.

    Raises:
        ValueError: `tinker_path` is none.
        CheckpointError: The folder exists, or another download is making it.
        ArchiveError: What came is damaged, too large, or would be written elsewhere. Nothing of it is kept.
        ChecksumError: What came is not what the server promised. Nothing of it is kept.
        DiskSpaceError: There is no room for it.
        APITimeoutError, APIConnectionError: It did not arrive. Call again to go on.
        NotFoundError: There is no such checkpoint.
    """
    parsed = ParsedCheckpointTinkerPath.from_tinker_path(tinker_path)
    target = Path(folder).absolute()
    if target.exists() and not overwrite:
        raise CheckpointError(f"{target} exists", hint="choose another folder, remove it, or give overwrite=True")
    rest = client if isinstance(client, RestClient) else client.create_rest_client()
    service = None if isinstance(client, RestClient) else client
    work = target.with_name(f".{target.name}.partial")
    work.mkdir(parents=True, exist_ok=True)
    with alone_in(work):
        job = _Job(rest, service, parsed, work, time.monotonic() + timeout, max_bytes, progress or _quiet)
        try:
            done = job.run(target)
        except (ArchiveError, ChecksumError):
            shutil.rmtree(work, ignore_errors=True)
            raise
        shutil.rmtree(work, ignore_errors=True)
    return done


async def download_async(
    client: "ServiceClient | RestClient",
    tinker_path: str,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    timeout: float = 3600.0,
    max_bytes: int = MAX_BYTES,
) -> Downloaded:
    """See `download`; the work is done in a thread, from which `progress` is called, too."""
    return await asyncio.to_thread(
        download,
        client,
        tinker_path,
        folder,
        overwrite=overwrite,
        progress=progress,
        timeout=timeout,
        max_bytes=max_bytes,
    )


@attrs.frozen
class _Job:
    rest: RestClient
    service: "ServiceClient | None"
    path: ParsedCheckpointTinkerPath
    work: Path
    deadline: float
    max_bytes: int
    progress: Progress

    def run(self, target: Path) -> Downloaded:
        export = self._begun()
        if export is not None:
            return self._exported(target, export)
        if self.path.checkpoint_type == "external":
            return self._files(target, self.path.tinker_path)
        try:
            self._archive_url()
        except APIStatusError as error:
            if error.status_code not in _NOT_OFFERED or not self._exists():
                raise
            return self._exported(target, None)
        return self._archive(target)

    def _begun(self) -> str | None:
        """The export that an earlier call made, if it was of this checkpoint; parts of another one are thrown away."""
        notes = self.work / _NOTES
        try:
            noted: Any = json.loads(notes.read_text(encoding="utf-8"))
            same = noted["tinker_path"] == self.path.tinker_path
            export = noted["export"]
        except (OSError, ValueError, LookupError, TypeError):
            same, export = False, None
        if not same:
            for left in (path for path in self.work.iterdir() if path.name != "lock"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            self._note(None)
            return None
        return str(export) if export else None

    def _note(self, export: str | None) -> None:
        text = json.dumps({"tinker_path": self.path.tinker_path, "export": export})
        (self.work / _NOTES).write_text(text, encoding="utf-8")

    # One archive.

    def _archive_url(self) -> str:
        answer = self.rest.get_checkpoint_archive_url_from_tinker_path(self.path.tinker_path)
        return answer.result(self._left()).url

    def _archive(self, target: Path) -> Downloaded:
        fetched = self._fetch(self._archive_url, self.work / _ARCHIVE, 0, self.max_bytes, room_factor=2)
        unpacked = self.work / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)
        unpack_archive(fetched.path, unpacked, max_bytes=self.max_bytes)
        return self._placed(checkpoint_root(unpacked), target, [fetched], "archive")

    # File by file.

    def _files(self, target: Path, external: str) -> Downloaded:
        urls = self._urls(external)
        if len(urls) > MAX_FILES:
            raise ArchiveError(f"the checkpoint has {len(urls)} files, more than the limit of {MAX_FILES}")
        names = sorted(_safe_name(name) for name in urls)
        parts, unpacked = self.work / "parts", self.work / "files"
        parts.mkdir(exist_ok=True)
        shutil.rmtree(unpacked, ignore_errors=True)
        fetched: list[Fetched] = []
        before = 0
        for number, name in enumerate(names):
            part = parts / str(number)
            one = self._fetch(_Renewed(self._urls, external, name, urls), part, before, self.max_bytes - before)
            before += one.size
            fetched.append(one)
        for name, one in zip(names, fetched, strict=True):
            place = unpacked / name
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(one.path, place)
        return self._placed(unpacked, target, fetched, "files")

    def _urls(self, external: str) -> dict[str, str]:
        return self.rest.get_external_weights_urls(external).result(self._left()).urls

    def _exported(self, target: Path, export: str | None) -> Downloaded:
        """By a copy that is saved for download, and deleted afterwards; one that is left behind ends in an hour."""
        if export is not None and not self._export_is_there(export):
            export = None
        if export is None:
            export = self._export()
            self._note(export)
        done = self._files(target, export)
        # The folder is there by now: whatever becomes of the copy, the download has succeeded.
        with contextlib.suppress(TinkerError, TimeoutError):
            self.rest.delete_checkpoint_from_tinker_path(export).result(self._left())
        return done

    def _export(self) -> str:
        if self.service is None:
            raise CheckpointError(
                f"the server makes no archive of {self.path.tinker_path}",
                hint="call download with the ServiceClient: it has the checkpoint exported",
            )
        trainer = self.service.create_training_client_from_state(self.path.tinker_path).result(self._left())
        name = f"download-{uuid.uuid4().hex[:12]}"
        try:
            return trainer.save_weights_external(name, ttl_seconds=EXPORT_TTL_SECONDS).result(self._left()).path
        finally:
            # On a server without this operation the model goes with the session.
            with contextlib.suppress(TinkerError, TimeoutError):
                trainer.unload_model().result(self._left())

    def _export_is_there(self, export: str) -> bool:
        try:
            return bool(self._urls(export))
        except APIStatusError as error:
            if error.status_code != 404:
                raise
            return False

    def _exists(self) -> bool:
        """Whether the checkpoint is there; if so, it is the operation that is not."""
        try:
            self.rest.get_weights_info_by_tinker_path(self.path.tinker_path).result(self._left())
        except APIStatusError:
            return False
        return True

    # Both.

    def _fetch(
        self, link: Callable[[], str], part: Path, before: int, max_bytes: int, *, room_factor: int = 1
    ) -> Fetched:
        def told(have: int, size: int | None) -> None:
            self.progress(before + have, None if size is None else before + size)

        return Fetch(
            link=link,
            target=part,
            patience=Patience(self.rest._connection),
            deadline=self.deadline,
            max_bytes=max_bytes,
            progress=told,
            room_factor=room_factor,
        ).run()

    def _placed(
        self, files: Path, target: Path, fetched: list[Fetched], way: Literal["archive", "files"]
    ) -> Downloaded:
        if (files / SUMS_FILE).exists():
            raise ArchiveError(f"the checkpoint holds a file {SUMS_FILE}, which is the name of the list of hashes")
        sums = write_sums(files)
        if target.exists():
            # A folder cannot be replaced by one rename: the old one is kept until the new one is there.
            old = self.work / "replaced"
            shutil.rmtree(old, ignore_errors=True)
            os.replace(target, old)
        os.replace(files, target)
        return Downloaded(
            folder=target,
            tinker_path=self.path.tinker_path,
            files=sums,
            size_bytes=sum(one.size for one in fetched),
            resumed_from=sum(one.resumed_from for one in fetched),
            way=way,
            server_hash=all(one.promised for one in fetched),
        )

    def _left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())


@attrs.define
class _Renewed:
    """The address of one file: first the one that is known, then anew, for addresses end."""

    ask: Callable[[str], dict[str, str]]
    external: str
    name: str
    known: dict[str, str] | None

    def __call__(self) -> str:
        urls, self.known = self.known or self.ask(self.external), None
        if self.name not in urls:
            raise ArchiveError(f"{self.external} had a file {self.name!r}, which is gone")
        return urls[self.name]


def _safe_name(name: str) -> str:
    """A file's name that the server gave, if it stays below a folder on every system."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or path.as_posix() != name or set("\\:\0") & set(name):
        raise ArchiveError(f"the service names a file {name[:120]!r}, which would be written elsewhere")
    return name


def _link(part: Path, place: Path) -> None:
    """Not moved: a call that ends here leaves the parts for the next one. Copied where a disk knows no links."""
    try:
        os.link(part, place)
    except OSError:
        shutil.copyfile(part, place)


def _quiet(have: int, size: int | None) -> None:
    pass
