"""What lies behind signed links: archives and single files, resumable, in constant memory.

They are no operations of the API: clients take a link as it is, without a key, and may read from any byte on (RFC 9110,
section 14), ask with HEAD, and are told the SHA-256 of the whole. A link says what it is for and until when; a
checkpoint that is gone is gone for its links too. It does not know who may have a link.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote

import attrs
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tinker_local import signing
from tinker_local.archive import Archive
from tinker_local.errors import ApiError, not_found
from tinker_local.service import Service
from tinker_local.store.folders import RUN_FILE, is_plain
from tinker_local.store.paths import CheckpointPath
from tinker_local.store.records import CheckpointRecord
from tinker_local.traces import LIFETIME_SECONDS

__all__ = ["ROUTES", "Link", "archive_link", "file_links", "trace_link"]

_ARCHIVES, _FILES, _TRACES = "/downloads", "/files", "/traces"
_CHECKPOINT = "/{training_run_id}/{checkpoint_kind}/{checkpoint_name}"
_PIECE = 1 << 20
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@attrs.frozen
class Link:
    """Where something can be fetched, and until when."""

    url: str
    expires_at: float

    @property
    def expires_header(self) -> str:
        """The end as HTTP writes it."""
        return format_datetime(datetime.fromtimestamp(self.expires_at, UTC), usegmt=True)


def archive_link(service: Service, request: Request, path: CheckpointPath) -> Link:
    """To the archive of a checkpoint."""
    return _signed(service, request, _place(_ARCHIVES, path), service.settings.url_lifetime_seconds)


async def file_links(service: Service, request: Request, path: CheckpointPath) -> Mapping[str, Link]:
    """To each file of a checkpoint but the service's own notes, by name."""
    names = await asyncio.to_thread(_names, service, path)
    seconds = service.settings.url_lifetime_seconds
    return {name: _signed(service, request, f"{_place(_FILES, path)}/{name}", seconds) for name in names}


def trace_link(service: Service, request: Request, name: str) -> Link:
    """To an exported trace."""
    return _signed(service, request, f"{_TRACES}/{name}", LIFETIME_SECONDS)


def _signed(service: Service, request: Request, place: str, seconds: float) -> Link:
    """To a path of this service, for so long, under the address by which the client reached it."""
    until = service.clock.wall() + seconds
    url = str(request.base_url).rstrip("/") + signing.sign(quote(place), until, service.link_secret)
    return Link(url, until)


def _check_signed(request: Request) -> Service:
    """The service, for a request whose link is valid now. Raises `ApiError` 403."""
    service: Service = request.app.state.service
    query = dict(request.query_params)
    if not signing.verify(quote(request.url.path), query, service.link_secret, now=service.clock.wall()):
        raise ApiError(403, "forbidden", "the link is not valid, or no longer; ask for another one")
    return service


async def _send_archive(request: Request) -> Response:
    service = _check_signed(request)
    record = _record(service, request)
    path = record.path
    archive = await asyncio.to_thread(Archive.of, service.folders.at(path))
    name = f"{path.run_id}-{path.kind}-{path.name}.tar.gz".replace(":", "-")
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "ETag": f'"{record.version}"'}
    headers |= await service.digests.header(f"{record.version}.tar.gz", archive.size, archive.stream)
    return _part(request, archive, headers)


async def _send_file(request: Request) -> Response:
    service = _check_signed(request)
    record = _record(service, request)
    name = request.path_params["file_name"]
    if name not in await asyncio.to_thread(_names, service, record.path):
        raise not_found(f"{record.path} has no file {name[:120]}")
    file = service.folders.at(record.path) / name
    digest = await service.digests.header(
        f"{record.version}/{name}", (await asyncio.to_thread(file.stat)).st_size, lambda: _pieces(file)
    )
    return FileResponse(file, headers=digest, media_type="application/octet-stream")


async def _send_trace(request: Request) -> Response:
    path = _check_signed(request).traces.at(request.path_params["file_name"])
    if path is None:
        raise not_found("the trace is no longer kept; export it again")
    return FileResponse(path, media_type="application/json", filename=path.name)


async def _pieces(path: Path) -> AsyncGenerator[bytes, None]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece


def _part(request: Request, archive: Archive, headers: dict[str, str]) -> Response:
    """The archive, or the part that is asked for, if that is a part of the same archive."""
    size = archive.size
    first, end, status = 0, size, 200
    wanted = _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted is not None and request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
        found = _bounds(wanted[1], wanted[2], size)
        if found is None:
            raise ApiError(416, "bad_range", f"the archive has {size} bytes", {"Content-Range": f"bytes */{size}"})
        (first, end), status = found, 206
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    headers |= {"Accept-Ranges": "bytes", "Content-Length": str(end - first)}
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type="application/gzip")
    return _Streamed(archive.stream(first, end), status, headers, "application/gzip")


class _Streamed(StreamingResponse):
    """A stream that is closed when its reader has gone, not when somebody collects the garbage."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], status: int, headers: dict[str, str], media: str) -> None:
        super().__init__(pieces, status, headers, media)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._pieces):
            await super().__call__(scope, receive, send)


def _bounds(first: str, last: str, size: int) -> tuple[int, int] | None:
    """From where to where (exclusive) a range goes; None where it has no byte."""
    if not first:
        begin, end = max(0, size - int(last or 0)), size
    else:
        begin, end = int(first), min(int(last) + 1 if last else size, size)
    return (begin, end) if begin < end else None


def _place(root: str, path: CheckpointPath) -> str:
    return f"{root}/{path.run_id}/{path.kind}/{path.name}"


def _record(service: Service, request: Request) -> CheckpointRecord:
    values = request.path_params
    path = CheckpointPath.make(values["training_run_id"], values["checkpoint_kind"], values["checkpoint_name"])
    record = service.records.checkpoint(path)
    if record is None:
        raise not_found(f"no checkpoint {path}")
    return record


def _names(service: Service, path: CheckpointPath) -> list[str]:
    directory = service.folders.at(path)
    return sorted(file.name for file in directory.iterdir() if is_plain(file) and file.name != RUN_FILE)


ROUTES = (
    Route(_ARCHIVES + _CHECKPOINT, _send_archive, methods=["GET"]),
    Route(_FILES + _CHECKPOINT + "/{file_name}", _send_file, methods=["GET"]),
    Route(_TRACES + "/{file_name}", _send_trace, methods=["GET"]),
)
