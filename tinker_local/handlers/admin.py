"""What was done and what was used, for whoever looks after a service; others see what concerns their own things."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from tinker_local.clock import rfc3339
from tinker_local.errors import invalid
from tinker_local.handlers.call import Call, Handler, Result
from tinker_local.handlers.labels import as_texts
from tinker_local.store.audit import AuditRecord
from tinker_local.store.usage import HOUR, UsageRow

__all__ = ["HANDLERS"]

_DAY = 24 * HOUR
_MOST_SECONDS = 14 * _DAY
_RESOURCES = {
    "all": "",
    "checkpoints": "checkpoint_",
    "projects": "project_",
    "teams": "team_",
    "organizations": "organization_",
}
"""The beginning of the events' names, by event type. There are no teams and organizations here."""


async def get_audit_log(call: Call) -> Result:
    """What was done, of one day or all that is kept."""
    day = call.parameters["day"]
    begin, end = 0.0, float("inf")
    if day is not None:
        begin = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
        end = begin + _DAY
    resource = _RESOURCES[call.parameters["event_type"]]
    found = await call.service.audit.between(call.whose, begin, end, resource)
    return {"entries": [_entry(record) for record in found]}


async def get_billing_usage(call: Call) -> Result:
    """What was used, by the hour. Nothing is charged for it."""
    begin, end = _moment(call, "starting_on"), _moment(call, "ending_before")
    now = call.service.clock.wall()
    if begin > now:
        raise invalid(("query", "starting_on"), "it lies in the future")
    if not 0 < end - begin <= _MOST_SECONDS:
        raise invalid(("query", "ending_before"), "it must lie after starting_on, by 14 days at most")
    rows = await call.service.usage.between(call.whose, begin, end)
    sessions = {row.session_id: _session(row) for row in rows if row.session_id is not None}
    return {"data": [_event(row) for row in rows], "sessions": sessions, "cost_data_through": rfc3339(now)}


def _entry(record: AuditRecord) -> dict[str, Any]:
    details = record.details
    return {
        "timestamp": rfc3339(record.at),
        "event": record.event,
        "event_details": details,
        **{name: details[name] for name in ("model_id", "tinker_path", "purpose") if name in details},
    }


def _moment(call: Call, name: str) -> float:
    text = call.parameters[name]
    try:
        seconds = datetime.fromisoformat(text).timestamp()
    except ValueError:  # a leap second, or a year beyond the calendar's end
        seconds = 1.0
    if seconds % HOUR:
        raise invalid(("query", name), f"{text[:40]!r} is no full hour")
    return seconds


def _event(row: UsageRow) -> dict[str, Any]:
    rate = "gigabyte_month" if row.kind == "storage" else "million_tokens"
    return {
        "bucket_start": rfc3339(row.hour),
        "bucket_end": rfc3339(row.hour + HOUR),
        "base_model": row.base_model,
        "user_id": row.owner,
        "user_name": row.owner,
        "session_id": row.session_id,
        "project_id": row.project_id,
        "estimated_cost_usd": 0.0,
        f"effective_rate_usd_per_{rate}": 0.0,
        "event_info": _info(row),
    }


def _info(row: UsageRow) -> dict[str, Any]:
    if row.kind == "storage":
        return {"type": "storage", "free": True, "gigabyte_hours": row.amount}
    if row.kind == "checkpoint":
        return {"type": "checkpoint", "count": int(row.amount)}
    tokens = {"type": row.kind.removesuffix("_cached"), "token_count": int(row.amount)}
    return {**tokens, "cached": row.kind.endswith("_cached")} if "prefill" in row.kind else tokens


def _session(row: UsageRow) -> dict[str, Any]:
    metadata = None if row.user_metadata is None else orjson.loads(row.user_metadata)
    return {"user_metadata": as_texts(metadata)}


HANDLERS: Mapping[str, Handler] = {"get_audit_log": get_audit_log, "get_billing_usage": get_billing_usage}
