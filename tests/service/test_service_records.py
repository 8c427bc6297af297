"""The counts that lists tell are those of the rows, whatever was made, replaced and deleted."""

import asyncio
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tinker_local.engine.protocol import LoraSpec
from tinker_local.store.paths import CheckpointPath
from tinker_local.store.records import CheckpointRecord, Records, RunRecord

OWNERS = ("one", "two")
KINDS = ("weights", "sampler_weights", "external_weights")
Change = tuple[str, str, str, str]
changes = st.lists(
    st.tuples(
        st.sampled_from(["save", "delete", "use"]),
        st.sampled_from(OWNERS),
        st.sampled_from(KINDS),
        st.sampled_from("ab"),
    ),
    max_size=25,
)


def checkpoint(owner: str, kind: str, name: str) -> CheckpointRecord:
    return CheckpointRecord(
        path=CheckpointPath(f"{owner}:train:0", kind, name),
        owner=owner,
        version="v",
        created_at=1.0,
        expires_at=None,
        public=False,
        size_bytes=1,
        user_metadata=None,
        base_model="base",
        lora=LoraSpec(),
    )


def run(owner: str, number: str) -> RunRecord:
    return RunRecord(
        run_id=f"{owner}:train:{number}",
        session_id=owner,
        owner=owner,
        created_at=1.0,
        last_request_at=2.0,
        base_model="base",
        lora=LoraSpec(),
        user_metadata=None,
    )


async def apply(records: Records, story: list[Change]) -> None:
    for what, owner, kind, name in story:
        record = checkpoint(owner, kind, name)
        if what == "save":
            await records.write(records.put_checkpoint(record))
        elif what == "delete":
            await records.write(records.drop_checkpoint(record.path))
        else:
            await records.write(records.put_run(run(owner, name)))


def check(records: Records) -> None:
    for owner in (*OWNERS, None):
        for left_out in ("", "external_weights"):
            found, total = records.checkpoints(owner, 1000, 0, without_kind=left_out)
            assert total == len(found)
        runs, total = records.runs(owner, None, 1000, 0)
        assert total == len(runs)


@settings(max_examples=25, deadline=None)
@given(changes)
def test_counts_are_those_of_the_rows(tmp_path_factory: object, story: list[Change]) -> None:
    folder: Path = tmp_path_factory.mktemp("records")  # type: ignore[attr-defined]
    records = Records(folder / "db")
    asyncio.run(apply(records, story))
    check(records)
    records.close()
    again = Records(folder / "db")
    check(again)
    again.close()


def test_a_file_of_before_the_counts_is_counted(tmp_path: Path) -> None:
    records = Records(tmp_path / "db")
    asyncio.run(apply(records, [("save", "one", "weights", "a"), ("use", "one", "weights", "a")]))
    records.database.prepare(
        "DROP TRIGGER checkpoint_made; DROP TRIGGER checkpoint_gone; DROP TRIGGER run_made; DROP TRIGGER run_gone;"
        "DROP TABLE counts"
    )
    records.close()
    again = Records(tmp_path / "db")
    check(again)
    assert again.checkpoints("one", 10, 0)[1] == 1
    again.close()
