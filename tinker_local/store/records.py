"""The records of sessions, runs, samplers, checkpoints and finished saves: rows in, frozen objects out.

It does not know what may be done with them, nor who may see them beyond the owner that each carries.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import orjson

from tinker_local.engine.protocol import LoraSpec
from tinker_local.store.database import Database, Row, Statement
from tinker_local.store.paths import CheckpointPath

__all__ = ["CheckpointRecord", "Records", "RunRecord", "SamplerRecord", "SavedOutcome", "SessionRecord"]

# Lists tell how many there are; counting each time would cost more with each row, so rows are counted as they come.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    session_id TEXT PRIMARY KEY, owner TEXT NOT NULL, created_at REAL NOT NULL, project_id TEXT, display_name TEXT,
    tags BLOB NOT NULL, user_metadata BLOB, sdk_version TEXT NOT NULL, status BLOB NOT NULL, ended_at REAL);
CREATE INDEX IF NOT EXISTS sessions_by_owner ON sessions (owner, created_at, session_id);
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, owner TEXT NOT NULL, created_at REAL NOT NULL,
    last_request_at REAL NOT NULL, base_model TEXT NOT NULL, lora BLOB NOT NULL, user_metadata BLOB,
    trainable INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS runs_by_owner ON runs (owner, last_request_at);
CREATE INDEX IF NOT EXISTS runs_by_session ON runs (session_id, created_at);
CREATE TABLE IF NOT EXISTS origins (run_id TEXT PRIMARY KEY, path TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS samplers (
    sampler_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, owner TEXT NOT NULL, created_at REAL NOT NULL,
    base_model TEXT NOT NULL, model_path TEXT, version TEXT, model_id TEXT);
CREATE INDEX IF NOT EXISTS samplers_by_session ON samplers (session_id, created_at);
CREATE TABLE IF NOT EXISTS sampler_clients (sampler_id TEXT PRIMARY KEY, joined INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS checkpoints (
    run_id TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, version TEXT NOT NULL,
    created_at REAL NOT NULL, expires_at REAL, public INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    user_metadata BLOB, base_model TEXT NOT NULL, lora BLOB NOT NULL, PRIMARY KEY (run_id, kind, name));
CREATE INDEX IF NOT EXISTS checkpoints_by_owner ON checkpoints (owner, created_at);
CREATE INDEX IF NOT EXISTS checkpoints_by_expiry ON checkpoints (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS counts (
    what TEXT NOT NULL, owner TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (what, owner, kind));
CREATE TRIGGER IF NOT EXISTS checkpoint_made AFTER INSERT ON checkpoints BEGIN
    INSERT INTO counts VALUES ('checkpoints', new.owner, new.kind, 1)
        ON CONFLICT DO UPDATE SET count = count + 1; END;
CREATE TRIGGER IF NOT EXISTS checkpoint_gone AFTER DELETE ON checkpoints BEGIN
    UPDATE counts SET count = count - 1 WHERE (what, owner, kind) = ('checkpoints', old.owner, old.kind); END;
CREATE TRIGGER IF NOT EXISTS run_made AFTER INSERT ON runs BEGIN
    INSERT INTO counts VALUES ('runs', new.owner, '', 1) ON CONFLICT DO UPDATE SET count = count + 1; END;
CREATE TRIGGER IF NOT EXISTS run_gone AFTER DELETE ON runs BEGIN
    UPDATE counts SET count = count - 1 WHERE (what, owner, kind) = ('runs', old.owner, ''); END;
BEGIN IMMEDIATE;
DELETE FROM counts;
INSERT INTO counts SELECT 'checkpoints', owner, kind, count(*) FROM checkpoints GROUP BY owner, kind;
INSERT INTO counts SELECT 'runs', owner, '', count(*) FROM runs GROUP BY owner;
COMMIT;
CREATE TABLE IF NOT EXISTS requests (
    request_id TEXT PRIMARY KEY, owner TEXT NOT NULL, fingerprint BLOB NOT NULL, finished_at REAL NOT NULL,
    outcome BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS copies (
    idempotency_key TEXT NOT NULL, owner TEXT NOT NULL, path TEXT NOT NULL, created_at REAL NOT NULL,
    PRIMARY KEY (owner, idempotency_key));
CREATE TABLE IF NOT EXISTS session_keys (
    idempotency_key TEXT NOT NULL, owner TEXT NOT NULL, session_id TEXT NOT NULL, PRIMARY KEY (owner, idempotency_key));
CREATE INDEX IF NOT EXISTS session_keys_by_session ON session_keys (session_id);
CREATE TABLE IF NOT EXISTS telemetry (received_at REAL NOT NULL, session_id TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS telemetry_by_age ON telemetry (received_at);
CREATE INDEX IF NOT EXISTS telemetry_by_session ON telemetry (session_id, received_at);
"""

Json = dict[str, Any]
Record = TypeVar("Record")


@attrs.frozen(kw_only=True)
class SessionRecord:
    """A session as it was last written."""

    session_id: str
    owner: str
    created_at: float
    project_id: str | None
    display_name: str | None
    tags: list[str]
    user_metadata: Json | None
    sdk_version: str
    status: Json
    """A `SessionStatus` of the spec."""
    ended_at: float | None = None


@attrs.frozen(kw_only=True)
class RunRecord:
    """A training run: a model, or the home of a copy."""

    run_id: str
    session_id: str
    owner: str
    created_at: float
    last_request_at: float
    base_model: str
    lora: LoraSpec
    user_metadata: Json | None
    trainable: bool = True


@attrs.frozen(kw_only=True)
class SamplerRecord:
    """A sampling session: on a base model, on a checkpoint (`model_path`, `version`), or on weights in memory
    (`model_id`).
    """

    sampler_id: str
    session_id: str
    owner: str
    created_at: float
    base_model: str
    model_path: str | None = None
    version: str | None = None
    model_id: str | None = None


@attrs.frozen(kw_only=True)
class CheckpointRecord:
    """A checkpoint. `version` tells one save from another under the same name."""

    path: CheckpointPath
    owner: str
    version: str
    created_at: float
    expires_at: float | None
    public: bool
    size_bytes: int
    user_metadata: Json | None
    base_model: str
    lora: LoraSpec


@attrs.frozen(kw_only=True)
class SavedOutcome:
    """The result of a save, which its client may ask for after a restart."""

    request_id: str
    owner: str
    fingerprint: bytes
    outcome: Json


class Records:
    """All records of one service."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path, _SCHEMA)

    def close(self) -> None:
        """Finish what is being written."""
        self.database.close()

    async def write(self, *statements: Statement) -> None:
        """Carry out what the methods of this class returned, as one."""
        await self.database.write(*statements)

    # --- sessions

    def put_session(self, session: SessionRecord) -> Statement:
        """A new session, or its new state."""
        return _upsert("sessions", _row(session))

    def session(self, session_id: str) -> SessionRecord | None:
        """One session."""
        return _one(map(_session, self.database.read("SELECT * FROM sessions WHERE session_id = ?", session_id)))

    def put_session_key(self, owner: str, idempotency_key: str, session_id: str) -> Statement:
        """The key that opened a session."""
        return _upsert("session_keys", {"idempotency_key": idempotency_key, "owner": owner, "session_id": session_id})

    def session_keys(self) -> dict[tuple[str, str], str]:
        """Ids of open sessions by their owner and the key that opened them."""
        rows = self.database.read("SELECT owner, idempotency_key, session_id FROM session_keys")
        return {(row[0], row[1]): row[2] for row in rows}

    def drop_session_keys(self, session_id: str) -> Statement:
        """The session is over."""
        return "DELETE FROM session_keys WHERE session_id = ?", (session_id,)

    def open_sessions(self) -> list[SessionRecord]:
        """Those that nobody ended."""
        return [_session(row) for row in self.database.read("SELECT * FROM sessions WHERE ended_at IS NULL")]

    def sessions(self, owner: str | None, limit: int, offset: int) -> list[SessionRecord]:
        """An owner's, or with None everybody's, the newest first."""
        where, values = _owned_by(owner)
        sql = f"SELECT * FROM sessions WHERE {where} ORDER BY created_at DESC, session_id DESC LIMIT ? OFFSET ?"
        return [_session(row) for row in self.database.read(sql, *values, limit, offset)]

    def sessions_before(self, owner: str | None, created_at: float, session_id: str, limit: int) -> list[SessionRecord]:
        """An owner's, or with None everybody's, that are older than a given one, the newest first."""
        where, values = _owned_by(owner)
        sql = (
            f"SELECT * FROM sessions WHERE {where} AND (created_at, session_id) < (?, ?) "
            "ORDER BY created_at DESC, session_id DESC LIMIT ?"
        )
        return [_session(row) for row in self.database.read(sql, *values, created_at, session_id, limit)]

    # --- runs

    def put_run(self, run: RunRecord) -> Statement:
        """A new run, or its new state."""
        return _upsert("runs", _row(run))

    def put_origin(self, run_id: str, path: CheckpointPath) -> Statement:
        """The checkpoint that a run was made from."""
        return "INSERT OR REPLACE INTO origins VALUES (?, ?)", (run_id, str(path))

    def origin(self, run_id: str) -> str | None:
        """The path of the checkpoint that a run was made from; None for one that began fresh."""
        rows = self.database.read("SELECT path FROM origins WHERE run_id = ?", run_id)
        return str(rows[0][0]) if rows else None

    def run(self, run_id: str) -> RunRecord | None:
        """One run."""
        return _one(map(_run, self.database.read("SELECT * FROM runs WHERE run_id = ?", run_id)))

    def runs(self, owner: str | None, project_id: str | None, limit: int, offset: int) -> tuple[list[RunRecord], int]:
        """An owner's, or with None all, or a project's of these, the last used first; and how many there are."""
        where, values = _owned_by(owner)
        if project_id is not None:
            where += " AND session_id IN (SELECT session_id FROM sessions WHERE project_id = ?)"
            values.append(project_id)
        rows = self.database.read(
            f"SELECT * FROM runs WHERE {where} ORDER BY last_request_at DESC, run_id LIMIT ? OFFSET ?",
            *values,
            limit,
            offset,
        )
        if project_id is None:
            return [_run(row) for row in rows], self._count("runs", owner)
        (count,) = self.database.read(f"SELECT count(*) FROM runs WHERE {where}", *values)
        return [_run(row) for row in rows], count[0]

    def _count(self, what: str, owner: str | None, without_kind: str = "-") -> int:
        where, values = _owned_by(owner)
        sql = f"SELECT coalesce(sum(count), 0) FROM counts WHERE what = ? AND kind != ? AND {where}"
        (row,) = self.database.read(sql, what, without_kind, *values)
        return int(row[0])

    def runs_of(self, session_id: str) -> list[RunRecord]:
        """A session's, in the order in which they were made."""
        sql = "SELECT * FROM runs WHERE session_id = ? ORDER BY created_at"
        return [_run(row) for row in self.database.read(sql, session_id)]

    # --- samplers

    def put_sampler(self, sampler: SamplerRecord) -> Statement:
        """A new sampler."""
        return _upsert("samplers", _row(sampler))

    def sampler(self, sampler_id: str) -> SamplerRecord | None:
        """One sampler."""
        return _one(map(_sampler, self.database.read("SELECT * FROM samplers WHERE sampler_id = ?", sampler_id)))

    def put_joined(self, sampler_id: str, joined: int) -> Statement:
        """The last number that a copy of a sampling client was given."""
        return _upsert("sampler_clients", {"sampler_id": sampler_id, "joined": joined})

    def joined(self, sampler_id: str) -> int:
        """The last number that a copy of a sampling client was given; 0 if none was."""
        rows = self.database.read("SELECT joined FROM sampler_clients WHERE sampler_id = ?", sampler_id)
        return int(rows[0]["joined"]) if rows else 0

    def samplers_of(self, session_id: str) -> list[SamplerRecord]:
        """A session's, in the order in which they were made."""
        sql = "SELECT * FROM samplers WHERE session_id = ? ORDER BY created_at"
        return [_sampler(row) for row in self.database.read(sql, session_id)]

    # --- checkpoints

    def put_checkpoint(self, checkpoint: CheckpointRecord) -> Statement:
        """A new checkpoint, in place of one of the same path."""
        path = checkpoint.path
        row = _row(checkpoint)
        del row["path"]
        return _upsert("checkpoints", {"run_id": path.run_id, "kind": path.kind, "name": path.name, **row})

    def drop_checkpoint(self, path: CheckpointPath) -> Statement:
        """No such checkpoint any more."""
        sql = "DELETE FROM checkpoints WHERE run_id = ? AND kind = ? AND name = ?"
        return sql, (path.run_id, path.kind, path.name)

    def checkpoint(self, path: CheckpointPath) -> CheckpointRecord | None:
        """One checkpoint."""
        sql = "SELECT * FROM checkpoints WHERE run_id = ? AND kind = ? AND name = ?"
        return _one(map(_checkpoint, self.database.read(sql, path.run_id, path.kind, path.name)))

    def checkpoints_of(self, run_id: str) -> list[CheckpointRecord]:
        """A run's, in the order in which they were saved."""
        sql = "SELECT * FROM checkpoints WHERE run_id = ? ORDER BY created_at, kind, name"
        return [_checkpoint(row) for row in self.database.read(sql, run_id)]

    def newest_checkpoint(self, run_id: str, kind: str) -> CheckpointRecord | None:
        """A run's last save of a kind."""
        sql = "SELECT * FROM checkpoints WHERE run_id = ? AND kind = ? ORDER BY created_at DESC LIMIT 1"
        return _one(map(_checkpoint, self.database.read(sql, run_id, kind)))

    def checkpoints(
        self, owner: str | None, limit: int, offset: int, *, without_kind: str = ""
    ) -> tuple[list[CheckpointRecord], int]:
        """An owner's, or with None everybody's, the newest first; and how many there are.

        Those of one kind may be left out.
        """
        where, values = _owned_by(owner)
        where, values = f"{where} AND kind != ?", [*values, without_kind]
        sql = f"SELECT * FROM checkpoints WHERE {where} ORDER BY created_at DESC, run_id, kind, name LIMIT ? OFFSET ?"
        found = [_checkpoint(row) for row in self.database.read(sql, *values, limit, offset)]
        return found, self._count("checkpoints", owner, without_kind or "-")

    def all_checkpoints(self) -> list[CheckpointRecord]:
        """Everybody's."""
        return [_checkpoint(row) for row in self.database.read("SELECT * FROM checkpoints")]

    def checkpoints_held(self) -> tuple[int, int]:
        """How many there are, and their bytes together."""
        (row,) = self.database.read("SELECT count(*), coalesce(sum(size_bytes), 0) FROM checkpoints")
        return int(row[0]), int(row[1])

    def expired_checkpoints(self, now: float) -> list[CheckpointRecord]:
        """Those whose time is over."""
        rows = self.database.read("SELECT * FROM checkpoints WHERE expires_at <= ?", now)
        return [_checkpoint(row) for row in rows]

    def checkpoint_totals(self, session_id: str) -> tuple[int, int]:
        """How many checkpoints a session's runs have, and their bytes."""
        sql = (
            "SELECT count(*), coalesce(sum(size_bytes), 0) FROM checkpoints "
            "WHERE run_id IN (SELECT run_id FROM runs WHERE session_id = ?)"
        )
        (row,) = self.database.read(sql, session_id)
        return row[0], row[1]

    def storage_of(self, owner: str, project_id: str | None) -> tuple[int, int]:
        """How many checkpoints an owner has, in one project or at all, and their bytes."""
        where, values = "owner = ?", [owner]
        if project_id is not None:
            where += " AND run_id IN (SELECT run_id FROM runs JOIN sessions USING (session_id) WHERE project_id = ?)"
            values.append(project_id)
        sql = f"SELECT count(*), coalesce(sum(size_bytes), 0) FROM checkpoints WHERE {where}"
        (row,) = self.database.read(sql, *values)
        return row[0], row[1]

    # --- finished saves, copies, telemetry

    def put_outcome(self, saved: SavedOutcome, now: float) -> Statement:
        """What a save came to."""
        return _upsert("requests", {**_row(saved), "finished_at": now})

    def outcome(self, request_id: str) -> SavedOutcome | None:
        """What a save came to."""
        rows = self.database.read("SELECT * FROM requests WHERE request_id = ?", request_id)
        return _one(map(_outcome, rows))

    def outcome_ids(self) -> set[str]:
        """The requests whose outcomes are kept."""
        return {row[0] for row in self.database.read("SELECT request_id FROM requests")}

    def put_copy(self, owner: str, idempotency_key: str, path: CheckpointPath, now: float) -> Statement:
        """What a copy came to, by the key under which it may be asked for again."""
        row = {"idempotency_key": idempotency_key, "owner": owner, "path": str(path), "created_at": now}
        return _upsert("copies", row)

    def copy(self, owner: str, idempotency_key: str) -> str | None:
        """The path of a copy that was made already."""
        sql = "SELECT path FROM copies WHERE owner = ? AND idempotency_key = ?"
        rows = self.database.read(sql, owner, idempotency_key)
        return str(rows[0][0]) if rows else None

    def put_telemetry(self, session_id: str, body: bytes, now: float) -> Statement:
        """A client's report."""
        return "INSERT INTO telemetry VALUES (?, ?, ?)", (now, session_id, body)

    def telemetry_of(self, session_id: str) -> list[bytes]:
        """The reports of a session's client, the oldest first."""
        sql = "SELECT body FROM telemetry WHERE session_id = ? ORDER BY received_at"
        return [row[0] for row in self.database.read(sql, session_id)]

    def forget_before(self, moment: float) -> Sequence[Statement]:
        """Old reports, and outcomes and copies that nobody asks for any more."""
        return (
            ("DELETE FROM telemetry WHERE received_at < ?", (moment,)),
            ("DELETE FROM requests WHERE finished_at < ?", (moment,)),
            ("DELETE FROM copies WHERE created_at < ?", (moment,)),
        )


def _owned_by(owner: str | None) -> tuple[str, list[str]]:
    """A condition, and its values; None is everybody."""
    return ("TRUE", []) if owner is None else ("owner = ?", [owner])


def _one(found: Iterable[Record]) -> Record | None:
    return next(iter(found), None)


def _upsert(table: str, row: Mapping[str, Any]) -> Statement:
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    return f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", tuple(row.values())


def _row(record: Any) -> dict[str, Any]:
    fields = attrs.asdict(record, recurse=False)
    return {name: _stored(value) for name, value in fields.items()}


def _stored(value: Any) -> Any:
    if isinstance(value, LoraSpec):
        return orjson.dumps(attrs.asdict(value))
    return orjson.dumps(value) if isinstance(value, dict | list) else value


def _json(value: Any) -> Any:
    return None if value is None else orjson.loads(value)


def _session(row: Row) -> SessionRecord:
    fields = dict(row)
    for name in ("tags", "user_metadata", "status"):
        fields[name] = _json(fields[name])
    return SessionRecord(**fields)


def _run(row: Row) -> RunRecord:
    fields = dict(row)
    lora, metadata = LoraSpec(**_json(fields.pop("lora"))), _json(fields.pop("user_metadata"))
    trainable = bool(fields.pop("trainable"))
    return RunRecord(lora=lora, user_metadata=metadata, trainable=trainable, **fields)


def _sampler(row: Row) -> SamplerRecord:
    return SamplerRecord(**dict(row))


def _checkpoint(row: Row) -> CheckpointRecord:
    fields = dict(row)
    path = CheckpointPath(fields.pop("run_id"), fields.pop("kind"), fields.pop("name"))
    lora, metadata = LoraSpec(**_json(fields.pop("lora"))), _json(fields.pop("user_metadata"))
    public = bool(fields.pop("public"))
    return CheckpointRecord(path=path, lora=lora, user_metadata=metadata, public=public, **fields)


def _outcome(row: Row) -> SavedOutcome:
    return SavedOutcome(
        request_id=row["request_id"],
        owner=row["owner"],
        fingerprint=row["fingerprint"],
        outcome=_json(row["outcome"]),
    )
