"""Checkpoints: listed, published, given an end, deleted, downloaded, counted."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tinker_local import archive, signing
from tinker_local.clock import rfc3339
from tinker_local.errors import ApiError, bad_request, not_found
from tinker_local.handlers.call import Call, Handler, Result
from tinker_local.service import Service
from tinker_local.store.paths import KINDS, CheckpointPath
from tinker_local.store.records import CheckpointRecord

__all__ = ["DOWNLOAD_PATH", "HANDLERS", "download", "shown"]

DOWNLOADS = "/downloads"
DOWNLOAD_PATH = DOWNLOADS + "/{training_run_id}/{checkpoint_kind}/{checkpoint_name}"
"""Where signed links lead. It is no operation of the API: clients take the link as it is."""

_MOST_ON_A_PAGE = 1000
_GIGABYTE = 1e9


async def list_checkpoints(call: Call) -> Result:
    """All of the caller's, the newest first."""
    limit, offset = min(call.parameters["limit"], _MOST_ON_A_PAGE), call.parameters["offset"]
    found, total = call.service.records.checkpoints(call.owner, limit, offset)
    return {
        "checkpoints": [shown(record) for record in found],
        "cursor": {"offset": offset, "limit": limit, "total_count": total},
    }


async def delete_checkpoint(call: Call) -> Result:
    """For good."""
    await call.service.checkpoints.delete(_owned(call).path)
    return None


async def publish_checkpoint(call: Call) -> Result:
    """Let everybody who knows the path load it."""
    return await _set_public(call, public=True)


async def unpublish_checkpoint(call: Call) -> Result:
    """Keep it to oneself again."""
    return await _set_public(call, public=False)


async def set_checkpoint_ttl(call: Call) -> Result:
    """Give it an end, counted from now, or take it away."""
    record = _owned(call)
    await call.service.checkpoints.change(record, expires_at=call.service.checkpoints.expiry(call.body["ttl_seconds"]))
    return None


async def get_checkpoint_archive(call: Call) -> Result:
    """A link to the archive, which needs no key for a while.

    Clients of 0.25 take a redirect as well as JSON, older ones a redirect alone, so everybody gets that.
    """
    service = call.service
    record = service.checkpoints.readable(_path(call), call.owner)
    until = service.clock.wall() + service.settings.url_lifetime_seconds
    path = record.path
    where = quote(f"{DOWNLOADS}/{path.run_id}/{path.kind}/{path.name}")
    link = str(call.request.base_url).rstrip("/") + signing.sign(where, until, service.secret)
    headers = {"Location": link, "Expires": format_datetime(datetime.fromtimestamp(until, UTC), usegmt=True)}
    return Response(status_code=302, headers=headers)


async def get_checkpoint_storage_usage(call: Call) -> Result:
    """What the caller's checkpoints take; nothing is charged for it."""
    project_id = call.parameters["project_id"]
    count, size = call.service.records.storage_of(call.owner, project_id)
    item = {
        "project_id": project_id,
        "user_name": call.owner,
        "checkpoint_count": count,
        "size_bytes": size,
        "size_gigabytes": size / _GIGABYTE,
    }
    return {"data": [item] if count else []}


async def download(service: Service, request: Request) -> Response:
    """The archive behind a signed link. Raises `ApiError` 403 or 404."""
    query = dict(request.query_params)
    if not signing.verify(quote(request.url.path), query, service.secret, now=service.clock.wall()):
        raise ApiError(403, "forbidden", "the link is not valid, or no longer; ask for the archive again")
    values = request.path_params
    path = CheckpointPath.make(values["training_run_id"], values["checkpoint_kind"], values["checkpoint_name"])
    if service.records.checkpoint(path) is None:
        raise not_found(f"no checkpoint {path}")
    name = f"{path.run_id}-{path.kind}-{path.name}.tar.gz".replace(":", "-")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(archive.stream(service.folders.at(path)), media_type="application/gzip", headers=headers)


def shown(record: CheckpointRecord | None) -> Any:
    """A `Checkpoint` of the spec."""
    if record is None:
        return None
    return {
        "checkpoint_id": record.path.checkpoint_id,
        "checkpoint_type": KINDS[record.path.kind],
        "time": rfc3339(record.created_at),
        "tinker_path": str(record.path),
        "size_bytes": record.size_bytes,
        "public": record.public,
        "user_metadata": record.user_metadata,
        "expires_at": None if record.expires_at is None else rfc3339(record.expires_at),
    }


def _path(call: Call) -> CheckpointPath:
    values = call.parameters
    return CheckpointPath.make(values["training_run_id"], values["checkpoint_kind"], values["checkpoint_name"])


def _owned(call: Call) -> CheckpointRecord:
    return call.service.checkpoints.owned(_path(call), call.owner)


async def _set_public(call: Call, *, public: bool) -> Result:
    """400 where nothing would change: clients try a 409 again for minutes, and it would not help."""
    record = _owned(call)
    if record.public == public:
        raise bad_request(f"{record.path} is {'public' if public else 'private'} already", "nothing_to_do")
    await call.service.checkpoints.change(record, public=public)
    return None


HANDLERS: Mapping[str, Handler] = {
    "list_checkpoints": list_checkpoints,
    "delete_checkpoint": delete_checkpoint,
    "publish_checkpoint": publish_checkpoint,
    "unpublish_checkpoint": unpublish_checkpoint,
    "set_checkpoint_ttl": set_checkpoint_ttl,
    "get_checkpoint_archive": get_checkpoint_archive,
    "get_checkpoint_storage_usage": get_checkpoint_storage_usage,
}
