"""The store: writes that wait together are committed together; a folder is whole or not there, whatever dies when."""

import asyncio
import json
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_local.errors import ApiError
from tinker_local.store import database as database_module
from tinker_local.store.database import Database
from tinker_local.store.folders import Folders
from tinker_local.store.paths import KINDS, CheckpointPath

SCHEMA = "CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v TEXT)"
INSERT = "INSERT INTO t VALUES (?, ?)"
PATH = CheckpointPath.parse("tinker://s:train:0/weights/a")


def staged(folders: Folders, content: str) -> Path:
    directory = folders.stage()
    (directory / "adapter").write_text(content)
    return directory


def test_writes_are_there_when_awaited_and_after_closing(tmp_path: Path) -> None:
    async def story() -> None:
        database = Database(tmp_path / "db", SCHEMA)
        await asyncio.gather(*(database.write((INSERT, (number, "x"))) for number in range(500)))
        assert len(database.read("SELECT * FROM t")) == 500
        last = asyncio.create_task(database.write((INSERT, (1000, "last"))))
        await asyncio.sleep(0)
        database.close()
        await last

    asyncio.run(story())
    again = Database(tmp_path / "db", SCHEMA)
    assert len(again.read("SELECT * FROM t")) == 501
    again.close()


def test_a_write_that_nobody_waits_for_is_gathered_until_one_is_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_GATHERING_SECONDS", 3600.0)
    commits: list[str] = []

    def traced(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        return connection

    connect = database_module._connect
    monkeypatch.setattr(database_module, "_connect", traced)

    async def story() -> None:
        database = Database(tmp_path / "db", SCHEMA)
        for number in range(20):
            database.post((INSERT, (number, "gathered")))
        async with asyncio.timeout(30):
            await database.write((INSERT, (100, "awaited")))
        assert len(database.read("SELECT * FROM t")) == 21
        assert len(commits) == 1
        database.post((INSERT, (200, "last")))
        database.close()

    asyncio.run(story())
    again = Database(tmp_path / "db", SCHEMA)
    assert len(again.read("SELECT * FROM t")) == 22
    again.close()


def test_a_write_that_nobody_waits_for_needs_no_other(tmp_path: Path) -> None:
    written = threading.Event()

    async def story() -> None:
        database = Database(tmp_path / "db", SCHEMA)
        database.post_made(lambda: [(INSERT, (1, "alone"))])
        database.post_made(lambda: written.set() or [])
        assert await asyncio.to_thread(written.wait, 30)
        database.close()

    asyncio.run(story())


def test_a_write_that_fails_is_undone_and_spoils_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        database = Database(tmp_path / "db", SCHEMA)
        writes = [
            database.write((INSERT, (1, "a"))),
            database.write((INSERT, (2, "b")), (INSERT, (1, "taken"))),
            database.write((INSERT, (3, "c"))),
        ]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), sqlite3.IntegrityError, type(None)]
        assert [row["k"] for row in database.read("SELECT k FROM t ORDER BY k")] == [1, 3]
        database.close()

    asyncio.run(story())


def test_a_folder_is_seen_when_it_is_whole(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    directory = staged(folders, "one")
    assert not folders.at(PATH).exists()
    size = folders.commit(directory, PATH, {"version": "1"})
    assert size == sum(file.stat().st_size for file in folders.at(PATH).iterdir())
    assert json.loads((folders.at(PATH) / "run.json").read_text()) == {"path": str(PATH), "version": "1"}


def test_a_second_one_replaces_the_first(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    for content in ("one", "two"):
        folders.commit(staged(folders, content), PATH, {})
    assert (folders.at(PATH) / "adapter").read_text() == "two"
    assert list((tmp_path / ".staging").iterdir()) == []


def test_dying_between_the_two_renames_brings_the_old_one_back(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.commit(staged(folders, "one"), PATH, {})
    staged(folders, "two")
    folders._set_aside(folders.at(PATH))
    assert not folders.at(PATH).exists()
    again = Folders(tmp_path)
    assert (again.at(PATH) / "adapter").read_text() == "one"
    assert list((tmp_path / ".staging").iterdir()) == []


@pytest.mark.parametrize("about", [b"{}", b"[]", b"no JSON", b'{"path": "x"}', b'{"path": 3}', b"\xff"])
def test_a_spoilt_leftover_stops_no_start(tmp_path: Path, about: bytes) -> None:
    Folders(tmp_path)
    left = tmp_path / ".staging" / "old-1"
    left.mkdir()
    (left / "run.json").write_bytes(about)
    Folders(tmp_path)
    assert not left.exists()


def test_a_place_that_cannot_be_taken_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = Folders(tmp_path)
    folders.commit(staged(folders, "one"), PATH, {})
    two = staged(folders, "two")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tinker_local.durable.flush_folder", lambda path: refuse() if path != two else None)
        with pytest.raises(OSError, match="No space"):
            folders.commit(two, PATH, {})
    assert (folders.at(PATH) / "adapter").read_text() == "one"
    folders.commit(staged(folders, "three"), PATH, {})
    assert (folders.at(PATH) / "adapter").read_text() == "three"


def test_dying_after_them_keeps_the_new_one(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.commit(staged(folders, "one"), PATH, {})
    folders._set_aside(folders.at(PATH))
    folders.commit(staged(folders, "two"), PATH, {})
    again = Folders(tmp_path)
    assert (again.at(PATH) / "adapter").read_text() == "two"
    assert list((tmp_path / ".staging").iterdir()) == []


def test_deleting_twice_is_no_error(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.commit(staged(folders, "one"), PATH, {})
    folders.delete(PATH)
    folders.delete(PATH)
    assert not folders.at(PATH).exists()


@given(st.text(), st.text(), st.text())
def test_no_path_leads_out_of_the_folder(run_id: str, kind: str, name: str) -> None:
    try:
        path = CheckpointPath.parse(f"tinker://{run_id}/{kind}/{name}")
    except ApiError:
        return
    root = Path("/data/checkpoints")
    inside = (root / path.run_id / path.kind / path.name).resolve()
    assert inside.is_relative_to(root)
    assert len(inside.relative_to(root).parts) == 3


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,40}", fullmatch=True),
    st.sampled_from(sorted(KINDS)),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", fullmatch=True),
)
def test_paths_are_read_as_they_are_written(run_id: str, kind: str, name: str) -> None:
    path = CheckpointPath(run_id, kind, name)
    assert CheckpointPath.parse(str(path)) == path


@pytest.mark.parametrize("text", ["", "tinker://", "http://a/weights/b", "tinker://a/weights/b/c", "tinker://a/x/b"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ApiError):
        CheckpointPath.parse(text)
