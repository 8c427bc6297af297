"""The journal: what was written is there after any death, what a checkpoint holds goes, and one process has it."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinker_hl.recovery import JournalError
from tinker_hl.recovery.journal import CallRow, Journal, SavedPoint, StepRow

WRITER = """
import os, signal, sys
from pathlib import Path
from tinker_hl.recovery.journal import CallRow, Journal, StepRow
journal = Journal(Path(sys.argv[1]))
for number in range(1, 100):
    journal.add_call(CallRow(number=number, step=number, operation="optim_step", fields={"n": number}))
    journal.end_step(StepRow(step=number, last_call=number, state={}))
    print(number, flush=True)
    if number == 40:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def call(number: int, data: bytes | None = None) -> CallRow:
    return CallRow(number=number, step=number // 2, operation="optim_step", fields={"rate": 0.1 + number}, data=data)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "run")
    assert journal.last_step() is None
    for number in (1, 2, 3):
        journal.add_call(call(number, bytes([number])))
    journal.mark_applied(2, {"loss:sum": 0.1, "odd": float("nan")})
    journal.drop_call(3)
    assert journal.call_numbers(0, 10) == [1, 2]
    assert journal.call_numbers(1, 10) == [2]
    row = journal.call(2)
    assert (row.data, row.fields, row.applied) == (b"\x02", {"rate": 2.1}, True)
    assert row.metrics == {"loss:sum": 0.1, "odd": None}
    assert journal.call(1).applied is False
    with pytest.raises(KeyError):
        journal.call(3)
    journal.end_step(StepRow(step=0, last_call=2, state={"state": {"cursor": [1, None, "x"]}}))
    journal.note(model_id="m", session_id="s")
    journal.note(model_id="n")
    journal.close()
    again = Journal(tmp_path / "deep" / "run")
    assert again.last_step() == StepRow(step=0, last_call=2, state={"state": {"cursor": [1, None, "x"]}})
    assert (again.noted("model_id"), again.noted("session_id"), again.noted("nothing")) == ("n", "s", None)
    assert again.drop_calls_after(1) == 1
    assert again.call_numbers(0, 10) == [1]
    again.close()


def test_a_full_disk_is_told_as_such_and_the_journal_goes_on_when_there_is_room(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(JournalError, match="disk is full"):
        journal.add_call(call(1, bytes(100_000)))
    journal._connection.execute("PRAGMA max_page_count = 100000")
    journal.add_call(call(1, bytes(100_000)))
    assert journal.call_numbers(0, 10) == [1]
    journal.close()


def test_a_commit_that_fails_leaves_no_transaction_behind(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    real = journal._connection

    class Failing:
        """Its first commit fails, as on a disk that is torn out."""

        failed = False
        in_transaction = property(lambda self: real.in_transaction)

        def execute(self, statement: str, *values: Any) -> Any:
            if statement == "COMMIT" and not self.failed:
                self.failed = True
                raise sqlite3.OperationalError("disk I/O error")
            return real.execute(statement, *values)

    journal._connection = Failing()  # type: ignore[assignment]
    with pytest.raises(JournalError, match="disk I/O error"):
        journal.add_call(call(1))
    journal.add_call(call(2))
    assert journal.call_numbers(0, 10) == [2]
    real.close()


def test_a_checkpoint_makes_calls_needless(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(1, 7):
        journal.add_call(call(number))
        journal.end_step(StepRow(step=number, last_call=number, state={}))
    first = SavedPoint(path="tinker://r/weights/a", step=2, after_call=2, rolling=True, metrics={"loss:sum": 2.0})
    second = SavedPoint(path="tinker://r/weights/b", step=4, after_call=4, rolling=False)
    journal.add_checkpoint(first)
    journal.add_checkpoint(second)
    assert journal.call_numbers(0, 10) == [5, 6]
    assert journal.checkpoints() == [second, first], "the newest first"
    journal.drop_checkpoint(first.path)
    assert journal.checkpoints() == [second]
    assert journal.last_step() == StepRow(step=6, last_call=6, state={})
    journal.close()


def test_everything_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", WRITER, tmp_path], capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    journal = Journal(tmp_path)
    assert journal.call_numbers(0, 1000) == list(map(int, ended.stdout.split())) == list(range(1, 41))
    last = journal.last_step()
    assert last is not None
    assert last.step == 40
    journal.close()


@pytest.mark.parametrize("torn", [1, 100, 3000, 4096])
def test_a_torn_end_loses_only_what_was_being_written(tmp_path: Path, torn: int) -> None:
    """The last bytes of the log are gone, as after a power cut: an earlier state is read, whole."""
    ended = subprocess.run([sys.executable, "-c", WRITER, tmp_path], capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    log = tmp_path / "journal.sqlite-wal"
    os.truncate(log, log.stat().st_size - torn)
    journal = Journal(tmp_path)
    numbers = journal.call_numbers(0, 1000)
    assert numbers == list(range(1, len(numbers) + 1))
    assert 38 <= len(numbers) <= 40
    last = journal.last_step()
    assert last is not None
    assert len(numbers) - 1 <= last.step <= len(numbers)
    journal.close()


def test_one_process_has_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    program = (
        f"from pathlib import Path; from tinker_hl.recovery.journal import Journal; Journal(Path({str(tmp_path)!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "JournalError" in ended.stderr
    assert "another process" in ended.stderr
    journal.close()
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(JournalError, match="cannot be used"):
        Journal(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(tmp_path / "file")
    import sqlite3

    other = tmp_path / "other"
    other.mkdir()
    connection = sqlite3.connect(other / "journal.sqlite")
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(JournalError, match="no journal"):
        Journal(other)


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.close()
    journal.close()
    for use in (journal.last_step, lambda: journal.drop_call(1)):
        with pytest.raises(JournalError, match="closed"):
            use()
