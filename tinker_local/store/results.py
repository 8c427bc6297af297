"""The results of requests, as rows: found again after a restart, gone when their time is over.

It does not know how a result is written as bytes, nor when its time is over. A result that is gone leaves its id, so
that a late question is told so, and its fingerprint, so that a late repeat is known as one.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs
import orjson

from tinker_local.store.bodies import Bodies
from tinker_local.store.database import Database, Row, Statement

__all__ = ["Accepted", "Result", "ResultHead", "Results"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS results (
    number INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, session_id TEXT,
    model_id TEXT, sequence_ids BLOB NOT NULL, fingerprint BLOB NOT NULL, idempotency_key TEXT,
    delivered INTEGER NOT NULL DEFAULT 0, kind TEXT, body BLOB, file TEXT);
CREATE INDEX IF NOT EXISTS results_by_model ON results (model_id);
CREATE INDEX IF NOT EXISTS results_in_files ON results (file) WHERE file IS NOT NULL;
"""
_GONE: Final = "UPDATE results SET kind = NULL, body = NULL, file = NULL WHERE request_id = ?"


@attrs.frozen(kw_only=True)
class Result:
    """One result. Its body is what `kind` says."""

    request_id: str
    owner: str
    session_id: str | None
    model_id: str | None
    sequence_ids: tuple[str, ...]
    fingerprint: bytes
    idempotency_key: str | None
    kind: str
    body: bytes


@attrs.frozen(kw_only=True)
class Accepted:
    """A request that has no result yet."""

    request_id: str
    owner: str
    session_id: str | None
    sequence_ids: tuple[str, ...]
    fingerprint: bytes


@attrs.frozen(kw_only=True)
class ResultHead:
    """What decides how long a result stays."""

    request_id: str
    session_id: str | None
    delivered: bool
    gone: bool


class Results:
    """All results of one data folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._bodies = Bodies(folder)
        database.prepare(_SCHEMA)

    def put(self, make: Callable[[], Result]) -> None:
        """Keep a result, soon; it is made into bytes where rows are written, so that nobody waits for that."""
        self._database.post_made(lambda: self._rows(make()))

    async def accepted(self, result: "Accepted") -> None:
        """Note a request that was taken in, before its sender is told so; it counts as gone until it has its result."""
        row = attrs.asdict(result) | {"sequence_ids": orjson.dumps(result.sequence_ids)}
        names, marks = ", ".join(row), ", ".join("?" for _ in row)
        await self._database.write((f"INSERT OR IGNORE INTO results ({names}) VALUES ({marks})", tuple(row.values())))

    def undelivered_below(self, parent: str) -> list[tuple[str, str]]:
        """Ids `<parent>:<rest>` that were never delivered, also those that are gone; with their owners."""
        sql = (
            "SELECT request_id, owner FROM results WHERE request_id > ? AND request_id < ? AND delivered = 0 "
            "ORDER BY number"
        )
        return [(row[0], row[1]) for row in self._database.read(sql, f"{parent}:", f"{parent};")]

    def find(self, request_id: str) -> Result | None:
        """A result that is not gone.

        Raises:
            OSError: its body cannot be read.
        """
        for row in self._database.read("SELECT * FROM results WHERE request_id = ? AND kind IS NOT NULL", request_id):
            return Result(
                request_id=request_id,
                owner=row["owner"],
                session_id=row["session_id"],
                model_id=row["model_id"],
                sequence_ids=tuple(orjson.loads(row["sequence_ids"])),
                fingerprint=row["fingerprint"],
                idempotency_key=row["idempotency_key"],
                kind=row["kind"],
                body=self._bodies.get(row["body"], row["file"]),
            )
        return None

    def heads(self) -> list[ResultHead]:
        """All, those that are gone included, in the order in which they came."""
        sql = "SELECT request_id, session_id, delivered, kind IS NULL AS gone FROM results ORDER BY number"
        return [_head(row) for row in self._database.read(sql)]

    def unnumbered(self, model_id: str) -> tuple[int, dict[str, str]]:
        """The highest number given to a model's requests without a sequence id (`<model>:u<number>`), and the ids of
        those with an idempotency key, by it.
        """
        sql = "SELECT idempotency_key, request_id FROM results WHERE model_id = ? AND request_id GLOB ? ORDER BY number"
        highest, keys = 0, {}
        for row in self._database.read(sql, model_id, "*:u*"):
            highest = max(highest, int(row["request_id"].rpartition(":u")[2]))
            if row["idempotency_key"] is not None:
                keys[row["idempotency_key"]] = row["request_id"]
        return highest, keys

    def delivered(self, request_ids: Iterable[str]) -> None:
        """They were delivered at least once."""
        self._database.post(
            *(("UPDATE results SET delivered = 1 WHERE request_id = ?", (request_id,)) for request_id in request_ids)
        )

    def forget(self, request_ids: Iterable[str], *, most_ids: int) -> None:
        """They are gone; of all that ever were, the newest `most_ids` leave their ids."""
        oldest = "number <= (SELECT max(number) FROM results) - ?"
        self._database.post(
            *((_GONE, (request_id,)) for request_id in request_ids),
            (f"DELETE FROM results WHERE kind IS NULL AND {oldest}", (most_ids,)),
        )

    def delete_unused_files(self) -> None:
        """Free what belongs to results that are gone."""
        sql = "SELECT file FROM results WHERE file IS NOT NULL"
        self._bodies.delete_unused(lambda: {row[0] for row in self._database.read(sql)})

    def _rows(self, result: Result) -> Sequence[Statement]:
        body, file = self._bodies.put(result.body)
        row = {
            "request_id": result.request_id,
            "owner": result.owner,
            "session_id": result.session_id,
            "model_id": result.model_id,
            "sequence_ids": orjson.dumps(result.sequence_ids),
            "fingerprint": result.fingerprint,
            "idempotency_key": result.idempotency_key,
            "kind": result.kind,
            "body": body,
            "file": file,
        }
        names, marks = ", ".join(row), ", ".join("?" for _ in row)
        return [(f"INSERT OR REPLACE INTO results ({names}) VALUES ({marks})", tuple(row.values()))]


def _head(row: Row) -> ResultHead:
    return ResultHead(
        request_id=row["request_id"],
        session_id=row["session_id"],
        delivered=bool(row["delivered"]),
        gone=bool(row["gone"]),
    )
