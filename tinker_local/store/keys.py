"""The records of API keys: who may come in, under which name, and how much they see. The keys themselves are not here.

A record is never deleted: an id that was revoked stays revoked, and a folder that has had a key stays locked.
"""

import sqlite3
from pathlib import Path
from typing import Final, Literal

import attrs

from tinker_local.store.database import Database, Row, Statement

__all__ = ["KeyRecord", "KeyRecords", "Scope", "were_made"]

Scope = Literal["own", "all"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS api_keys (
    key_id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, name TEXT NOT NULL, note TEXT NOT NULL,
    scope TEXT NOT NULL, created_at REAL NOT NULL, revoked_at REAL);
"""


@attrs.frozen(kw_only=True)
class KeyRecord:
    """One key. Keys of one name own the same runs."""

    key_id: int
    name: str
    note: str
    scope: Scope
    created_at: float
    revoked_at: float | None


class KeyRecords:
    """All keys of one data folder."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.prepare(_SCHEMA)

    def add(self, digest: bytes, name: str, note: str, scope: Scope, now: float) -> Statement:
        """A new key."""
        sql = "INSERT INTO api_keys (digest, name, note, scope, created_at) VALUES (?, ?, ?, ?, ?)"
        return sql, (digest, name, note, scope, now)

    def revoke(self, key_id: int, now: float) -> Statement:
        """It is let in no more; the first revocation counts."""
        return "UPDATE api_keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL", (now, key_id)

    def by_digest(self, digest: bytes) -> KeyRecord | None:
        """The key with this hash, revoked or not."""
        return next(map(_record, self._database.read("SELECT * FROM api_keys WHERE digest = ?", digest)), None)

    def by_id(self, key_id: int) -> KeyRecord | None:
        """One key, revoked or not."""
        return next(map(_record, self._database.read("SELECT * FROM api_keys WHERE key_id = ?", key_id)), None)

    def all(self) -> list[KeyRecord]:
        """Every key that ever was, the oldest first."""
        return [_record(row) for row in self._database.read("SELECT * FROM api_keys ORDER BY key_id")]

    def any(self) -> bool:
        """Whether there ever was one."""
        return bool(self._database.read("SELECT 1 FROM api_keys LIMIT 1"))


def were_made(database: Path) -> bool:
    """Whether a service's database has, or had, a key; the file need not be there."""
    if not database.is_file():
        return False
    connection = sqlite3.connect(database, timeout=30.0)
    try:
        return connection.execute("SELECT 1 FROM api_keys LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:  # the file is older than keys
        return False
    finally:
        connection.close()


def _record(row: Row) -> KeyRecord:
    fields = dict(row)
    del fields["digest"]
    return KeyRecord(**fields)
