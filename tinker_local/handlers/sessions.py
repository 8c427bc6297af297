"""Sessions: open, keep alive, finish, find."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from tinker_local.clock import rfc3339
from tinker_local.downloads import trace_link
from tinker_local.errors import bad_request, invalid
from tinker_local.handlers.call import Call, Handler, Result
from tinker_local.handlers.labels import as_texts, check_labels
from tinker_local.store.records import SessionRecord

__all__ = ["HANDLERS"]

_MOST_ON_A_PAGE = 1000
_SEARCHED_AT_ONCE = 200
_DEFAULT_PROJECT = "default"
_TRACE_WAIT_SECONDS = 1.0
"""A trace is mostly written sooner, so that clients, which ask again after five seconds, need not."""


async def create_session(call: Call) -> Result:
    """Open a session."""
    check_labels(call)
    body = call.body
    session = await call.service.sessions.create(
        call.owner,
        tags=body["tags"],
        user_metadata=body.get("user_metadata"),
        sdk_version=body["sdk_version"],
        project_id=body.get("project_id"),
        display_name=body.get("display_name"),
        idempotency_key=call.idempotency_key,
    )
    call.service.audit.note("session_create", call.owner, session_id=session.session_id)
    return {"type": "create_session", "session_id": session.session_id}


async def heartbeat_session(call: Call) -> Result:
    """The client is alive."""
    sessions = call.service.sessions
    sessions.heard(sessions.get(call.body["session_id"], call.owner))
    return {"type": "session_heartbeat"}


async def finish_session(call: Call) -> Result:
    """End it; a second time nothing happens."""
    sessions = call.service.sessions
    session_id = call.parameters["session_id"]
    record = sessions.record(session_id, call.whose)
    if record.ended_at is None and sessions.is_open(session_id):
        status = {"type": "client_finished", "reason": {"type": call.body["reason"]["type"]}}
        if call.body.get("detail") is not None:
            status["detail"] = call.body["detail"]
        why = f"session {session_id} was finished before this was done"
        await call.service.end_session(sessions.get(session_id, call.whose), status, why)
        reason = call.body["reason"]["type"]
        call.service.audit.note("session_finish", call.owner, owner=record.owner, session_id=session_id, reason=reason)
    return None


async def list_sessions(call: Call) -> Result:
    """Ids, the newest first."""
    limit = min(call.parameters["limit"], _MOST_ON_A_PAGE)
    found = call.service.records.sessions(call.whose, limit, call.parameters["offset"])
    return {"sessions": [session.session_id for session in found]}


async def get_session(call: Call) -> Result:
    """What belongs to it."""
    record = call.service.sessions.record(call.parameters["session_id"], call.whose)
    records = call.service.records
    return {
        "training_run_ids": [run.run_id for run in records.runs_of(record.session_id)],
        "sampler_ids": [sampler.sampler_id for sampler in records.samplers_of(record.session_id)],
        "user_metadata": as_texts(record.user_metadata),
        "display_name": record.display_name,
    }


async def assign_session_project(call: Call) -> Result:
    """Move it."""
    check_labels(call)
    sessions, project_id = call.service.sessions, call.body["project_id"]
    if not project_id.strip():
        raise bad_request("project_id is empty")
    record = sessions.record(call.parameters["session_id"], call.whose)
    if sessions.is_open(record.session_id):
        await sessions.change(sessions.get(record.session_id, call.whose), project_id=project_id)
    else:
        changed = attrs.evolve(record, project_id=project_id)
        await call.service.records.write(call.service.records.put_session(changed))
    call.service.audit.note(
        "project_assign", call.owner, owner=record.owner, session_id=record.session_id, project_id=project_id
    )
    return None


async def export_session_trace(call: Call) -> Result:
    """Write the session's timeline to a file, and tell where it is once it is written."""
    service = call.service
    record = service.sessions.record(call.parameters["session_id"], call.whose)
    steps = service.timeline.of(record.session_id)
    if not steps and record.created_at < service.began:
        return {"status": "failed", "error": "the service was started again since, and its timelines are lost with it"}
    try:
        path = await service.traces.export(
            record.session_id, steps, service.records.telemetry_of(record.session_id), _TRACE_WAIT_SECONDS
        )
    except OSError as error:
        return {"status": "failed", "error": f"the trace could not be written: {error.strerror}"}
    if path is None:
        return {"status": "pending"}
    return {"status": "ready", "url": trace_link(service, call.request, path.name).url}


async def search_sessions(call: Call) -> Result:
    """Look through the caller's sessions, the newest first."""
    body, records = call.body, call.service.records
    owner = body.get("owner") or {"type": "own"}
    whose = call.owner if owner["type"] == "own" else call.whose
    if owner["type"] == "user" and whose not in (None, *owner["owner_urns"]):
        return {"sessions": []}
    at, session_id = _after(body.get("cursor"))
    found: list[SessionRecord] = []
    while len(found) <= body["limit"]:
        page = records.sessions_before(whose, at, session_id, _SEARCHED_AT_ONCE)
        found += [session for session in page if _matches(session, body)]
        if len(page) < _SEARCHED_AT_ONCE:
            break
        at, session_id = page[-1].created_at, page[-1].session_id
    more, found = len(found) > body["limit"], found[: body["limit"]]
    answer: dict[str, Any] = {"sessions": [_summary(call, session) for session in found]}
    if more:
        answer["next_cursor"] = {
            "last_created_at": rfc3339(found[-1].created_at),
            "last_session_id": found[-1].session_id,
        }
    return answer


def _after(cursor: Mapping[str, str] | None) -> tuple[float, str]:
    if cursor is None:
        return float("inf"), ""
    try:
        moment = datetime.fromisoformat(cursor["last_created_at"])
    except ValueError:
        raise invalid(("body", "cursor", "last_created_at"), "it is no date and time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), cursor["last_session_id"]


def _matches(session: SessionRecord, body: Mapping[str, Any]) -> bool:
    named = [session.session_id == body["session_id"]] if body.get("session_id") is not None else []
    if body.get("display_name") is not None:
        title = (session.display_name or "").casefold()
        named.append(all(word in title for word in body["display_name"].casefold().split()))
    projects, labels = body.get("project_ids"), as_texts(session.user_metadata) or {}
    return (
        (any(named) or not named)
        and ((body.get("owner") or {}).get("type") != "user" or session.owner in body["owner"]["owner_urns"])
        and (projects is None or (session.project_id or _DEFAULT_PROJECT) in projects)
        and all(labels.get(name) == value for name, value in (body.get("user_metadata") or {}).items())
        and (body.get("statuses") is None or any(_has_status(session, query) for query in body["statuses"]))
    )


def _has_status(session: SessionRecord, query: Mapping[str, Any]) -> bool:
    if session.status["type"] != query["type"]:
        return False
    reasons = query.get("reasons")
    return reasons is None or session.status["reason"]["type"] in reasons


def _summary(call: Call, session: SessionRecord) -> dict[str, Any]:
    count, size = call.service.records.checkpoint_totals(session.session_id)
    return {
        "session_id": session.session_id,
        "created_at": rfc3339(session.created_at),
        "owner": session.owner,
        "project_id": session.project_id or _DEFAULT_PROJECT,
        "status": session.status,
        "checkpoints_count": count,
        "display_name": session.display_name,
        "user_metadata": as_texts(session.user_metadata),
        "checkpoint_storage_bytes": size,
    }


HANDLERS: Mapping[str, Handler] = {
    "create_session": create_session,
    "heartbeat_session": heartbeat_session,
    "finish_session": finish_session,
    "list_sessions": list_sessions,
    "get_session": get_session,
    "assign_session_project": assign_session_project,
    "export_session_trace": export_session_trace,
    "search_sessions": search_sessions,
}
