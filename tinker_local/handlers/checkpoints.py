"""Checkpoints: listed, published, given an end, deleted, downloaded, counted."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from tinker_local.clock import rfc3339
from tinker_local.downloads import archive_link, file_links
from tinker_local.errors import bad_request
from tinker_local.handlers.call import Call, Handler, Result
from tinker_local.store.paths import EXTERNAL, KINDS, CheckpointPath
from tinker_local.store.records import CheckpointRecord

__all__ = ["HANDLERS", "knows_external", "shown"]

_MOST_ON_A_PAGE = 1000
_GIGABYTE = 1e9


async def list_checkpoints(call: Call) -> Result:
    """All of the caller's, the newest first."""
    limit, offset = min(call.parameters["limit"], _MOST_ON_A_PAGE), call.parameters["offset"]
    hidden = "" if knows_external(call) else EXTERNAL
    found, total = call.service.records.checkpoints(call.whose, limit, offset, without_kind=hidden)
    return {
        "checkpoints": [shown(record) for record in found],
        "cursor": {"offset": offset, "limit": limit, "total_count": total},
    }


async def delete_checkpoint(call: Call) -> Result:
    """For good."""
    record = _owned(call)
    await call.service.checkpoints.delete(record)
    call.service.audit.note_checkpoint("delete", call.owner, record)
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
    ttl_seconds = call.body["ttl_seconds"]
    await call.service.checkpoints.change(record, expires_at=call.service.checkpoints.expiry(ttl_seconds))
    call.service.audit.note_checkpoint("set_ttl", call.owner, record, ttl_seconds=ttl_seconds)
    return None


async def get_checkpoint_archive(call: Call) -> Result:
    """A link to the archive, which needs no key for a while.

    Clients of 0.25 take a redirect as well as JSON, older ones a redirect alone, so everybody gets that.
    """
    record = call.service.checkpoints.readable(_path(call), call.whose)
    call.service.audit.note_checkpoint("read", call.owner, record, purpose="download")
    link = archive_link(call.service, call.request, record.path)
    return Response(status_code=302, headers={"Location": link.url, "Expires": link.expires_header})


async def get_external_weights_urls(call: Call) -> Result:
    """A link to each file, which needs no key for a while."""
    record = call.service.checkpoints.readable(_path(call), call.whose)
    if record.path.kind != EXTERNAL:
        raise bad_request(f"{record.path} was not saved by save_weights_external; ask for its archive", "not_external")
    call.service.audit.note_checkpoint("read", call.owner, record, purpose="download")
    links = await file_links(call.service, call.request, record.path)
    expires_at = min(link.expires_at for link in links.values())
    return {"urls": {name: link.url for name, link in links.items()}, "expires": rfc3339(expires_at)}


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


def knows_external(call: Call) -> bool:
    """Whether the caller's SDK has heard of external weights; clients up to 0.25 fail on a list that has one."""
    version = re.match(r"(\d+)\.(\d+)", call.request.headers.get("x-stainless-package-version", ""))
    return version is None or (int(version[1]), int(version[2])) > (0, 25)


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
    return call.service.checkpoints.owned(_path(call), call.whose)


async def _set_public(call: Call, *, public: bool) -> Result:
    """400 where nothing would change: clients try a 409 again for minutes, and it would not help."""
    record = _owned(call)
    if record.public == public:
        raise bad_request(f"{record.path} is {'public' if public else 'private'} already", "nothing_to_do")
    await call.service.checkpoints.change(record, public=public)
    call.service.audit.note_checkpoint("publish" if public else "unpublish", call.owner, record)
    return None


HANDLERS: Mapping[str, Handler] = {
    "list_checkpoints": list_checkpoints,
    "delete_checkpoint": delete_checkpoint,
    "publish_checkpoint": publish_checkpoint,
    "unpublish_checkpoint": unpublish_checkpoint,
    "set_checkpoint_ttl": set_checkpoint_ttl,
    "get_checkpoint_archive": get_checkpoint_archive,
    "get_external_weights_urls": get_external_weights_urls,
    "get_checkpoint_storage_usage": get_checkpoint_storage_usage,
}
