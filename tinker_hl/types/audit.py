"""Who did what."""

from datetime import datetime
from typing import Any

import attrs

from tinker_hl.types.record import Answer
from tinker_hl.types.scalars import moment

__all__ = [
    "ApiKeyDetails",
    "ApiKeyInfo",
    "ApiKeyOrg",
    "ApiKeyUser",
    "AuditLogEntry",
    "AuditLogResponse",
    "WhoamiResponse",
]


@attrs.frozen(kw_only=True)
class AuditLogEntry(Answer):
    """One event, named `<resource>_<action>`; `model_id`, `tinker_path` and `purpose` are of older services."""

    timestamp: datetime = attrs.field(converter=moment)
    event: str
    event_details: dict[str, Any] = attrs.field(factory=dict)
    model_id: str | None = None
    tinker_path: str | None = None
    purpose: str | None = None


@attrs.frozen(kw_only=True)
class AuditLogResponse(Answer):
    """Events, oldest first."""

    entries: list[AuditLogEntry]


@attrs.frozen(kw_only=True)
class WhoamiResponse(Answer):
    """Who the credential belongs to."""

    user_urn: str
    org_urn: str
    email: str | None = None


@attrs.frozen(kw_only=True)
class ApiKeyOrg(Answer):
    """The organization of a key."""

    name: str


@attrs.frozen(kw_only=True)
class ApiKeyUser(Answer):
    """The user of a key."""

    email: str


@attrs.frozen(kw_only=True)
class ApiKeyDetails(Answer):
    """Whose key it is."""

    org_details: ApiKeyOrg
    user_details: ApiKeyUser


@attrs.frozen(kw_only=True)
class ApiKeyInfo(Answer):
    """What is known of an API key; never the key."""

    key_id: int
    name: str
    note: str
    details: ApiKeyDetails
