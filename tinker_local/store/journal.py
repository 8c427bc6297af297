"""The journal: training calls that were accepted since the newest automatic save of their model, in their order.

An automatic save and the calls that it covers change places in one write, so that the two together are always the
whole run. It does not know what the calls mean, nor where the saved state is.
"""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from tinker_local.store.bodies import Bodies
from tinker_local.store.database import Database, Row, Statement

__all__ = ["ABANDONED", "REFUSED", "Autosave", "Entry", "Journal"]

ABANDONED: Final = "abandoned"
"""In place of an operation: what waited for a missing sequence id was given up."""
REFUSED: Final = "refused"
"""In place of an operation: a request with this sequence id was turned away, and need not come again."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT, model_id TEXT NOT NULL, request_id TEXT NOT NULL, operation TEXT NOT NULL,
    seq_id INTEGER, session_id TEXT NOT NULL, owner TEXT NOT NULL, fingerprint BLOB NOT NULL,
    idempotency_key TEXT, protobuf INTEGER NOT NULL, body BLOB, file TEXT);
CREATE INDEX IF NOT EXISTS journal_by_model ON journal (model_id, number);
CREATE INDEX IF NOT EXISTS journal_by_request ON journal (request_id);
CREATE TABLE IF NOT EXISTS autosaves (
    model_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, version TEXT NOT NULL, next_id INTEGER NOT NULL,
    unnumbered INTEGER NOT NULL);
"""


@attrs.frozen(kw_only=True)
class Entry:
    """An accepted call, or what else moved its model's order on."""

    model_id: str
    request_id: str
    operation: str
    seq_id: int | None
    session_id: str
    owner: str
    fingerprint: bytes = b""
    idempotency_key: str | None = None
    protobuf: bool = False
    content: bytes | None = None
    """The body where it is small; see `Journal.body`."""
    file: str | None = None


@attrs.frozen(kw_only=True)
class Autosave:
    """The newest automatic save of a model."""

    model_id: str
    session_id: str
    version: str
    next_id: int
    """The sequence id that comes after it."""
    unnumbered: int
    """Requests without a sequence id before it."""


class Journal:
    """The journal of one data folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._bodies = Bodies(folder)
        database.prepare(_SCHEMA)
        self._sizes: dict[str, dict[str, int]] = {}
        """Bytes of bodies, by model and request."""
        self.size = 0
        """Of all bodies that are needed."""
        for row in database.read("SELECT model_id, request_id, length(body) AS size, file FROM journal"):
            size = self._bodies.size(row["file"]) if row["file"] is not None else row["size"] or 0
            self._count(row["model_id"], row["request_id"], size)

    def add(self, entry: Entry, body: bytes) -> "asyncio.Future[None]":
        """Write a call down, after all that were added before; the future is done when it is durable."""

        def rows() -> Sequence[Statement]:
            content, file = self._bodies.put(body)
            row = attrs.asdict(attrs.evolve(entry, content=content, file=file))
            row["body"] = row.pop("content")
            names, marks = ", ".join(row), ", ".join("?" for _ in row)
            return [(f"INSERT INTO journal ({names}) VALUES ({marks})", tuple(row.values()))]

        self._count(entry.model_id, entry.request_id, len(body))
        return self._database.begin(rows)

    def entries(self, model_id: str) -> list[Entry]:
        """A model's, in their order."""
        rows = self._database.read("SELECT * FROM journal WHERE model_id = ? ORDER BY number", model_id)
        return [_entry(row) for row in rows]

    def body(self, entry: Entry) -> bytes:
        """What a call said. Raises `OSError` if that cannot be read any more."""
        return self._bodies.get(entry.content, entry.file)

    def autosave(self, model_id: str) -> Autosave | None:
        """A model's newest automatic save."""
        rows = self._database.read("SELECT * FROM autosaves WHERE model_id = ?", model_id)
        return Autosave(**dict(rows[0])) if rows else None

    def models(self) -> dict[str, str]:
        """The models of which there is anything, and their sessions."""
        sql = "SELECT model_id, session_id FROM autosaves UNION SELECT DISTINCT model_id, session_id FROM journal"
        return {row[0]: row[1] for row in self._database.read(sql)}

    async def saved(self, autosave: Autosave, covered: Iterable[str]) -> None:
        """There is a newer save, which stands for the requests covered."""
        covered = list(covered)
        names = ", ".join(field.name for field in attrs.fields(Autosave))
        await self._database.write(
            (f"INSERT OR REPLACE INTO autosaves ({names}) VALUES (?, ?, ?, ?, ?)", attrs.astuple(autosave)),
            *(("DELETE FROM journal WHERE request_id = ?", (request_id,)) for request_id in covered),
            (
                "DELETE FROM journal WHERE model_id = ? AND operation IN (?, ?) AND seq_id < ?",
                (autosave.model_id, REFUSED, ABANDONED, autosave.next_id),
            ),
        )
        for request_id in covered:
            self._discount(autosave.model_id, request_id)

    async def drop(self, model_id: str) -> None:
        """Nothing of this model is needed any more."""
        await self._database.write(
            ("DELETE FROM autosaves WHERE model_id = ?", (model_id,)),
            ("DELETE FROM journal WHERE model_id = ?", (model_id,)),
        )
        self._discount(model_id)

    async def drop_session(self, session_id: str) -> None:
        """Nothing of this session is needed any more."""
        await self._database.write(
            ("DELETE FROM autosaves WHERE session_id = ?", (session_id,)),
            ("DELETE FROM journal WHERE session_id = ?", (session_id,)),
        )
        for model_id in [one for one in self._sizes if one.startswith(f"{session_id}:")]:
            self._discount(model_id)

    def _count(self, model_id: str, request_id: str, size: int) -> None:
        self._discount(model_id, request_id)
        if size:
            self._sizes.setdefault(model_id, {})[request_id] = size
            self.size += size

    def _discount(self, model_id: str, request_id: str | None = None) -> None:
        """Of one request, or of all of a model."""
        of_model = self._sizes.get(model_id, {})
        for one in list(of_model) if request_id is None else [request_id]:
            self.size -= of_model.pop(one, 0)
        if not of_model:
            self._sizes.pop(model_id, None)

    def delete_unused_files(self) -> None:
        """Free what belongs to calls that are covered."""
        sql = "SELECT file FROM journal WHERE file IS NOT NULL"
        self._bodies.delete_unused(lambda: {row[0] for row in self._database.read(sql)})


def _entry(row: Row) -> Entry:
    fields = dict(row)
    del fields["number"]
    fields["content"] = fields.pop("body")
    return Entry(**{**fields, "protobuf": bool(row["protobuf"])})
