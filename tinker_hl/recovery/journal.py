"""The journal of one training run: what was asked of the model, in order, which steps that makes, where it was saved.

It is a SQLite database. Of a call it has the content, so that it can be made again without the code that made it; it is
on the disk before the call is sent. SQLite and not a text file of lines: a write that a crash cuts off is as if it had
not begun, the content needs no base64, what a checkpoint makes needless is deleted without rewriting the rest, and a
second process is kept out. WAL with `synchronous=FULL`: each write is fsynced before it counts.

It knows nothing of clients or servers. Its methods block on the disk and may be called from any thread.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import orjson

from tinker_hl.recovery.errors import JournalError

__all__ = ["CallRow", "Journal", "SavedPoint", "StepRow"]

FILE_NAME = "journal.sqlite"
APPLICATION = 0x746B_6872
VERSION = 1
BUSY_SECONDS = 2.0
"""How long another process may have the journal: one that has just been killed needs a moment to end."""

_TABLES = """
CREATE TABLE calls (
    number INTEGER PRIMARY KEY, step INTEGER NOT NULL, operation TEXT NOT NULL, fields TEXT NOT NULL, data BLOB,
    applied INTEGER NOT NULL DEFAULT 0, metrics TEXT
);
CREATE TABLE steps (step INTEGER PRIMARY KEY, last_call INTEGER NOT NULL, state TEXT NOT NULL);
CREATE TABLE checkpoints (
    path TEXT PRIMARY KEY, step INTEGER NOT NULL, after_call INTEGER NOT NULL, rolling INTEGER NOT NULL,
    metrics TEXT NOT NULL
);
CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@attrs.frozen(kw_only=True)
class CallRow:
    """A call that changes the model."""

    number: int
    """Its place among all calls of the run."""
    step: int
    operation: str
    fields: Mapping[str, Any]
    data: bytes | None = attrs.field(default=None, repr=False)
    applied: bool = False
    """Whether the server has answered it."""
    metrics: Mapping[str, float] | None = None
    """What it answered then."""


@attrs.frozen(kw_only=True)
class StepRow:
    """A step that was made as a whole; number -1 is the beginning of the run."""

    step: int
    last_call: int
    """The number of its last call; 0 where none was made."""
    state: Mapping[str, Any]
    """What the user wants to have again."""


@attrs.frozen(kw_only=True)
class SavedPoint:
    """A checkpoint whose save was answered."""

    path: str
    step: int
    """The last step that is in it."""
    after_call: int
    """All calls up to this number are in it."""
    rolling: bool
    """Whether it may go when there is a newer one."""
    metrics: Mapping[str, float] = attrs.field(factory=dict)


class Journal:
    """See the module. Invariant: one process has it at a time.

    Args:
        folder: Of the run; made if need be.

    Raises:
        JournalError: Another process has it, or there is something else.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
            )
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"the journal {self.path} cannot be opened: {error}") from error
        try:
            self._prepare()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._unusable(error) from error
            raise

    def close(self) -> None:
        """Let others have it. Safe to repeat; everything else raises `JournalError` from then on."""
        with self._lock:
            self._connection.close()

    # Calls.

    def add_call(self, call: CallRow) -> None:
        """Write down a call that is about to be made."""
        self._write(
            "INSERT INTO calls (number, step, operation, fields, data) VALUES (?, ?, ?, ?, ?)",
            (call.number, call.step, call.operation, _text(call.fields), call.data),
        )

    def mark_applied(self, number: int, metrics: Mapping[str, float]) -> None:
        """The server has answered a call."""
        self._write("UPDATE calls SET applied = 1, metrics = ? WHERE number = ?", (_text(metrics), number))

    def drop_call(self, number: int) -> None:
        """A call was refused: it is as if it had not been made."""
        self._write("DELETE FROM calls WHERE number = ?", (number,))

    def drop_calls_after(self, number: int) -> int:
        """Forget the calls of a step that was not ended; how many there were."""
        return self._write("DELETE FROM calls WHERE number > ?", (number,))

    def call_numbers(self, after: int, up_to: int) -> list[int]:
        """The numbers of the calls in (after, up_to], in order."""
        rows = self._read("SELECT number FROM calls WHERE number > ? AND number <= ? ORDER BY number", (after, up_to))
        return [row[0] for row in rows]

    def call(self, number: int) -> CallRow:
        """One call. Raises `KeyError` if there is none of this number."""
        columns = "number, step, operation, fields, data, applied, metrics"
        rows = self._read(f"SELECT {columns} FROM calls WHERE number = ?", (number,))
        if not rows:
            raise KeyError(number)
        number, step, operation, fields, data, applied, metrics = rows[0]
        return CallRow(
            number=number,
            step=step,
            operation=operation,
            fields=orjson.loads(fields),
            data=data,
            applied=bool(applied),
            metrics=None if metrics is None else orjson.loads(metrics),
        )

    # Steps.

    def end_step(self, step: StepRow) -> None:
        """All calls of a step have been written down."""
        self._write(
            "INSERT OR REPLACE INTO steps (step, last_call, state) VALUES (?, ?, ?)",
            (step.step, step.last_call, _text(step.state)),
        )

    def last_step(self) -> StepRow | None:
        """The newest step; None before the run has begun."""
        rows = self._read("SELECT step, last_call, state FROM steps ORDER BY step DESC LIMIT 1")
        return None if not rows else StepRow(step=rows[0][0], last_call=rows[0][1], state=orjson.loads(rows[0][2]))

    # Checkpoints.

    def add_checkpoint(self, point: SavedPoint) -> None:
        """A checkpoint was saved: what is in it need not be made again, and the calls go."""
        with self._transaction() as write:
            write(
                "INSERT OR REPLACE INTO checkpoints (path, step, after_call, rolling, metrics) VALUES (?, ?, ?, ?, ?)",
                (point.path, point.step, point.after_call, point.rolling, _text(point.metrics)),
            )
            write("DELETE FROM calls WHERE number <= ?", (point.after_call,))
            write("DELETE FROM steps WHERE step < (SELECT max(step) FROM steps)", ())

    def drop_checkpoint(self, path: str) -> None:
        """A checkpoint was deleted."""
        self._write("DELETE FROM checkpoints WHERE path = ?", (path,))

    def checkpoints(self) -> list[SavedPoint]:
        """Those that are there, the newest first."""
        columns = "path, step, after_call, rolling, metrics"
        rows = self._read(f"SELECT {columns} FROM checkpoints ORDER BY after_call DESC, rowid DESC")
        return [
            SavedPoint(path=path, step=step, after_call=after, rolling=bool(rolling), metrics=orjson.loads(metrics))
            for path, step, after, rolling, metrics in rows
        ]

    # The run.

    def note(self, **values: str) -> None:
        """Keep facts about the run, such as the id of its model."""
        with self._transaction() as write:
            for name, value in values.items():
                write("INSERT OR REPLACE INTO run (name, value) VALUES (?, ?)", (name, value))

    def noted(self, name: str) -> str | None:
        """A fact that was kept."""
        rows = self._read("SELECT value FROM run WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    # SQLite.

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("BEGIN IMMEDIATE")  # takes the lock, which this connection then keeps
        application, version = (run(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        empty = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if empty:
            for statement in _TABLES.split(";"):
                run(statement)
            run(f"PRAGMA application_id = {APPLICATION}")
            run(f"PRAGMA user_version = {VERSION}")
        elif (application, version) != (APPLICATION, VERSION):
            raise JournalError(
                f"{self.path} is no journal of a training run that this release reads: version {version}, not {VERSION}"
            )
        run("COMMIT")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection.execute
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:  # a full disk, for one, has ended it already
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def _write(self, statement: str, values: tuple[Any, ...]) -> int:
        with self._transaction() as write:
            return int(write(statement, values).rowcount)

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> JournalError:
        if "locked" in str(error):
            return JournalError(
                f"the journal {self.path} is in use by another process",
                hint="One process at a time makes a training run; end the other one, or give this run its own folder.",
            )
        return JournalError(f"the journal {self.path} cannot be used: {error}")


def _text(value: Any) -> str:
    # NaN and infinities, which orjson would write as null, do not matter: no metric is compared that is not finite.
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
