"""One SQLite file in WAL mode: any number of quick reads on the event loop, and one thread that writes.

Writes that wait together are committed together, and writes that nobody waits for are left a moment for others to join
them: each commit takes time from the event loop. It does not know what the rows mean.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Database", "Row", "Statement"]

Row = sqlite3.Row
Statement = tuple[str, Sequence[Any]]

logger = logging.getLogger(__name__)

_MOST_TOGETHER = 256
_GATHERING_SECONDS = 0.02
"""How long a write that nobody waits for may wait for others."""


@attrs.frozen
class _Write:
    statements: Callable[[], Sequence[Statement]]
    done: "asyncio.Future[None] | None" = None
    """None where nobody waits; a failure is logged then."""
    loop: asyncio.AbstractEventLoop | None = None


class Database:
    """An open file. Reads see every write that was awaited before them."""

    def __init__(self, path: Path, schema: str) -> None:
        """Open or make the file; `schema` is a script that may be run again on a file that has everything already."""
        self._path = path
        self._reading = _connect(path)
        self._reading.executescript(schema)
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closed = False
        self._awaited = threading.Event()
        """Set when somebody waits for what was put into the queue."""
        self._writer = threading.Thread(target=self._write_all, name="store-writer", daemon=True)
        self._writer.start()

    def prepare(self, schema: str) -> None:
        """Make more tables; the script may be run again on a file that has them already."""
        self._reading.executescript(schema)

    def read(self, sql: str, *values: Any) -> list[Row]:
        """The rows of a query that an index serves; it runs here and now."""
        return self._reading.execute(sql, values).fetchall()

    async def write(self, *statements: Statement) -> None:
        """Carry out the statements as one, durable when this returns. Raises `sqlite3.Error`."""
        await self.begin(lambda: statements)

    def begin(self, make: Callable[[], Sequence[Statement]]) -> "asyncio.Future[None]":
        """`write` what `make` returns, which the writing thread calls: it may take a while.

        Its place among the writes is that of this call. The future ends with what `make` raises, or `sqlite3.Error`,
        which it does also once the file is closed.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if self._closed:
            done.set_exception(sqlite3.ProgrammingError("the service was stopped, and its store is closed"))
            return done
        self._writes.put(_Write(make, done, loop))
        self._awaited.set()
        return done

    def post(self, *statements: Statement) -> None:
        """Carry out the statements as one, soon; nobody waits."""
        self._writes.put(_Write(lambda: statements))

    def post_made(self, make: Callable[[], Sequence[Statement]]) -> None:
        """`post` what `make` returns, which the writing thread calls; a failure of it is logged."""
        self._writes.put(_Write(make))

    def close(self) -> None:
        """Finish the writes that wait, then close the file. To be called where `begin` is, or after all of it."""
        self._closed = True
        self._writes.put(None)
        self._awaited.set()
        self._writer.join()
        self._reading.close()

    def _write_all(self) -> None:
        connection = _connect(self._path)
        open_still = True
        while open_still:
            batch, open_still = self._batch()
            outcomes = _carried_out(connection, batch)
            for write, problem in zip(batch, outcomes, strict=True):
                if write.loop is not None:
                    write.loop.call_soon_threadsafe(_tell, write.done, problem)
                elif problem is not None:
                    logger.error("a row could not be written", exc_info=problem)
        connection.close()

    def _batch(self) -> tuple[list[_Write], bool]:
        """All that wait, at least one; and whether more may come."""
        first = self._writes.get()
        if first is None:
            return [], False
        if first.loop is None:
            self._awaited.wait(_GATHERING_SECONDS)
        # Cleared before the queue is emptied: what is awaited is in it, or sets this again.
        self._awaited.clear()
        batch = [first]
        while len(batch) < _MOST_TOGETHER:
            try:
                write = self._writes.get(block=False)
            except queue.Empty:
                break
            if write is None:
                return batch, False
            batch.append(write)
        return batch, True


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30.0)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # a checkpoint that was acknowledged survives a power cut
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA recursive_triggers=ON")  # a row that is replaced counts as deleted
    return connection


def _carried_out(connection: sqlite3.Connection, batch: Sequence[_Write]) -> Iterable[Exception | None]:
    """One commit for the batch; a write that fails is undone by itself, and spoils no other."""
    if not batch:
        return []
    outcomes: list[Exception | None] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for write in batch:
            outcomes.append(_attempted(connection, write.statements))
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [error for _ in batch]
    return outcomes


def _attempted(connection: sqlite3.Connection, make: Callable[[], Sequence[Statement]]) -> Exception | None:
    """Raises `sqlite3.Error` where SQLite has undone the whole batch by itself, as it does on a full disk."""
    connection.execute("SAVEPOINT one")
    problem: Exception | None = None
    try:
        for sql, values in make():
            connection.execute(sql, values)
    except Exception as error:  # one that could not be made is no other's affair either
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO one")
        problem = error
    connection.execute("RELEASE one")
    return problem


def _tell(done: "asyncio.Future[None] | None", problem: Exception | None) -> None:
    if done is None or done.cancelled():
        return
    if problem is None:
        done.set_result(None)
    else:
        done.set_exception(problem)
