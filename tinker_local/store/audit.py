"""The records of what was done: when, by whom, to whose things. Rows in, rows out; nothing is ever changed."""

from typing import Any, Final

import attrs
import orjson

from tinker_local.store.database import Database, Row, Statement

__all__ = ["AuditRecord", "AuditRecords"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS audit (at REAL NOT NULL, owner TEXT NOT NULL, event TEXT NOT NULL, details BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS audit_by_time ON audit (at);
CREATE INDEX IF NOT EXISTS audit_by_owner ON audit (owner, at);
"""


@attrs.frozen(kw_only=True)
class AuditRecord:
    """One thing that was done."""

    at: float
    owner: str
    """Whose thing it was done to."""
    event: str
    """`<resource>_<action>`."""
    details: dict[str, Any]


class AuditRecords:
    """The audit log of one data folder."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.prepare(_SCHEMA)

    def add(self, record: AuditRecord) -> Statement:
        """One more."""
        return "INSERT INTO audit VALUES (?, ?, ?, ?)", (
            record.at,
            record.owner,
            record.event,
            orjson.dumps(record.details),
        )

    def between(self, owner: str | None, begin: float, end: float, resource: str) -> list[AuditRecord]:
        """What was done to an owner's things, or with None to anybody's, in this time; by time.

        `resource` is the beginning of the events' names; empty for all.
        """
        where, values = ("TRUE", []) if owner is None else ("owner = ?", [owner])
        sql = f"SELECT * FROM audit WHERE {where} AND at >= ? AND at < ? AND event GLOB ? ORDER BY at, rowid"
        return [_record(row) for row in self._database.read(sql, *values, begin, end, f"{resource}*")]

    def forget_before(self, moment: float) -> Statement:
        """It is too old."""
        return "DELETE FROM audit WHERE at < ?", (moment,)


def _record(row: Row) -> AuditRecord:
    return AuditRecord(at=row["at"], owner=row["owner"], event=row["event"], details=orjson.loads(row["details"]))
