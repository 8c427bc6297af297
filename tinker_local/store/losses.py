"""The records of uploaded losses: what was uploaded, for which session. They go with the session."""

from typing import Any, Final

import attrs
import orjson

from tinker_local.store.database import Database, Row, Statement

__all__ = ["LossRecord", "LossRecords"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS custom_losses (
    loss_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, fingerprint BLOB NOT NULL, definition BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS custom_losses_by_session ON custom_losses (session_id);
"""


@attrs.frozen(kw_only=True)
class LossRecord:
    """One loss."""

    loss_id: str
    session_id: str
    fingerprint: bytes
    definition: dict[str, Any]
    """Its name, inputs and nodes."""


class LossRecords:
    """All losses of one data folder."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.prepare(_SCHEMA)

    def put(self, record: LossRecord) -> Statement:
        """A new one."""
        values = (record.loss_id, record.session_id, record.fingerprint, orjson.dumps(record.definition))
        return "INSERT OR REPLACE INTO custom_losses VALUES (?, ?, ?, ?)", values

    def loss(self, loss_id: str) -> LossRecord | None:
        """One of them."""
        return next(map(_record, self._database.read("SELECT * FROM custom_losses WHERE loss_id = ?", loss_id)), None)

    def count(self, session_id: str) -> int:
        """How many a session has."""
        (row,) = self._database.read("SELECT count(*) FROM custom_losses WHERE session_id = ?", session_id)
        return int(row[0])

    def drop_session(self, session_id: str) -> Statement:
        """The session is over."""
        return "DELETE FROM custom_losses WHERE session_id = ?", (session_id,)


def _record(row: Row) -> LossRecord:
    return LossRecord(**{**dict(row), "definition": orjson.loads(row["definition"])})
